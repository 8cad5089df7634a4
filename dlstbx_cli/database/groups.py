"""The parameters that are lists of other samples and collections: pins, sample groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database import kin, visit_yaml
from dlstbx_cli.database.rows import Row

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry
    from dlstbx_cli.database.paths import VisitPath

#: What the parameter ``ispyb_pin_info`` says of a sample.
PIN = ("containerId", "location", "subLocation", "loopType")
#: How the loop types of pins begin that hold several samples.
_MULTIPIN = "multipin"

#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_pin_info": "BLSample.containerId, location, subLocation and loopType of the"
    " collection's own sample",
    "ispyb_msp_sample_ids": "BLSample.blSampleId by subLocation, at the container and location of"
    " the own sample, if its loopType begins with multipin",
    "ispyb_related_dcids": "BLSampleGroup of the own sample, else"
    " VISIT/processing/sample_groups.yml; then the own sample, else the image directory",
}

#: Numbers with a key, a name and a directory, by heading; see ``kin.query``.
Lists = dict[int, list[Row]]


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group."""
    sample = inquiry.joined["sample"]
    named = _named_groups(inquiry)
    lists = _lists(inquiry, sample, by_file=bool(named))
    pins = lists[kin.PIN]
    sample_groups, by_group = _sample_groups(inquiry, lists, named)
    nearest, by_sample = _nearest(inquiry, sample, lists)
    inquiry.note("ispyb_related_dcids", "; ".join(filter(None, (by_group, by_sample))))
    return {
        "ispyb_pin_info": {} if sample is None else {name: sample[name] for name in PIN},
        # JSON has keys of text only, and writes null for none.
        "ispyb_msp_sample_ids": {_json_key(pin["key"]): pin["number"] for pin in pins},
        "ispyb_related_dcids": [*sample_groups, nearest],
    }


def _lists(inquiry: Inquiry, sample: Row | None, *, by_file: bool) -> Lists:
    directory = inquiry.collection["imageDirectory"] if sample is None else None
    is_multipin = sample is not None and (sample["loopType"] or "").startswith(_MULTIPIN)
    pin = sample if sample is not None and is_multipin else {}
    wanted = {
        "sample": sample and sample["blSampleId"],
        "directory": directory,
        "session": inquiry.session if by_file else None,
        "container": pin.get("containerId"),
        "location": pin.get("location"),
    }
    lists: Lists = {heading: [] for heading in range(kin.GROUP, kin.PIN + 1)}
    if any(value is not None for value in wanted.values()):
        for joined in inquiry.rows(kin.query, **wanted):
            row = joined["kin"] or {}
            lists[row["heading"]].append(row)
    return lists


def _json_key(value: int | None) -> str:
    return "null" if value is None else str(value)


def _named_groups(inquiry: Inquiry) -> list[frozenset[str]]:
    """Return the groups of ``sample_groups.yml`` that the collection is in."""
    if inquiry.visit is None or inquiry.contents.sample_groups is None:
        return []
    groups = visit_yaml.sample_groups(inquiry.contents.sample_groups)
    return [names for names in groups if not names.isdisjoint(inquiry.visit.rest)]


def _sample_groups(
    inquiry: Inquiry, lists: Lists, named: list[frozenset[str]]
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the sample groups that ISPyB knows, else those of the visit's file; and which."""
    members: dict[tuple[int, str | None], list[int | None]] = {}
    for row in lists[kin.GROUP]:
        members.setdefault((row["key"], row["name"]), []).append(row["number"])
    if members:
        known = [
            {"dcids": _with(inquiry.dcid, dcids), "sample_group_id": number, "name": name}
            for (number, name), dcids in members.items()
        ]
        return known, "BLSampleGroup of the own sample: collections of its samples"
    if not named or inquiry.visit is None or inquiry.contents.sample_groups is None:
        return [], None
    origin = f"{inquiry.contents.sample_groups.path}: directories in the same session"
    return [
        {"dcids": _with(inquiry.dcid, _called(names, lists[kin.SESSION], inquiry.visit))}
        for names in named
    ], origin


def _called(names: frozenset[str], rows: Iterable[Row], visit: VisitPath) -> Iterator[int]:
    """Yield the collections with one of the names among their directories below the visit."""
    for row in rows:
        if not names.isdisjoint(visit.names_below(row["directory"])):
            yield row["number"]


def _nearest(inquiry: Inquiry, sample: Row | None, lists: Lists) -> tuple[dict[str, Any], str]:
    """Return the collections of the same sample; without one, the others beside it; and which."""
    if sample is not None:
        entry = {
            "dcids": _with(inquiry.dcid, (row["number"] for row in lists[kin.SAMPLE])),
            "sample_id": sample["blSampleId"],
            "name": sample["name"],
        }
        return entry, "collections of the own sample (DataCollectionGroup.blSampleId)"
    directory = inquiry.collection["imageDirectory"]
    # A database may take capital and small letters for the same; a file system does not.
    same = {row["number"] for row in lists[kin.DIRECTORY] if row["directory"] == directory}
    entry = {"dcids": sorted(same - {inquiry.dcid})}
    return entry, "the others with the same DataCollection.imageDirectory, for want of a sample"


def _with(dcid: int, others: Iterable[int | None]) -> list[int]:
    return sorted({dcid, *(other for other in others if other is not None)})
