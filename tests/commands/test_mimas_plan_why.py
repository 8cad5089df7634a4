"""``mimas-plan``: why a plan is what it is, what overrides make of it, and its records."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from dlstbx_cli.commands.overriding import OverridesFile
from dlstbx_cli.commands.recording import Records, last
from dlstbx_cli.mimas.registry import load_handlers
from dlstbx_cli.mimas.rule import Family
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.explanation import Explanation, Plan
from dlstbx_cli.services.message import Message, Queue
from tests.conftest import run, shell, start
from tests.mimas.scenarios import scenario

FAST_DP = "autoprocessing-fast-dp-eiger"
DROP = """
[[override]]
beamline = "i03"
recipe = "autoprocessing-fast-dp-eiger"
action = "drop"
reason = "its licence has ended"
owner = "ab12"
until = 2999-01-01T00:00:00Z
"""
ADD = """
[[override]]
visit = "mx37124"
action = "add"
add = "detector-test"
reason = "a test"
owner = "cd34"
until = 2999-01-01T00:00:00Z
"""
BROKEN = DROP.replace("owner", "ouner")


def recipes(outcome: Any) -> list[str]:
    return [
        line["message"]["content"]["recipe"]
        if line["queue"] == "ispyb_connector"
        else line["message"]["recipes"][0]
        for line in outcome.lines
    ]


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "overrides.toml"
    path.write_text(DROP)
    return path


class TestExplain:
    def test_every_rule_and_every_task_is_a_line(self, home: Path) -> None:
        lines = run("mimas-plan", "--explain", 993677).lines
        rules = {line["rule"]: line for line in lines if line["explain"] == "rule"}
        families = [one.handler for one in load_handlers() if isinstance(one.handler, Family)]
        assert list(rules) == [rule.name for family in families for rule in family.rules]
        assert rules["i03-eiger-end"]["holds"]
        assert rules["pilatus-start"]["decided"] == [
            {"condition": "is_pilatus", "holds": False, "saw": "detectorclass is EIGER"}
        ]
        tasks = [line for line in lines if line["explain"] == "task"]
        assert [task["recipe"] for task in tasks] == recipes(run("mimas-plan", 993677))
        (fast_dp,) = [task for task in tasks if task["recipe"] == FAST_DP]
        assert (fast_dp["kind"], fast_dp["rule"]) == ("start", "rotation-end")
        assert fast_dp["parameters"] == [
            {"key": "spacegroup", "value": "P212121", "origin": "SPACE_GROUP"}
        ]

    def test_a_tree_for_people(self, home: Path) -> None:
        tree = run("mimas-plan", "--explain", "--tree", 993677).out
        assert "yes rotation-end (is_rotation: dcclass is ROTATION" in tree
        assert "no  screening-end (is_screening: dcclass is ROTATION)" in tree
        assert "SPACE_GROUP: spacegroup" in tree
        assert "cloud: no offer" in tree
        shown = shell("script -qec 'mimas-plan --explain 993677' /dev/null </dev/null")
        assert "rules do not hold" in shown.out

    def test_a_scenario_that_a_rule_refuses_is_explained_all_the_same(self, home: Path) -> None:
        scenarios = [
            {"dcid": 5, "event": "end", "dc_class": "rotation", "beamline": "i03",
             "detectorclass": "eiger", "run_status": "DataCollection Successful",
             "sweep_list": [[5, 1, 100]], "space_group": "P1", "unit_cell": [0, 0, 0, 0, 0, 0]},
        ]  # fmt: skip
        outcome = run("mimas-plan", "--explain", stdin="\n".join(map(json.dumps, scenarios)))
        assert {line["explain"] for line in outcome.lines} == {"rule", "task", "cloud"}


class TestOverrides:
    def test_a_task_is_dropped_and_that_is_said(self, file: Path) -> None:
        before = run("mimas-plan", 993677)
        after = run("mimas-plan", "--overrides", file, 993677)
        assert recipes(after) == [one for one in recipes(before) if one != FAST_DP]
        assert f"{FAST_DP} is dropped by an override" in after.err
        assert "ab12: its licence has ended" in after.err
        tree = run("mimas-plan", "--overrides", file, "--tree", 993677).out
        assert f"drop  {FAST_DP} (override: drop until 2999-01-01 00:00 UTC (ab12: " in tree
        lines = run("mimas-plan", "--overrides", file, "--explain", 993677).lines
        (gone,) = [line for line in lines if line.get("dropped")]
        assert gone["recipe"] == FAST_DP
        assert "ab12" in gone["override"]

    def test_a_changed_task_says_so_in_its_line(self, file: Path) -> None:
        file.write_text(DROP.replace('"drop"', '"hold"') + ADD)
        lines = run("mimas-plan", "--overrides", file, 993677).lines
        changed = {line["rule"]: line for line in lines if "override" in line}
        assert list(changed) == ["rotation-end", "override"]
        assert changed["rotation-end"]["message"]["content"]["autostart"] is False
        assert changed["override"]["message"]["recipes"] == ["detector-test"]
        assert all("until 2999-01-01" in line["override"] for line in changed.values())

    def test_by_environment_and_by_configuration(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DLSTBX_OVERRIDES", str(file))
        assert FAST_DP not in recipes(run("mimas-plan", 993677))
        monkeypatch.delenv("DLSTBX_OVERRIDES")
        site = file.with_name("zocalo.yml")
        site.write_text(
            "version: 1\nenvironments:\n  live: [storage]\n  default: live\n"
            f"storage:\n  plugin: storage\n  dlstbx.overrides: {file}\n"
        )
        monkeypatch.setenv("ZOCALO_CONFIG", str(site))
        assert FAST_DP not in recipes(run("mimas-plan", 993677))

    def test_what_has_ended_changes_nothing(self, file: Path) -> None:
        with freeze_time("2999-01-01"):
            outcome = run("mimas-plan", "--overrides", file, 993677)
        assert FAST_DP in recipes(outcome)
        assert "override" not in outcome.err

    @pytest.mark.parametrize("ways", [[993677], ["--once"], ["--listen"]])
    def test_a_broken_file_at_the_start_is_an_error(self, file: Path, ways: list[Any]) -> None:
        file.write_text(BROKEN)
        outcome = run("mimas-plan", "--overrides", file, *ways)
        assert (outcome.code, outcome.out) == (78, "")
        assert "override 1: there is no 'ouner'" in outcome.err

    def test_the_option_must_name_a_file_the_configuration_need_not(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run("mimas-plan", "--overrides", home / "none.toml", 993677).code == 78
        monkeypatch.setenv("DLSTBX_OVERRIDES", str(home / "none.toml"))
        assert run("mimas-plan", 993677).code == 0

    def test_a_service_reads_the_file_again(self, file: Path, processes: list[Any]) -> None:
        service = start("mimas-plan", "--listen", "--overrides", str(file))
        processes.append(service)
        request = {"dcid": 5, "event": "end", "dc_class": "rotation", "beamline": "i03",
                   "detectorclass": "eiger", "visit": "mx37124-8", "sweep_list": []}  # fmt: skip

        def planned() -> list[str]:
            run("queue-put", stdin=json.dumps({"queue": "mimas", "message": request}))
            end = time.monotonic() + 20
            while time.monotonic() < end:
                time.sleep(0.1)
                jobs = run("queue-get", "ispyb_connector")
                if found := [line["message"]["content"]["recipe"] for line in jobs.lines]:
                    return found
            raise AssertionError("no plan comes")

        assert FAST_DP not in planned()
        file.write_text(BROKEN)
        time.sleep(1.1)
        assert FAST_DP not in planned()
        file.unlink()
        time.sleep(1.1)
        assert FAST_DP in planned()
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0
        said = service.stderr.read().decode()
        assert said.count("those before remain in force") == 1
        assert "read again, 0 entries" in said


def test_a_file_is_looked_at_once_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "o.toml"
    now = [0.0]
    overrides = OverridesFile(path, lambda: now[0])
    assert list(overrides()) == []
    path.write_text(DROP)
    now[0] = 0.9
    assert list(overrides()) == []
    now[0] = 1.1
    (one,) = overrides()
    path.write_text(BROKEN)
    now[0] = 2.2
    with caplog.at_level(logging.WARNING, "dlstbx_cli"):
        assert list(overrides()) == [one]
        now[0] = 3.3
        assert list(overrides()) == [one]
    assert caplog.text.count("remain in force") == 1
    path.write_text(DROP + ADD)
    now[0] = 4.4
    assert len(overrides()) == 2
    path.write_text("a = " + "[" * 100_000)
    now[0] = 5.5
    assert len(overrides()) == 2
    path.write_text("\x00")
    with pytest.raises(Misconfigured, match=r"o\.toml"):
        OverridesFile(path)


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "o.toml"
    now = [0.0]
    overrides = OverridesFile(path, lambda: now[0])
    path.write_text(DROP)
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with caplog.at_level(logging.WARNING, "dlstbx_cli"):
        with path.open() as file:  # its number is the lowest that is free
            lowest = file.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            for now[0] in (1.1, 2.2):
                assert list(overrides()) == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caplog.text.count("Too many open files") == 1
        now[0] = 3.3
        assert len(overrides()) == 1


class TestRecords:
    def test_what_is_recorded_is_replayed(self, home: Path) -> None:
        records = home / "records"
        before = run("mimas-plan", "--record", records, "--event", "all", 993677, 993680)
        (path,) = records.iterdir()
        assert path.name == f"mimas-{datetime.now(UTC).date()}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["dcid"] for line in lines] == [993677] * 4 + [993680] * 4
        assert lines[1]["event"] == "END"
        assert {"time", "command", "guid", "scenario", "reasons", "tasks"} <= lines[1].keys()
        after = run("mimas-plan", "--replay", path)
        assert after.code == 0
        assert [line["message"] for line in after.lines] == [
            line["message"] for line in before.lines
        ]
        explained = run("mimas-plan", "--explain", "--replay", path).lines
        assert len([line for line in explained if line["explain"] == "task"]) == len(before.lines)

    @pytest.mark.parametrize("view", ["--explain", "--tree"])
    def test_what_is_only_looked_at_is_recorded_too(self, home: Path, view: str) -> None:
        records = home / "records"
        run("mimas-plan", "--record", records, view, 993677)
        run("mimas-plan", "--record", records, 993677)
        (path,) = records.iterdir()
        looked, sent = (json.loads(line) for line in path.read_text().splitlines())
        assert {**looked, "time": 0} == {**sent, "time": 0}

    def test_replay_heeds_the_rules_of_today(self, file: Path) -> None:
        records = file.parent / "records"
        run("mimas-plan", "--record", records, 993677)
        (path,) = records.iterdir()
        again = run("mimas-plan", "--replay", "-", "--overrides", file, stdin=path.read_text())
        assert FAST_DP not in recipes(again)
        (said,) = again.err.splitlines()
        assert said.startswith("mimas-plan: 1 task overridden: drop until ")

    def test_what_is_recorded_meanwhile_is_not_replayed(self, home: Path) -> None:
        records = home / "records"
        run("mimas-plan", "--record", records, 993677)
        (path,) = records.iterdir()
        outcome = run("mimas-plan", "--record", records, "--replay", path)
        assert (outcome.code, len(path.read_text().splitlines())) == (0, 2)

    def test_a_pipe_records_the_recipe_id(self, home: Path) -> None:
        records = home / "records"
        trigger = "dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch"
        assert shell(f"{trigger} | mimas-plan --record {records}").code == 0
        (path,) = records.iterdir()
        (record,) = map(json.loads, path.read_text().splitlines())
        assert len(record["guid"]) == 36

    def test_the_environment_counts_for_a_service_alone(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, processes: list[Any]
    ) -> None:
        records = home / "records"
        monkeypatch.setenv("DLSTBX_RECORDS", str(records))
        run("mimas-plan", 993677)
        assert not records.exists()
        request = {"dcid": 5, "event": "end", "beamline": "i03"}
        run("queue-put", stdin=json.dumps({"queue": "mimas", "message": request}))
        service = start("mimas-plan", "--listen")
        processes.append(service)
        end = time.monotonic() + 20
        while not records.exists() or not list(records.glob("mimas-*.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.1)

    @pytest.mark.parametrize("text", ["no JSON", "{}", "[]", '{"scenario": 1}', "[" * 100_000])
    def test_what_is_no_record(self, home: Path, text: str) -> None:
        outcome = run("mimas-plan", "--replay", "-", stdin=f"\n{text}\n")
        assert outcome.code == 2
        assert "line 2 is no record" in outcome.err

    def test_with_dcids_it_makes_no_sense(self, home: Path) -> None:
        assert run("mimas-plan", "--replay", "-", 993677).code == 2


DAY = 86400.0
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
EXPLAINED = Explanation(Plan(scenario("i03"), ()), (), ())
MESSAGE = Message(Queue("mimas"), {})


def write(records: Records, filler: str = "") -> None:
    records(MESSAGE, {"dcid": 5, "filler": filler}, EXPLAINED)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_a_day_and_old_ones_go(tmp_path: Path) -> None:
    now = [NOON]
    records = Records(tmp_path, days=2, clock=lambda: now[0])
    (tmp_path / "other.jsonl").touch()
    for day in range(5):
        now[0] = NOON + day * DAY
        write(records)
        write(records)
    assert names(tmp_path) == [
        "mimas-2026-11-27.jsonl",
        "mimas-2026-11-28.jsonl",
        "mimas-2026-11-29.jsonl",
        "other.jsonl",
    ]
    assert len((tmp_path / "mimas-2026-11-29.jsonl").read_text().splitlines()) == 2


def test_they_are_never_more_than_was_said(tmp_path: Path) -> None:
    records = Records(tmp_path, megabytes=1, clock=lambda: NOON)
    for _ in range(100):
        write(records, "x" * 50_000)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000_000
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 600_000


def test_the_oldest_go_first_also_within_a_day(tmp_path: Path) -> None:
    records = Records(tmp_path, megabytes=1, clock=lambda: NOON)
    for number in range(100):
        records(MESSAGE, {"number": number, "filler": "x" * 50_000}, EXPLAINED)
        found = [one["scenario"]["number"] for one in last(tmp_path, 100)]
        assert found == list(range(number + 1))[-len(found) :]


def test_two_who_write_to_one_directory(tmp_path: Path) -> None:
    two = [Records(tmp_path, megabytes=1, clock=lambda: NOON) for _ in range(2)]
    for number in range(600):
        write(two[number % 2], "x" * 5_000)
        # A line each: both are at the end of a file at the same time.
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_012_000
    assert all(json.loads(line) for path in tmp_path.iterdir() for line in path.open())


def test_what_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "records"
    place.write_text("no directory")
    records = Records(place, clock=lambda: NOON)
    with caplog.at_level(logging.WARNING, "dlstbx_cli"):
        write(records)
        write(records)
        assert caplog.text.count("not recorded") == 1
        place.unlink()
        write(records)
    assert names(place) == ["mimas-2026-11-25.jsonl"]


FULL = """
import resource, sys
from pathlib import Path
from tests.commands.test_mimas_plan_why import Records, write
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
records = Records(Path(sys.argv[1]))
for _ in range(3):
    write(records, "x" * 900)
"""


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL, tmp_path], check=True, env={**os.environ})
    (path,) = tmp_path.iterdir()
    assert [json.loads(line)["dcid"] for line in path.read_text().splitlines()] == [5]
