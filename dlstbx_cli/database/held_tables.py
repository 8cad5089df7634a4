"""The tables of the store of held jobs: their states, the pauses, the last statistics."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.mysql import LONGTEXT

from dlstbx_cli.services.held.values import ANY_CASE

#: The states of a job.
HELD, GOING, RELEASED, CANCELLED = "held", "going", "released", "cancelled"
_Number = BigInteger().with_variant(Integer, "sqlite")
_Long = Text().with_variant(LONGTEXT, "mysql")
METADATA = MetaData()
JOBS = Table(
    "dlstbx_held",
    METADATA,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("identity", String(200), nullable=False, unique=True),
    Column("cluster", String(100), nullable=False),
    Column("beamline", String(100), nullable=False),
    Column("visit", String(100), nullable=False),
    Column("recipe", String(100), nullable=False),
    Column("dcid", BigInteger),
    Column("job", BigInteger),
    Column("taken", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("owner", String(100), nullable=False),
    Column("reason", String(255), nullable=False),
    Column("headers", _Long, nullable=False),
    Column("body", _Long, nullable=False),
    Index("dlstbx_held_by_cluster", "state", "cluster"),
    Index("dlstbx_held_by_time", "state", "changed"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    # By itself it would take Slurm for slurm.
    mysql_collate="utf8mb4_bin",
)
PAUSES = Table(
    "dlstbx_pause",
    METADATA,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("kind", String(12), nullable=False),
    Column("name", String(100), nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("owner", String(100), nullable=False),
    Column("reason", String(255), nullable=False),
    # A store of an older version lacks what follows: see store.prepare.
    Column("begun", BigInteger),
    Column("ended", BigInteger),
    Column("ended_by", String(100)),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    # By itself it would take Slurm for slurm.
    mysql_collate="utf8mb4_bin",
)
STATISTICS = Table(
    "dlstbx_statistic",
    METADATA,
    Column("cluster", String(100), primary_key=True),
    Column("waiting", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    # By itself it would take Slurm for slurm.
    mysql_collate="utf8mb4_bin",
)


def is_named(column: Column[str], kind: str, name: str) -> ColumnElement[bool]:
    """Return the condition that a column holds a name of a kind, in any case where that is so."""
    if kind in ANY_CASE:
        return func.lower(column) == name.lower()
    return column == name
