"""The look-up on a MariaDB: the same answers as on SQLite, with the rights of production."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from sqlalchemy import Engine, event

from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.demo import collections, fill, make
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.period import dcids
from dlstbx_cli.services.errors import Rejected
from tests.benchmarks import period
from tests.database.building import clear
from tests.database.lookup_contract import LookupContract
from tests.database.recent_contract import check_dispatch
from tests.database.several_contract import check_whole_facility


@pytest.fixture(scope="module")
def shared(mariadb_server: Any) -> Iterator[Engine]:
    """An ISPyB of this module's own, as root sees it: rows are put into it."""
    engine = connect(mariadb_server.url(mariadb_server.ispyb()))
    yield engine
    engine.dispose()


class TestOnMariaDB(LookupContract):
    @pytest.fixture
    def engine(self, shared: Engine) -> Engine:
        clear(shared)
        return shared


@pytest.fixture(scope="module")
def facility(mariadb_server: Any) -> Iterator[Engine]:
    """The demo facility on MariaDB, as the services' user sees it."""
    name = mariadb_server.ispyb()
    owner = connect(mariadb_server.url(name))
    fill(owner)
    owner.dispose()
    engine = connect(mariadb_server.service_url(name))
    yield engine
    engine.dispose()


def test_both_databases_give_the_same_answers(facility: Engine, tmp_path: Path) -> None:
    embedded = make(f"sqlite:///{tmp_path}/ispyb.sqlite3")
    here, there = Lookup(embedded), Lookup(facility)
    found = collections(embedded)
    assert len(found) >= 60
    for one in found:
        request = {"parameters": {"ispyb_dcid": one.dcid, "guid": "the-same"}}
        assert there(request) == here(request)
        assert there.run_status(one.dcid) == here.run_status(one.dcid)
    embedded.dispose()


def test_all_at_a_time_are_as_each_alone(facility: Engine) -> None:
    check_whole_facility(facility, [one.dcid for one in collections(facility)])


def test_what_is_dispatched_is_the_same_if_it_is_shared(facility: Engine) -> None:
    check_dispatch(facility, [one.dcid for one in collections(facility)])


def test_many_collections_at_a_time(mariadb_server: Any) -> None:
    name = mariadb_server.ispyb()
    owner = connect(mariadb_server.url(name))
    period.fill(owner, 150)
    owner.dispose()
    engine = connect(mariadb_server.service_url(name))
    found = [one.dcid for one in collections(engine)]
    assert len(found) == 150
    check_whole_facility(engine, found)
    middle = period.BEGIN + timedelta(days=15)
    assert list(dcids(engine)) == found
    assert list(dcids(engine, since=middle.timestamp())) == found[75:]
    theirs = [one.dcid for one in collections(engine) if one.beamline == "i03"]
    assert list(dcids(engine, 0, 4e9, ["i03"])) == theirs
    engine.dispose()


def test_an_unknown_dcid_is_rejected(facility: Engine) -> None:
    with pytest.raises(Rejected, match="DCID 404"):
        Lookup(facility)({"parameters": {"ispyb_dcid": 404}})


def test_few_statements(facility: Engine) -> None:
    statements: list[str] = []
    event.listen(
        facility, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    lookup = Lookup(facility)
    times = []
    for one in collections(facility):
        statements.clear()
        begin = time.perf_counter()
        lookup({"parameters": {"ispyb_dcid": one.dcid}})
        times.append(time.perf_counter() - begin)
        assert len([text for text in statements if text.startswith("SELECT")]) <= 8
    assert median(times) < 0.1  # bin/bench tells how quick it is; this is only for accidents
