"""The parameters that describe what happens to the sample meanwhile: laser, mixing, shots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.rows import Part, Query, Row
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry

_SHOT = "XrayDetection"
_LEFT_OUT = ("grid", "screen")
_WANTED = ("rotation", "serial_fixed", "serial_jet")

#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_ssx_events": "Event of the collection's EventChain rows, with EventType.name",
    "ispyb_ssx_shots_per_image": "Event.repetition, the sum over XrayDetection",
}


def query(schema: Schema) -> Query:
    """Build the statement for the events of a collection, in order."""
    from sqlalchemy import bindparam

    event, chain, kind = schema["Event"], schema["EventChain"], schema["EventType"]
    source = event.join(chain, chain.c.eventChainId == column(event, "eventChainId")).outerjoin(
        kind, kind.c.eventTypeId == column(event, "eventTypeId")
    )
    return Query(
        {"event": Part.of(event, "Event"), "type": Part.of(kind, "EventType", ["name"])},
        lambda select: (
            select.select_from(source)
            .where(column(chain, "dataCollectionId") == bindparam("dcid"))
            .order_by(event.c.eventId)
        ),
    )


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group: none for some kinds of collections and requests."""
    kinds = inquiry.kinds
    if inquiry.job_recipe or any(kinds[kind] for kind in _LEFT_OUT):
        return {}
    if not any(kinds[kind] for kind in _WANTED):
        return {}
    events = [
        {**(row["event"] or {}), "eventType": (row["type"] or {}).get("name")}
        for row in inquiry.rows(query, dcid=inquiry.dcid)
    ]
    return {
        "ispyb_ssx_events": events or None,
        "ispyb_ssx_shots_per_image": shots_per_image(events),
    }


def shots_per_image(events: Iterable[Row]) -> float | None:
    """Return how often the sample is hit by X-rays for one image; null if that is not known."""
    shots = (event["repetition"] for event in events if event["eventType"] == _SHOT)
    return sum(number for number in shots if number is not None) or None
