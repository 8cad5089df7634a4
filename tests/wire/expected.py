"""What the demo facility's collection 993677 brings about, and what every message has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tests.wire.peer import Arrival

DCID = 993677
#: Where the demo recipes send their start to.
END = "demo.processing"
#: Recipes that run at the end of this collection (the rules' own tests say why these).
RUN = (
    "archive-nexus",
    "generate-diffraction-preview",
    "per-image-analysis-rotation-swmr",
    "processing-mmcif-gen",
    "processing-rlv-eiger",
)
_ONCE = ("autoprocessing-fast-dp-eiger",)
_TWICE = (
    "autoprocessing-autoPROC-eiger",
    "autoprocessing-multi-xia2-3dii-eiger",
    "autoprocessing-multi-xia2-dials-eiger",
    "autoprocessing-xia2-3dii-eiger",
    "autoprocessing-xia2-dials-eiger",
)
#: Recipes of its jobs. Those with a known space group are asked for once more with it.
JOBS = Counter([*_ONCE, *_TWICE, *_TWICE])
STARTED = JOBS + Counter(RUN)

#: The scenario that the recipe ``mimas`` carries, as looked up in the demo facility.
SCENARIO: Mapping[str, Any] = {
    "dcid": "993677",
    "event": "end",
    "dc_class": {
        "grid": False,
        "screen": False,
        "characterization": False,
        "rotation": True,
        "serial_fixed": False,
        "serial_jet": False,
        "diamond_anvil_cell": False,
    },
    "beamline": "i03",
    "visit": "mx37124-8",
    "run_status": "DataCollection Successful",
    "sweep_list": [[993677, 1, 3600], [993678, 1, 3600], [993679, 1, 3600]],
    "unit_cell": [53.4, 71.9, 72.3, 90.0, 90.0, 90.0],
    "space_group": "P212121",
    "detectorclass": "eiger",
    "preferred_processing": "xia2/DIALS",
    "diffraction_plan_info": None,
}
#: What the demo recipes are told of it, beside paths with the recipe's id in them.
TOLD: Mapping[str, Any] = {
    "dcid": "993677",
    "visit": "mx37124-8",
    "image_directory": "/dls/i03/data/2026/mx37124-8/CDK2/x014/",
    "image_template": "cdk2_x014_1_master.h5",
    "image_pattern": "cdk2_x014_1_master.h5",
}
_AREA = "/dls/i03/data/2026/mx37124-8"
IMAGES = f"{_AREA}/CDK2/x014/cdk2_x014_1_master.h5:1:3600"


def told(recipe: str, guid: str) -> dict[str, Any]:
    """Return the parameters of a demo recipe's step."""
    return {
        **TOLD,
        "recipe": recipe,
        "working_directory": f"{_AREA}/tmp/zocalo/CDK2/x014/cdk2_x014_1/{guid}",
        "results_directory": f"{_AREA}/processed/CDK2/x014/cdk2_x014_1/{guid}",
    }


def is_proper(arrival: Arrival, pointer: int, path: list[int]) -> None:
    """Check what every wrapped message of ours has, as workflows sees it."""
    assert arrival.header["workflows-recipe"] == "True"
    assert str(UUID(arrival.header["dlstbx-id"])) == arrival.header["dlstbx-id"]
    # Of the headers by which our own programs speak to each other, only what goes along.
    ours = {name for name in arrival.header if name.startswith("dlstbx-")}
    assert ours - {"dlstbx-rule"} == {"dlstbx-id"}
    wrapper = arrival.wrapped
    wrapper.recipe.validate()
    assert wrapper.recipe_pointer == pointer
    assert wrapper.recipe_path == path
    assert wrapper.recipe_step == wrapper.recipe[pointer]
    assert wrapper.payload == arrival.payload
    assert wrapper.environment.keys() == {"ID"}
    assert str(UUID(wrapper.environment["ID"])) == wrapper.environment["ID"]
