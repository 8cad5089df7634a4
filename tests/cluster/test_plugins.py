"""Clusters of a Zocalo configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.cluster.plugins import Given, sources
from dlstbx_cli.configuration import Configuration
from dlstbx_cli.services.errors import Misconfigured
from tests.cluster.tokens import jwt
from tests.servers.slurmrestd import Slurmrestd

TOKEN = jwt(sun="gda2")


def plugin(kind: str = "slurm", **more: Any) -> dict[str, Any]:
    usual = {"url": "http://slurm:6820", "api_version": "v0.0.40", "user_token": TOKEN}
    return {"plugin": kind, **usual, **more}


@pytest.mark.parametrize(
    ("plugins", "names"),
    [
        ({}, []),
        ({"slurm": plugin()}, ["slurm"]),
        # Zocalo's own services know a cluster by the kind of its plugin.
        ({"live-slurm": plugin()}, ["slurm"]),
        ({"live-slurm": plugin(), "live-iris": plugin("iris")}, ["slurm", "iris"]),
        # Where that does not tell them apart, their own names do.
        ({"slurm": plugin(), "iris": plugin()}, ["slurm", "iris"]),
        ({"one": plugin(), "two": plugin(), "three": plugin("iris")}, ["one", "two", "iris"]),
        ({"one": plugin(cluster="a"), "two": plugin()}, ["a", "slurm"]),
        ({"one": plugin(cluster="a"), "two": plugin(cluster="a")}, ["a"]),
    ],
)
def test_names(plugins: dict[str, Any], names: list[str]) -> None:
    assert list(sources(plugins, Given("gda2", {}))) == names


@pytest.mark.parametrize(
    ("given", "settings", "expected"),
    [
        ({}, {}, ("gda2", TOKEN, "v0.0.40")),
        ({}, {"user": "me"}, ("me", TOKEN, "v0.0.40")),
        ({"user": "you"}, {"user": "me"}, ("you", TOKEN, "v0.0.40")),
        ({"version": "v0.0.39"}, {}, ("gda2", TOKEN, "v0.0.39")),
        # Another token has another user than the plugin's.
        ({"environ": {"SLURM_JWT": jwt(sun="x")}}, {"user": "me"}, ("x", jwt(sun="x"), "v0.0.40")),
        ({"environ": {"SLURM_JWT": ""}}, {"user": "me"}, ("me", TOKEN, "v0.0.40")),
        ({"environ": {"SLURM_JWT": TOKEN}}, {"user_token": None}, ("gda2", TOKEN, "v0.0.40")),
    ],
)
def test_the_first_that_is_given_wins(
    slurmrestd: Slurmrestd, given: Any, settings: Any, expected: tuple[str, str, str]
) -> None:
    slurmrestd.answers["/slurm/v0.0.39/jobs"] = slurmrestd.answers["/slurm/v0.0.40/jobs"]
    plugins = {"slurm": plugin(url=slurmrestd.url, **settings)}
    sources(plugins, Given("gda2", **{"environ": {}, **given}))["slurm"].states()
    (path, headers) = slurmrestd.asked[0]
    user, token, version = expected
    assert path == f"/slurm/{version}/jobs"
    assert headers["X-SLURM-USER-NAME"] == user
    assert headers["X-SLURM-USER-TOKEN"] == token


def test_the_option_goes_before_the_variable(slurmrestd: Slurmrestd, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    given = Given("gda2", {"SLURM_JWT": "other"}, token_file=str(tmp_path / "token"))
    given.rest(slurmrestd.url).states()
    assert slurmrestd.asked[0][1]["X-SLURM-USER-TOKEN"] == TOKEN


def test_a_token_file(slurmrestd: Slurmrestd, tmp_path: Path) -> None:
    path = tmp_path / "token"
    found = sources({"a": plugin(url=slurmrestd.url, user_token=str(path))}, Given("gda2", {}))
    with pytest.raises(Misconfigured, match=r"token \(from user_token of the plugin a of ZOCALO"):
        found["slurm"].states()
    path.write_text(TOKEN)
    assert found["slurm"].states() == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": None}, "url is missing"),
        ({"url": 5}, "url must be a text"),
        ({"url": "slurm:6820"}, "no URL of slurmrestd"),
        ({"user_token": ""}, "no token: user_token is missing"),
        ({"user_token": ["secret"]}, "user_token must be a text"),
        ({"user": 5}, "user must be a text"),
        ({"api_version": 5}, "api_version must be a text"),
        ({"cluster": 5}, "cluster must be a text"),
    ],
)
def test_a_plugin_that_cannot_be_used(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misconfigured, match=f"plugin one of ZOCALO_CONFIG: {reason}") as caught:
        sources({"one": plugin(**settings)}, Given("gda2", {}))
    assert "secret" not in str(caught.value)


def test_no_token_for_a_url() -> None:
    with pytest.raises(Misconfigured, match="no token for http://slurm: give --slurm-token-file"):
        Given("gda2", {}).rest("http://slurm")


def test_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "zocalo.yml").write_text(
        "version: 1\n"
        "environments: {default: [one, two], test: [three]}\n"
        "one: {plugin: slurm, url: 'http://one', api_version: v0.0.40, user_token: t.o.k}\n"
        "two: {plugin: iris, url: 'http://two', api_version: v0.0.40, user: me}\n"
        "three: {plugin: slurm, url: 'http://three', api_version: v0.0.38, cluster: beta}\n"
    )
    environ = {"ZOCALO_CONFIG": str(tmp_path / "zocalo.yml")}
    given = Given("gda2", {"SLURM_JWT": TOKEN})
    assert list(sources(Configuration(environ=environ).slurm(), given)) == ["slurm", "iris"]
    test = Configuration(["test"], environ=environ).slurm()
    assert list(sources(test, given)) == ["beta"]
    both = Configuration(["default", "test"], environ=environ).slurm()
    assert list(sources(both, given)) == ["slurm", "iris", "beta"]
    assert list(sources(Configuration(environ={}).slurm(), given)) == []
