"""``mimas-rules --overrides``: what is not as the rules want it, by whom, until when, why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands.base import DONE, Run
from dlstbx_cli.commands.overriding import overriding
from dlstbx_cli.services.errors import Misconfigured

if TYPE_CHECKING:
    from dlstbx_cli.mimas.overrides import Override
    from dlstbx_cli.mimas.space import Only

#: What a condition is called -> the option that narrows it down.
_FILTERS = {"beamline": "beamline", "event": "event", "class": "dcclass", "detector": "detectors"}


def list_overrides(run: Run, file: str, only: Only, *, table: bool) -> int:
    """Print the overrides that are configured, those in force first; return the exit code.

    :param file: as the option names it; empty: as configured.
    :param only: those that can change a plan there.

    Raises Misconfigured if there is no such file, none is configured, or it is wrong.
    """
    found = overriding(run, file or None)
    if found is None:
        raise Misconfigured(
            "no overrides are configured: set DLSTBX_OVERRIDES, or name the file: --overrides FILE"
        )
    now = found.clock()
    listed = [one for one in found.overrides() if _meant(one, only)]
    listed.sort(key=lambda one: one.until <= now)  # as in the file otherwise: that is their order
    if table:
        _print_table(listed, now)
    else:
        for one in listed:
            click.echo(json.dumps(_record(one, now)))
    return DONE


def _meant(one: Override, only: Only) -> bool:
    """Tell whether an override can apply in a part of the space."""
    for name, field in _FILTERS.items():
        values = one.where.get(name)
        wanted = getattr(only, field)
        if values is None or wanted is None:
            continue
        several = wanted if isinstance(wanted, tuple) else (wanted,)
        names = {str(getattr(each, "name", each)).lower() for each in several}
        if names.isdisjoint(map(str.lower, values)):
            return False
    return True


def _record(one: Override, now: float) -> dict[str, Any]:
    return {
        "action": one.action,
        "add": one.add or None,
        "where": {name: list(values) for name, values in one.where.items()},
        "owner": one.owner,
        "until": one.until,
        "left": one.until - now,
        "ended": one.until <= now,
        "reason": one.reason,
    }


def _print_table(listed: list[Override], now: float) -> None:
    from dlstbx_cli.commands.times import shown
    from dlstbx_cli.commands.trees import age, print_table

    rows = [
        (
            f"{one.action} {one.add}".strip(),
            ", ".join(_words(one)),
            shown(one.until),
            f"ended {age(now - one.until)} ago" if one.until <= now else age(one.until - now),
            one.owner,
            one.reason,
        )
        for one in listed
    ]
    print_table(["action", "where", "until", "left", "owner", "reason"], rows)


def _words(one: Override) -> Iterator[str]:
    for name, values in one.where.items():
        yield f"{name} {' or '.join(values)}"
