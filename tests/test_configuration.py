from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.configuration import (
    Configuration,
    Setting,
    has_password,
    with_password,
    without_password,
)
from dlstbx_cli.recipes import SHIPPED
from dlstbx_cli.services.errors import Misconfigured

ZOCALO = """
version: 1
environments:
  live: [live-storage, live-broker]
  test: [test-storage]
  default: live
live-storage:
  plugin: storage
  zocalo.recipe_directory: /site/recipes
  zocalo.go.fallback_location: /site/drop
  max_jobs_waiting: {slurm: 5}
  timeout: 60
test-storage:
  plugin: storage
  zocalo.recipe_directory: /site/test-recipes
live-broker:
  plugin: stomp
  host: broker.site
  port: 61613
  username: zoc@lo
  password: se/cret
  prefix: zocalo
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DLSTBX_HOME": str(tmp_path)}


@pytest.fixture
def zocalo(tmp_path: Path, environ: dict[str, str]) -> dict[str, str]:
    (tmp_path / "zocalo.yml").write_text(ZOCALO)
    return {**environ, "ZOCALO_CONFIG": str(tmp_path / "zocalo.yml")}


def test_the_first_that_is_given_wins(zocalo: dict[str, str]) -> None:
    environ = {
        **zocalo,
        "DLSTBX_BROKER": "sqlite:////env/queue",
        "DLSTBX_RECIPES": "/env/recipes",
        "DLSTBX_DROP_DIR": "/env/drop",
    }
    given, site = Configuration(environ=environ), Configuration(environ=zocalo)
    assert given.broker("sqlite:////option").value == "sqlite:////option"
    assert given.broker().value == "sqlite:////env/queue"
    assert site.broker().value == "stomp://zoc%40lo:se%2Fcret@broker.site:61613/?prefix=zocalo"
    assert given.recipes("/option") == Path("/option")
    assert given.recipes() == Path("/env/recipes")
    assert site.recipes() == Path("/site/recipes")
    assert given.drop_dir() == Path("/env/drop")
    assert site.drop_dir() == Path("/site/drop")


def test_embedded_defaults_are_noticed(tmp_path: Path, environ: dict[str, str]) -> None:
    notices: list[str] = []
    configuration = Configuration(notice=notices.append, environ=environ)
    assert configuration.broker().value == f"sqlite:///{tmp_path}/queue.sqlite3"
    assert configuration.ispyb().value == f"sqlite:///{tmp_path}/ispyb.sqlite3"
    assert configuration.state().value == f"sqlite:///{tmp_path}/state.sqlite3"
    assert configuration.recipes() == SHIPPED
    assert configuration.drop_dir() == tmp_path / "drop"
    assert len(notices) == 2
    assert "no broker is configured" in notices[0]
    assert "no ISPyB is configured" in notices[1]


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"DLSTBX_HOME": "/x"}, "/x"),
        ({"XDG_DATA_HOME": "/data"}, "/data/dlstbx"),
        ({}, str(Path.home() / ".local/share/dlstbx")),
    ],
)
def test_home(environ: dict[str, str], home: str) -> None:
    assert Configuration(environ=environ).home == Path(home)


def test_environments_of_the_zocalo_configuration(zocalo: dict[str, str]) -> None:
    assert Configuration(["test"], environ=zocalo).recipes() == Path("/site/test-recipes")
    assert Configuration(["test"], environ=zocalo).broker().origin == "the embedded default"
    assert Configuration(environ=zocalo).storage["max_jobs_waiting"] == {"slurm": 5}


@pytest.mark.parametrize(
    ("text", "environments", "reason"),
    [
        ("version: 1\nenvironments: [", [], "zocalo.yml cannot be used"),
        ("version: 99", [], "zocalo.yml cannot be used"),
        ("- a list", [], "zocalo.yml cannot be used"),
        ("version: 1", ["nowhere"], "nowhere"),
    ],
)
def test_a_broken_zocalo_configuration(
    tmp_path: Path, text: str, environments: list[str], reason: str
) -> None:
    (tmp_path / "zocalo.yml").write_text(text)
    environ = {"ZOCALO_CONFIG": str(tmp_path / "zocalo.yml")}
    with pytest.raises(Misconfigured, match=reason):
        Configuration(environments, environ=environ).broker()


def test_a_missing_zocalo_configuration(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no-such"):
        Configuration(environ={"ZOCALO_CONFIG": str(tmp_path / "no-such")}).broker()
    with pytest.raises(Misconfigured, match="ZOCALO_CONFIG"):
        Configuration(["live"], environ={}).broker()


def test_ispyb_credentials(tmp_path: Path) -> None:
    path = tmp_path / "credentials.cfg"
    path.write_text(
        "[ispyb_sqlalchemy]\nusername = me\npassword = p@ss\n"
        "host = db\nport = 3306\ndatabase = ispyb\n"
    )
    setting = Configuration(environ={"ISPYB_CREDENTIALS": str(path)}).ispyb()
    assert setting.origin == "ISPYB_CREDENTIALS"
    assert "me:p%40ss@db:3306/ispyb" in setting.value
    both = {"ISPYB_CREDENTIALS": str(path), "DLSTBX_ISPYB": "sqlite:////x"}
    assert Configuration(environ=both).ispyb().value == "sqlite:////x"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("stomp://user:secret@host:1/", True),
        ("stomp://user@host:1/", False),
        ("stomp://host:1/", False),
        ("mysql+mysqlconnector://me:a:b@host/db", True),
        ("sqlite:////a:b@c/queue", False),
    ],
)
def test_passwords_are_seen(url: str, secret: bool) -> None:
    assert has_password(url) is secret
    assert (without_password(url) != url) is secret
    assert "secret" not in without_password(f"error at {url} and {url}")


def test_a_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p@ss/word\nnot this\n")
    url = f"stomp://me@host:61613/?prefix=zocalo&password-file={tmp_path}/secret"
    expected = "stomp://me:p%40ss%2Fword@host:61613/?prefix=zocalo"
    assert with_password(Setting(url, "--broker")) == expected


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_password_file_that_is_none(tmp_path: Path, content: Any) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    url = f"stomp://me@host:1/?password-file={tmp_path}/secret"
    with pytest.raises(Misconfigured, match="password-file"):
        with_password(Setting(url, "--broker"))
