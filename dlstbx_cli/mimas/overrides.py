"""Overrides: what a site wants otherwise for a while, without a release.

An override has a condition, an action, a reason, an owner and an end. It changes a plan
after the rules have made it; what has ended changes nothing. Times are seconds since the
epoch, and given: nothing here looks at a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.mimas.objects import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBJobInvocation,
    MimasRecipeInvocation,
    MimasScenario,
)

ACTIONS = ("drop", "hold", "trigger", "add")
#: What stands for the rule of a task that no rule asks for.
BY_OVERRIDE = "override"
_ENUMERATIONS: Mapping[str, type[MimasDCClass] | type[MimasEvent] | type[MimasDetectorClass]] = {
    "class": MimasDCClass,
    "event": MimasEvent,
    "detector": MimasDetectorClass,
}
#: Conditions on the scenario; ``recipe`` is one on the task.
_CONDITIONS = ("beamline", "visit", "class", "event", "detector", "recipe")
_KEYS = frozenset({*_CONDITIONS, "action", "add", "reason", "owner", "until"})


@dataclass(frozen=True, slots=True)
class Override:
    """One override.

    :param where: condition name -> the values of which one must be met; a visit is a prefix.
    :param action: one of ACTIONS.
    :param add: the recipe that ``add`` adds.
    :param until: seconds since the epoch.
    """

    where: Mapping[str, tuple[str, ...]]
    action: str
    reason: str
    owner: str
    until: float
    add: str = ""

    def applies(self, scenario: MimasScenario, now: float) -> bool:
        """Tell whether it has not ended, and its conditions on the scenario are met."""
        return now < self.until and all(
            _met(name, values, scenario) for name, values in self.where.items() if name != "recipe"
        )

    def means(self, recipe: str) -> bool:
        """Tell whether it is about tasks of a recipe."""
        return recipe in self.where.get("recipe", (recipe,))

    def __str__(self) -> str:
        end = datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%d %H:%M UTC")
        what = f"add {self.add}" if self.action == "add" else self.action
        return f"{what} until {end} ({self.owner}: {self.reason})"


def overrides_from(document: Mapping[str, Any]) -> list[Override]:
    """Return the overrides of a TOML document: its tables ``[[override]]``, all or none.

    Raises ValueError naming the entry (from 1) and what is wrong with it.
    """
    unknown = sorted(document.keys() - {"override"})
    if unknown:
        raise ValueError(f"there is only [[override]], not {unknown[0]!r}")
    entries = document.get("override", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("override must be tables, written [[override]]")
    return [_override(entry, f"override {place}") for place, entry in enumerate(entries, 1)]


def overridden(
    tasks: Sequence[PlannedTask],
    scenario: MimasScenario,
    overrides: Iterable[Override],
    now: float,
) -> tuple[list[PlannedTask], list[PlannedTask]]:
    """Return a plan as the overrides want it, and what they have dropped from it.

    Each changed task says by which. They are applied one after the other; a task that one
    of them adds comes last, and once.
    """
    planned, dropped = list(tasks), list[PlannedTask]()
    for override in overrides:
        if not override.applies(scenario, now):
            continue
        if override.action == "drop":
            meant = [one for one in planned if override.means(one.task.recipe)]
            planned = [one for one in planned if not override.means(one.task.recipe)]
            dropped += [replace(one, override=str(override)) for one in meant]
        elif override.action == "add":
            added = MimasRecipeInvocation(scenario.DCID, override.add)
            if not any(one.task == added for one in planned):
                planned.append(PlannedTask(added, BY_OVERRIDE, override=str(override)))
        else:
            planned = [_switched(one, override) for one in planned]
    return planned, dropped


def _switched(planned: PlannedTask, override: Override) -> PlannedTask:
    """Hold instead of trigger, or the other way: only jobs can be held."""
    task, autostart = planned.task, override.action == "trigger"
    if not isinstance(task, MimasISPyBJobInvocation) or not override.means(task.recipe):
        return planned
    if task.autostart is autostart:
        return planned
    return replace(planned, task=replace(task, autostart=autostart), override=str(override))


def _met(name: str, values: tuple[str, ...], scenario: MimasScenario) -> bool:
    if name == "visit":
        return scenario.visit is not None and scenario.visit.lower().startswith(values)
    if name == "beamline":
        return scenario.beamline is not None and scenario.beamline.lower() in values
    field = {"class": "dcclass", "event": "event", "detector": "detectorclass"}[name]
    value = getattr(scenario, field)
    return value is not None and value.name in values


def _override(entry: Mapping[str, Any], where: str) -> Override:
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise ValueError(
            f"{where}: there is no {unknown[0]!r}; there are {', '.join(sorted(_KEYS))}"
        )
    action = entry.get("action")
    if action not in ACTIONS:
        raise ValueError(f"{where}: action must be one of {', '.join(ACTIONS)}, not {action!r:.60}")
    add = entry.get("add", "")
    if (action == "add") != bool(add) or not isinstance(add, str):
        raise ValueError(f'{where}: add = "RECIPE" goes with action = "add", and only with it')
    conditions = {name: _values(name, entry[name], where) for name in _CONDITIONS if name in entry}
    if not conditions:
        raise ValueError(f"{where}: it has no condition: name a beamline, a visit, a recipe ...")
    if action == "add" and "recipe" in conditions:
        raise ValueError(f"{where}: a condition on the recipe means nothing for add")
    return Override(
        conditions,
        action,
        _words("reason", entry, where),
        _words("owner", entry, where),
        _until(entry.get("until"), where),
        add,
    )


def _values(name: str, given: Any, where: str) -> tuple[str, ...]:
    values = (given,) if isinstance(given, str) else given
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"{where}: {name} must be a text or a list of texts")
    for value in values:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{where}: {name} must be a text or a list of texts")
    if name == "recipe":
        return tuple(values)
    if name not in _ENUMERATIONS:  # beamline and visit, in any letter case as on a command line
        return tuple(value.lower() for value in values)
    known = _ENUMERATIONS[name].__members__
    for value in values:
        if value.upper() not in known:
            raise ValueError(f"{where}: {name} must be one of {', '.join(known)}, not {value!r}")
    return tuple(value.upper() for value in values)


def _words(name: str, entry: Mapping[str, Any], where: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: {name} is missing, or no text")
    return " ".join(value.split())


def _until(value: Any, where: str) -> float:
    """Return a TOML date-time as seconds; a local one is of this host's time zone."""
    if isinstance(value, datetime):
        try:
            seconds = value.timestamp()
            datetime.fromtimestamp(seconds, UTC)  # as it is shown
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"{where}: until is beyond all calendars: {value}") from None
        return seconds
    how = "is a day: write its time as well" if isinstance(value, date) else "must be a date-time"
    raise ValueError(f"{where}: until {how}, such as 2026-11-30T18:00:00Z")
