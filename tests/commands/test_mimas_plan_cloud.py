"""mimas-plan's cloud offers, from statistics on a pipe, in a file and on a broker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Outcome, run, shell

SCENARIO = {
    "dcid": 5,
    "event": "end",
    "dc_class": "rotation",
    "beamline": "i03",
    "visit": "cm1-1",
    "detectorclass": "eiger",
}
REQUEST = {"queue": "mimas", "message": SCENARIO}
ENTRY = {"beamlines": ["i03"], "visit_pattern": ["cm", "mx"]}
AWAY = [
    "autoprocessing-xia2-dials-eiger-cloud",
    "autoprocessing-xia2-3dii-eiger-cloud",
    "autoprocessing-autoPROC-eiger-cloud",
]


def statistics(
    slurm: int = 61, iris: int = 0, s3echo: float = 1, age: float = 0, without: str = ""
) -> list[Any]:
    """Return lines as cluster-stats prints them."""
    numbers = [("slurm", {"PENDING": slurm}), ("iris", {"PENDING": iris})]
    return [
        {
            "topic": "transient.statistics.cluster",
            "message": {
                "statistic-group": "cluster",
                "statistic": "used-storage" if cluster == "s3echo" else "job-states",
                "statistic-cluster": cluster,
                "statistic-timestamp": time.time() - age,
                **number,
            },
        }
        for cluster, number in [*numbers, ("s3echo", {"total": s3echo})]
        if cluster != without
    ]


def text(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def site(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site's configuration with cloud bursting; its storage can be written anew."""
    path = tmp_path / "zocalo.yml"
    monkeypatch.setenv("ZOCALO_CONFIG", str(path))
    configure(path, {"cloudbursting": True, "zocalo.mimas.cloud": [ENTRY]})
    return path


def configure(path: Path, storage: dict[str, Any]) -> None:
    plugin = {"plugin": "storage", **storage}
    path.write_text(
        yaml.safe_dump({"version": 1, "environments": {"default": ["here"]}, "here": plugin})
    )


def jobs(lines: list[Any]) -> list[dict[str, Any]]:
    return [line["message"]["content"] for line in lines if line.get("queue") == "ispyb_connector"]


def away(outcome: Outcome) -> list[str]:
    """Return the recipes that go to the cloud, and check what they carry."""
    found = []
    for job in jobs(outcome.lines):
        to_iris = {"key": "statistic-cluster", "value": "iris"} in job["triggervariables"]
        assert job["recipe"].endswith("-eiger-cloud") == to_iris
        if to_iris:
            found.append(job["recipe"])
    return found


def test_lines_of_statistics_before_a_request_make_offers(site: Path) -> None:
    seen = statistics()
    outcome = run("mimas-plan", stdin=text(REQUEST, *seen, SCENARIO, REQUEST))
    assert outcome.code == 0
    # A topic is for everyone: its lines stay, in their place.
    topics = [place for place, line in enumerate(outcome.lines) if "topic" in line]
    assert [outcome.lines[place] for place in topics] == seen
    before, after = outcome.lines[: topics[0]], outcome.lines[topics[-1] + 1 :]
    assert away(Outcome(0, text(*before), "")) == []
    assert away(Outcome(0, text(*after), "")) == AWAY * 2
    fast_dp = jobs(after)[0]
    assert (fast_dp["recipe"], fast_dp["triggervariables"]) == ("autoprocessing-fast-dp-eiger", [])


