"""The generator of many collections: what is measured on it must be like the demo facility."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dlstbx_cli.database import demo
from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.period import dcids
from tests.benchmarks import period
from tests.database.building import ispyb
from tests.database.several_contract import SEVERAL, check_whole_facility

NUMBER = 150


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("period") / "ispyb.sqlite3"
    return period.make(f"sqlite:///{path}", NUMBER, days=3)


def values(engine: Engine, dcid: int) -> dict[str, Any]:
    found = Lookup(engine)({"parameters": {"ispyb_dcid": dcid, "guid": "the-same"}})["parameters"]
    times = ("startTime", "endTime")
    info = {k: v for k, v in found["ispyb_dc_info"].items() if k not in times}
    return {**found, "ispyb_dc_info": info}


def test_the_first_copy_is_the_demo_facility(engine: Engine, tmp_path: Path) -> None:
    original = demo.make(f"sqlite:///{tmp_path}/demo.sqlite3")
    for one in demo.collections(original):
        assert values(engine, one.dcid) == values(original, one.dcid)
    original.dispose()


def test_the_others_are_spread_like_the_first(engine: Engine) -> None:
    found = demo.collections(engine)
    assert len(found) == NUMBER
    assert len({one.visit for one in found}) == 31  # 13 of each copy, and 5 of a begun one
    first, second = found[:64], found[64:128]
    for name in ("beamline", "kinds", "detector", "related", "running"):
        kinds = [Counter(getattr(one, name) for one in half) for half in (first, second)]
        assert kinds[0] == kinds[1]


def test_everything_leads_somewhere_and_begins_within_the_days(engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        found = connection.execute(text("SELECT startTime FROM DataCollection")).scalars().all()
    assert sorted(found) == found
    assert found[0].startswith("2026-06-01 00:00")
    assert found[-1] < str(period.BEGIN + timedelta(days=3))


def test_all_at_a_time_are_as_each_alone(engine: Engine) -> None:
    check_whole_facility(engine, [one.dcid for one in demo.collections(engine)])


def epoch(days: float) -> float:
    return (period.BEGIN + timedelta(days=days)).timestamp()


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, slice(None)),
        (0, 3, slice(None)),
        (1, None, slice(50, None)),  # the 51st begins a day later to the second
        (None, 1, slice(0, 50)),
        (1, 2, slice(50, 100)),
        (3, None, slice(0, 0)),
        (2, 1, slice(0, 0)),
    ],
)
def test_the_collections_of_a_period(
    engine: Engine, since: float | None, until: float | None, expected: slice
) -> None:
    every = [one.dcid for one in demo.collections(engine)]
    bounds = [None if day is None else epoch(day) for day in (since, until)]
    assert list(dcids(engine, *bounds)) == every[expected]


@pytest.mark.parametrize("beamlines", [["i03"], ["I04", "i24"], ["i99"], ["i99", "i15"]])
def test_those_of_some_beamlines(engine: Engine, beamlines: list[str]) -> None:
    wanted = [
        one.dcid for one in demo.collections(engine) if one.beamline in {*map(str.lower, beamlines)}
    ]
    assert list(dcids(engine, beamlines=beamlines)) == wanted
    assert bool(wanted) == (beamlines != ["i99"])


def test_what_has_no_time_began_never(tmp_path: Path) -> None:
    engine = ispyb(tmp_path, SEVERAL)
    assert list(dcids(engine)) == [100, 101, 102, 103, 104, 105]
    assert list(dcids(engine, since=0)) == []
    engine.dispose()
