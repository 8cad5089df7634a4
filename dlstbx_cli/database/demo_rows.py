"""From the tables of the demo facility to rows of ISPyB's: the same ones every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from dlstbx_cli.database import demo_data
from dlstbx_cli.database.demo_data import DETECTORS, KINDS, Group, Sample, Visit
from dlstbx_cli.database.sample import CELL

#: A row to be written, by column name.
Values = dict[str, Any]
#: Rows by table, in an order in which they can be written.
Tables = dict[str, list[Values]]

Item = TypeVar("Item")

_VISITS = {visit.name: visit for visit in demo_data.VISITS}
#: The numbers of visits and samples, by name.
VISIT_IDS = {visit.name: number for number, visit in enumerate(demo_data.VISITS, 1)}
SAMPLE_IDS = {sample.name: number for number, sample in enumerate(demo_data.SAMPLES, 1)}
_DETECTOR_IDS = {key: number for number, key in enumerate(DETECTORS, 1)}
_PIPELINE_IDS = {name: number for number, name in enumerate(demo_data.PIPELINES, 1)}
#: When everything was registered that is no collection.
REGISTERED = datetime(2026, 1, 5, 9)
_BETWEEN = timedelta(minutes=7)


def tables() -> Tables:
    """Return the rows of the demo facility."""
    return {
        "Proposal": [_proposal(visit) for visit in demo_data.VISITS],
        "BLSession": [_session(visit) for visit in demo_data.VISITS],
        "ProcessingPipeline": [_pipeline(name) for name in demo_data.PIPELINES],
        "Detector": [_detector(key) for key in DETECTORS],
        **_samples(),
        **_collections(),
    }


def protein_ids() -> dict[str, int]:
    """Return the numbers of the proteins, by name."""
    return {name: number for number, name in _numbered(s.protein for s in demo_data.SAMPLES)}


def _numbered(items: Iterable[Item]) -> Iterator[tuple[int, Item]]:
    return enumerate(dict.fromkeys(items), 1)


def _proposal(visit: Visit) -> Values:
    code = visit.name.partition("-")[0]
    return {
        "proposalId": VISIT_IDS[visit.name],
        "bltimeStamp": REGISTERED,
        "title": visit.title,
        "proposalCode": code[:2],
        "proposalNumber": code[2:],
    }


def _session(visit: Visit) -> Values:
    start = _first_shift(visit)
    return {
        "sessionId": VISIT_IDS[visit.name],
        "proposalId": VISIT_IDS[visit.name],
        "bltimeStamp": REGISTERED,
        "lastUpdate": REGISTERED,
        "startDate": start,
        "endDate": start + timedelta(days=1),
        "beamLineName": visit.beamline,
        "visit_number": int(visit.name.partition("-")[2]),
    }


def _first_shift(visit: Visit) -> datetime:
    return datetime.fromisoformat(visit.start) + timedelta(hours=9)


def _pipeline(name: str) -> Values:
    return {"processingPipelineId": _PIPELINE_IDS[name], "name": name, "discipline": "MX"}


def _detector(key: str) -> Values:
    detector = DETECTORS[key]
    return {
        "detectorId": _DETECTOR_IDS[key],
        "detectorType": "Photon counting",
        "detectorManufacturer": detector.manufacturer,
        "detectorModel": detector.model,
        "numberOfPixelsX": detector.pixels[0],
        "numberOfPixelsY": detector.pixels[1],
    }


def _samples() -> Tables:
    """Return proteins, crystals, plans, pucks (one for each owner and pipeline) and samples."""
    owners = {group.sample: group.visit for group in reversed(demo_data.GROUPS)}
    samples = [(sample, owners[sample.name]) for sample in demo_data.SAMPLES]
    proteins = protein_ids()
    pucks = {puck: n for n, puck in _numbered((owner, s.pipeline) for s, owner in samples)}
    owner_of = {sample.protein: owner for sample, owner in reversed(samples)}
    return {
        "Protein": [_protein(name, number, owner_of[name]) for name, number in proteins.items()],
        "Crystal": [_crystal(sample, proteins[sample.protein]) for sample in demo_data.SAMPLES],
        "DiffractionPlan": [_plan(sample) for sample in demo_data.SAMPLES if sample.scatterer],
        "Container": [_puck(number, *puck) for puck, number in pucks.items()],
        "BLSample": [_sample(sample, pucks[owner, sample.pipeline]) for sample, owner in samples],
    }


def _protein(name: str, number: int, owner: str) -> Values:
    return {
        "proteinId": number,
        "proposalId": VISIT_IDS[owner],
        "bltimeStamp": REGISTERED,
        "name": name,
        "acronym": name,
    }


def _crystal(sample: Sample, protein: int) -> Values:
    return {
        "crystalId": SAMPLE_IDS[sample.name],
        "proteinId": protein,
        "recordTimeStamp": REGISTERED,
        "spaceGroup": sample.space_group,
        **dict(zip(CELL, sample.cell or [None] * len(CELL), strict=True)),
    }


def _plan(sample: Sample) -> Values:
    return {
        "diffractionPlanId": SAMPLE_IDS[sample.name],
        "recordTimeStamp": REGISTERED,
        "experimentKind": "SAD",
        "anomalousScatterer": sample.scatterer,
    }


def _puck(number: int, owner: str, pipeline: str) -> Values:
    return {
        "containerId": number,
        "code": f"{owner.upper()}-P{number:02d}",
        "containerType": "Puck",
        "capacity": 16,
        "bltimeStamp": REGISTERED,
        "beamlineLocation": _VISITS[owner].beamline,
        "priorityPipelineId": _PIPELINE_IDS[pipeline],
    }


def _sample(sample: Sample, puck: int) -> Values:
    number = SAMPLE_IDS[sample.name]
    return {
        "blSampleId": number,
        "recordTimeStamp": REGISTERED,
        "diffractionPlanId": number if sample.scatterer else None,
        "crystalId": number,
        "containerId": puck,
        "name": sample.name,
        "location": str(1 + number % 16) if sample.pin is None else sample.pin[0],
        "subLocation": None if sample.pin is None else sample.pin[1],
        "loopType": None if sample.pin is None else "multipin_6x",
        "SMILES": sample.smiles,
    }


def _collections() -> Tables:
    rows: Tables = {"DataCollectionGroup": [], "DataCollection": [], "GridInfo": []}
    dcids = count(demo_data.FIRST_DCID)
    clocks = {visit.name: _first_shift(visit) for visit in demo_data.VISITS}
    for number, group in enumerate(demo_data.GROUPS, demo_data.FIRST_GROUP):
        rows["DataCollectionGroup"].append(_group(group, number, clocks[group.visit]))
        for place in range(1, group.collections + 1):
            dcid, start = next(dcids), clocks[group.visit]
            clocks[group.visit] += _BETWEEN
            rows["DataCollection"].append(_collection(group, number, dcid, place, start))
            if isinstance(group.images, tuple):
                rows["GridInfo"].append(_grid(group.images, number, dcid, start))
    return rows


def _group(group: Group, number: int, start: datetime) -> Values:
    return {
        "dataCollectionGroupId": number,
        "sessionId": VISIT_IDS[group.visit],
        "blSampleId": SAMPLE_IDS.get(group.sample or ""),
        "experimentType": KINDS[group.kind].experiment_type,
        "startTime": start,
    }


def _collection(group: Group, number: int, dcid: int, place: int, start: datetime) -> Values:
    kind, visit = KINDS[group.kind], _VISITS[group.visit]
    images = group.images if isinstance(group.images, int) else group.images[0] * group.images[1]
    running = group.running and place == group.collections
    # Each further sweep of a group begins where another orientation does.
    first_angle = 30.0 * (place - 1)
    return {
        "dataCollectionId": dcid,
        "dataCollectionGroupId": number,
        "SESSIONID": VISIT_IDS[group.visit],
        "BLSAMPLEID": SAMPLE_IDS.get(group.sample or ""),
        "dataCollectionNumber": place,
        "startTime": start,
        "endTime": None if running else start + timedelta(seconds=round(images * kind.exposure)),
        "runStatus": None if running else "DataCollection Successful",
        "axisStart": first_angle,
        "axisEnd": first_angle + kind.width * images,
        "axisRange": kind.width,
        "overlap": kind.overlap,
        "numberOfImages": images,
        "startImageNumber": 1,
        "exposureTime": kind.exposure,
        "wavelength": visit.wavelength,
        "detectorId": _DETECTOR_IDS.get(group.detector or ""),
        **_files(group, visit, place),
    }


def _files(group: Group, visit: Visit, place: int) -> Values:
    directory, _, prefix = group.path.rpartition("/")
    root = visit.directory or f"/dls/{visit.beamline}/data/{visit.start[:4]}/{visit.name}"
    suffix = DETECTORS[group.detector].suffix if group.detector else "cbf"
    ending = "master.h5" if suffix == "h5" else "#####.cbf"
    return {
        "imageDirectory": f"{root}/{directory}/",
        "imagePrefix": prefix,
        "imageSuffix": suffix,
        "fileTemplate": f"{prefix}_{place}_{ending}",
    }


def _grid(size: tuple[int, int], number: int, dcid: int, start: datetime) -> Values:
    return {
        "recordTimeStamp": start,
        "dx_mm": 0.02,
        "dy_mm": 0.02,
        "steps_x": float(size[0]),
        "steps_y": float(size[1]),
        "orientation": "horizontal",
        "snaked": 1,
        "dataCollectionId": dcid,
        "dataCollectionGroupId": number,
    }
