"""What the demo facility knows beside its collections: scans, models, sample groups, events."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from dlstbx_cli.database import demo_data
from dlstbx_cli.database.demo_data import Event, Model, Scan
from dlstbx_cli.database.demo_rows import (
    REGISTERED,
    SAMPLE_IDS,
    VISIT_IDS,
    Tables,
    Values,
    protein_ids,
)

_KINDS = ("XrayDetection", "LaserExcitation")


def tables(collections: Iterable[Values]) -> Tables:
    """Return the rows, which lead to rows of ``demo_rows``.

    :param collections: its DataCollection rows.
    """
    return {
        "EnergyScan": [_scan(number, scan) for number, scan in enumerate(demo_data.SCANS, 1)],
        **_models(),
        **_sample_groups(),
        "EventType": [
            {"eventTypeId": number, "name": kind} for number, kind in enumerate(_KINDS, 1)
        ],
        **_events(collections),
    }


def _scan(number: int, scan: Scan) -> Values:
    edges = {"peak": scan.peak, "inflection": scan.inflection}
    return {
        "energyScanId": number,
        "sessionId": VISIT_IDS[scan.visit],
        "blSampleId": SAMPLE_IDS[scan.sample],
        "element": scan.element,
        "startTime": REGISTERED,
        **{
            f"{edge}{what}": value
            for edge, values in edges.items()
            for what, value in zip(("Energy", "FPrime", "FDoublePrime"), values, strict=True)
        },
    }


def _models() -> Tables:
    proteins = protein_ids()
    return {
        "PDB": [_model(number, model) for number, model in enumerate(demo_data.MODELS, 1)],
        "Protein_has_PDB": [
            {"proteinhaspdbid": number, "proteinid": proteins[model.protein], "pdbid": number}
            for number, model in enumerate(demo_data.MODELS, 1)
        ],
    }


def _model(number: int, model: Model) -> Values:
    return {
        "pdbId": number,
        "name": model.name or model.code,
        "contents": model.contents,
        "code": model.code,
        "source": model.source,
    }


def _sample_groups() -> Tables:
    return {
        "BLSampleGroup": [
            {"blSampleGroupId": number, "name": name}
            for number, name in enumerate(demo_data.SAMPLE_GROUPS, 1)
        ],
        "BLSampleGroup_has_BLSample": [
            {"blSampleGroupId": number, "blSampleId": SAMPLE_IDS[sample], "groupOrder": place}
            for number, samples in enumerate(demo_data.SAMPLE_GROUPS.values(), 1)
            for place, sample in enumerate(samples, 1)
        ],
    }


def _events(collections: Iterable[Values]) -> Tables:
    """Return a chain of events for each collection of the groups that have some."""
    rows: Tables = {"EventChain": [], "Event": []}
    chains, events = count(1), count(1)
    for collection in collections:
        path = f"{collection['imageDirectory']}{collection['imagePrefix']}"
        for ending, happening in demo_data.EVENTS.items():
            if path.endswith(f"/{ending}"):
                chain = next(chains)
                dcid = collection["dataCollectionId"]
                rows["EventChain"].append({"eventChainId": chain, "dataCollectionId": dcid})
                rows["Event"] += [_event(next(events), chain, event) for event in happening]
    return rows


def _event(number: int, chain: int, event: Event) -> Values:
    return {
        "eventId": number,
        "eventChainId": chain,
        "eventTypeId": 1 + _KINDS.index(event.kind),
        "offset": event.offset,
        "duration": event.duration,
        "repetition": event.repetition,
    }
