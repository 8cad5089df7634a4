"""What ``share/dlstbx`` has for a site: a systemd unit, its environment, a Zocalo configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlstbx_cli.cluster.plugins import Given, sources
from dlstbx_cli.commands.limits import Chosen, effective
from dlstbx_cli.configuration import Configuration
from dlstbx_cli.services import cloud_settings
from dlstbx_cli.services.held.values import Limits
from dlstbx_cli.transport.stomp.settings import settings
from tests.docs.pages import MAN, TOP, Page, stomp_settings

SHARE = TOP / "share/dlstbx"
UNIT = SHARE / "dlstbx@.service"
#: What a systemd before 254 says of the unit: it goes on without a back-off.
OLD_SYSTEMD = re.compile(r".*Unknown key.*(RestartSteps|RestartMaxDelaySec).*ignoring\.\n")


@pytest.mark.parametrize("instance", ["mimas-plan", "dlstbx.pickup", "mimas-plan:2"])
def test_systemd_takes_the_unit(tmp_path: Path, instance: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    shutil.copy(UNIT, tmp_path)
    # FILE:NAME, so that a colon in the name is not taken for this one.
    unit = f"{tmp_path}/dlstbx@.service:dlstbx@{instance}.service"
    command = ["systemd-analyze", "verify", "--man=no", unit]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert OLD_SYSTEMD.sub("", run.stdout + run.stderr) == ""


@pytest.mark.parametrize(
    ("instance", "options", "expected"),
    [
        ("mimas-plan", None, "mimas-plan --listen"),
        ("mimas-plan:2", "", "mimas-plan --listen"),
        ("dlstbx.pickup", "-e live --verbose", "dlstbx.pickup --listen -e live --verbose"),
    ],
)
def test_the_unit_runs_the_command(
    tmp_path: Path, instance: str, options: str | None, expected: str
) -> None:
    for name in ("mimas-plan", "dlstbx.pickup"):
        (tmp_path / name).write_text('#!/bin/sh\necho "${0##*/}" "$@"\n')
        (tmp_path / name).chmod(0o700)
    line = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.M)[1]
    for written, meant in (("%i", instance), ("%%", "%"), ("$$", "$")):
        line = line.replace(written, meant)
    environment = {"PATH": f"{tmp_path}:{os.defpath}"}
    if options is not None:
        environment["OPTIONS"] = options
    shown = subprocess.run(
        ["sh", "-c", line], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout == expected + "\n"


def test_stopping_is_given_more_time_than_it_takes() -> None:
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.M)[1]) > 5


def test_the_unit_and_its_files_are_documented() -> None:
    text = Page(MAN / "dlstbx.5").text
    for name in ("dlstbx@.service", "dlstbx.env", "zocalo.yml"):
        assert (SHARE / name).exists()
        assert name in text
    variables = re.findall(r"^#?([A-Z_]+)=", (SHARE / "dlstbx.env").read_text(), re.M)
    assert len(variables) == 5
    assert [name for name in variables if name not in text] == []


def read(environments: list[str], library: bool, monkeypatch: Any) -> dict[str, Any]:
    """Return what the commands read of the example, the quick way or by the library."""
    environ = {"ZOCALO_CONFIG": str(SHARE / "zocalo.yml"), "DLSTBX_HOME": "/home"}
    with monkeypatch.context() as patch:
        if library:
            patch.setattr("dlstbx_cli.site_configuration.read", lambda *_: None)
        configuration = Configuration(environments, environ=environ)
        assert ("zocalo" in vars(configuration)) is False
        found = {
            "broker": settings(configuration.broker().value),
            "recipes": str(configuration.recipes()),
            "drop": str(configuration.drop_dir()),
            "logbook": str(configuration.logbook()),
            "slurm": list(sources(configuration.slurm(), Given("gda2", {}))),
            "backlog": effective(configuration.storage, Chosen(), {}).limits,
        }
        assert ("zocalo" in vars(configuration)) is library
    return found


@pytest.mark.parametrize("environments", [[], ["live"], ["test"], ["live", "test"]])
def test_the_configuration_is_read_alike(
    environments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(environments, False, monkeypatch) == read(environments, True, monkeypatch)


def test_what_the_configuration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    live, test = (read([name], False, monkeypatch) for name in ("live", "test"))
    broker = live["broker"]
    assert broker.hosts == (("broker1.example.org", 61613), ("broker2.example.org", 61613))
    assert (broker.user, broker.password, broker.prefix) == ("dlstbx", "change-me", "zocalo")
    assert (broker.vhost, broker.topic_form) == ("zocalo", "/exchange/{}")
    assert broker.management.startswith("http://dlstbx-monitor:change-me-too@broker1")
    assert live["slurm"] == ["slurm", "iris"]
    assert test["slurm"] == []
    assert live["backlog"] == Limits({"slurm": 60, "iris": 3000}, 300.0)
    assert test["broker"] == settings("stomp://localhost:61613/?prefix=test")
    assert test["backlog"].waiting["slurm"] == 5
    assert "/test/" in test["recipes"]
    assert "/test/" in test["drop"]
    assert test["logbook"] == live["logbook"]


def test_the_configuration_has_every_key() -> None:
    text = (SHARE / "zocalo.yml").read_text()
    source = (TOP / "dlstbx_cli/configuration.py").read_text()
    keys = {*re.findall(r'"((?:zocalo|dlstbx)\.[a-z._]+)"', source), *cloud_settings.KEYS}
    storage = yaml.safe_load(text)["live-storage"]
    assert storage.keys() - {"plugin"} == keys
    assert [name for name in {*stomp_settings(), "hosts", "tls"} if name not in text] == []
