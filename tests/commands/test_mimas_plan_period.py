"""``mimas-plan --since``: plans for all the collections of a period."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.database import visit
from dlstbx_cli.database.demo_data import FIRST_DCID
from tests.benchmarks import period
from tests.conftest import Outcome, run, shell, start
from tests.terminal import written

#: The demo facility's collections began in 2026 from January to March.
ALL = ("--since", "2026-01-01")


@pytest.fixture(autouse=True)
def _ispyb(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names the database is not told which one it is."""
    monkeypatch.setenv("DLSTBX_ISPYB", f"sqlite:///{home}/ispyb.sqlite3")


@pytest.fixture
def dcids(home: Path) -> list[int]:
    """The demo facility's collections."""
    return select(home, "SELECT dataCollectionId FROM DataCollection ORDER BY 1")


def select(home: Path, statement: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(home / "ispyb.sqlite3")
    with connection:
        found = [row[0] for row in connection.execute(statement, values)]
    connection.close()
    return found


def planned(outcome: Outcome) -> list[Any]:
    """Return the lines without the ids that each run gives anew."""
    return [{key: line[key] for key in line if key != "headers"} for line in outcome.lines]


@pytest.mark.parametrize("event", ["start", "end", "all"])
def test_the_plans_are_those_of_the_dcids(home: Path, dcids: list[int], event: str) -> None:
    one_by_one = run("mimas-plan", "--event", event, *dcids)
    at_a_time = run("mimas-plan", "--event", event, *ALL)
    assert planned(at_a_time) == planned(one_by_one)
    assert len(at_a_time.lines) > 20
    assert (at_a_time.code, at_a_time.err) == (one_by_one.code, one_by_one.err) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--explain"],
        ["--explain", "--json", "--event", "all"],
        ["--explain", "--tree"],
        ["--commands"],
        ["--tree"],
        ["--rules", "dlstbx-i15", "--explain", "--json"],
    ],
)
def test_whatever_is_shown_of_them(home: Path, dcids: list[int], arguments: list[str]) -> None:
    one_by_one = run("mimas-plan", *arguments, *dcids)
    at_a_time = run("mimas-plan", *arguments, *ALL)
    assert at_a_time.out == one_by_one.out
    assert (at_a_time.code, one_by_one.code) == (0, 0)
    assert at_a_time.out.count("\n") > 70


def test_overrides_and_records(home: Path, dcids: list[int]) -> None:
    (home / "overrides.yml").write_text("")
    options = ["--overrides", home / "overrides.yml", "--record", home / "records"]
    assert planned(run("mimas-plan", *ALL, *options)) == planned(run("mimas-plan", *dcids))
    (path,) = (home / "records").iterdir()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["dcid"] for record in records] == dcids
    assert planned(run("mimas-plan", "--replay", path)) == planned(run("mimas-plan", *dcids))


@pytest.mark.parametrize(
    ("arguments", "condition"),
    [
        (["--since", "2026-03-01"], "startTime >= '2026-03-01'"),
        ([*ALL, "--until", "2026-02-10T12:00"], "startTime < '2026-02-10 12:00'"),
        (
            ["--since", "2026-02-01", "--until", "2026-03-01", "--beamline", "i03"],
            "startTime BETWEEN '2026-02' AND '2026-03' AND imageDirectory LIKE '/dls/i03/%'",
        ),
        (
            [*ALL, "--beamline", "i15", "--beamline", "i24"],
            "imageDirectory LIKE '/dls/i15/%' OR imageDirectory LIKE '/dls/i24/%'",
        ),
    ],
)
def test_which_collections(home: Path, arguments: list[str], condition: str) -> None:
    wanted = select(
        home, f"SELECT dataCollectionId FROM DataCollection WHERE {condition} ORDER BY 1"
    )
    outcome = run("mimas-plan", "--explain", *arguments)
    assert list(dict.fromkeys(line["dcid"] for line in outcome.lines)) == wanted
    assert 0 < len(wanted) < 60


@pytest.mark.parametrize("since", ["7d", "12h", "99999999999d", "00:00"])
def test_times_that_count_from_now(home: Path, dcids: list[int], since: str) -> None:
    select(
        home,
        "UPDATE DataCollection SET startTime = datetime('now', 'localtime', '-1 seconds')"
        " WHERE dataCollectionId = ?",
        dcids[3],
    )
    outcome = run("mimas-plan", "--explain", "--since", since)
    found = dict.fromkeys(line["dcid"] for line in outcome.lines)
    assert list(found) == (dcids if since.startswith("9") else [dcids[3]])


def test_a_period_without_collections(home: Path) -> None:
    outcome = run("mimas-plan", *ALL, "--until", "2026-01-02", "--beamline", "i03")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == (
        "mimas-plan: no data collection began since 2026-01-01 00:00"
        " until 2026-01-02 00:00 on i03\n"
    )


