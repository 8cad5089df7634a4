"""The parameter that says where a collection's energy lies on a measured absorption edge.

Source: the reference's look-up, which takes the energy scan nearest to the collection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.rows import Joined, Part, Query, Row
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry

#: Wavelength in Angstrom times energy in eV.
_HC = 12398.42
#: How far from the edge a remote energy is, in eV.
_REMOTE = 30.0

#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_energy_scan_info": "EnergyScan, none for the own sample or its protein in the session"
}

_COLUMNS = {"peak": "peak", "infl": "inflection"}
_NEEDED = (
    "blSampleId",
    "element",
    *(f"{edge}{what}" for edge in _COLUMNS.values() for what in ("Energy", "FPrime")),
    *(f"{edge}FDoublePrime" for edge in _COLUMNS.values()),
)


def query(schema: Schema) -> Query:
    """Build the statement for the scans of a session beside the samples they were made on.

    A scan names its sample itself (``direct``), or is linked with it by
    BLSample_has_EnergyScan (``linked``); beside each stands the crystal, for its protein.
    """
    from sqlalchemy import bindparam

    scan, link = schema["EnergyScan"], schema["BLSample_has_EnergyScan"]
    source: Any = scan.outerjoin(link, column(link, "energyScanId") == scan.c.energyScanId)
    parts = {"scan": Part.of(scan, "EnergyScan", _NEEDED)}
    for name, origin in (("direct", scan), ("linked", link)):
        sample, crystal = schema["BLSample"].alias(name), schema["Crystal"].alias(f"{name}_crystal")
        source = source.outerjoin(
            sample, sample.c.blSampleId == column(origin, "blSampleId")
        ).outerjoin(crystal, crystal.c.crystalId == column(sample, "crystalId"))
        parts[name] = Part.of(sample, "BLSample", [])
        parts[f"{name}_crystal"] = Part.of(crystal, "Crystal", ["proteinId"])
    return Query(
        parts,
        lambda select: (
            select.select_from(source)
            .where(column(scan, "sessionId") == bindparam("session"), column(scan, "element") != "")
            .order_by(scan.c.energyScanId)
        ),
    )


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group."""
    sample, wavelength = inquiry.value("sample", "blSampleId"), inquiry.collection["wavelength"]
    if inquiry.session is None or sample is None or not wavelength:
        return {"ispyb_energy_scan_info": {}}
    protein = inquiry.value("own_crystal", "proteinId")
    rows = inquiry.rows(query, session=inquiry.session)
    scan = nearest(candidates(rows, sample, protein), _HC / wavelength)
    if scan is None:
        return {"ispyb_energy_scan_info": {}}
    inquiry.note("ispyb_energy_scan_info", f"EnergyScan {scan['energyScanId']}, the nearest one")
    return {"ispyb_energy_scan_info": described(scan, _HC / wavelength)}


def candidates(rows: Iterable[Joined], sample: int, protein: int | None) -> list[Row]:
    """Return the scans on a sample; if there is none, those on samples of the same protein.

    :param rows: of ``query``.
    """
    usable = [(row["scan"] or {}, row) for row in rows if _energies(row["scan"] or {})]
    own = [scan for scan, row in usable if sample in _values(row, "blSampleId", "")]
    if own or protein is None:
        return own
    return [scan for scan, row in usable if protein in _values(row, "proteinId", "_crystal")]


def nearest(scans: Iterable[Row], energy: float) -> Row | None:
    """Return the scan whose peak or inflection is nearest to an energy in eV."""
    return min(
        scans,
        key=lambda scan: min(abs(energy - edge) for edge in _energies(scan).values()),
        default=None,
    )


def described(scan: Row, energy: float) -> dict[str, Any]:
    """Return the value of the parameter: the scan, and where on its edge an energy lies."""
    position = edge_position(_energies(scan), energy)
    info = {
        "energyscanid": scan["energyScanId"],
        "atom_type": scan["element"],
        "edge_position": position,
    }
    if position in _COLUMNS:
        edge = _COLUMNS[position]
        info |= {"fp": scan[f"{edge}FPrime"], "fpp": scan[f"{edge}FDoublePrime"]}
    return info


def edge_position(edges: dict[str, float], energy: float) -> str:
    """Return ``hrem``, ``lrem``, ``infl`` or ``peak`` for an energy in eV.

    :param edges: the energies of ``peak`` and ``infl``, at least one of them.
    """
    if "peak" in edges and energy > edges["peak"] + _REMOTE:
        return "hrem"
    if "infl" in edges and energy < edges["infl"] - _REMOTE:
        return "lrem"
    # In the middle between them it is the peak, which comes first.
    return min(edges, key=lambda name: abs(energy - edges[name]))


def _energies(scan: Row) -> dict[str, float]:
    found = {name: scan[f"{edge}Energy"] for name, edge in _COLUMNS.items()}
    return {name: energy for name, energy in found.items() if energy is not None}


def _values(row: Joined, key: str, suffix: str) -> set[Any]:
    parts = [row[name + suffix] for name in ("direct", "linked")]
    return {part[key] for part in parts if part is not None}
