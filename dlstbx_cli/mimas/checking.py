"""What is wrong with a set of rules, as far as the rules themselves show it.

Each flaw has a name that stays the same as long as the flaw does, by which a deliberate one
is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlstbx_cli.mimas import opaque
from dlstbx_cli.mimas.errors import RuleError
from dlstbx_cli.mimas.objects import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBJobInvocation,
    MimasScenario,
)
from dlstbx_cli.mimas.rule import Family
from dlstbx_cli.mimas.space import Space, leaves, signed
from dlstbx_cli.mimas.specification import (
    BaseSpecification,
    FieldSpecification,
)
from dlstbx_cli.mimas.walking import Met, Pending, Walk

#: What is not known to be of any class is no kind of collection.
_CLASSES: frozenset[object] = frozenset(MimasDCClass) - {MimasDCClass.UNDEFINED}
_FIELDS: Mapping[str, frozenset[object]] = {
    "dcclass": _CLASSES,
    "detectorclass": frozenset(MimasDetectorClass),
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong with rules.

    :param kind: ``never``, ``repeated``, ``nothing``, ``fails``; of others' making:
        ``recipe``, ``ispyb``.
    :param rules: that it is about; of ``nothing`` there are none.
    :param subject: what else it is about: a recipe, or a kind of collection.
    :param scenario: one in which it shows; None: in none.
    """

    kind: str
    rules: tuple[str, ...]
    subject: str
    text: str
    scenario: MimasScenario | None = None

    @property
    def name(self) -> str:
        """What it is known by: ``repeated:this-rule+that-rule:a-recipe``."""
        return ":".join(filter(None, (self.kind, "+".join(self.rules), self.subject)))


def flaws(space: Space, met: Walk) -> Iterator[Flaw]:
    """Yield the flaws of a set of rules.

    :param met: what was met on a walk through the whole space.
    """
    yield from _never(met.never)
    yield from map(_repeated, met.repeated.values())
    yield from map(_failure, met.failures.values())
    yield from _nothing(space, met)


def doubts(space: Space, met: Walk) -> Iterator[str]:
    """Yield in words what could not be found out, because it is plain code."""
    for one in met.never:
        if may_hold(one) and not _is_part(one, met.never):
            codes = {str(leaf) for leaf in leaves(one.when) if opaque.is_plain(leaf)}
            yield (
                f"{_subject(one)}, but no scenario was found for which it does; what "
                f"{', '.join(sorted(codes))} looks at is not known"
            )
    asking = {rule for one in met.tasks.values() for rule in one.rules}
    for handler in space.handlers:
        if not isinstance(handler.handler, Family) and handler.name not in asking:
            yield f"{handler.name} is plain code, and no scenario was found for which it asks"
    if space.thinned:
        yield "the space is large: not all values were tried together, only every two of them"


def may_hold(one: Pending) -> bool:
    """Tell whether the condition may be met in a scenario that nobody can know of."""
    return one.possible and any(opaque.is_plain(leaf) for leaf in leaves(one.when))


def _never(never: Sequence[Pending]) -> Iterator[Flaw]:
    for one in never:
        if not may_hold(one) and not _is_part(one, never):
            recipe = one.ask.recipe if one.ask else ""
            text = f"{_subject(one)}: no scenario meets its condition, {one.when}"
            yield Flaw("never", (one.rule.name,), recipe, text)


def _is_part(one: Pending, never: Sequence[Pending]) -> bool:
    """Tell whether it is something that a rule asks for which itself never holds."""
    rules = [other.rule for other in never if other.ask is None]
    return one.ask is not None and any(rule is one.rule for rule in rules)


def _subject(one: Pending) -> str:
    can = "may" if may_hold(one) else "can never"
    return f"rule {one.rule.name} {can} " + (f"ask for {one.ask.recipe}" if one.ask else "hold")


def _repeated(met: Met) -> Flaw:
    first, again = met.rules
    task = met.task
    recipe = task.recipe if task else ""
    kind = "job" if isinstance(task, MimasISPyBJobInvocation) else "recipe"
    who = f"rule {first} asks twice" if first == again else f"rules {first} and {again} ask"
    text = f"{who} for the same {kind} {recipe}, in {_counted(met.scenarios, 'scenario')}"
    if not met.same:
        text += "; they differ in autostart or names only, so it is done twice"
    rules = (first,) if first == again else (first, again)
    return Flaw("repeated", rules, recipe, text, met.scenario)


def _failure(met: Met) -> Flaw:
    cause = type(met.error.cause).__name__ if isinstance(met.error, RuleError) else ""
    text = f"{met.error}, in {_counted(met.scenarios, 'scenario')}"
    return Flaw("fails", met.rules, cause, text, met.scenario)


def _nothing(space: Space, met: Walk) -> Iterator[Flaw]:
    """Yield the kinds of collection that a beamline is known for, and that nothing follows."""
    busy = {(one.beamline, one.dcclass, one.detectorclass) for one in met.busy}
    for beamline in space.named_beamlines:
        classes, detectors = usual(space, beamline)
        for dcclass in classes:
            quiet = [one for one in detectors if (beamline, dcclass, one) not in busy]
            for detector in quiet:
                yield _quiet(beamline, dcclass, detector)


def _quiet(beamline: str, dcclass: MimasDCClass, detector: MimasDetectorClass) -> Flaw:
    scenario = MimasScenario(
        DCID=1,
        dcclass=dcclass,
        event=MimasEvent.END,
        beamline=beamline,
        visit=None,
        runstatus=None,
        detectorclass=detector,
    )
    kind = f"{dcclass.name.lower()} {detector.name.lower()}"
    text = f"nothing follows a collection of the kind {kind} at {beamline}, at no event"
    return Flaw("nothing", (), f"{beamline} {kind}", text, scenario)


def usual(
    space: Space, beamline: str
) -> tuple[Sequence[MimasDCClass], Sequence[MimasDetectorClass]]:
    """Return the classes and the detectors that a beamline is known for.

    They are those that its rules name, and where a rule names only those that it is not
    for, all others. If no rule names any, all. Without rules there are none.
    """
    wanted: set[object] = set()
    known = False
    for code, (when, *further) in space.conditions_at(beamline):
        # Of plain code nobody knows for which kinds it does nothing.
        known = known or not code
        for field, every in _FIELDS.items():
            named, left_out = _named(when, field, True), _named(when, field, False)
            wanted |= named or (every - left_out if left_out else frozenset())
            wanted |= {value for each in further for value in _named(each, field, True)}
    if not known:
        return (), ()
    classes = [one for one in MimasDCClass if one in wanted]
    detectors = [one for one in MimasDetectorClass if one in wanted]
    classes = classes or [one for one in MimasDCClass if one in _CLASSES]
    return classes, detectors or list(MimasDetectorClass)


def _named(condition: BaseSpecification | bool, field: str, wanted: bool) -> frozenset[object]:
    """Return the values that a condition wants, or does not want, to be there."""
    if isinstance(condition, bool):
        return frozenset()
    return frozenset(
        value
        for leaf, positive in signed(condition)
        if isinstance(leaf, FieldSpecification) and leaf.field == field and positive is wanted
        for value in leaf.values
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
