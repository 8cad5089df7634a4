from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dlstbx_cli.configuration import Configuration
from dlstbx_cli.recipes import SHIPPED
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.transport.stomp.settings import settings

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
    # Asked for again, it is not said again.
    configuration.ispyb()
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


def site(tmp_path: Path, **plugins: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a site whose plugins are these, all of them activated."""
    definitions = {name: {"plugin": name, **plugin} for name, plugin in plugins.items()}
    content = {"version": 1, "environments": {"default": list(plugins)}, **definitions}
    # A new name each time: the library remembers files.
    path = tmp_path / f"zocalo{len(list(tmp_path.iterdir()))}.yml"
    path.write_text(yaml.safe_dump(content))
    return {"DLSTBX_HOME": str(tmp_path), "ZOCALO_CONFIG": str(path)}


STOMP = {"host": "h", "port": 61613, "username": "u", "password": "p", "prefix": "zocalo"}
API = {"base_url": "https://api:15671/api", "username": "m@n", "password": "a/p:i"}
MANAGEMENT = "https://m%40n:a%2Fp%3Ai@api:15671"


def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **plugins: Any) -> Any:
    """Return what the adapter reads from a site's plugins: the quick way and by the library."""
    environ = site(tmp_path, **plugins)
    url = Configuration(environ=environ).broker().value
    with monkeypatch.context() as patch:
        patch.setattr("dlstbx_cli.site_configuration.read", lambda *_: None)
        assert Configuration(environ=environ).broker().value == url
    return settings(url)


def test_the_plugin_stomp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"username": "zoc@lo :/", "password": "s%e/c?r&e#t é", "prefix": "a-b.c"}
    read = broker(tmp_path, monkeypatch, stomp={**STOMP, **odd})
    assert (read.user, read.password, read.prefix) == tuple(odd.values())
    assert read.hosts == (("h", 61613),)
    assert broker(tmp_path, monkeypatch, stomp={**STOMP, "host": "::1"}).hosts == (("::1", 61613),)


def test_an_anonymous_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = broker(tmp_path, monkeypatch, stomp={**STOMP, "username": "", "password": ""})
    assert read.user is None


def test_settings_beside_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = {
        "hosts": ["h1", "h2:61614"],
        "vhost": "zocalo",
        "queue-form": "/amq/queue/{}",
        "topic-form": "/exchange/{}",
        "window": 5,
        "heartbeat": 2.5,
        "broker": "rabbitmq",
        "management": "http://me:s3cret@h:15672",
        "prefix": "other",
    }
    plugins = {"stomp": STOMP, "storage": {"dlstbx.broker": mapping}, "rabbitmqapi": API}
    read = broker(tmp_path, monkeypatch, **plugins)
    assert read.hosts == (("h1", 61613), ("h2", 61614))
    for name in mapping.keys() - {"hosts"}:
        assert getattr(read, name.replace("-", "_")) == mapping[name]
    assert (read.user, read.password) == ("u", "p")


def test_a_broker_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    mapping = {"tls": True, "ca": str(tmp_path / "ca.pem"), "verify": True}
    read = broker(tmp_path, monkeypatch, stomp=STOMP, storage={"dlstbx.broker": mapping})
    assert (read.tls.ca, read.tls.verify) == (tmp_path / "ca.pem", True)


def test_the_password_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("p@ss\n")
    mapping = {"password-file": str(tmp_path / "secret")}
    plugins = {"stomp": {**STOMP, "password": ""}, "storage": {"dlstbx.broker": mapping}}
    assert broker(tmp_path, monkeypatch, **plugins).password == "p@ss"


def test_the_plugin_rabbitmqapi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = broker(tmp_path, monkeypatch, stomp=STOMP, rabbitmqapi=API)
    assert read.management == MANAGEMENT
    without = {"dlstbx.broker": {"management": ""}}
    read = broker(tmp_path, monkeypatch, stomp=STOMP, rabbitmqapi=API, storage=without)
    assert read.management is None


@pytest.mark.parametrize(
    "mapping", [["secret"], {"window": ["secret"]}, {"tls": "secret"}, "secret"]
)
def test_settings_that_cannot_be_used(tmp_path: Path, mapping: Any) -> None:
    environ = site(tmp_path, stomp=STOMP, storage={"dlstbx.broker": mapping})
    with pytest.raises(Misconfigured, match=r"dlstbx\.broker") as caught:
        Configuration(environ=environ).broker()
    assert "secret" not in str(caught.value)


def test_settings_without_the_plugin_do_not_lead_to_the_embedded_broker(tmp_path: Path) -> None:
    environ = site(tmp_path, storage={"dlstbx.broker": {"vhost": "/"}})
    with pytest.raises(Misconfigured, match="plugin stomp"):
        Configuration(environ=environ).broker()
    assert Configuration(environ=environ).broker("sqlite:////x").value == "sqlite:////x"


def test_an_environment_may_give_a_stomp_url(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pw\n")
    url = f"stomp://me@h1,h2/?password-file={tmp_path}/secret&topic-form=/exchange/{{}}"
    environ = site(tmp_path, stomp=STOMP, storage={"dlstbx.broker": {"window": 1}})
    for setting in (
        Configuration(environ={**environ, "DLSTBX_BROKER": url}).broker(),
        Configuration(environ=environ).broker(url),
    ):
        assert setting.value == "stomp://me:pw@h1,h2/?topic-form=/exchange/{}"
