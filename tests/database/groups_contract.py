"""What every ISPyB must say of energy scans, models, pins, sample groups and events."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dlstbx_cli.database.lookup import Lookup
from tests.database.building import COLLECTION, ROWS, add, changed
from tests.database.collection_contract import Ispyb, look_up

#: Of the collection, in eV; single precision would be a tenth beside it.
ENERGY = 9667.0
WAVELENGTH = 12398.42 / ENERGY


def scan(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "energyScanId": number,
        "sessionId": 7,
        "blSampleId": 1,
        "element": "Zn",
        "peakEnergy": ENERGY,
        "peakFPrime": -7.0,
        "peakFDoublePrime": 4.0,
        "inflectionEnergy": ENERGY - 10,
        "inflectionFPrime": -10.0,
        "inflectionFDoublePrime": 2.5,
        **more,
    }


def seen(peak: float | None, inflection: float | None, number: int = 1, **more: Any) -> Any:
    energies = [None if edge is None else ENERGY + edge for edge in (peak, inflection)]
    return scan(number, peakEnergy=energies[0], inflectionEnergy=energies[1], **more)


def info(position: str, number: int = 1) -> dict[str, Any]:
    found = {"energyscanid": number, "atom_type": "Zn", "edge_position": position}
    f = {"peak": {"fp": -7.0, "fpp": 4.0}, "infl": {"fp": -10.0, "fpp": 2.5}}
    return {**found, **f.get(position, {})}


#: Samples 2 and 3 are of the same protein as sample 1, sample 4 of another.
SAMPLES = {
    "BLSample": [
        *ROWS["BLSample"],
        {"blSampleId": 2, "crystalId": 2},
        {"blSampleId": 3, "crystalId": 5},
        {"blSampleId": 4, "crystalId": 6},
        {"blSampleId": 5},
    ],
    "Crystal": [
        *ROWS["Crystal"],
        {"crystalId": 5, "proteinId": 3},
        {"crystalId": 6, "proteinId": 4},
    ],
}
SCANS: list[tuple[list[Any], dict[str, Any]]] = [
    ([], {}),
    # where on the edge
    ([seen(0, -10)], info("peak")),
    ([seen(20, 5)], info("infl")),
    ([seen(5, -5)], info("peak")),
    ([seen(-31, -40)], info("hrem")),
    ([seen(-29, -40)], info("peak")),
    ([seen(60, 31)], info("lrem")),
    ([seen(60, 29)], info("infl")),
    # null energies
    ([seen(None, -12)], info("infl")),
    ([seen(None, 40)], info("lrem")),
    ([seen(None, -40)], info("infl")),
    ([seen(12, None)], info("peak")),
    ([seen(-40, None)], info("hrem")),
    ([seen(40, None)], info("peak")),
    ([seen(None, None)], {}),
    ([seen(None, None), seen(500, 400, 2)], info("lrem", 2)),
    ([seen(0, -10, peakFPrime=None)], {**info("peak"), "fp": None}),
    # which scan
    ([seen(9, None), seen(8, None, 2), seen(None, -7, 3)], info("infl", 3)),
    ([seen(8, None), seen(8, None, 2)], info("peak")),
    ([seen(0, None, element=None)], {}),
    ([seen(0, None, element=""), seen(9, None, 2)], info("peak", 2)),
    ([seen(0, None, sessionId=8)], {}),
    ([seen(0, None, blSampleId=4)], {}),
    ([seen(0, None, blSampleId=5)], {}),
    ([seen(0, None, blSampleId=99)], {}),
    ([seen(0, None, blSampleId=None)], {}),
    # only if the sample has none: those of the same protein
    ([seen(9, None), seen(0, None, 2, blSampleId=2)], info("peak")),
    ([seen(9, None, blSampleId=3)], info("peak")),
    ([seen(9, None, blSampleId=3), seen(0, None, 2, blSampleId=2)], info("peak", 2)),
    ([seen(9, None, element=None), seen(0, None, 2, blSampleId=2)], info("peak", 2)),
]


class EnergyContract(Ispyb):
    """The energy scan nearest to the collection."""

    @pytest.mark.parametrize(("scans", "expected"), SCANS)
    def test_an_energy_scan(self, engine: Engine, scans: Any, expected: Any) -> None:
        add(engine, {**changed(ROWS, DataCollection={"wavelength": WAVELENGTH}), **SAMPLES})
        add(engine, {"EnergyScan": scans})
        assert look_up(engine)["ispyb_energy_scan_info"] == expected

    @pytest.mark.parametrize(("sample", "number"), [(1, 1), (3, 1), (4, None)])
    def test_a_scan_that_is_linked_with_its_sample(
        self, engine: Engine, sample: int, number: int | None
    ) -> None:
        add(engine, {**changed(ROWS, DataCollection={"wavelength": WAVELENGTH}), **SAMPLES})
        link = {"blSampleId": sample, "energyScanId": 1}
        add(engine, {"EnergyScan": [scan(blSampleId=None)], "BLSample_has_EnergyScan": [link]})
        assert look_up(engine)["ispyb_energy_scan_info"].get("energyscanid") == number

    @pytest.mark.parametrize(
        "changes",
        [
            {"DataCollection": {"wavelength": None}},
            {"DataCollection": {"wavelength": 0.0}},
            {"DataCollection": {"BLSAMPLEID": None}},
            {"DataCollection": {"SESSIONID": None}, "DataCollectionGroup": None},
        ],
    )
    def test_no_energy_scan(self, engine: Engine, changes: Any) -> None:
        add(engine, {**changed(ROWS, **changes), "EnergyScan": [scan()]})
        assert look_up(engine)["ispyb_energy_scan_info"] == {}

    @pytest.mark.parametrize(
        "changes", [{"DataCollectionGroup": None}, {"DataCollection": {"SESSIONID": None}}]
    )
    def test_the_session_is_the_groups_or_the_collections(
        self, engine: Engine, changes: Any
    ) -> None:
        add(engine, {**changed(ROWS, **changes), "EnergyScan": [scan()]})
        assert look_up(engine)["ispyb_energy_scan_info"]["energyscanid"] == 1

    def test_it_starts_from_the_collections_own_sample(self, engine: Engine) -> None:
        rows = changed(ROWS, DataCollection={"BLSAMPLEID": 4, "wavelength": WAVELENGTH})
        scans = [scan(), seen(9, None, 2, blSampleId=4)]
        add(engine, {**rows, **SAMPLES, "EnergyScan": scans})
        assert look_up(engine)["ispyb_energy_scan_info"] == info("peak", 2)


def linked(*entries: dict[str, Any], protein: int = 3) -> dict[str, Any]:
    pdb = [{"pdbId": number, **entry} for number, entry in enumerate(entries, 1)]
    links = [{"proteinid": protein, "pdbid": row["pdbId"]} for row in pdb]
    return {"PDB": pdb, "Protein_has_PDB": links}


def model(path: Any = None, code: str | None = None, source: str | None = None) -> dict[str, Any]:
    return {"filepath": None if path is None else str(path), "code": code, "source": source}


CONTENTS = "HEADER\nATOM ü % 'x'\n"
DIGEST = hashlib.sha1(CONTENTS.encode()).hexdigest()


class ModelContract(Ispyb):
    """The linked PDB entries, and the visit's own files."""

    @pytest.fixture
    def visit(self, tmp_path: Path) -> Path:
        """Return a visit that is really there: the fifth name of its path."""
        assert len(tmp_path.parts) == 5  # / tmp pytest-of-... pytest-N test_N
        visit = tmp_path / "cm14451-1"
        (visit / "processing" / "pdb").mkdir(parents=True)
        return visit

    def found(self, engine: Engine, visit: Path, *entries: Any, **changes: Any) -> Any:
        rows = changed(ROWS, DataCollection={"imageDirectory": f"{visit}/a/", **changes})
        add(engine, {**rows, **linked(*entries)})
        return look_up(engine)["ispyb_pdb"]

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ({"code": "1ABC", "source": "PDB"}, [model(code="1ABC", source="PDB")]),
            ({"code": "1abc", "contents": CONTENTS, "name": "x"}, [model(code="1abc")]),
            ({"code": "1-BC"}, []),
            ({"code": "1BC"}, []),
            ({"code": "1ÄBC"}, []),
            ({"code": "", "contents": ""}, []),
            ({"name": "x.pdb"}, []),
        ],
    )
    def test_a_code(self, engine: Engine, visit: Path, entry: Any, expected: Any) -> None:
        assert self.found(engine, visit, entry) == expected
        assert not (visit / "tmp").exists()

    @pytest.mark.parametrize(
        ("entry", "name"),
        [
            ({"name": "b.pdb"}, "b.pdb"),
            ({"name": "b.pdb", "code": "1-BC"}, "b.pdb"),
            ({"name": "../../evil/b.pdb"}, "b.pdb"),
            ({"name": "/etc/b.pdb"}, "b.pdb"),
            ({"name": "ä %d.pdb"}, "ä %d.pdb"),
        ],
    )
    def test_contents(self, engine: Engine, visit: Path, entry: Any, name: str) -> None:
        kept = visit / "tmp" / "pdb" / DIGEST / name
        entry = {**entry, "contents": CONTENTS, "source": "user"}
        assert self.found(engine, visit, entry) == [model(kept, source="user")]
        assert kept.read_bytes() == CONTENTS.encode()
        before = kept.stat()
        assert look_up(engine)["ispyb_pdb"] == [model(kept, source="user")]
        assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert list(kept.parent.iterdir()) == [kept]

    @pytest.mark.parametrize("name", [None, "", ".", "..", "x/", "n" * 254 + "ü"])
    def test_contents_that_cannot_be_named(
        self, engine: Engine, visit: Path, name: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        entries = [{"name": name, "contents": CONTENTS}, {"code": "1ABC"}]
        assert self.found(engine, visit, *entries) == [model(code="1ABC")]
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert not list(visit.rglob("*.part"))

    def test_contents_that_cannot_be_written(
        self, engine: Engine, visit: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (visit / "tmp").write_text("a file where a directory should be")
        assert self.found(engine, visit, {"name": "b.pdb", "contents": "ATOM"}) == []
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_entries_in_order_then_files_by_name(self, engine: Engine, visit: Path) -> None:
        directory = visit / "processing" / "pdb"
        for name in ("b.pdb", "a.pdb", "ä.pdb", "notes.txt", "x.PDB", ".pdb"):
            (directory / name).write_text("ATOM")
        entries = [{"code": "9XYZ"}, {"code": "1ABC"}]
        expected = [model(code="9XYZ"), model(code="1ABC")]
        files = [model(directory / name) for name in ("a.pdb", "b.pdb", "ä.pdb")]
        assert self.found(engine, visit, *entries) == [*expected, *files]

    def test_an_entry_that_is_linked_twice(self, engine: Engine, visit: Path) -> None:
        add(engine, {"Protein_has_PDB": [{"proteinid": 3, "pdbid": 1}]})
        assert self.found(engine, visit, {"code": "1ABC"}) == [model(code="1ABC")]

    def test_it_starts_from_the_collections_own_sample(self, engine: Engine, visit: Path) -> None:
        add(engine, {"BLSample": [{"blSampleId": 4}]})
        assert self.found(engine, visit, {"code": "1ABC"}, BLSAMPLEID=4) == []

    def test_without_a_visit_it_is_left_out(self, engine: Engine) -> None:
        rows = changed(ROWS, DataCollection={"imageDirectory": "/tmp/a"})
        add(engine, {**rows, **linked({"code": "1ABC"})})
        assert "ispyb_pdb" not in look_up(engine)


PIN = {"containerId": 5, "location": "3", "loopType": "multipin_8x"}


class PinContract(Ispyb):
    """The pin and its samples."""

    @pytest.mark.parametrize(
        ("own", "samples"),
        [
            ({"subLocation": 1}, {"1": 1, "2": 2, "null": 6}),
            ({"subLocation": 1, "loopType": "multipin"}, {"1": 1, "2": 2, "null": 6}),
            ({"subLocation": 1, "loopType": "a multipin"}, {}),
            ({"subLocation": 1, "loopType": "loop"}, {}),
            ({"subLocation": 1, "loopType": None}, {}),
            ({"subLocation": 1, "containerId": None}, {}),
            ({"subLocation": 1, "location": None}, {}),
        ],
    )
    def test_a_pin(self, engine: Engine, own: Any, samples: Any) -> None:
        others = [
            {"blSampleId": 2, **PIN, "subLocation": 2},
            {"blSampleId": 3, **PIN, "location": "4", "subLocation": 3},
            {"blSampleId": 4, **PIN, "containerId": 6, "subLocation": 4},
            {"blSampleId": 5},
            {"blSampleId": 6, **PIN, "loopType": None},
        ]
        rows = changed({**ROWS, "BLSample": [*ROWS["BLSample"], *others]}, BLSample={**PIN, **own})
        add(engine, rows)
        found = look_up(engine)
        assert found["ispyb_pin_info"] == {**PIN, **own}
        assert found["ispyb_msp_sample_ids"] == samples

    @pytest.mark.parametrize("sample", [None, 99])
    def test_without_a_sample(self, engine: Engine, sample: int | None) -> None:
        add(engine, changed(ROWS, DataCollection={"BLSAMPLEID": sample}, BLSample=PIN))
        found = look_up(engine)
        assert (found["ispyb_pin_info"], found["ispyb_msp_sample_ids"]) == ({}, {})


def collected(number: int, **more: Any) -> dict[str, Any]:
    """Return a collection, in the group of its number's tens."""
    group = number // 10
    return {**COLLECTION, "dataCollectionId": number, "dataCollectionGroupId": group, **more}


#: Collections 110 of sample 1, 120 of sample 2 and 130 of sample 9.
FACILITY = {
    **ROWS,
    "DataCollection": [COLLECTION, *(collected(number) for number in (110, 120, 130))],
    "DataCollectionGroup": [
        *ROWS["DataCollectionGroup"],
        {"dataCollectionGroupId": 11, "sessionId": 7, "blSampleId": 1},
        {"dataCollectionGroupId": 12, "sessionId": 7, "blSampleId": 2},
        {"dataCollectionGroupId": 13, "sessionId": 8, "blSampleId": 9},
    ],
    "BLSample": [*ROWS["BLSample"], {"blSampleId": 2}, {"blSampleId": 9, "name": "s9"}],
}
OF_SAMPLE = {"dcids": [100, 110], "sample_id": 1, "name": "s1"}


class SampleGroupContract(Ispyb):
    """The collections that are related by sample groups, sample or directory."""

    def related(self, engine: Engine, rows: Any, *more: Any) -> Any:
        members = [{"blSampleGroupId": group, "blSampleId": sample} for group, sample in more]
        groups = [{"blSampleGroupId": 78}, {"blSampleGroupId": 77, "name": "ä"}]
        known = {"BLSampleGroup": groups, "BLSampleGroup_has_BLSample": members}
        add(engine, {**rows, **known})
        return look_up(engine)["ispyb_related_dcids"]

    @pytest.mark.parametrize(
        ("members", "groups"),
        [
            ([], []),
            ([(77, 2)], []),
            ([(77, 1)], [(77, "ä", [100, 110])]),
            ([(77, 1), (77, 2)], [(77, "ä", [100, 110, 120])]),
            ([(77, 1), (77, 99)], [(77, "ä", [100, 110])]),
            (
                [(78, 9), (77, 2), (77, 1), (78, 1)],
                [(77, "ä", [100, 110, 120]), (78, None, [100, 110, 130])],
            ),
        ],
    )
    def test_sample_groups(self, engine: Engine, members: Any, groups: Any) -> None:
        expected = [
            {"dcids": dcids, "sample_group_id": number, "name": name}
            for number, name, dcids in groups
        ]
        assert self.related(engine, FACILITY, *members) == [*expected, OF_SAMPLE]

    def test_every_list_has_this_collection(self, engine: Engine) -> None:
        rows = changed(FACILITY, DataCollectionGroup={"blSampleId": None})
        assert self.related(engine, rows, (77, 1)) == [
            {"dcids": [100, 110], "sample_group_id": 77, "name": "ä"},
            OF_SAMPLE,
        ]

    @pytest.mark.parametrize("sample", [None, 99])
    def test_without_a_sample_the_others_in_its_directory(
        self, engine: Engine, sample: int | None
    ) -> None:
        directory = COLLECTION["imageDirectory"]
        rows = {
            **ROWS,
            "DataCollection": [
                {**COLLECTION, "BLSAMPLEID": sample},
                collected(105),
                collected(101),
                collected(102, imageDirectory=f"{directory}x/"),
                collected(103, imageDirectory=directory.upper()),  # type: ignore[attr-defined]
                collected(104, imageDirectory=None),
            ],
        }
        assert self.related(engine, rows, (77, 1)) == [{"dcids": [101, 105]}]

    @pytest.mark.parametrize("directory", [None, "/dls/i03/data/2016/cm14451-1/alone/"])
    def test_nobody_else_in_its_directory(self, engine: Engine, directory: Any) -> None:
        own = {"BLSAMPLEID": None, "imageDirectory": directory}
        rows = {**ROWS, "DataCollection": [{**COLLECTION, **own}, collected(101)]}
        assert self.related(engine, rows) == [{"dcids": []}]

    def test_sample_groups_of_the_visits_file(self, engine: Engine, tmp_path: Path) -> None:
        visit = tmp_path / "cm14451-1"
        (visit / "processing").mkdir(parents=True)
        text = "- [well_1, well_2]\n- [well_9]\n- [WELL_1]\n- [well_1, well_3, sub]\n"
        (visit / "processing" / "sample_groups.yml").write_text(text)
        places = {
            100: "a/well_1/",
            110: "a/well_2/sub",
            111: "well_20/",
            112: "well_2",
            113: "../x/well_2",
            114: "b/well_3/",
        }
        collections = [
            collected(number, imageDirectory=f"{visit}/{place}", SESSIONID=None)
            for number, place in places.items()
        ]
        elsewhere = [
            collected(130, imageDirectory=f"{visit}/well_2", SESSIONID=8),
            collected(131, imageDirectory=f"{visit}/well_2", SESSIONID=7),
            collected(115, imageDirectory="/dls/i03/data/2016/cm1-1/well_2"),
            collected(116, imageDirectory=None),
            collected(117, imageDirectory="well_2"),
        ]
        rows = {**FACILITY, "DataCollection": [*collections, *elsewhere]}
        by_file = [{"dcids": [100, 110, 112, 113, 131]}, {"dcids": [100, 110, 114]}]
        of_sample = {**OF_SAMPLE, "dcids": [100, *range(110, 118)]}
        assert self.related(engine, rows) == [*by_file, of_sample]
        # What ISPyB knows comes first.
        add(engine, {"BLSampleGroup_has_BLSample": [{"blSampleGroupId": 78, "blSampleId": 1}]})
        in_ispyb = {"sample_group_id": 78, "name": None, "dcids": [100, *range(110, 118)]}
        assert look_up(engine)["ispyb_related_dcids"] == [in_ispyb, of_sample]


def events(*repetitions: float | None, kind: str = "XrayDetection", dcid: int = 100) -> Any:
    chain = {"eventChainId": 5, "eventTypeId": 3, "offset": 0.5}
    return {
        "EventType": [{"eventTypeId": 3, "name": kind}],
        "EventChain": [{"eventChainId": 5, "dataCollectionId": dcid}],
        "Event": [
            {**chain, "eventId": number, "repetition": repetition}
            for number, repetition in enumerate(repetitions, 1)
        ],
    }


#: A serial collection has no axis that turns.
SERIAL = {"axisRange": 0.0}


class EventContract(Ispyb):
    """The events of rotation and serial collections."""

    @pytest.mark.parametrize(
        ("given", "shots", "number"),
        [
            ({}, None, None),
            (events(2.0, 3.0), 5.0, 2),
            (events(2.0, None), 2.0, 2),
            (events(None), None, 1),
            (events(0.0), None, 1),
            (events(4.0, kind="LaserExcitation"), None, 1),
            (events(4.0, dcid=101), None, None),
        ],
    )
    def test_events(self, engine: Engine, given: Any, shots: Any, number: int | None) -> None:
        add(engine, {**ROWS, **given})
        found = look_up(engine)
        assert found["ispyb_ssx_shots_per_image"] == shots
        assert (found["ispyb_ssx_events"] and len(found["ispyb_ssx_events"])) == number

    def test_an_event(self, engine: Engine) -> None:
        add(engine, {**ROWS, **events(2.0)})
        assert look_up(engine)["ispyb_ssx_events"] == [
            {
                "eventId": 1,
                "eventChainId": 5,
                "eventTypeId": 3,
                "offset": 0.5,
                "componentId": None,
                "name": None,
                "duration": None,
                "period": None,
                "repetition": 2.0,
                "eventType": "XrayDetection",
            }
        ]

    @pytest.mark.parametrize(
        ("changes", "kind", "there"),
        [
            ({}, "SAD", True),
            (SERIAL, "Serial Fixed", True),
            (SERIAL, "Serial Jet", True),
            ({**SERIAL, "numberOfImages": 1}, "Serial Jet", True),
            ({**SERIAL, "overlap": None}, "Serial Jet", True),
            ({"numberOfImages": None}, "SAD", True),
            ({"numberOfImages": 1}, "SAD", False),
            ({"overlap": 0.5}, "SAD", False),
            ({"overlap": None}, "SAD", False),
            (SERIAL, "SAD", False),
            (SERIAL, "Diamond Anvil High Pressure", False),
            ({"axisRange": None}, "SAD", False),
        ],
    )
    def test_kinds_that_have_them(
        self, engine: Engine, changes: Any, kind: str, there: bool
    ) -> None:
        group = {"experimentType": kind}
        add(engine, {**changed(ROWS, DataCollection=changes, DataCollectionGroup=group)})
        found = look_up(engine)
        for name in ("ispyb_ssx_events", "ispyb_ssx_shots_per_image"):
            assert (name in found) == there

    def test_a_grid_scan_has_none(self, engine: Engine) -> None:
        add(engine, {**ROWS, "GridInfo": [{"dataCollectionGroupId": 10}]})
        assert "ispyb_ssx_events" not in look_up(engine)

    @pytest.mark.parametrize(
        ("recipe", "request_", "there"),
        [
            ("x", {}, False),
            ("x", {"recipes": []}, False),
            ("x", {"recipes": ["y"]}, True),
            ("x", {"custom_recipe": {"1": {}}}, True),
            (None, {}, True),
        ],
    )
    def test_a_job_whose_recipe_is_taken_has_none(
        self, engine: Engine, recipe: Any, request_: Any, there: bool
    ) -> None:
        job = {"processingJobId": 5, "dataCollectionId": 100, "recipe": recipe}
        add(engine, {**ROWS, "ProcessingJob": [job], **events(1.0)})
        found = Lookup(engine)({**request_, "parameters": {"ispyb_process": 5}})
        assert ("ispyb_ssx_events" in found["parameters"]) == there
        assert "ispyb_related_dcids" in found["parameters"]