@pytest.mark.parametrize(
    ("seen", "request_", "expected"),
    [
        ({"slurm": 60}, REQUEST, []),
        ({"age": 1000}, REQUEST, []),
        ({"s3echo": 96}, REQUEST, []),
        ({"without": "slurm"}, REQUEST, AWAY),
        ({}, {**SCENARIO, "visit": "nt1-1"}, []),
        ({}, {**SCENARIO, "detectorclass": "pilatus"}, []),
        ({}, {**SCENARIO, "preferred_processing": "autoPROC"}, AWAY[:2]),
        ({}, {**SCENARIO, "cloudbursting": []}, []),
        (
            {"age": 1000},
            {**SCENARIO, "cloudbursting": [{**ENTRY, "recipes": ["3dii"]}]},
            AWAY[1:2],
        ),
    ],
)
def test_who_goes(site: Path, seen: Any, request_: Any, expected: list[str]) -> None:
    # Made here and not with the table: at the end of a long run that would be too old.
    assert away(run("mimas-plan", stdin=text(*statistics(**seen), request_))) == expected


def test_without_a_configuration_nothing_is_offered(site: Path) -> None:
    # Nor read: a broken line of the topic is for somebody else.
    broken = {"topic": "transient.statistics.cluster", "message": "broken"}
    lines = text(*statistics(), broken, REQUEST)
    for storage in ({}, {"cloudbursting": False, "zocalo.mimas.cloud": "broken too"}):
        configure(site, storage)
        outcome = run("mimas-plan", stdin=lines)
        assert (outcome.code, away(outcome)) == (0, [])
    configure(site, {"cloudbursting": True, "zocalo.mimas.cloud": [ENTRY]})
    outcome = run("mimas-plan", stdin=lines)
    assert (outcome.code, away(outcome)) == (1, AWAY)
    assert "line 4" in outcome.err


def test_a_configuration_that_makes_no_sense(site: Path) -> None:
    configure(site, {"cloudbursting": True, "zocalo.mimas.cloud": [{**ENTRY, "beamlines": "i03"}]})
    outcome = run("mimas-plan", stdin=text(REQUEST))
    assert (outcome.code, outcome.lines) == (78, [REQUEST])
    assert "zocalo.mimas.cloud, entry 1: beamlines" in outcome.err


def test_dcids_have_the_statistics_of_a_file(site: Path, tmp_path: Path) -> None:
    assert away(run("mimas-plan", 993677)) == []
    lines = text(*statistics(), {"queue": "nobody", "message": 1}) + "\n"
    piped = run("mimas-plan", "--statistics", "-", 993677, stdin=lines)
    (tmp_path / "statistics").write_text(lines)
    outcome = run("mimas-plan", "--statistics", tmp_path / "statistics", 993677)
    assert len(away(outcome)) > 3
    assert (outcome.code, outcome.out) == (0, piped.out)
    commands = run("mimas-plan", "--statistics", tmp_path / "statistics", "--commands", 993677)
    assert commands.out.count("--trigger-variable=statistic-cluster:iris") == len(away(outcome))


