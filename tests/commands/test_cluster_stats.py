"""``cluster-stats``: from a Slurm, real or told what to say, to the line and the broadcast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.tokens import jwt
from tests.conftest import run, shell, start
from tests.servers.slurm import CPUS, Slurm
from tests.servers.slurmrestd import Answer, Slurmrestd, jobs

TOKEN = jwt(sun="gda2")
TOPIC = "transient.statistics.cluster"
#: A squeue that prints the states of two jobs.
SQUEUE = "sh -c 'echo PENDING; echo RUNNING'"


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a home of its own; no Slurm of the user's counts."""
    for name in [name for name in os.environ if name.startswith(("SLURM", "SQUEUE"))]:
        monkeypatch.delenv(name)


def configured(home: Path, monkeypatch: pytest.MonkeyPatch, **plugins: str) -> None:
    """Write a Zocalo configuration with these plugins: each the inside of a YAML mapping."""
    lines = [f"{name}: {{{text}}}" for name, text in plugins.items()]
    text = f"version: 1\nenvironments: {{default: [{', '.join(plugins)}]}}\n" + "\n".join(lines)
    (home / "zocalo.yml").write_text(text)
    monkeypatch.setenv("ZOCALO_CONFIG", str(home / "zocalo.yml"))


def plugin(url: str, kind: str = "slurm") -> str:
    return f"plugin: {kind}, url: '{url}', api_version: v0.0.40, user_token: {TOKEN}"


def broadcasts(home: Path) -> list[dict[str, Any]]:
    """Return the last broadcasts that the embedded broker has, by cluster."""
    import sqlite3
    from contextlib import closing, suppress

    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(home / "queue.sqlite3")) as db:
        rows = db.execute("SELECT body FROM broadcasts WHERE is_last AND topic=?", (TOPIC,))
        found = [json.loads(body) for (body,) in rows]
        return sorted(found, key=lambda body: str(body["statistic-cluster"]))
    return []


def within(seconds: float, condition: Any) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- once ----------------------------------------------------------------------------


def test_it_prints_a_line() -> None:
    before = time.time()
    outcome = run("cluster-stats", "--squeue", SQUEUE)
    assert (outcome.code, outcome.err) == (0, "")
    (line,) = outcome.lines
    assert line["topic"] == TOPIC
    assert line["headers"]["dlstbx-id"]
    message = line["message"]
    assert before <= message.pop("statistic-timestamp") <= time.time()
    assert message == {
        "statistic-group": "cluster",
        "statistic": "job-states",
        "statistic-cluster": "slurm",
        "PENDING": 1,
        "RUNNING": 1,
    }


def test_the_cluster_has_a_name() -> None:
    (line,) = run("cluster-stats", "--squeue", SQUEUE, "--cluster", "iris").lines
    assert line["message"]["statistic-cluster"] == "iris"


