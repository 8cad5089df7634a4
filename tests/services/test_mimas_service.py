from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.mimas import core
from dlstbx_cli.recipes import SHIPPED, RecipeDirectory
from dlstbx_cli.services.errors import Misconfigured, Rejected
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.mimas import MimasService, RecipeScenarios

SCENARIO = {
    "dcid": "123",
    "event": "end",
    "dc_class": {"rotation": True},
    "beamline": "i15",
    "visit": "cm1-1",
    "detectorclass": "pilatus",
    "sweep_list": [[123, 1, 90]],
}
RECIPE: dict[str, Any] = {
    "1": {"queue": "mimas", "parameters": SCENARIO, "output": {"dispatcher": 2, "ispyb": 3}},
    "2": {"queue": "processing_recipe"},
    "3": {"queue": "ispyb_connector"},
}


@pytest.fixture
def service() -> MimasService:
    return MimasService(core.plan)


def wrapped(**changes: Any) -> Message:
    step = {**RECIPE["1"], **changes}
    body = {"recipe": {**RECIPE, "1": step}, "recipe-pointer": 1, "environment": {"ID": "guid"}}
    return Message(Queue("mimas"), body)


def test_a_plan_leaves_by_the_recipe_s_outputs(service: MimasService) -> None:
    results = service.handle(wrapped())
    assert [(one.destination.name, one.notes["rule"]) for one in results] == [
        *[("processing_recipe", "i15-end")] * 3,
        *[("ispyb_connector", "i15-end")] * 2,
    ]
    assert results[0].body["payload"] == {
        "recipes": ["processing-rlv"],
        "parameters": {"ispyb_dcid": 123},
    }
    assert results[3].body["payload"] == {
        "DCID": 123,
        "autostart": True,
        "recipe": "autoprocessing-multi-xia2-smallmolecule",
        "source": "automatic",
        "comment": "",
        "displayname": "xia2 dials",
        "parameters": ({"key": "absorption_level", "value": "medium"},),
        "sweeps": ({"DCID": 123, "start": 1, "end": 90},),
        "triggervariables": (),
    }
    assert all(one.body["environment"] == {"ID": "guid"} for one in results)


def test_a_bare_scenario_gives_simple_messages(service: MimasService) -> None:
    results = service.handle(Message(Queue("mimas"), SCENARIO))
    assert results[0].body == {"recipes": ["processing-rlv"], "parameters": {"ispyb_dcid": 123}}
    assert results[3].body["parameters"] == {"ispyb_command": "create_ispyb_job"}
    assert results[3].body["content"]["recipe"] == "autoprocessing-multi-xia2-smallmolecule"
    assert results[0].notes == {"rule": "i15-end", "event": "END", "beamline": "i15"}


def test_per_image_parameters_go_along_with_recipes(service: MimasService) -> None:
    more = {"filename": "x_1.cbf", "message_index": 0, "number_of_frames": None}
    results = service.handle(wrapped(parameters={**SCENARIO, **more}))
    assert results[0].body["payload"]["parameters"] == {
        "ispyb_dcid": 123,
        "filename": "x_1.cbf",
        "message_index": 0,
    }
    assert "filename" not in results[3].body["payload"]


def test_no_rule_no_messages(service: MimasService) -> None:
    assert service.handle(Message(Queue("mimas"), {**SCENARIO, "beamline": "b21"})) == []


def test_an_unnamed_output_is_the_dispatcher_s(service: MimasService) -> None:
    scenario = {**SCENARIO, "beamline": "i03", "dc_class": "gridscan", "detectorclass": "eiger"}
    results = service.handle(wrapped(output=2, parameters={**scenario, "event": "start"}))
    assert [one.body["payload"]["recipes"] for one in results] == [
        ["per-image-analysis-gridscan-i03-gpu"]
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (wrapped(output={"dispatcher": 2}), "no output 'ispyb'"),
        (wrapped(output={"ispyb": 3}), "no output 'dispatcher'"),
        (wrapped(parameters=[]), "parameters must be an object"),
        (wrapped(parameters={}), "dcid"),
        (Message(Queue("mimas"), "text"), "must be an object"),
        (Message(Queue("mimas"), {"ispyb_dcid": 5}), "look-up"),
        (
            Message(
                Queue("mimas"),
                {
                    **SCENARIO,
                    "beamline": "i19-2",
                    "dc_class": "serial_fixed",
                    "detectorclass": "eiger",
                    "sweep_list": [],
                },
            ),
            "DCID 123: .*i19-eiger-serial-end",
        ),
    ],
)
def test_rejected(service: MimasService, message: Message, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        service.handle(message)


class Lookup:
    """Answers as the look-up does, for one collection."""

    def __call__(self, request: Any) -> dict[str, Any]:
        parameters = {
            **request["parameters"],
            "ispyb_dc_class": {"rotation": True},
            "ispyb_beamline": "i15",
            "ispyb_visit": "cm1-1",
            "ispyb_dc_info": {"runStatus": "DataCollection Successful"},
            "ispyb_related_sweeps": [[123, 1, 90]],
            "ispyb_unit_cell": False,
            "ispyb_space_group": None,
            "ispyb_detectorclass": "pilatus",
            "ispyb_preferred_processing": "xia2/DIALS",
            "ispyb_diffraction_plan": None,
        }
        return {**request, "parameters": parameters}

    def several(self, requests: Any, names: Any) -> Any:
        return [self(request)["parameters"] for request in requests]

    def run_status(self, dcid: Any) -> str | None:
        return None


def test_the_preview_is_what_the_message_through_the_recipe_gives(service: MimasService) -> None:
    """One function behind both: the shipped recipe, filled in."""
    scenarios = RecipeScenarios(Lookup(), RecipeDirectory(SHIPPED))
    preview = MimasService(core.plan, scenarios)
    request = Message(Queue("mimas"), {"ispyb_dcid": 123, "event": "end"})
    assert preview.plan(request) == service.plan(
        wrapped(
            parameters={
                **SCENARIO,
                "run_status": "DataCollection Successful",
                "preferred_processing": "xia2/DIALS",
            }
        )
    )


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"1": {"queue": "other"}}', '{"1": {"queue": "mimas", "parameters": []}}'],
)
def test_a_recipe_mimas_that_is_none_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "mimas.json").write_text(text)
    with pytest.raises(Misconfigured, match="the recipe mimas"):
        RecipeScenarios(Lookup(), RecipeDirectory(tmp_path))(123)
