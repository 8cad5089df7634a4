"""The lists and sums of held jobs, in a file and on a real MariaDB."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dlstbx_cli.database import held_lists
from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.held_lists import GROUPS, HeldLists, Wanted
from dlstbx_cli.services.held.values import Held, Pause
from dlstbx_cli.services.message import Message, Queue


@pytest.fixture(params=["sqlite", "mariadb"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[HeldLists]:
    """Six jobs of two visits; the last is released, the one before it cancelled."""
    url = f"sqlite:///{tmp_path}/state.sqlite3"
    if request.param == "mariadb":
        url = str(request.getfixturevalue("mariadb_server").state_url())
    engine = connect(url, create=True)
    jobs = HeldLists(engine)
    for number in range(1, 7):
        visit, beamline = ("a-1", "i03") if number % 2 else ("b-1", "i04")
        job = Held(0, "slurm", 0, beamline, visit, "xia2", 100 + number, number)
        message = Message(Queue("mimas.held"), {}, {"dlstbx-id": f"held-{number}"})
        assert jobs.hold(job, message)
        time.sleep(0.002)
    *_, fifth, sixth = jobs.numbers(Wanted())
    jobs.cancel([fifth], "eve", "not wanted")
    jobs.take([sixth], "adam", "")
    jobs.released([sixth])
    yield jobs
    engine.dispose()


def dcids(found: Any) -> list[int]:
    return [one.job.dcid for one in found]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [101, 102, 103, 104]),
        (Wanted(visit="a-1"), [101, 103]),
        (Wanted(beamline="i04", states=[]), [102, 104, 106]),
        (Wanted(["released"]), [106]),
        (Wanted(["released", "cancelled"]), [105, 106]),
        (Wanted(recipe="other"), []),
        (Wanted(dcid=103), [103]),
        (Wanted(cluster="iris"), []),
        (Wanted([], since=0), [101, 102, 103, 104, 105, 106]),
        (Wanted([], since=4e9), []),
    ],
)
def test_lists_come_whole_and_in_order(
    store: HeldLists,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    wanted: Wanted,
    expected: list[int],
) -> None:
    monkeypatch.setattr(held_lists, "PAGE", page)
    assert dcids(store.listed(wanted)) == expected
    assert store.count(wanted) == len(store.numbers(wanted)) == len(expected)


def test_the_latest_are_those_that_have_changed_last(store: HeldLists) -> None:
    first = store.numbers(Wanted())[0]
    time.sleep(0.002)
    store.cancel([first], "eve", "x")
    found = store.latest(Wanted([]), 3)
    assert dcids(found) == [105, 106, 101]
    assert (found[-1].state, found[-1].owner, found[-1].reason) == ("cancelled", "eve", "x")
    assert found[-1].changed > found[-1].job.taken


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("cluster", [(("slurm",), 4, 2)]),
        ("beamline", [(("i03", "slurm"), 2, 2), (("i04", "slurm"), 2, 0)]),
        ("visit", [(("a-1", "i03", "slurm"), 2, 2), (("b-1", "i04", "slurm"), 2, 0)]),
        ("recipe", [(("xia2", "slurm"), 4, 2)]),
    ],
)
def test_sums(store: HeldLists, by: str, expected: list[Any]) -> None:
    first = next(store.listed(Wanted())).job.taken
    groups = store.groups(Wanted(), by)
    assert [group.paused for group in groups] == [0] * len(expected)
    store.pause(Pause("beamline", "i03", time.time() + 60, "eve", "tests"))
    store.pause(Pause("visit", "a-1", time.time() + 60, "eve", "tests"))
    groups = store.groups(Wanted(), by)
    assert [(group.names, group.jobs, group.paused) for group in groups] == expected
    assert groups[0].oldest == first
    assert {len(group.names) for group in groups} == {len(GROUPS[by])}


def test_one_visit_in_two_ways_to_write_it(store: HeldLists) -> None:
    hold = Held(0, "slurm", 0, "I03", "A-1", "XIA2")
    store.hold(hold, Message(Queue("mimas.held"), {}, {"dlstbx-id": "other"}))
    assert [(group.names[0].lower(), group.jobs) for group in store.groups(Wanted(), "visit")] == [
        ("a-1", 3),
        ("b-1", 2),
    ]
    assert len(list(store.listed(Wanted(visit="A-1", beamline="i03")))) == 3
    assert [group.names[0] for group in store.groups(Wanted(), "recipe")] == ["xia2", "XIA2"]
    assert [one.job.visit for one in store.listed(Wanted(recipe="XIA2"))] == ["A-1"]
    (kept,) = store.kept([Pause("visit", "a-1", 4e9, "me", "")])
    assert kept.jobs == 3


def test_what_pauses_keep(store: HeldLists) -> None:
    pauses = [
        Pause("beamline", "i03", time.time() + 60, "eve", "tests"),
        Pause("recipe", "xia2", time.time() + 60, "eve", "tests"),
        Pause("visit", "c-1", time.time() + 60, "eve", "tests"),
    ]
    assert [one.jobs for one in store.kept(pauses)] == [2, 4, 0]
