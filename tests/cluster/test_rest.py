"""Asking slurmrestd: what is sent, and what becomes of every way to answer."""

from __future__ import annotations

import gzip
import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.cluster.login import Login
from dlstbx_cli.cluster.rest import SlurmRest
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from tests.cluster.tokens import jwt
from tests.servers.certificates import Certificates
from tests.servers.slurmrestd import Answer, Slurmrestd, as_json, jobs, offer

TOKEN = jwt(sun="gda2", exp=4_000_000_000)
EXPIRED = jwt(sun="gda2", exp=1000)
JOBS = "/slurm/v0.0.40/jobs"
#: What Debian's slurmrestd says for a token that it does not like.
UNSPECIFIED = {
    "errors": [{"description": "Failed while looking for jobs", "error": "Unspecified error"}],
    "jobs": [],
}


def source(url: str, token: str = TOKEN, **more: Any) -> SlurmRest:
    return SlurmRest(url, Login("SLURM_JWT", token=token), "gda2", **{"timeout": 5, **more})


def test_the_newest_version_is_asked(slurmrestd: Slurmrestd) -> None:
    slurmrestd.answers[JOBS] = jobs(["PENDING"], ["RUNNING", "COMPLETING"])
    asked = source(slurmrestd.url + "/")
    assert asked.states() == ["PENDING", "RUNNING"]
    assert asked.states() == ["PENDING", "RUNNING"]
    # Which it is, is found out once.
    assert [path for path, _ in slurmrestd.asked] == ["/openapi/v3", JOBS, JOBS]
    for _, headers in slurmrestd.asked:
        assert headers["X-SLURM-USER-NAME"] == "gda2"
        assert headers["X-SLURM-USER-TOKEN"] == TOKEN


def test_a_version_that_is_given_is_asked(slurmrestd: Slurmrestd) -> None:
    slurmrestd.answers["/slurm/v0.0.38/jobs"] = jobs("PENDING", "RUNNING")
    assert source(slurmrestd.url, version="v0.0.38").states() == ["PENDING", "RUNNING"]
    assert [path for path, _ in slurmrestd.asked] == ["/slurm/v0.0.38/jobs"]


def test_a_slurm_that_has_been_upgraded(slurmrestd: Slurmrestd) -> None:
    asked = source(slurmrestd.url)
    assert asked.states() == []
    slurmrestd.answers = {"/openapi/v3": offer("v0.0.44"), "/slurm/v0.0.44/jobs": jobs(["RUNNING"])}
    with pytest.raises(Misconfigured):
        asked.states()
    assert asked.states() == ["RUNNING"]


def test_a_path_before_the_api(slurmrestd: Slurmrestd) -> None:
    slurmrestd.answers["/proxy/slurm/v0.0.40/jobs"] = jobs(["RUNNING"])
    assert source(f"{slurmrestd.url}/proxy/", version="v0.0.40").states() == ["RUNNING"]


def test_the_token_is_read_anew(slurmrestd: Slurmrestd, tmp_path: Path) -> None:
    asked = SlurmRest(slurmrestd.url, Login("a", file=tmp_path / "token"), "gda2", "v0.0.40")
    for user in ("first", "second"):
        (tmp_path / "token").write_text(jwt(sun=user))
        asked.states()
    assert [headers["X-SLURM-USER-NAME"] for _, headers in slurmrestd.asked] == ["first", "second"]


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (Answer(b"Authentication failure", 401), Unavailable, "HTTP 401: Authentication failure"),
        (Answer(b"", 403), Unavailable, "HTTP 403$"),
        (
            as_json(UNSPECIFIED, 500),
            Unavailable,
            r"HTTP 500: Failed while looking for jobs: Unspecified error \(a wrong token, or its "
            r"controller is away\)$",
        ),
        (as_json(UNSPECIFIED), Unavailable, "Failed while looking for jobs: Unspecified error"),
        (Answer(b"<html>\n<h1>Bad  Gateway</h1>", 502), Unavailable, "502: <html> <h1>Bad Gateway"),
        (Answer(b"x" * 10_000, 503), Unavailable, "HTTP 503: x{160}$"),
        (Answer(b"\xff", 429), Unavailable, "HTTP 429"),
        (Answer(b"Unable find", 404), Misconfigured, "/slurm/v0.0.40/jobs does not exist"),
        (Answer(status=302, headers={"Location": "http://x/"}), Misconfigured, "redirects"),
        (Answer(b"<html>Log in"), Misconfigured, "answers no JSON"),
        (Answer(b"[" * 100_000), Misconfigured, "answers no JSON"),
        (as_json({"pong": 1}), Misconfigured, "answers no list of jobs"),
        (jobs(17), Misconfigured, "answers no list of jobs"),
    ],
)
def test_every_way_to_answer(
    slurmrestd: Slurmrestd, answer: Answer, kind: type[Exception], reason: str
) -> None:
    slurmrestd.answers[JOBS] = answer
    with pytest.raises(kind, match=reason) as caught:
        source(slurmrestd.url).states()
    assert type(caught.value) is kind
    assert str(caught.value).startswith(slurmrestd.url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [Answer(b"Authentication failure", 401), as_json(UNSPECIFIED, 500)]
)
def test_an_expired_token_is_named(slurmrestd: Slurmrestd, answer: Answer) -> None:
    slurmrestd.answers[JOBS] = answer
    with pytest.raises(Unavailable, match=r"\(its token expired \d+ min ago\)"):
        source(slurmrestd.url, EXPIRED).states()


