"""Cloud offers: which pipelines may leave for the cloud while the local cluster is full.

An offer has three fields, all lists of texts: ``beamlines``, ``visit_pattern`` (prefixes of
visits) and ``recipes`` (fragments of recipe names; where absent, every autoprocessing
recipe). It is a mapping, as read from a configuration, or any object with these attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlstbx_cli.mimas.objects import MimasScenario

FIELDS = ("beamlines", "visit_pattern", "recipes")
_DEFAULTS = {"recipes": ("autoprocessing",)}


def is_offered(recipe: str, scenario: MimasScenario) -> bool:
    """Tell whether an offer that applies to the scenario covers a recipe (without suffix)."""
    return any(fragment in recipe for fragment in _fragments(scenario))


def offer_field(offer: Any, field: str) -> Any:
    """Return a field of an offer, or its default; None if it has neither."""
    default = _DEFAULTS.get(field)
    if isinstance(offer, Mapping):
        return offer.get(field, default)
    return getattr(offer, field, default)


def is_for_beamline(offer: Any, scenario: MimasScenario) -> bool:
    """Tell whether the scenario's beamline is one of an offer's."""
    return scenario.beamline in offer_field(offer, "beamlines")


def is_for_visit(offer: Any, scenario: MimasScenario) -> bool:
    """Tell whether the scenario's visit begins with one of an offer's prefixes."""
    prefixes = tuple(offer_field(offer, "visit_pattern"))
    return scenario.visit is not None and scenario.visit.startswith(prefixes)


def _fragments(scenario: MimasScenario) -> Iterator[str]:
    for offer in scenario.cloudbursting or ():
        if _applies(offer, scenario):
            yield from offer_field(offer, "recipes")


def _applies(offer: Any, scenario: MimasScenario) -> bool:
    return is_for_beamline(offer, scenario) and is_for_visit(offer, scenario)
