"""The recipes shipped: each name that the rules can ask for, and no other."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from workflows.recipe import Recipe

import dlstbx_cli
from dlstbx_cli.mimas import MimasISPyBJobInvocation
from dlstbx_cli.mimas.core import plan
from dlstbx_cli.mimas.registry import OWN, load_handlers
from tests.mimas.scenarios import (
    BEAMLINES,
    CLASSES,
    DETECTORS,
    EVENTS,
    OTHER,
    P212121,
    scenario,
)
from tests.mimas.scenarios import OWN as SWEEP

RECIPES = Path(dlstbx_cli.__file__).parent / "recipes"
SHIPPED = sorted(path.stem for path in RECIPES.glob("*.json"))
DEMO = [name for name in SHIPPED if name != "mimas"]
OFFER = {"beamlines": BEAMLINES, "visit_pattern": ("nt",)}


def asked_for() -> set[str]:
    """Return the recipe of everything our rules plan: the dispatcher's names."""
    handlers = load_handlers(OWN)
    names = set()
    for *point, offers in itertools.product(BEAMLINES, EVENTS, CLASSES, DETECTORS, ([], [OFFER])):
        candidate = scenario(
            *point,
            spacegroup=P212121,
            getsweepslistfromsamedcg=(SWEEP, OTHER),
            cloudbursting=offers,
        )
        for planned in plan(candidate, handlers=handlers):
            is_job = isinstance(planned.task, MimasISPyBJobInvocation)
            names.add(f"ispyb-{planned.task.recipe}" if is_job else planned.task.recipe)
    return names


def read(name: str) -> dict[str, Any]:
    recipe = json.loads((RECIPES / f"{name}.json").read_text())
    assert isinstance(recipe, dict)
    return recipe


def test_one_demo_recipe_for_each_name_and_no_other() -> None:
    assert asked_for() == set(DEMO)


@pytest.mark.parametrize("name", SHIPPED)
def test_recipes_are_valid_and_pretty(name: str) -> None:
    text = (RECIPES / f"{name}.json").read_text()
    Recipe(text).validate()
    assert text == json.dumps(json.loads(text), indent=2) + "\n"


@pytest.mark.parametrize("name", DEMO)
def test_demo_recipes_have_one_form(name: str) -> None:
    model = read("ispyb-autoprocessing-fast-dp" if name.startswith("ispyb-") else "archive-cbfs")
    model["1"]["parameters"]["recipe"] = name.removeprefix("ispyb-")
    assert read(name) == model


def test_demo_recipes_of_jobs_are_told_of_the_job() -> None:
    plain = set(read("archive-cbfs")["1"]["parameters"].values())
    job = set(read("ispyb-autoprocessing-fast-dp")["1"]["parameters"].values())
    assert job - plain == {
        "autoprocessing-fast-dp",
        "{ispyb_process}",
        "{$REPLACE:ispyb_processing_parameters}",
        "{$REPLACE:ispyb_images}",
    }


def test_mimas_fills_in_what_the_look_up_found() -> None:
    recipe = Recipe(read("mimas"))
    recipe.apply_parameters(
        {
            "ispyb_dcid": 5,
            "event": "end",
            "ispyb_dc_class": {"grid": False, "rotation": True},
            "ispyb_beamline": "i03",
            "ispyb_visit": "cm1-1",
            "ispyb_dc_info": {"runStatus": "DataCollection Successful"},
            "ispyb_related_sweeps": [[5, 1, 100]],
            "ispyb_unit_cell": (10.0, 11.0, 12.0, 90.0, 91.0, 92.0),
            "ispyb_space_group": "P212121",
            "ispyb_detectorclass": "eiger",
            "ispyb_preferred_processing": "xia2/DIALS",
        }
    )
    assert recipe[1]["parameters"] == {
        "dcid": "5",
        "event": "end",
        "dc_class": {"grid": False, "rotation": True},
        "beamline": "i03",
        "visit": "cm1-1",
        "run_status": "DataCollection Successful",
        "sweep_list": [[5, 1, 100]],
        "unit_cell": (10.0, 11.0, 12.0, 90.0, 91.0, 92.0),
        "space_group": "P212121",
        "detectorclass": "eiger",
        "preferred_processing": "xia2/DIALS",
        "diffraction_plan_info": None,
    }


def test_mimas_leads_where_its_outputs_say() -> None:
    recipe = read("mimas")

    def queue(step: int, output: str | None = None) -> tuple[str, int]:
        target = recipe[str(step)]["output"]
        number = target[output] if output else target
        return recipe[str(number)]["queue"], number

    assert (recipe["1"]["service"], recipe["1"]["queue"]) == ("Mimas", "mimas")
    assert recipe["start"] == [[1, []]]
    assert queue(1, "dispatcher")[0] == "processing_recipe"
    connector, number = queue(1, "ispyb")
    assert connector == "ispyb_connector"
    assert recipe[str(number)]["parameters"] == {"ispyb_command": "create_ispyb_job"}
    assert queue(number, "trigger")[0] == "processing_recipe"
    held, waiting = queue(number, "held")
    assert held == "mimas.held"
    assert queue(waiting)[0] == "processing_recipe"