def test_what_cannot_be_planned_is_said_and_the_others_go_on(home: Path, dcids: list[int]) -> None:
    bad = dcids[5:7]
    for dcid, directory in zip(bad, ("not/absolute", "/dls/a/../b/c/d/e"), strict=True):
        select(
            home,
            "UPDATE DataCollection SET imageDirectory = ? WHERE dataCollectionId = ?",
            directory,
            dcid,
        )
    outcome = run("mimas-plan", *ALL, "--event", "all")
    assert outcome.code == 1
    assert outcome.err.count(f"DCID {bad[0]}: the image directory is not absolute") == 4
    assert outcome.err.count(f"DCID {bad[1]}: the image directory leads elsewhere") == 4
    letters = [line for line in outcome.lines if line["queue"] == "dlq.mimas"]
    assert [line["message"]["ispyb_dcid"] for line in letters] == [bad[0]] * 4 + [bad[1]] * 4
    good = [dcid for dcid in dcids if dcid not in bad]
    others = [line for line in planned(outcome) if line["queue"] != "dlq.mimas"]
    assert others == planned(run("mimas-plan", "--event", "all", *good))


def test_a_file_system_that_hangs_is_for_its_own_collections(
    home: Path, dcids: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "PATIENCE", 0.2)
    assert len(tmp_path.parts) == 5  # the fifth name below is the visit
    directory = tmp_path / "cm1-1"
    (directory / "processing").mkdir(parents=True)
    os.mkfifo(directory / "processing" / "sample_groups.yml")  # it waits for a writer, for ever
    change = "UPDATE DataCollection SET imageDirectory = ? WHERE dataCollectionId = ?"
    for dcid in dcids[:2]:
        select(home, change, f"{directory}/x/", dcid)
    outcome = run("mimas-plan", "--explain", *ALL)
    assert outcome.code == 1
    for dcid, reason in zip(dcids, ("does not answer within", "still does not"), strict=False):
        assert f"DCID {dcid}: {directory} {reason}" in outcome.err
    assert list(dict.fromkeys(line["dcid"] for line in outcome.lines)) == dcids[2:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--until", "1d"], "--until and --beamline go with --since"),
        (["--beamline", "i03", "993677"], "--until and --beamline go with --since"),
        ([*ALL, "993677"], "--since goes without DCIDs"),
        ([*ALL, "--replay", "-"], "--since goes without DCIDs and without --replay"),
        (["--since", "1d", "--until", "1d"], "is not before --until"),
        (["--since", "1d", "--until", "9999999999d"], "is not before --until 1970-01-01"),
        (["--since", "yesterday"], "--since takes a time such as"),
        (["--since", ""], "--since takes a time such as"),
        ([*ALL, "--until", "25:00"], "--until takes a time such as"),
        ([*ALL, "--listen"], "--once and --listen take messages from a queue"),
    ],
)
def test_wrong_use(home: Path, arguments: list[str], said: str) -> None:
    outcome = run("mimas-plan", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


@pytest.mark.parametrize(
    ("database", "code"), [("sqlite:////no/such", 78), ("mysql://x@localhost:1/ispyb", 75)]
)
def test_a_database_that_is_not_there(home: Path, database: str, code: int) -> None:
    outcome = run("mimas-plan", *ALL, "--ispyb", database)
    assert (outcome.code, outcome.out) == (code, "")
    assert len(outcome.err.splitlines()) == 1


def test_statistics_beside_a_period(home: Path) -> None:
    outcome = run("mimas-plan", *ALL, "--statistics", "-", stdin=b"\n")
    assert outcome.code == 0
    assert planned(outcome) == planned(run("mimas-plan", *ALL))


def test_nobody_reads_on(home: Path) -> None:
    outcome = shell("mimas-plan --since 2026-01-01 | head -1", DLSTBX_HOME=str(home))
    assert (len(outcome.lines), outcome.err) == (1, "")


def test_a_bar_at_a_terminal_and_what_is_said_above_it(home: Path) -> None:
    (home / "ispyb.sqlite3").unlink()
    period.make(f"sqlite:///{home}/ispyb.sqlite3", 600).dispose()
    bad = FIRST_DCID + 99
    select(home, "UPDATE DataCollection SET imageDirectory = 'x' WHERE dataCollectionId = ?", bad)
    terminal, theirs = pty.openpty()
    process = start("mimas-plan", *ALL, "--explain", stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    said = written(terminal)
    assert process.returncode == 1
    assert b"planning" in said
    assert b"600/600" in said
    assert f"DCID {bad}: the image directory" in said.decode().replace("\r\n", " ")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len({line["dcid"] for line in lines}) == 599


def test_no_bar_on_a_pipe(home: Path) -> None:
    (home / "ispyb.sqlite3").unlink()
    period.make(f"sqlite:///{home}/ispyb.sqlite3", 600).dispose()
    assert run("mimas-plan", *ALL).err == ""
