"""A MariaDB of the tests' own: a folder, a free port, and an end whatever happens.

``mariadb_server`` is the fixture; ``serving`` gives the server to benchmarks and the soak,
which are no tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.database.snapshot import TABLES
from tests.servers import process

#: The user that processing services have in production, and the one that owns state stores.
#: The password has signs that a URL must quote.
SERVICE, OWNER, PASSWORD = "dlstbx_service", "dlstbx_state", "p@ss/w%rd:"
_PROGRAMS = "/usr/sbin:/usr/local/sbin:/usr/local/mariadb/bin:/usr/local/mysql/bin"
_PROCEDURES = (Path(__file__).parent / "procedures.sql").read_text(encoding="utf-8")
#: Whoever only tests wants no disk to be waited for; the soak does.
QUICK = ("--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")


def lacking() -> str | None:
    """Return in one line what a MariaDB needs and this machine lacks, None if nothing."""
    missing = [name for name in ("mariadbd", "mariadb-install-db") if not _program(name)]
    return f"no {', '.join(missing)}: apt-get install mariadb-server" if missing else None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PROGRAMS}")


class MariaDB(process.ServerProcess):
    """One server in *folder*.

    :param options: of ``mariadbd``; those given replace the quick ones of tests.
    """

    def __init__(self, folder: Path, options: tuple[str, ...] = QUICK) -> None:
        self.port = process.free_port()
        self.socket = str(folder / "sock")
        self._data = folder / "data"
        self._numbers = count(1)
        command = [
            str(_program("mariadbd")),
            "--no-defaults",
            "--user=root",
            f"--datadir={self._data}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            f"--pid-file={folder / 'pid'}",
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--skip-log-bin",
            *options,
        ]
        super().__init__(command, os.environ, folder / "mariadb.log", self.port)

    def install(self) -> None:
        """Make the data folder."""
        subprocess.run(
            [
                str(_program("mariadb-install-db")),
                "--no-defaults",
                f"--datadir={self._data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--user=root",
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def _answers(self) -> bool:
        import mysql.connector

        try:
            self.root().close()
        except mysql.connector.Error:
            return False
        return True

    # --- reaching it -----------------------------------------------------------------

    def root(self, database: str | None = None) -> Any:
        """Return a new connection of the driver's as root, with autocommit."""
        import mysql.connector

        return mysql.connector.connect(
            unix_socket=self.socket,
            user="root",
            database=database,
            autocommit=True,
            charset="utf8mb4",
            collation="utf8mb4_general_ci",
            connection_timeout=5,
        )

    def execute(self, *statements: str, database: str | None = None) -> list[Any]:
        """Execute statements as root; return the rows of the last one."""
        with closing(self.root(database)) as connection, closing(connection.cursor()) as cursor:
            rows: list[Any] = []
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.with_rows else []
            return rows

    def url(self, database: str, user: str = "root", password: str | None = None) -> str:
        """Return the SQLAlchemy URL of a database over TCP, password included."""
        from sqlalchemy import URL

        if password is None and user != "root":
            password = PASSWORD
        address = ("127.0.0.1", self.port, database)
        return URL.create("mysql", user, password, *address).render_as_string(hide_password=False)

    # --- databases -------------------------------------------------------------------

    def ispyb(self, charset: str = "utf8mb4") -> str:
        """Make a new, empty ISPyB and return its name.

        It has the tables of the embedded one, as ``ispyb.sqlalchemy`` declares them, the
        procedures, and the user SERVICE with the rights of production.
        """
        name = f"ispyb_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET {charset}")
        self.execute(
            "SET foreign_key_checks = 0",
            *(
                # Whatever the template has: each copy has its own character set.
                statement.replace(
                    " DEFAULT CHARSET=utf8mb4", f" DEFAULT CHARSET={charset}"
                ).replace(" COLLATE=utf8mb4_general_ci", "")
                for statement in self._tables
            ),
            *_PROCEDURES.split("$$\n"),
            *_rights(name),
            database=name,
        )
        return name

    def service_url(self, database: str) -> str:
        """Return the URL of an ISPyB for the user with the rights of production."""
        return self.url(database, SERVICE)

    def state_url(self) -> str:
        """Make a new, empty database for a state store, and return its owner's URL."""
        name = f"state_{next(self._numbers)}"
        self.execute(
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
            f"GRANT ALL ON {name}.* TO {OWNER}@localhost IDENTIFIED BY '{PASSWORD}'",
        )
        return self.url(name, OWNER)

    @cached_property
    def _tables(self) -> list[str]:
        """CREATE TABLE of the embedded ISPyB's tables, from a template that has all 205."""
        from ispyb.sqlalchemy import Base
        from sqlalchemy import create_engine

        self.execute("CREATE DATABASE template CHARACTER SET utf8mb4")
        engine = create_engine(
            self.url("template").replace("mysql:", "mysql+mysqlconnector:"),
            connect_args={"collation": "utf8mb4_general_ci"},
        )
        Base.metadata.create_all(engine)
        engine.dispose()
        return [
            _without_strangers(self.execute(f"SHOW CREATE TABLE {name}", database="template"))
            for name in TABLES
        ]


def _without_strangers(shown: list[Any]) -> str:
    """Return CREATE TABLE without the foreign keys to tables that a copy does not have."""
    first, *lines, last = str(shown[0][1]).split("\n")
    kept = [
        line.rstrip(",")
        for line in lines
        if "REFERENCES" not in line or line.split("REFERENCES `")[1].split("`")[0] in TABLES
    ]
    return first + "\n" + ",\n".join(kept) + "\n" + last


def _rights(database: str) -> list[str]:
    """What the role of processing services may do in production, and no more."""
    user = f"{SERVICE}@localhost"
    return [
        f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}'",
        f"GRANT SELECT ON {database}.* TO {user}",
        *(
            f"GRANT INSERT, UPDATE ON {database}.{table} TO {user}"
            for table in ("ProcessingJob", "ProcessingJobParameter")
        ),
        *(
            f"GRANT EXECUTE ON PROCEDURE {database}.upsert_processing_job{what} TO {user}"
            for what in ("", "_parameter", "_image_sweep")
        ),
    ]


@contextmanager
def serving(options: tuple[str, ...] = QUICK) -> Iterator[MariaDB]:
    """Give a new server that runs; in the end it is stopped and its folder removed."""
    # A path of the session's would be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="dlstbx-db-") as folder:
        server = MariaDB(Path(folder), options)
        try:
            server.install()
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A running MariaDB. Skips where there is none to be started; fails if CI=true."""
    missing = lacking()
    if missing:
        process.lacking(missing)
    with serving() as server:
        yield server
