"""Which pipelines leave for the cloud."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dlstbx_cli.mimas import zocalo_command_line
from dlstbx_cli.mimas.core import run
from tests.mimas.scenarios import CELL, OTHER, OWN, P212121, scenario

ALL = ("xia2-dials", "xia2-3dii", "autoPROC", "multi-xia2-dials", "multi-xia2-3dii")
SINGLE = ALL[:3]
OFFER = {"beamlines": ["i03"], "visit_pattern": ["cm", "nt28"], "recipes": ["autoprocessing"]}
GROUP = {"getsweepslistfromsamedcg": (OWN, OTHER)}


def offer(**changes: Any) -> dict[str, Any]:
    return {**OFFER, **changes}


def went(*offers: Any, **more: Any) -> tuple[str, ...]:
    """Return the pipelines that went to the cloud from i03, and check what they carry."""
    fields = {"beamline": "i03", "detector": "EIGER", **GROUP, **more}
    plan = run(scenario(cloudbursting=list(offers), **fields))
    away = []
    for task in plan:
        line = zocalo_command_line(task)
        to_iris = line.endswith(" --trigger-variable=statistic-cluster:iris")
        assert task.recipe.endswith("-eiger-cloud") == to_iris
        assert to_iris <= ("--trigger " not in line)
        if to_iris:
            away.append(task.recipe.removeprefix("autoprocessing-").removesuffix("-eiger-cloud"))
    return tuple(away)


CASES = [
    ("all", [offer()], {}, ALL),
    ("no offer", [], {}, ()),
    ("default fragments", [{"beamlines": ["i03"], "visit_pattern": ["nt"]}], {}, ALL),
    ("no fragments", [offer(recipes=[])], {}, ()),
    ("attributes", [SimpleNamespace(**OFFER)], {}, ALL),
    ("attributes, default", [SimpleNamespace(beamlines=["i03"], visit_pattern=["nt"])], {}, ALL),
    ("other beamline", [offer(beamlines=["i04"])], {}, ()),
    ("part of a beamline's name", [offer(beamlines=["i0"])], {}, ()),
    ("other visits", [offer(visit_pattern=["cm", "mx"])], {}, ()),
    ("no visits", [offer(visit_pattern=[])], {}, ()),
    ("missing visit", [offer(visit_pattern=["", "nt"])], {"visit": None}, ()),
    ("empty prefix", [offer(visit_pattern=[""])], {}, ALL),
    ("one pipeline and its multi", [offer(recipes=["xia2-dials"])], {},
     ("xia2-dials", "multi-xia2-dials")),
    ("multi only", [offer(recipes=["multi-"])], {}, ("multi-xia2-dials", "multi-xia2-3dii")),
    ("pooled", [offer(recipes=["autoPROC"]), offer(recipes=["g-xia2-3dii"])], {},
     ("xia2-3dii", "autoPROC")),
    ("pooled, applicable only", [offer(recipes=["autoPROC"]), offer(beamlines=["i04"])], {},
     ("autoPROC",)),
    ("suffix is no part of the name", [offer(recipes=["eiger"])], {}, ()),
    ("never fast_dp", [offer(recipes=["fast-dp"])], {}, ()),
    ("preferred stays", [offer()], {"preferred_processing": "xia2/DIALS"}, ALL[1:]),
    ("preferred multi stays", [offer()], {"preferred_processing": "mxia2/DIALS"},
     (*SINGLE, "multi-xia2-3dii")),
    ("alone in its group", [offer()], {"getsweepslistfromsamedcg": (OWN,)}, SINGLE),
    ("characterization stays", [offer()], {"dcclass": "CHARACTERIZATION"}, ()),
    ("Pilatus stays", [offer()], {"detector": "PILATUS"}, ()),
    ("unknown detector stays", [offer()], {"detector": None}, ()),
    ("twice with symmetry", [offer()], {"spacegroup": P212121, "unitcell": CELL}, ALL * 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("offers", "more", "away"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_who_goes_to_the_cloud(offers: Any, more: dict[str, Any], away: tuple[str, ...]) -> None:
    assert went(*offers, **more) == away


def test_preferred_multi_stays_local_and_held() -> None:
    candidate = scenario(
        "i03", detector="EIGER", cloudbursting=[OFFER], preferred_processing="mxia2/DIALS", **GROUP
    )
    lines = [zocalo_command_line(task) for task in run(candidate)]
    assert lines[-2] == (
        "ispyb.job --new --dcid=5 --source=automatic"
        " --recipe=autoprocessing-multi-xia2-dials-eiger"
        " --add-sweep=5:1:100 --add-sweep=6:1:200"
        " --add-param=resolution.cc_half_significance_level:0.1"
        " --add-param=absorption_level:medium --display='xia2 dials (multi)'"
    )


def test_vmxi_stays_here() -> None:
    assert went(offer(beamlines=["i02-2"]), beamline="i02-2") == ()
