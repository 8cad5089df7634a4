"""A real Slurm, by both ways: what waits and runs there is what is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.cluster.login import Login
from dlstbx_cli.cluster.rest import SlurmRest
from dlstbx_cli.cluster.squeue import Squeue
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from tests.servers.slurm import CPUS, Slurm

Ask = Callable[..., Any]


@pytest.fixture
def jobless(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The Slurm with no job running, before the test and after; it is ``squeue``'s, too."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    slurm.cancel_all()
    yield slurm
    slurm.cancel_all()


def by_rest(slurm: Slurm, account: str, version: str | None = None, **more: Any) -> SlurmRest:
    login = Login("SLURM_JWT", token=more.pop("token", None) or slurm.token())
    return SlurmRest(slurm.url, login, account, version, **more)


def by_squeue(slurm: Slurm, account: str, **more: Any) -> Squeue:
    return Squeue(account, **more)


WAYS = pytest.mark.parametrize("way", [by_rest, by_squeue])


@WAYS
def test_jobs_by_state(jobless: Slurm, way: Ask) -> None:
    account = jobless.account()
    source = way(jobless, account)
    assert source.states() == []
    jobless.submit(CPUS + 3, account=account)
    jobless.submit(1, account=jobless.account())
    jobless.submit(1, account=None)
    jobless.wait(account, PENDING=3, RUNNING=CPUS)
    assert Counter(source.states()) == {"PENDING": 3, "RUNNING": CPUS}
    jobless.cancel_all()
    assert Counter(source.states()) == {"CANCELLED": CPUS + 3}


@WAYS
def test_jobs_that_have_ended(jobless: Slurm, way: Ask) -> None:
    account = jobless.account()
    jobless.run("sbatch", f"--account={account}", "--output=/dev/null", "--wrap=true")
    jobless.run("sbatch", f"--account={account}", "--output=/dev/null", "--wrap=false")
    jobless.wait(account, COMPLETED=1, FAILED=1)
    assert sorted(way(jobless, account).states()) == ["COMPLETED", "FAILED"]


@WAYS
def test_an_array_that_waits_is_one_job(jobless: Slurm, way: Ask) -> None:
    account = jobless.account()
    jobless.submit(CPUS)
    array = ["--array=1-50", f"--account={account}", "--output=/dev/null", "--wrap=sleep 600"]
    jobless.run("sbatch", *array)
    assert way(jobless, account).states() == ["PENDING"]


@WAYS
def test_letter_case_makes_no_difference(jobless: Slurm, way: Ask) -> None:
    account = jobless.account()
    jobless.submit(1, account=account)
    assert len(way(jobless, account.upper()).states()) == 1


def test_the_user_and_the_version_may_be_given(jobless: Slurm) -> None:
    account = jobless.account()
    jobless.submit(1, account=account)
    assert len(by_rest(jobless, account, "v0.0.38").states()) == 1
    login = Login("SLURM_JWT", "nobody", token=jobless.token("nobody"))
    assert len(SlurmRest(jobless.url, login, account).states()) == 1
    with pytest.raises(Misconfigured, match=r"/slurm/v0.0.40/jobs does not exist"):
        by_rest(jobless, account, "v0.0.40").states()
    with pytest.raises(Misconfigured, match="does not exist"):
        SlurmRest(f"{jobless.url}/elsewhere", login, account).states()


def test_a_token_that_expires_and_is_renewed(jobless: Slurm, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(jobless.token(lifespan=1))
    source = SlurmRest(jobless.url, Login("a", file=path), "gda2")
    with pytest.raises(Unavailable, match=r"HTTP 500.*\(its token has just expired\)"):
        _ask_until_it_fails(source)
    path.write_text(f"SLURM_JWT={jobless.token()}\n")
    source.states()


def _ask_until_it_fails(source: SlurmRest) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        source.states()
        time.sleep(0.2)


@pytest.mark.parametrize("spoilt", [lambda token: token + "x", lambda _: "no.t.oken"])
def test_a_wrong_token(jobless: Slurm, spoilt: Callable[[str], str]) -> None:
    token = spoilt(jobless.token())
    with pytest.raises(Unavailable, match="a wrong token, or its controller is away") as caught:
        SlurmRest(jobless.url, Login("SLURM_JWT", "root", token=token), "gda2").states()
    assert token not in str(caught.value)


@WAYS
def test_a_controller_that_is_away_and_comes_back(jobless: Slurm, way: Ask) -> None:
    source = way(jobless, jobless.account())
    source.states()
    jobless.controller.kill()
    try:
        with pytest.raises(Unavailable, match="controller"):
            source.states()
    finally:
        jobless.controller.start()
    source.states()


@WAYS
def test_a_controller_that_hangs_is_not_waited_for(jobless: Slurm, way: Ask) -> None:
    source = way(jobless, "gda2", timeout=1)
    source.states()
    jobless.controller.pause()
    try:
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer within 1 s"):
            source.states()
        assert time.monotonic() - begin < 3
    finally:
        jobless.controller.resume()


def test_a_slurmrestd_that_is_away_and_comes_back(jobless: Slurm) -> None:
    source = by_rest(jobless, "gda2")
    jobless.rest.kill()
    try:
        with pytest.raises(Unavailable, match="cannot be reached: Connection refused"):
            source.states()
    finally:
        jobless.rest.start()
    source.states()


def test_squeue_by_another_command(jobless: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    account = jobless.account()
    jobless.submit(1, account=account)
    prefix = ["env", f"SLURM_CONF={jobless.environment['SLURM_CONF']}"]
    monkeypatch.setenv("SLURM_CONF", "/no/such")
    assert len(Squeue(account, prefix).states()) == 1
    with pytest.raises(Unavailable):
        Squeue(account, timeout=0.5).states()