def test_a_filter_may_begin_with_the_statistics_of_a_file(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "statistics"
    path.write_text(text(*statistics()))
    request = text(REQUEST)
    assert away(run("mimas-plan", "--statistics", path, stdin=request)) == AWAY
    # What comes later on the pipe counts more.
    later = text(*statistics(slurm=0))
    assert away(run("mimas-plan", "--statistics", path, stdin=later + request)) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\nno JSON\n", "line 2"),
        (text({"topic": "transient.statistics.cluster", "message": 1}), "must be an object"),
        (text({**statistics()[0], "queue": "also"}), "line 1"),
    ],
)
def test_a_file_of_statistics_that_is_none(
    site: Path, tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "statistics"
    path.write_text(content)
    outcome = run("mimas-plan", "--statistics", path, 993677)
    assert (outcome.code, outcome.out) == (2, "")
    assert reason in outcome.err
    assert str(path) in outcome.err


def test_wrong_use(site: Path, tmp_path: Path) -> None:
    for arguments in (
        ["--statistics", tmp_path / "nowhere", 993677],
        ["--statistics", tmp_path, 993677],
        ["--statistics", "-"],
        ["--json", 993677],
        ["--explain", "--json", "--tree", 993677],
        ["--explain", "--commands", 993677],
        ["--tree", "--commands", 993677],
        ["--explain", "--json", "--once"],
        ["--explain", "--tree", "--listen"],
    ):
        assert run("mimas-plan", *arguments).code == 2, arguments


def conditions(outcome: Any) -> list[Any]:
    """The conditions of the cloud offers among the lines of an explanation."""
    return [line for line in outcome.lines if line["explain"] == "cloud"]


def test_explain_says_each_condition_on_a_pipe(site: Path) -> None:
    outcome = run("mimas-plan", "--explain", stdin=text(*statistics(slurm=60), REQUEST))
    assert outcome.code == 0
    assert {(line["explain"], line["dcid"], line["event"]) for line in outcome.lines} == {
        (what, 5, "END") for what in ("rule", "task", "cloud")
    }
    failing = [line for line in conditions(outcome) if not line["holds"]]
    assert [(line["condition"], line["value"], line["threshold"]) for line in failing] == [
        ("jobs waiting on slurm", 60, 60)
    ]
    assert outcome.err == ""
    same = run("mimas-plan", "--explain", "--json", stdin=text(*statistics(slurm=60), REQUEST))
    assert [(line["explain"], line.get("condition")) for line in same.lines] == [
        (line["explain"], line.get("condition")) for line in outcome.lines
    ]


def test_explain_for_a_dcid_without_any_configuration(home: Path) -> None:
    (line,) = conditions(run("mimas-plan", "--explain", 993677))
    assert (line["condition"], line["value"], line["holds"]) == ("cloudbursting", False, False)


def test_explain_says_it_to_a_person_as_a_tree(site: Path) -> None:
    tree = run("mimas-plan", "--explain", "--tree", stdin=text(*statistics(), REQUEST)).out
    assert "cloud: offers of entry 1" in tree
    assert "yes jobs waiting on slurm: 61 (wanted: more than 60)" in tree
    tree = run("mimas-plan", "--explain", "--tree", stdin=text(REQUEST)).out
    assert "cloud: no offer" in tree
    assert "no  seconds since the last statistic of iris: not known (wanted: at most 300)" in tree
    shown = shell("script -qec 'mimas-plan --explain 993680' /dev/null </dev/null")
    assert "storage used on s3echo" in shown.out
    assert "{" not in shown.out


def test_on_a_broker_statistics_make_offers_and_the_log_says_so(site: Path) -> None:
    run("queue-put", stdin=text(*statistics(), REQUEST))
    outcome = run("mimas-plan", "--once", "--explain", "--log-format", "json")
    records = [json.loads(line) for line in outcome.err.splitlines()]
    verdicts = [record["offered"] for record in records if record.get("action") == "cloud"]
    assert verdicts == [[], [1]]
    assert "offers by entry 1" in records[-1]["message"]
    assert away(run("queue-get", "ispyb_connector")) == AWAY
    # Without --explain it is logged with -v, as all that is done.
    run("queue-put", stdin=text(REQUEST))
    assert "offers" not in run("mimas-plan", "--once").err
    run("queue-put", stdin=text(REQUEST))
    assert "offers by entry 1" in run("mimas-plan", "--once", "-v").err


def test_a_listener_hears_the_statistics_that_come(site: Path) -> None:
    run("queue-put", stdin=text(REQUEST))
    script = "timeout -s TERM 20 mimas-plan --listen --explain 2>&1 & process=$!\n" + (
        "until queue-ls | grep -q ispyb_connector; do sleep 0.1; done\n"
        f"printf '%s' '{text(*statistics())}' | queue-put\n"
        f"printf '%s' '{text(REQUEST)}' | queue-put\n"
        "until queue-get --peek ispyb_connector | grep -q eiger-cloud; do sleep 0.1; done\n"
        "kill $process; wait $process"
    )
    outcome = shell(script)
    assert outcome.code == 0
    said = [line for line in outcome.out.splitlines() if "cloud: " in line]
    assert len(said) == 2, outcome.out
    assert "no offers" in said[0]
    assert "offers by entry 1" in said[1]
