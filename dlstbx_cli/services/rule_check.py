"""Whether a set of rules is sound: in itself, with the recipes there are, and for ISPyB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.mimas import MimasISPyBJobInvocation, zocalo_message
from dlstbx_cli.mimas.checking import Flaw, doubts, flaws, may_hold
from dlstbx_cli.mimas.overrides import BY_OVERRIDE, Override
from dlstbx_cli.mimas.registry import NamedHandler
from dlstbx_cli.mimas.rule import Job
from dlstbx_cli.mimas.space import Space
from dlstbx_cli.mimas.walking import Met, Walk, walk
from dlstbx_cli.services.dispatcher import RecipeStore, json_form, recipe_named
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.ispyb_job import JobRequest
from dlstbx_cli.services.recipe import JOB_PREFIX, start


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of rules came to.

    :param flaws: those that are not accepted.
    :param accepted: deliberate ones, with the reason of each.
    :param doubts: what could not be found out, in words.
    :param unused: names of accepted flaws that are not there.
    :param scenarios: how many were walked.
    :param recipes: how many different ones were asked for.
    """

    flaws: Sequence[Flaw]
    accepted: Sequence[tuple[Flaw, str]]
    doubts: Sequence[str]
    unused: Sequence[str]
    scenarios: int
    recipes: int


def check(
    handlers: Sequence[NamedHandler],
    recipes: RecipeStore,
    accepted: Mapping[str, str],
    overrides: Iterable[Override] = (),
    zc: Any = None,
) -> Checked:
    """Return what is wrong with the rules of the handlers.

    :param accepted: names of flaws that are meant to be there -> why.
    :param overrides: those in force: the recipes that they add are to be there as well.

    Raises Unavailable if the recipes cannot be read.
    """
    space = Space(handlers, zc=zc)
    met = walk(space)
    asked = _by_recipe(met)
    # Whether a rule holds may not be known; what it asks for then is.
    for one in met.never:
        if one.ask and may_hold(one):
            name = _file_of(one.ask.recipe, isinstance(one.ask, Job))
            asked.setdefault(name, []).append(_Unmet((one.rule.name,)))
    for override in overrides:
        if override.add:
            asked.setdefault(override.add, []).append(_Unmet((BY_OVERRIDE,)))
    found = [*flaws(space, met), *_recipes(asked, recipes), *_refused(met)]
    return Checked(
        [flaw for flaw in found if flaw.name not in accepted],
        [(flaw, accepted[flaw.name]) for flaw in found if flaw.name in accepted],
        list(doubts(space, met)),
        sorted(accepted.keys() - {flaw.name for flaw in found}),
        met.scenarios,
        len(asked),
    )


@dataclass(frozen=True)
class _Unmet:
    """A recipe that can be asked for, in which scenarios is not known."""

    rules: tuple[str, ...]
    scenario: None = None


def _by_recipe(met: Walk) -> dict[str, list[Met | _Unmet]]:
    """Return what was asked for by the names of the recipes' files."""
    asked: dict[str, list[Met | _Unmet]] = {}
    for one in met.tasks.values():
        if one.task is not None:
            is_job = isinstance(one.task, MimasISPyBJobInvocation)
            asked.setdefault(_file_of(one.task.recipe, is_job), []).append(one)
    return asked


def _file_of(recipe: str, is_job: bool) -> str:
    return f"{JOB_PREFIX}{recipe}" if is_job else recipe


def _recipes(asked: Mapping[str, Sequence[Met | _Unmet]], recipes: RecipeStore) -> Iterator[Flaw]:
    for name, several in sorted(asked.items()):
        try:
            start(_without_delays(json_form(recipe_named(name, recipes).recipe)), {})
        except Rejected as error:
            rules = tuple(sorted({rule for one in several for rule in one.rules}))
            who = f"rule{'' if len(rules) == 1 else 's'} {', '.join(rules)}"
            text = f"{who} can ask for {name}: {error}"
            yield Flaw("recipe", rules, name, text, several[0].scenario)


def _without_delays(recipe: dict[str, Any]) -> dict[str, Any]:
    # A delay may be a parameter, {delay}, that only a request fills in.
    return {
        key: {**step, "transport-delay": 0} if "{" in str(_delay(step)) else step
        for key, step in recipe.items()
    }


def _delay(step: Any) -> Any:
    return step.get("transport-delay") if isinstance(step, dict) else None


def _refused(met: Walk) -> Iterator[Flaw]:
    """Yield the jobs that ISPyB does not take: a value is longer than its column."""
    told: set[tuple[str, ...]] = set()
    for one in met.tasks.values():
        if not isinstance(one.task, MimasISPyBJobInvocation):
            continue
        try:
            JobRequest.parse(zocalo_message(one.task))
        except Rejected as error:
            # The same value stands in jobs with and without symmetry.
            what = (*one.rules, one.task.recipe, str(error))
            if what in told:
                continue
            told.add(what)
            text = f"rule {one.rules[0]}, job {one.task.recipe:.60}: {error}"
            yield Flaw("ispyb", one.rules, one.task.recipe, text, one.scenario)
