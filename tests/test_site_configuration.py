from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from zocalo.configuration import from_file

from dlstbx_cli.configuration import _plugin_of, _plugins_of
from dlstbx_cli.site_configuration import SLURM, read

PLUGINS = """
one:
  plugin: storage
  a: 1
  b: [x, {y: z}]
two:
  plugin: storage
  b: later
broker:
  plugin: stomp
  host: h
  port: 61613
  username: u
  password: "p:w"
  prefix: zocalo
other:
  plugin: stomp
  host: other
  port: 1
  username: u
  password: p
  prefix: ""
api:
  plugin: rabbitmqapi
  base_url: http://h:15672/api
  username: u
  password: p
elsewhere: plugin.yml
cluster:
  plugin: slurm
  url: http://slurm:6820
  api_version: v0.0.40
  user_token: /token
cloud:
  plugin: iris
  url: http://iris:6820
  user: u
  user_token: t.o.k
  api_version: v0.0.40
  extra: kept
"""


@pytest.mark.parametrize(
    ("environments", "chosen"),
    [
        ("{default: [one, two, broker]}", []),
        ("{default: [two, one]}", []),
        ("{default: live, live: [one, broker]}", []),
        ("{default: a, a: b, b: [one]}", []),
        ("{live: [one], test: [two, broker]}", ["test"]),
        ("{live: [one], test: [two, broker]}", ["live", "test"]),
        ("{live: [one], test: [two, broker]}", []),
        ("{default: {plugins: [one], z: two, m: [broker, other]}}", []),
        ("{default: {plugins: one, a: [two]}}", []),
        ("{default: [broker, other]}", []),
        ("{default: [other, broker, other]}", []),
        ("{default: [one, elsewhere]}", []),
        ("{default: [broker, api], test: [other]}", []),
        ("{default: [broker, api], test: [other]}", ["default", "test"]),
        ("{default: [broker, api], test: [other]}", ["test", "default"]),
        ("{default: [cluster], test: [cloud]}", []),
        ("{default: [cluster, cloud], test: [cloud, cluster]}", ["default", "test"]),
        ("{}", []),
    ],
)
def test_the_library_says_the_same(tmp_path: Path, environments: str, chosen: list[str]) -> None:
    path = tmp_path / "zocalo.yml"
    path.write_text(f"version: 1\nenvironments: {environments}\n{PLUGINS}")
    (tmp_path / "plugin.yml").write_text("plugin: storage\nc: from a file\n")
    quick = read(path, chosen)
    library = from_file(path)
    library.activate(chosen)
    assert quick is not None

    def without_kind(storage: Any) -> dict[str, Any]:
        return {key: value for key, value in (storage or {}).items() if key != "plugin"}

    assert without_kind(quick.storage) == without_kind(library.storage)
    assert quick.stomp == _plugin_of(library, "stomp")
    assert quick.slurm == _plugins_of(library, SLURM)
    assert list(quick.slurm) == list(_plugins_of(library, SLURM))
    # The library adds a default to this one, which nothing here reads.
    api = _plugin_of(library, "rabbitmqapi")
    assert quick.rabbitmqapi == (api and {key: api[key] for key in api if key != "vhost"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "- 1",
        "version: 2\nenvironments: {}",
        "version: 1",
        "version: 1\ninclude: [x]\nenvironments: {}",
        "version: 1\nenvironments: {default: [missing]}",
        "version: 1\nenvironments: {default: 5}",
        "version: 1\nenvironments: {default: a, a: default}",
        "version: 1\nenvironments: {default: [x]}\nx: {a: 1}",
        "version: 1\nenvironments: {default: [x]}\nx: {plugin: stomp, host: h}",
        "version: 1\nenvironments: {default: [x]}\nx: no-such-file.yml",
        # The library refuses a number where a text is wanted, and a port that is none.
        "version: 1\nenvironments: {default: [x]}\n"
        "x: {plugin: stomp, host: h, port: 1, username: u, password: 5, prefix: p}",
        "version: 1\nenvironments: {default: [x]}\n"
        "x: {plugin: stomp, host: h, port: z, username: u, password: p, prefix: p}",
        "version: 1\nenvironments: {default: [x]}\nx: {plugin: rabbitmqapi, base_url: h}",
        "version: 1\nenvironments: {default: [x]}\nx: {plugin: slurm, url: h}",
        "version: 1\nenvironments: {default: [x]}\nx: {plugin: iris, url: h, api_version: 40}",
        "version: 1\nenvironments: {default: [x]}\n"
        "x: {plugin: slurm, url: h, api_version: v, user_token: null}",
    ],
)
def test_what_is_odd_is_left_to_the_library(tmp_path: Path, text: str) -> None:
    (tmp_path / "zocalo.yml").write_text(text)
    assert read(tmp_path / "zocalo.yml", []) is None


def test_an_unknown_environment_is_left_to_the_library(tmp_path: Path) -> None:
    (tmp_path / "zocalo.yml").write_text("version: 1\nenvironments: {live: []}")
    assert read(tmp_path / "zocalo.yml", ["nowhere"]) is None
