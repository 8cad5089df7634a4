"""``mimas-rules --check``: what is wrong with the rules, for people and for a site's CI."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import rule_sets
from dlstbx_cli.commands.base import DONE, REJECTED, Run, counted

if TYPE_CHECKING:
    from dlstbx_cli.mimas.checking import Flaw
    from dlstbx_cli.mimas.overrides import Override
    from dlstbx_cli.mimas.registry import NamedHandler
    from dlstbx_cli.services.rule_check import Checked


def check(
    run: Run,
    handlers: Sequence[NamedHandler],
    recipes: str | None,
    accept: Sequence[str],
    *,
    table: bool,
) -> int:
    """Print what is wrong with the rules; return the exit code: 1 if there is anything.

    :param recipes: the option of the recipes' directory.
    :param accept: names of what is meant to be there.

    Raises Unavailable if the recipes cannot be read.
    """
    from dlstbx_cli.mimas.rules.accepted import ACCEPTED
    from dlstbx_cli.recipes import RecipeDirectory
    from dlstbx_cli.services import rule_check

    begun = time.monotonic()
    store = RecipeDirectory(run.configuration.recipes(recipes))
    wanted = dict.fromkeys(accept, "--accept")
    zc, accepted = run.configuration.zocalo, {**wanted, **ACCEPTED}
    with rule_sets.trying():
        found = rule_check.check(handlers, store, accepted, _overrides(run), zc)
    if table:
        _print_table(found.flaws)
    else:
        for flaw in found.flaws:
            click.echo(json.dumps(_record(flaw)))
    _tell(run, found, accept)
    run.say(
        f"{found.scenarios} scenarios, {found.recipes} recipes, "
        f"{time.monotonic() - begun:.1f} s: {_verdict(found)}"
    )
    return REJECTED if found.flaws else DONE


def _overrides(run: Run) -> list[Override]:
    """Return the configured overrides that have not ended. Raises Misconfigured."""
    from dlstbx_cli.commands.overriding import overriding

    found = overriding(run, None)
    return [each for each in found.overrides() if found.clock() < each.until] if found else []


def _tell(run: Run, found: Checked, accept: Sequence[str]) -> None:
    for doubt in found.doubts:
        run.say(f"not checked: {doubt}")
    for name in found.unused:
        if name in accept:
            run.say(f"--accept {name}: there is nothing of that name")
    if run.verbosity:
        for flaw, reason in found.accepted:
            run.say(f"accepted: {flaw.text} ({reason})")


def _verdict(found: Checked) -> str:
    text = counted(len(found.flaws), "finding") if found.flaws else "nothing found"
    return text + (f", {len(found.accepted)} accepted" if found.accepted else "")


def _record(flaw: Flaw) -> dict[str, Any]:
    from dlstbx_cli.services.scenario import parameters_of

    return {
        "kind": flaw.kind,
        "name": flaw.name,
        "rules": list(flaw.rules),
        "text": flaw.text,
        "scenario": parameters_of(flaw.scenario) if flaw.scenario else None,
    }


def _print_table(found: Sequence[Flaw]) -> None:
    from dlstbx_cli.commands.trees import print_table

    if found:
        print_table(["finding", "what", "name"], [(one.kind, one.text, one.name) for one in found])
