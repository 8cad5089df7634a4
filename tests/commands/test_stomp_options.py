"""``dlstbx.go`` with the options by which ``zocalo.go`` is told its broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlstbx_cli.commands.base import Run
from dlstbx_cli.commands.stomp_options import Asked
from dlstbx_cli.services.errors import Misconfigured
from tests.conftest import run

ZOCALO = """
version: 1
environments: {default: [broker, storage]}
storage: {plugin: storage, dlstbx.broker: {vhost: zocalo}}
broker: {plugin: stomp, host: site, port: 1, username: u, password: pw, prefix: zocalo}
"""
INI = """
[stomp]
host = ini-host
port = 2
username = ini
password = 100%%@/
prefix = ini-prefix
"""


@pytest.fixture
def zocalo(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zocalo.yml").write_text(ZOCALO)
    monkeypatch.setenv("ZOCALO_CONFIG", str(tmp_path / "zocalo.yml"))


@pytest.fixture
def conf(tmp_path: Path) -> str:
    (tmp_path / "stomp.cfg").write_text(INI)
    return str(tmp_path / "stomp.cfg")


def url(file: str | None = None, **parts: str) -> str:
    return Asked(parts, file).url(Run("dlstbx.go"))


def test_without_configuration_it_is_the_broker_of_zocalo_go(home: Path, conf: str) -> None:
    assert url() == "stomp://admin:password@localhost:61613/"
    assert url(host="h", prefix="p") == "stomp://admin:password@h:61613/?prefix=p"
    assert url(conf) == "stomp://ini:100%25%40%2F@ini-host:2/?prefix=ini-prefix"
    assert url(conf, port="5", prefix="") == "stomp://ini:100%25%40%2F@ini-host:5/"
    assert url(username="", password="") == "stomp://localhost:61613/"


def test_what_is_not_given_comes_from_the_configuration(zocalo: None, conf: str) -> None:
    assert url(prefix="test") == "stomp://u:pw@site:1/?prefix=test&vhost=zocalo"
    assert url(host="h", port="5") == "stomp://u:pw@h:5/?prefix=zocalo&vhost=zocalo"
    assert url(conf) == "stomp://ini:100%25%40%2F@ini-host:2/?prefix=ini-prefix&vhost=zocalo"


def test_a_file_may_say_a_part(zocalo: None, conf: str) -> None:
    Path(conf).write_text("[stomp]\npassword = 5%\n[other]\nhost = x\n")
    assert url(conf) == "stomp://u:5%25@site:1/?prefix=zocalo&vhost=zocalo"
    Path(conf).write_text("[stomp]\nusername\npassword\n")
    assert url(conf) == "stomp://site:1/?prefix=zocalo&vhost=zocalo"


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("stomp://me:x@h1:1,h2:2/?window=5", "stomp://me:x@h1:1,h2:2/?prefix=test&window=5"),
        ("stomp+ssl://h1", "stomp+ssl://h1/?prefix=test"),
        # The next STOMP broker, if this is none.
        ("sqlite:////x", "stomp://u:pw@site:1/?prefix=test&vhost=zocalo"),
    ],
)
def test_the_environment_goes_before_the_configuration(
    zocalo: None, monkeypatch: pytest.MonkeyPatch, configured: str, expected: str
) -> None:
    monkeypatch.setenv("DLSTBX_BROKER", configured)
    assert url(prefix="test") == expected


def test_a_password_file_of_the_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("pw\n")
    monkeypatch.setenv("DLSTBX_BROKER", f"stomp://me@h:1/?password-file={tmp_path}/secret")
    assert url(prefix="test") == "stomp://me:pw@h:1/?prefix=test"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        (b"\xff", "no text"),
        (b"password = secret", "MissingSectionHeader"),
        (b"[stomp]\npassword = secret\npassword = secret", "Duplicate"),
        (b"[broker]\npassword = secret", r"no section \[stomp\]"),
    ],
)
def test_a_file_that_cannot_be_used(home: Path, conf: str, text: bytes | None, reason: str) -> None:
    Path(conf).unlink() if text is None else Path(conf).write_bytes(text)
    with pytest.raises(Misconfigured, match=reason) as caught:
        url(conf)
    assert "secret" not in str(caught.value)
    # It costs no trigger.
    outcome = run("dlstbx.go", "-r", "a", "--stomp-conf", conf, 7)
    assert outcome.code == 0
    assert f"--stomp-conf {conf}" in outcome.err
    assert len(list((home / "drop").iterdir())) == 1


def test_a_configuration_that_is_no_url(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLSTBX_BROKER", "stomp://me:secret@h/x/y")
    with pytest.raises(Misconfigured, match="DLSTBX_BROKER") as caught:
        url(prefix="x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("more", [[], ["--stdout"], ["--drop"]])
def test_a_password_is_refused(home: Path, more: list[str]) -> None:
    outcome = run("dlstbx.go", "-r", "a", *more, "--stomp-pass", "secret", 7)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--stomp-conf" in outcome.err
    assert "secret" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stomp-port", "0"],
        ["--stomp-port", "x"],
        ["--stomp-prfx", "x", "--broker", "sqlite:////x"],
        ["-t", "PikaTransport"],
    ],
)
def test_wrong_use(home: Path, arguments: list[str]) -> None:
    outcome = run("dlstbx.go", "-r", "a", *arguments, 7)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert not (home / "drop").exists()


def test_options_of_a_script_as_they_stand(home: Path) -> None:
    """No broker is there: the trigger is stored, as without these options."""
    place = ["-t", "StompTransport", "--stomp-host", "localhost", "--stomp-port", "1"]
    login = ["--stomp-user", "", "--stomp-pass", "", "--stomp-prfx", "test"]
    outcome = run("dlstbx.go", "-r", "a", *place, *login, "--timeout", "1", 7)
    assert outcome.code == 0
    (path,) = (home / "drop").iterdir()
    assert json.loads(path.read_text())["message"]["parameters"] == {"ispyb_dcid": 7}
