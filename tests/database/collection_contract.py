"""What every ISPyB must say of a collection, its group and its processing jobs."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.tables import snapshot
from dlstbx_cli.services.errors import Rejected
from tests.database.building import COLLECTION, DIRECTORY, ROWS, add, changed

VISIT = "/dls/i03/data/2016/cm14451-1"
CELL = {
    "cell_a": 57.8,
    "cell_b": 58,
    "cell_c": 150.2,
    "cell_alpha": 90,
    "cell_beta": 90,
    "cell_gamma": 90,
}


def look_up(engine: Engine, **parameters: Any) -> dict[str, Any]:
    """Return what is looked up for the collection 100: plain JSON data."""
    result = Lookup(engine)({"parameters": {"ispyb_dcid": 100, "guid": "g", **parameters}})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    found: dict[str, Any] = result["parameters"]
    return found


def at(parameters: Any, path: str) -> Any:
    value = parameters
    for name in path.split("."):
        value = value[name]
    return value


def dc(**changes: Any) -> dict[str, Any]:
    return {"DataCollection": changes}


def group(**changes: Any) -> dict[str, Any]:
    return {"DataCollectionGroup": changes}


FILE = f"{DIRECTORY}tlys_1_0001.cbf"
CASES: list[Any] = [
    ({}, {"ispyb_dcid": 100, "guid": "g"}),
    # the collection and what it belongs to
    ({}, {"ispyb_beamline": "i03", "ispyb_dcg_experiment_type": "SAD"}),
    ({"BLSession": None}, {"ispyb_beamline": None}),
    (
        {"DataCollectionGroup": None},
        {
            "ispyb_beamline": None,
            "ispyb_dcg_experiment_type": None,
            "ispyb_space_group": None,
            "ispyb_protein_info": None,
            "ispyb_related_sweeps": [[100, 1, 3600]],
            "ispyb_images": "",
        },
    ),
    (group(experimentType=None), {"ispyb_dcg_experiment_type": None}),
    # the detector
    ({}, {"ispyb_detectorclass": "pilatus", "ispyb_detectorname": None}),
    (
        {**dc(detectorId=5), "Detector": {"detectorId": 5, "detectorModel": "Eiger2 XE 16M"}},
        {"ispyb_detectorclass": "eiger", "ispyb_detectorname": "Eiger16M"},
    ),
    (
        {**dc(detectorId=6), "Detector": {"detectorId": 5, "detectorModel": "Eiger2 XE 16M"}},
        {"ispyb_detectorclass": "pilatus", "ispyb_detectorname": None},
    ),
    (dc(fileTemplate=None), {"ispyb_detectorclass": None}),
    # images
    (
        {},
        {
            "ispyb_image_first": 1,
            "ispyb_image_last": 3600,
            "ispyb_image_template": "tlys_1_####.cbf",
            "ispyb_image_directory": DIRECTORY,
            "ispyb_image_pattern": "tlys_1_%04d.cbf",
            "ispyb_image": f"{FILE}:1:3600",
        },
    ),
    (
        dc(startImageNumber=0),
        {
            "ispyb_image_first": 0,
            "ispyb_image_last": 3599,
            "ispyb_image": f"{DIRECTORY}tlys_1_0000.cbf:0:3599",
            "ispyb_related_images": [[100, f"{DIRECTORY}tlys_1_0000.cbf"]],
        },
    ),
    (dc(startImageNumber=None), {"ispyb_image_first": None, "ispyb_image_last": None}),
    (dc(startImageNumber=None), {"ispyb_related_images": [[100, None]]}),
    (dc(startImageNumber=None), {"ispyb_related_sweeps": [[100, None, None]]}),
    (
        dc(numberOfImages=None),
        {"ispyb_image_first": 1, "ispyb_image_last": None, "ispyb_related_images": [[100, FILE]]},
    ),
    (dc(fileTemplate=None), {"ispyb_image_pattern": None, "ispyb_related_images": [[100, None]]}),
    (
        dc(fileTemplate="50%ä_##.cbf", imageDirectory="/dls/i03/data/2016/cm14451-1/ü%d"),
        {
            "ispyb_image_pattern": "50%%ä_%02d.cbf",
            "ispyb_image": "/dls/i03/data/2016/cm14451-1/ü%d/50%ä_01.cbf:1:3600",
            "ispyb_results_directory": f"{VISIT}/processed/ü%d/tlys_1/g",
        },
    ),
    (
        dc(fileTemplate="5%d_master.h5"),
        {
            "ispyb_image_pattern": "5%d_master.h5",
            "ispyb_image": f"{DIRECTORY}5%d_master.h5:1:3600",
        },
    ),
    # directories and names
    (
        {},
        {
            "ispyb_visit": "cm14451-1",
            "ispyb_visit_directory": VISIT,
            "ispyb_working_directory": f"{VISIT}/tmp/zocalo/20160114/tlys/tlys_1/g",
            "ispyb_results_directory": f"{VISIT}/processed/20160114/tlys/tlys_1/g",
            "ispyb_final_directory": f"{VISIT}/processed/pipeline-final/20160114/tlys/tlys_1/g",
            "ispyb_project": "cm14451v1",
            "ispyb_crystal": "xtlys1",
        },
    ),
    (
        dc(imagePrefix=None),
        {
            "ispyb_results_directory": f"{VISIT}/processed/20160114/tlys/_1/g",
            "ispyb_crystal": "DEFAULT",
        },
    ),
    (
        dc(dataCollectionNumber=None),
        {
            "ispyb_results_directory": f"{VISIT}/processed/20160114/tlys/tlys_/g",
            "ispyb_crystal": "DEFAULT",
        },
    ),
    (
        dc(imagePrefix=None, dataCollectionNumber=None),
        {"ispyb_results_directory": f"{VISIT}/processed/20160114/tlys/g"},
    ),
    *(
        (
            dc(imageDirectory=short),
            {
                "ispyb_image_directory": short,
                "ispyb_visit": None,
                "ispyb_visit_directory": None,
                "ispyb_working_directory": None,
                "ispyb_results_directory": None,
                "ispyb_final_directory": None,
                "ispyb_project": "AUTOMATIC",
                "ispyb_crystal": "xtlys1",
            },
        )
        for short in (None, "/dls/i03/data/2016/", "/tmp")
    ),
    # class and grid
    ({}, {"ispyb_dc_class.grid": False, "ispyb_dc_class.rotation": True}),
    (dc(overlap=None), {"ispyb_dc_class.rotation": None, "ispyb_dc_class.screen": True}),
    (dc(numberOfImages=None), {"ispyb_dc_class.screen": None}),
    (group(experimentType="Serial Jet"), {"ispyb_dc_class.serial_jet": True}),
    ({}, {"ispyb_dc_info.gridinfo": {}, "ispyb_dc_info.uuid": "g"}),
    (
        {"GridInfo": {"gridInfoId": 9, "dataCollectionId": 100, "steps_x": 30}},
        {"ispyb_dc_info.gridinfo.gridInfoId": 9, "ispyb_dc_class.grid": True},
    ),
    (
        {"GridInfo": {"gridInfoId": 9, "dataCollectionGroupId": 10, "dataCollectionId": 101}},
        {"ispyb_dc_info.gridinfo.gridInfoId": 9, "ispyb_dc_class.grid": True},
    ),
    (
        {"GridInfo": {"gridInfoId": 9, "dataCollectionGroupId": 11}},
        {"ispyb_dc_info.gridinfo": {}, "ispyb_dc_class.grid": False},
    ),
    (
        dc(startTime=datetime(2016, 10, 7, 11, 47, 13), flux=833107367454.3083, wavelength=None),
        {
            "ispyb_dc_info.startTime": "2016-10-07T11:47:13",
            "ispyb_dc_info.flux": 833107367454.3083,
            "ispyb_dc_info.wavelength": None,
            "ispyb_dc_info.endTime": None,
        },
    ),
    # sample
    ({}, {"ispyb_space_group": "P41212", "ispyb_unit_cell": False}),
    (
        {"Crystal": CELL},
        {"ispyb_unit_cell": [57.8, 58.0, 150.2, 90.0, 90.0, 90.0]},
    ),
    ({"Crystal": {**CELL, "cell_b": 0}}, {"ispyb_unit_cell": False}),
    ({"Crystal": {**CELL, "cell_gamma": None}}, {"ispyb_unit_cell": False}),
    (
        {"Crystal": {**CELL, "spaceGroup": None}},
        {"ispyb_space_group": None, "ispyb_unit_cell": None},
    ),
    ({"Crystal": {**CELL, "spaceGroup": ""}}, {"ispyb_space_group": None, "ispyb_unit_cell": None}),
    (
        {"Crystal": None},
        {"ispyb_space_group": None, "ispyb_unit_cell": None, "ispyb_protein_info": None},
    ),
    # the group's sample counts for the crystal, the collection's own for the SMILES
    (group(blSampleId=None), {"ispyb_space_group": None, "ispyb_protein_info": None}),
    (dc(BLSAMPLEID=None), {"ispyb_space_group": "P41212", "ispyb_smiles": None}),
    ({"BLSample": {"SMILES": "CCO"}}, {"ispyb_smiles": "CCO"}),
    ({**group(blSampleId=None), "BLSample": {"SMILES": "CCO"}}, {"ispyb_smiles": "CCO"}),
    ({}, {"ispyb_diffraction_plan": None}),
    (
        {
            "BLSample": {"diffractionPlanId": 4},
            "DiffractionPlan": {"diffractionPlanId": 4, "anomalousScatterer": "Se"},
        },
        {
            "ispyb_diffraction_plan.anomalousScatterer": "Se",
            "ispyb_diffraction_plan.energy": None,
        },
    ),
    (
        {"Protein": {"acronym": "tlys", "global": 1, "externalId": b"\xff" * 16}},
        {"ispyb_protein_info.acronym": "tlys", "ispyb_protein_info.global_": 1},
    ),
    # preferred pipeline
    ({}, {"ispyb_preferred_processing": "xia2/DIALS"}),
    (
        {
            "BLSample": {"containerId": 8},
            "Container": {"containerId": 8, "priorityPipelineId": 3},
            "ProcessingPipeline": {"processingPipelineId": 3, "name": "autoPROC", "discipline": ""},
        },
        {"ispyb_preferred_processing": "autoPROC"},
    ),
    (
        {
            **dc(BLSAMPLEID=None),
            "BLSample": {"containerId": 8},
            "Container": {"containerId": 8, "priorityPipelineId": 3},
            "ProcessingPipeline": {"processingPipelineId": 3, "name": "autoPROC", "discipline": ""},
        },
        {"ispyb_preferred_processing": "xia2/DIALS"},
    ),
    (
        {
            "BLSample": {"containerId": 8},
            "Container": {"containerId": 8, "priorityPipelineId": None},
        },
        {"ispyb_preferred_processing": "xia2/DIALS"},
    ),
    # nobody else in the group
    ({}, {"ispyb_dcg_dcids": [], "ispyb_images": "", "ispyb_related_sweeps": [[100, 1, 3600]]}),
]

SECOND = {**COLLECTION, "dataCollectionId": 99, "fileTemplate": "tlys_2_####.cbf"}
GRID = {**COLLECTION, "dataCollectionId": 101, "axisRange": 0.0}
THIRD = {**COLLECTION, "dataCollectionId": 103, "fileTemplate": "tlys_3_master.h5"}
VAGUE = {**COLLECTION, "dataCollectionId": 104, "fileTemplate": None}
ELSEWHERE = {**COLLECTION, "dataCollectionId": 102, "dataCollectionGroupId": 11}
OTHERS = [THIRD, SECOND, GRID, ELSEWHERE, VAGUE]
IMAGES = f"{DIRECTORY}tlys_2_0001.cbf:1:3600,{DIRECTORY}tlys_3_master.h5:1:3600"

JOB = {
    "ProcessingJob": [
        {
            "processingJobId": 5,
            "dataCollectionId": 100,
            "displayName": "xia2",
            "recipe": "autoprocessing-xia2-dials",
            "automatic": 1,
            "recordTimestamp": datetime(2017, 10, 16, 11, 2, 12),
        },
        {"processingJobId": 6, "dataCollectionId": None, "recipe": None},
    ],
    "ProcessingJobParameter": [
        {"processingJobId": 5, "parameterKey": "b", "parameterValue": "1"},
        {"processingJobId": 5, "parameterKey": "a", "parameterValue": "x"},
        {"processingJobId": 5, "parameterKey": "b", "parameterValue": "2"},
        {"processingJobId": 5, "parameterKey": None, "parameterValue": "3"},
        {"processingJobId": 5, "parameterKey": "null", "parameterValue": None},
        {"processingJobId": 7, "parameterKey": "other", "parameterValue": "1"},
    ],
    "ProcessingJobImageSweep": [
        {"processingJobId": 5, "dataCollectionId": 100, "startImage": 271, "endImage": 360},
        {"processingJobId": 5, "dataCollectionId": 99, "startImage": 0, "endImage": 270},
        {"processingJobId": 5, "dataCollectionId": 103, "startImage": 1, "endImage": 5},
        {"processingJobId": 5, "dataCollectionId": 103, "startImage": None, "endImage": 5},
        {"processingJobId": 7, "dataCollectionId": 103, "startImage": 1, "endImage": 5},
    ],
}
REPROCESSED = {**ROWS, **JOB, "DataCollection": [COLLECTION, *OTHERS]}

IMAGES_CASES: list[Any] = [
    ({}, {}, IMAGES),
    ({}, {"overlap": 1.0, "experiment_type": "Serial Jet"}, IMAGES),
    ({}, {"numberOfImages": None}, IMAGES),
    ({}, {"overlap": 1.0}, ""),
    ({}, {"overlap": None}, ""),
    ({}, {"imageDirectory": "/dls/mx/data/mx1/mx1-2/a"}, ""),
    ({}, {"imageDirectory": "/dls/mxx/data/mx1/mx1-2/a"}, IMAGES),
    ({"ispyb_images": "a:1:2"}, {}, "a:1:2"),
    ({"ispyb_images": ""}, {}, ""),
    ({"ispyb_images": None}, {}, IMAGES),
]
#: What a job without a collection has.
OWN = {
    "ispyb_process",
    "ispyb_processing_job",
    "ispyb_processing_parameters",
    "ispyb_reprocessing_parameters",
    "ispyb_images",
}


class Ispyb:
    """Gives an empty ISPyB; each database has its own."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError


