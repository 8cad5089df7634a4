"""A site's rules, installed for a test: a module, and its entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

IMPORTS = """
from dataclasses import dataclass
from dlstbx_cli.mimas import (
    MimasEvent, MimasISPyBJobInvocation, MimasRecipeInvocation, match_specification,
)
from dlstbx_cli.mimas.rule import Family, Job, Parameters, Recipe, Rule
from dlstbx_cli.mimas.rules.conditions import *
from dlstbx_cli.mimas.specification import *
is_p99 = BeamlineSpecification("p99")
"""


def install(root: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str = "site") -> None:
    """Install a module ``NAME_rules`` whose ``handler`` is registered as *name*."""
    info = root / f"{name}_rules-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (root / f"{name}_rules.py").write_text(IMPORTS + source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-rules\nVersion: 1\n")
    entry = f"[zocalo.mimas.handlers]\n{name} = {name}_rules:handler\n"
    (info / "entry_points.txt").write_text(entry)
    if str(root) not in sys.path:
        monkeypatch.syspath_prepend(root)
    sys.modules.pop(f"{name}_rules", None)