def test_the_account(slurmrestd: Slurmrestd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JWT", TOKEN)
    slurmrestd.answers["/slurm/v0.0.40/jobs"] = jobs(["RUNNING"], account="i03")
    for account, running in (("i03", 1), ("gda2", 0)):
        outcome = run("cluster-stats", "--slurm-url", slurmrestd.url, "--account", account)
        assert outcome.lines[0]["message"]["RUNNING"] == running


def test_slurmrestd_by_options(slurmrestd: Slurmrestd, home: Path) -> None:
    (home / "token").write_text(TOKEN)
    slurmrestd.answers["/slurm/v0.0.38/jobs"] = jobs("PENDING")
    options = ["--slurm-url", slurmrestd.url, "--slurm-token-file", home / "token"]
    outcome = run("cluster-stats", *options, "--slurm-user", "me", "--slurm-api", "v0.0.38")
    assert outcome.lines[0]["message"]["PENDING"] == 1
    ((path, headers),) = slurmrestd.asked
    assert path == "/slurm/v0.0.38/jobs"
    assert headers["X-SLURM-USER-NAME"] == "me"


def test_several_clusters_by_name(
    slurmrestd: Slurmrestd, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = slurmrestd.url
    configured(home, monkeypatch, slurm=plugin(url), b=plugin(url, "iris"), c=plugin(url))

    def asked(*options: str) -> set[str]:
        outcome = run("cluster-stats", *options)
        assert outcome.code == 0, outcome.err
        return {line["message"]["statistic-cluster"] for line in outcome.lines}

    assert asked() == {"slurm", "iris", "c"}
    assert asked("--cluster", "iris") == {"iris"}
    assert asked("--cluster", "iris", "--cluster", "c") == {"iris", "c"}
    outcome = run("cluster-stats", "--cluster", "other")
    assert outcome.code == 78
    assert "ZOCALO_CONFIG has no such cluster, only slurm, iris, c" in outcome.err


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1", 75), ("{url}/else", 78)])
def test_one_cluster_failing_does_not_stop_the_others(
    slurmrestd: Slurmrestd, home: Path, monkeypatch: pytest.MonkeyPatch, url: str, code: int
) -> None:
    wrong = url.format(url=slurmrestd.url)
    configured(home, monkeypatch, slurm=plugin(wrong), iris=plugin(slurmrestd.url, "iris"))
    outcome = run("cluster-stats")
    assert outcome.code == code
    assert [line["message"]["statistic-cluster"] for line in outcome.lines] == ["iris"]
    assert outcome.err.startswith("cluster-stats: cluster slurm: http://127.0.0.1:")
    assert outcome.err.count("\n") == 1


def test_a_server_that_hangs_is_not_waited_for(
    slurmrestd: Slurmrestd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JWT", TOKEN)
    slurmrestd.answers["/openapi/v3"] = Answer(hangs=True)
    begin = time.monotonic()
    outcome = run("cluster-stats", "--slurm-url", slurmrestd.url, "--timeout", "0.5")
    assert time.monotonic() - begin < 4
    assert (outcome.code, outcome.out) == (75, "")
    assert "does not answer within 0.5 s" in outcome.err


def test_it_is_sent(home: Path) -> None:
    outcome = run("cluster-stats", "--squeue", SQUEUE, "--send")
    assert (outcome.code, outcome.out) == (0, "")
    (body,) = broadcasts(home)
    assert (body["statistic-cluster"], body["PENDING"]) == ("slurm", 1)


def test_it_is_what_the_backlog_waits_for() -> None:
    held = json.dumps({"queue": "mimas.held", "message": {"parameters": {"ispyb_process": 1}}})
    script = f"(cluster-stats --squeue {json.dumps(SQUEUE)}; echo '{held}') | backlog-release"
    outcome = shell(script)
    assert [line.get("queue") for line in outcome.lines] == [None, "processing_recipe"]


def test_it_can_be_stopped(home: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    process = start("cluster-stats", "--squeue", f"sh -c 'echo $$ > {home}/pid; exec sleep 60'")
    processes.append(process)
    within(10, lambda: (home / "pid").exists() and (home / "pid").read_text())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 75
    assert b"stopped before it answered" in err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 78, "no cluster is configured"),
        (["--send", "--listen"], 2, "--listen sends anyway"),
        (["--squeue", "--slurm-url", "http://x"], 2, "exclude each other"),
        (["--squeue", "--slurm-user", "me"], 2, "goes without"),
        (["--squeue", "'"], 2, "No closing quotation"),
        (["--squeue", "--cluster", "a", "--cluster", "b"], 2, "one --cluster"),
        (["--squeue", "--cluster", ""], 2, "--cluster takes a name"),
        (["--squeue", "--account", "a;b"], 2, "--account takes the name"),
        (["--squeue", "--timeout", "0"], 2, "--timeout"),
        (["--squeue", "--listen", "--interval", "0.5"], 2, "--interval"),
        (["--squeue", "/no/such"], 78, "cannot be run"),
        (["--slurm-url", "http://x", "--slurm-api", "40"], 2, "such as v0.0.40"),
        (["--slurm-url", "http://x"], 78, "no token"),
        (["--slurm-url", "x", "--slurm-token-file", "/no"], 78, "no URL of slurmrestd"),
        (["--slurm-url", "http://x", "--slurm-token-file", "/no"], 78, "/no (from --slurm-token-"),
    ],
)
def test_what_cannot_be(options: list[str], code: int, said: str) -> None:
    outcome = run("cluster-stats", *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [["--slurm-token", "s3cret"], ["--slurm-token=s3cret"], ["--slurm-url", "http://me:s3cret@x"]],
)
def test_a_token_on_the_command_line_is_refused(options: list[str]) -> None:
    outcome = run("cluster-stats", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert "s3cret" not in outcome.err
    assert "visible to all; use --slurm-token-file, SLURM_JWT or ZOCALO_CONFIG" in outcome.err


@pytest.mark.parametrize("more", [[], ["-vv"], ["-vv", "--log-format", "json"]])
def test_no_token_is_shown(
    slurmrestd: Slurmrestd, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.setenv("SLURM_JWT", TOKEN)
    slurmrestd.answers["/slurm/v0.0.40/jobs"] = Answer(f"no {TOKEN}".encode(), 401)
    for url in (slurmrestd.url, "http://127.0.0.1:1"):
        outcome = run("cluster-stats", "--slurm-url", url, *more)
        assert outcome.code == 75
        assert TOKEN not in outcome.out + outcome.err


# --- for ever ------------------------------------------------------------------------


@pytest.fixture
def listening(processes: list[subprocess.Popen[bytes]]) -> Iterator[Any]:
    """A function that starts a listener with options."""

    def begin(*options: str) -> subprocess.Popen[bytes]:
        process = start("cluster-stats", "--listen", "--interval", "1", *options)
        processes.append(process)
        return process

    return begin


def ended(process: subprocess.Popen[bytes]) -> str:
    """End a listener; that takes no time. Return what it has said."""
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - begin < 4
    assert process.returncode == 0, err
    return err.decode()


def test_it_listens(home: Path, listening: Any) -> None:
    process = listening("--squeue", SQUEUE)
    within(10, lambda: broadcasts(home))
    first = broadcasts(home)[0]["statistic-timestamp"]
    within(10, lambda: broadcasts(home)[0]["statistic-timestamp"] > first)
    said = ended(process)
    assert said.count("\n") == 1  # that the broker is the embedded one


def test_listening_one_fails_and_comes_back(
    slurmrestd: Slurmrestd, home: Path, monkeypatch: pytest.MonkeyPatch, listening: Any
) -> None:
    good = slurmrestd.answers["/slurm/v0.0.40/jobs"]
    slurmrestd.answers["/slurm/v0.0.40/jobs"] = Answer(b"away", 503)
    slurmrestd.answers["/iris/slurm/v0.0.40/jobs"] = jobs(["PENDING"])
    url = slurmrestd.url
    configured(home, monkeypatch, slurm=plugin(url), iris=plugin(f"{url}/iris", "iris"))
    process = listening()
    within(10, lambda: broadcasts(home))
    assert [body["statistic-cluster"] for body in broadcasts(home)] == ["iris"]
    slurmrestd.answers["/slurm/v0.0.40/jobs"] = good
    within(10, lambda: len(broadcasts(home)) == 2)
    assert f"cluster slurm: {url}: HTTP 503: away; trying again in 1 s" in ended(process)


def test_listening_a_cluster_that_hangs(
    slurmrestd: Slurmrestd, monkeypatch: pytest.MonkeyPatch, listening: Any
) -> None:
    monkeypatch.setenv("SLURM_JWT", TOKEN)
    slurmrestd.answers["/openapi/v3"] = Answer(hangs=True)
    process = listening("--slurm-url", slurmrestd.url)
    within(10, lambda: slurmrestd.asked)
    ended(process)


def test_listening_a_squeue_that_hangs_goes_with_it(home: Path, listening: Any) -> None:
    process = listening("--squeue", f"sh -c 'echo $$ > {home}/pid; exec sleep 60'")
    within(10, lambda: (home / "pid").exists() and (home / "pid").read_text())
    ended(process)
    squeue = Path("/proc") / (home / "pid").read_text().strip() / "cmdline"
    within(5, lambda: not squeue.exists() or not squeue.read_bytes())


def test_listening_a_broker_that_is_away(home: Path, listening: Any) -> None:
    process = listening("--squeue", SQUEUE, "--broker", "stomp://127.0.0.1:1/")
    lines = [process.stderr.readline().decode() for _ in range(2)]
    assert all("the next statistic comes in 1 s" in line for line in lines)
    ended(process)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--squeue", "/no/such"], 78, "cannot be run"),
        (["--squeue", SQUEUE, "--broker", "other://x"], 78, "broker URL"),
    ],
)
def test_listening_what_cannot_be(options: list[str], code: int, said: str) -> None:
    outcome = run("cluster-stats", "--listen", *options)
    assert outcome.code == code
    assert said in outcome.err


# --- a real Slurm --------------------------------------------------------------------


def test_a_real_slurm_with_jobs_that_wait(
    slurm: Slurm, home: Path, monkeypatch: pytest.MonkeyPatch, listening: Any
) -> None:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    slurm.cancel_all()
    account = slurm.account()
    (home / "token").write_text(slurm.token())
    ways = [
        ["--squeue"],
        ["--squeue", "env"],
        ["--slurm-url", slurm.url, "--slurm-token-file", str(home / "token")],
    ]
    listener = listening(*ways[2], "--account", account)
    within(10, lambda: broadcasts(home))
    slurm.submit(CPUS + 5, account=account)
    slurm.wait(account, PENDING=5, RUNNING=CPUS)
    for way in ways:
        outcome = run("cluster-stats", *way, "--account", account)
        assert outcome.code == 0, outcome.err
        message = outcome.lines[0]["message"]
        assert (message["PENDING"], message["RUNNING"]) == (5, CPUS)
    within(10, lambda: broadcasts(home)[0]["PENDING"] == 5)
    slurm.cancel_all()
    within(10, lambda: broadcasts(home)[0].get("CANCELLED") == CPUS + 5)
    assert broadcasts(home)[0]["PENDING"] == 0
    ended(listener)