class CollectionContract(Ispyb):
    """The parameters of a data collection, its sample and its group."""

    @pytest.mark.parametrize(("changes", "expected"), CASES)
    def test_a_value(self, engine: Engine, changes: Any, expected: Any) -> None:
        add(engine, changed(ROWS, **changes))
        parameters = look_up(engine)
        assert {path: at(parameters, path) for path in expected} == expected

    @pytest.mark.parametrize(
        "changes", [dc(startImageNumber=None), dc(numberOfImages=None), dc(fileTemplate=None)]
    )
    def test_no_image_without_numbers_and_template(self, engine: Engine, changes: Any) -> None:
        add(engine, changed(ROWS, **changes))
        assert "ispyb_image" not in look_up(engine)

    def test_next_to_nothing_is_known(self, engine: Engine) -> None:
        nothing = {"dataCollectionId": 100, "dataCollectionGroupId": 10}
        add(engine, {**ROWS, "DataCollection": [COLLECTION, {**nothing, "dataCollectionId": 101}]})
        full = look_up(engine)
        bare = look_up(engine, ispyb_dcid=101)
        # These are left out where they do not apply; everything else is always there.
        assert set(full) - set(bare) == {
            "ispyb_image",
            "ispyb_pdb",
            "ispyb_ssx_events",
            "ispyb_ssx_shots_per_image",
        }

    def test_rows_have_the_columns_of_the_snapshot(self, engine: Engine) -> None:
        add(engine, ROWS)
        parameters = look_up(engine)
        names = [column["name"] for column in snapshot()["DataCollection"]]
        assert list(parameters["ispyb_dc_info"]) == [*names, "uuid", "gridinfo"]
        assert "externalId" not in parameters["ispyb_protein_info"]
        assert "global" not in parameters["ispyb_protein_info"]
        assert len(parameters["ispyb_protein_info"]) == len(snapshot()["Protein"]) - 1

    def test_the_collections_own_grid_comes_before_its_groups(self, engine: Engine) -> None:
        grids = [
            {"gridInfoId": 1, "dataCollectionGroupId": 10},
            {"gridInfoId": 2, "dataCollectionId": 100, "dataCollectionGroupId": 10},
            {"gridInfoId": 3, "dataCollectionId": 100},
        ]
        add(engine, {**ROWS, "GridInfo": grids})
        assert look_up(engine)["ispyb_dc_info"]["gridinfo"]["gridInfoId"] == 2

    def test_single_precision_has_six_digits(self, engine: Engine) -> None:
        add(engine, changed(ROWS, DataCollection={"wavelength": 0.97625351, "axisEnd": 16777216.0}))
        info = look_up(engine)["ispyb_dc_info"]
        assert (info["wavelength"], info["axisEnd"]) == (0.976254, 16777200.0)

    def test_related_collections(self, engine: Engine) -> None:
        add(engine, {**ROWS, "DataCollection": [COLLECTION, *OTHERS]})
        parameters = look_up(engine)
        assert parameters["ispyb_dcg_dcids"] == [99, 101, 103, 104]
        assert parameters["ispyb_related_sweeps"] == [
            [dcid, 1, 3600] for dcid in (99, 100, 101, 103, 104)
        ]
        assert parameters["ispyb_related_images"] == [
            [99, f"{DIRECTORY}tlys_2_0001.cbf"],
            [100, FILE],
            [101, FILE],
            [103, f"{DIRECTORY}tlys_3_master.h5"],
            [104, None],
        ]

    @pytest.mark.parametrize(("given", "changes", "expected"), IMAGES_CASES)
    def test_images_of_the_other_rotations(
        self, engine: Engine, given: Any, changes: Any, expected: str
    ) -> None:
        experiment_type = changes.get("experiment_type", "SAD")
        own = {key: value for key, value in changes.items() if key != "experiment_type"}
        rows = {**ROWS, "DataCollection": [{**COLLECTION, **own}, *OTHERS]}
        add(engine, changed(rows, DataCollectionGroup={"experimentType": experiment_type}))
        assert look_up(engine, **given)["ispyb_images"] == expected

    def test_what_the_request_gives_is_kept(self, engine: Engine) -> None:
        add(engine, ROWS)
        found = look_up(engine, ispyb_dcid="100", event="end", ispyb_image="/a/b.cbf:1:2")
        assert (found["ispyb_dcid"], found["event"]) == ("100", "end")
        assert found["ispyb_image"] == "/a/b.cbf:1:2"

    def test_the_uuid_is_the_guid_or_a_new_one(self, engine: Engine) -> None:
        add(engine, ROWS)
        found = [Lookup(engine)({"parameters": {"ispyb_dcid": 100}})["parameters"] for _ in "ab"]
        ids = [parameters["ispyb_dc_info"]["uuid"] for parameters in found]
        assert ids[0] != ids[1]
        for parameters, id_ in zip(found, ids, strict=True):
            assert str(uuid.UUID(id_)) == id_
            for area in ("working", "results", "final"):
                assert parameters[f"ispyb_{area}_directory"].endswith(f"/tlys_1/{id_}")
            assert "guid" not in parameters

    @pytest.mark.parametrize("dcid", [101, "999", 2**32 - 1])
    def test_an_unknown_dcid(self, engine: Engine, dcid: Any) -> None:
        add(engine, ROWS)
        lookup = Lookup(engine)
        with pytest.raises(Rejected, match=f"DCID {dcid} is not in ISPyB"):
            lookup({"parameters": {"ispyb_dcid": dcid}})
        with pytest.raises(Rejected, match=f"DCID {dcid} is not in ISPyB"):
            lookup.run_status(dcid)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"imageDirectory": "data/a"}, "the image directory is not absolute: 'data/a'"),
            ({"imageDirectory": "/dls/i03/data/2016/cm1-1/../../x"}, "leads elsewhere"),
            ({"imagePrefix": "a/../../b"}, "the image prefix leads elsewhere"),
        ],
    )
    def test_directories_that_are_no_use(self, engine: Engine, changes: Any, reason: str) -> None:
        add(engine, changed(ROWS, DataCollection=changes))
        with pytest.raises(Rejected, match=f"^DCID 100: .*{reason}"):
            look_up(engine)

    @pytest.mark.parametrize("status", [None, "", "DataCollection Successful"])
    def test_run_status(self, engine: Engine, status: str | None) -> None:
        add(engine, changed(ROWS, DataCollection={"runStatus": status}))
        assert Lookup(engine).run_status(100) == status
        assert Lookup(engine).run_status("100") == status