def test_a_server_that_repeats_the_token(slurmrestd: Slurmrestd) -> None:
    for answer in (
        Answer(f"bad token {TOKEN}".encode(), 401),
        as_json({"errors": [{"error": f"bad token {TOKEN}"}]}, 500),
    ):
        slurmrestd.answers[JOBS] = answer
        with pytest.raises(Unavailable, match=r"bad token \*\*\*"):
            source(slurmrestd.url).states()


def test_a_redirection_does_not_get_the_token(slurmrestd: Slurmrestd) -> None:
    with Slurmrestd().running() as other:
        target = {"Location": f"{other.url}{JOBS}"}
        slurmrestd.answers[JOBS] = Answer(status=307, headers=target)
        with pytest.raises(Misconfigured, match="redirects"):
            source(slurmrestd.url).states()
        assert other.asked == []


@pytest.mark.parametrize(
    "answers",
    [
        {JOBS: Answer(hangs=True)},
        {JOBS: Answer(b"x" * 1000, drips=0.1)},
        {"/openapi/v3": Answer(hangs=True)},
    ],
)
def test_a_server_that_hangs(slurmrestd: Slurmrestd, answers: dict[str, Answer]) -> None:
    slurmrestd.answers |= answers
    begin = time.monotonic()
    with pytest.raises(Unavailable, match=r"does not answer within 0.5 s"):
        source(slurmrestd.url, timeout=0.5).states()
    assert time.monotonic() - begin < 3


def test_a_host_that_takes_connections_and_says_nothing() -> None:
    answer = pytest.raises(Unavailable, match=r"does not answer within 0.3 s")
    with socket.create_server(("127.0.0.1", 0)) as silent, answer:
        source(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3).states()


def test_an_answer_that_breaks_off(slurmrestd: Slurmrestd) -> None:
    slurmrestd.answers[JOBS] = replace(jobs(["PENDING"]), lacks=1)
    with pytest.raises(Unavailable, match="IncompleteRead"):
        source(slurmrestd.url).states()


def test_an_answer_that_is_compressed(slurmrestd: Slurmrestd) -> None:
    packed = gzip.compress(jobs(["PENDING"]).body)
    slurmrestd.answers[JOBS] = Answer(packed, headers={"Content-Encoding": "gzip"})
    assert source(slurmrestd.url).states() == ["PENDING"]
    slurmrestd.answers[JOBS] = Answer(b"no gzip", headers={"Content-Encoding": "gzip"})
    with pytest.raises(Unavailable, match="gzip"):
        source(slurmrestd.url).states()


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unavailable, match=f"{url} cannot be reached: Connection refused"):
        source(url).states()


def test_a_host_of_no_such_name() -> None:
    with pytest.raises(Unavailable, match=r"no-such-host.invalid:6820 cannot be reached: .+"):
        source("http://no-such-host.invalid:6820").states()


def test_tls(
    slurmrestd: Slurmrestd, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurmrestd.secure(certificates.cert, certificates.key)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca))
    assert source(slurmrestd.url).states() == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.other_ca))
    with pytest.raises(Misconfigured, match=r"CERTIFICATE.* \(REQUESTS_CA_BUNDLE names"):
        source(slurmrestd.url).states()


@pytest.mark.parametrize(
    "url",
    ["", "slurm", "slurm:6820", "//slurm", "ftp://slurm", "http://", "http://:6820", "http://[::1",
     "http://slurm:x", "http://slurm:99999", "http://slurm:0", "http://a b", "http://a\nb",
     "http://slurm/?x=y", "http://slurm/#x", "http://me@slurm", "http://me:secret@slurm"],
)  # fmt: skip
def test_no_url(url: str) -> None:
    with pytest.raises(Misconfigured, match="URL of slurmrestd") as caught:
        source(url)
    assert "secret" not in str(caught.value)


def test_a_large_cluster_is_read_quickly(slurmrestd: Slurmrestd) -> None:
    job = {f"field_{number}": "some text or other" for number in range(100)}
    many = [{**job, "account": "gda2", "job_state": ["PENDING"]} for _ in range(5000)]
    slurmrestd.answers[JOBS] = Answer(json.dumps({"jobs": many}).encode())
    begin = time.monotonic()
    assert len(source(slurmrestd.url).states()) == 5000
    assert time.monotonic() - begin < 5
