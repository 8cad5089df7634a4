"""User and token: where they come from, and that no token is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlstbx_cli.cluster.login import Login, of_text
from dlstbx_cli.services.errors import Misconfigured
from tests.cluster.tokens import jwt

TOKEN = jwt(sun="gda2", exp=1000, iat=1)


@pytest.mark.parametrize(
    "content",
    [
        TOKEN,
        f"{TOKEN}\n",
        f"  {TOKEN}  \n\n",
        f"SLURM_JWT={TOKEN}\n",
        f"{TOKEN}\nanother line\n",
    ],
)
def test_a_token_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    login = Login("--slurm-token-file", file=tmp_path / "token")
    headers = {"X-SLURM-USER-NAME": "gda2", "X-SLURM-USER-TOKEN": TOKEN}
    assert login.credentials().headers == headers


def test_it_is_read_anew_at_each_call(tmp_path: Path) -> None:
    login = Login("a", "me", file=tmp_path / "token")
    for token in ("first", "second"):
        (tmp_path / "token").write_text(token)
        assert login.credentials().token == token
    (tmp_path / "token").unlink()
    with pytest.raises(Misconfigured, match=r"token \(from a\) cannot be read: No such file"):
        login.credentials()


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"SLURM_JWT=\n", b"two words\n", b"tab\there", b"\xff\xfe", "tökén".encode()],
)
def test_a_file_without_a_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(Misconfigured, match=r"holds no token|cannot be read: it is no text"):
        Login("--slurm-token-file", "me", file=tmp_path / "token").credentials()


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"token file .* cannot be read: Is a directory"):
        Login("--slurm-token-file", "me", file=tmp_path).credentials()


@pytest.mark.parametrize(
    ("user", "token", "expected"),
    [
        ("me", TOKEN, "me"),
        (None, TOKEN, "gda2"),
        ("me", "no-jwt", "me"),
        ("two words", "no-jwt", "two words"),
    ],
)
def test_the_user(user: str | None, token: str, expected: str) -> None:
    assert Login("SLURM_JWT", user, token=token).credentials().user == expected


@pytest.mark.parametrize(
    ("user", "token"),
    [
        (None, "no-jwt"),
        (None, "a.b.c"),
        (None, "a.@@.c"),
        (None, jwt(exp=1)),
        (None, jwt(sun=7)),
        (None, jwt(sun="a\nb")),
        (None, ".".join(["a", "W10", "c"])),  # a list
        ("a\r\nX-Other: header", TOKEN),
    ],
)
def test_no_user(user: str | None, token: str) -> None:
    with pytest.raises(Misconfigured, match="names no user: give --slurm-user") as caught:
        Login("SLURM_JWT", user, token=token).credentials()
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        (TOKEN, 999, ""),
        (TOKEN, 1001, "its token has just expired"),
        (TOKEN, 1000 + 180, "its token expired 3 min ago"),
        (jwt(sun="me"), 1001, ""),
        (jwt(sun="me", exp="soon"), 1001, ""),
        (jwt(sun="me", exp=True), 1001, ""),
        ("no-jwt", 1001, ""),
    ],
)
def test_expiry(token: str, now: float, expected: str) -> None:
    assert Login("a", "me", token=token).credentials().expired(now) == expected


def test_a_setting_is_a_token_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("from-a-file")
    for value in ("token", str(tmp_path / "token"), "./token", "~/token"):
        assert of_text(value, "me", "plugin").credentials().token == "from-a-file"
    for value in (TOKEN, "no-such-file", "x" * 5000, "~nobody-of-that-name"):
        assert of_text(value, "me", "plugin").credentials().token == value
    with pytest.raises(Misconfigured, match="/no/such"):
        of_text("/no/such", "me", "plugin").credentials()


def test_no_token_is_shown() -> None:
    login = Login("a", "me", token=TOKEN)
    credentials = login.credentials()
    assert TOKEN not in f"{login!r} {login} {credentials!r} {credentials}"
    assert credentials.hidden(f"you said {TOKEN}, {TOKEN}") == "you said ***, ***"