def reprocess(engine: Engine, request: Any = None, **parameters: Any) -> dict[str, Any]:
    result = Lookup(engine)({**(request or {}), "parameters": parameters})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


class ReprocessingContract(Ispyb):
    """The parameters of a processing job."""

    @pytest.fixture
    def ispyb(self, engine: Engine) -> Engine:
        """Return an ISPyB with two jobs, one of them of no collection."""
        add(engine, REPROCESSED)
        return engine

    def test_reprocessing(self, ispyb: Engine) -> None:
        parameters = reprocess(ispyb, ispyb_process=5)["parameters"]
        expected = {
            "ispyb_process": 5,
            "ispyb_dcid": 100,
            "ispyb_processing_job": {
                "processingJobId": 5,
                "recordTimestamp": "2017-10-16T11:02:12",
                "dataCollectionId": 100,
                "displayName": "xia2",
                "comments": None,
                "recipe": "autoprocessing-xia2-dials",
                "automatic": 1,
            },
            "ispyb_processing_parameters": {"b": ["1", "2"], "a": ["x"], "null": [None]},
            "ispyb_reprocessing_parameters": {"b": "2", "a": "x", "null": None},
            "ispyb_images": f"{DIRECTORY}tlys_1_0271.cbf:271:360,{DIRECTORY}tlys_2_0000.cbf:0:270,"
            f"{DIRECTORY}tlys_3_master.h5:1:5",
            "ispyb_visit": "cm14451-1",
        }
        assert {key: parameters[key] for key in expected} == expected

    def test_the_older_name(self, ispyb: Engine) -> None:
        result = reprocess(ispyb, ispyb_reprocessing_id="5")
        assert result["parameters"]["ispyb_process"] == "5"
        assert result["parameters"]["ispyb_reprocessing_id"] == "5"
        assert result["parameters"]["ispyb_dcid"] == 100

    def test_the_request_names_the_collection(self, ispyb: Engine) -> None:
        result = reprocess(ispyb, ispyb_process=5, ispyb_dcid=99)
        assert result["parameters"]["ispyb_dc_info"]["dataCollectionId"] == 99

    def test_a_job_without_a_collection(self, ispyb: Engine) -> None:
        result = reprocess(ispyb, ispyb_process=6)
        assert set(result) == {"parameters"}
        assert set(result["parameters"]) == OWN
        assert result["parameters"]["ispyb_images"] == ""
        assert result["parameters"]["ispyb_processing_parameters"] == {}

    def test_the_empty_text_of_a_job_without_sweeps_stays(self, ispyb: Engine) -> None:
        result = reprocess(ispyb, ispyb_process=6, ispyb_dcid=100)
        assert result["parameters"]["ispyb_images"] == ""
        assert result["parameters"]["ispyb_dcg_dcids"] == [99, 101, 103, 104]

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            ({}, {"recipes": ["ispyb-autoprocessing-xia2-dials"]}),
            ({"recipes": []}, {"recipes": ["ispyb-autoprocessing-xia2-dials"]}),
            ({"recipes": ["mine"]}, {"recipes": ["mine"]}),
            ({"custom_recipe": {"1": {}}}, {"custom_recipe": {"1": {}}}),
        ],
    )
    def test_the_recipe_of_the_job(self, ispyb: Engine, request_: Any, expected: Any) -> None:
        result = reprocess(ispyb, request_, ispyb_process=5)
        del result["parameters"]
        assert result == expected

    @pytest.mark.parametrize("key", ["ispyb_process", "ispyb_reprocessing_id"])
    def test_an_unknown_job(self, ispyb: Engine, key: str) -> None:
        with pytest.raises(Rejected, match="processing job 8 is not in ISPyB"):
            reprocess(ispyb, **{key: 8})

    def test_the_job_of_an_unknown_collection(self, engine: Engine) -> None:
        add(engine, changed(REPROCESSED, ProcessingJob={"dataCollectionId": 555}))
        with pytest.raises(Rejected, match="DCID 555 is not in ISPyB"):
            reprocess(engine, ispyb_process=5)
