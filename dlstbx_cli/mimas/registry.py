"""The handlers: ours, and those that a site adds by entry points.

A handler is any callable ``handler(scenario, zc=...)`` that returns a list of invocations,
registered in the entry point group ``zocalo.mimas.handlers``. Ours are registered the same
way; they are known here as well, for a program that runs from a source tree.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.mimas.errors import BadTaskError, HandlerError, RuleError, UnknownHandlerError
from dlstbx_cli.mimas.objects import (
    Invocation,
    MimasISPyBJobInvocation,
    MimasRecipeInvocation,
    MimasScenario,
)
from dlstbx_cli.mimas.rule import Family
from dlstbx_cli.mimas.specification import BaseSpecification
from dlstbx_cli.mimas.validation import validate

GROUP = "zocalo.mimas.handlers"

#: Our own handlers by entry point name, in the order in which they are asked.
OWN = {
    "dlstbx-mx": "dlstbx_cli.mimas.rules.mx:handler",
    "dlstbx-vmxi": "dlstbx_cli.mimas.rules.vmxi:handler",
    "dlstbx-ssx": "dlstbx_cli.mimas.rules.ssx:handler",
    "dlstbx-i19": "dlstbx_cli.mimas.rules.i19:handler",
    "dlstbx-i15": "dlstbx_cli.mimas.rules.i15:handler",
}


@dataclass(frozen=True)
class NamedHandler:
    """A handler under the name of its entry point.

    :param own: one of ours, whose results need no checking.
    """

    name: str
    handler: Callable[..., Sequence[Invocation]]
    own: bool = False

    @property
    def condition(self) -> BaseSpecification | None:
        """The condition of a handler that is plain code, if it was given one."""
        condition = getattr(self.handler, "specification", None)
        return condition if isinstance(condition, BaseSpecification) else None

    def asked(self, scenario: MimasScenario, zc: Any) -> Iterable[tuple[str, Invocation]]:
        """Give what is asked for, each with the name of the rule that asks.

        For a handler that is no family of rules that is the handler's own name. Raises
        RuleError if a rule refuses the scenario, or a site's handler fails or returns
        anything but a list of valid invocations.
        """
        if isinstance(self.handler, Family):
            asked = self.handler.asked(scenario)
            return asked if self.own else self._checked(list(asked))
        return self._checked([(self.name, task) for task in self._called(scenario, zc)])

    def _called(self, scenario: MimasScenario, zc: Any) -> Sequence[Invocation]:
        try:
            tasks = self.handler(scenario, zc=zc)
        except Exception as cause:
            raise RuleError(self.name, cause) from cause
        if not isinstance(tasks, list | tuple):
            kind = type(tasks).__name__
            raise RuleError(
                self.name, BadTaskError(f"returned a {kind}, not a list of invocations")
            )
        return tasks

    def _checked(self, asked: list[tuple[str, Invocation]]) -> list[tuple[str, Invocation]]:
        for name, task in asked:
            try:
                validate(task, expectedtype=(MimasRecipeInvocation, MimasISPyBJobInvocation))
            except ValueError as cause:
                raise RuleError(name, BadTaskError(str(cause))) from cause
        return asked


def load_handlers(names: Iterable[str] | None = None) -> tuple[NamedHandler, ...]:
    """Return the handlers of the given entry point names, or all there are.

    The order is ours by family, then the site's by name, whatever the order of *names*.
    Raises UnknownHandlerError for a name that none has, HandlerError for one that stands
    for two handlers, and for a handler that cannot be imported.
    """
    targets = _targets()
    chosen = set(targets) if names is None else set(names)
    unknown = sorted(chosen - set(targets))
    if unknown:
        raise UnknownHandlerError(
            f"no handler named {', '.join(unknown)} in {GROUP}; there are: {', '.join(targets)}"
        )
    return tuple(_load(name, target) for name, target in targets.items() if name in chosen)


def default_handlers() -> tuple[NamedHandler, ...]:
    """Return all handlers, found once for as long as the import path stays the same."""
    return _found_on(tuple(sys.path))


@functools.lru_cache(maxsize=8)
def _found_on(path: tuple[str, ...]) -> tuple[NamedHandler, ...]:  # noqa: ARG001  the cache's key
    return load_handlers()


def _targets() -> dict[str, str]:
    """Return ``module:attribute`` by name: ours first, then the site's by name."""
    from importlib import metadata  # takes longer than all the rest of this package

    targets = dict(OWN)
    for entry in sorted(metadata.entry_points(group=GROUP)):
        if entry.value in OWN.values():
            continue  # ours, as registered by our own installation
        if targets.setdefault(entry.name, entry.value) != entry.value:
            raise HandlerError(
                f"two handlers are named {entry.name} in {GROUP}: "
                f"{targets[entry.name]} and {entry.value}"
            )
    return targets


def _load(name: str, target: str) -> NamedHandler:
    from importlib import metadata

    own = OWN.get(name) == target
    try:
        handler = metadata.EntryPoint(name, target, GROUP).load()
    except Exception as cause:  # a site's module may fail in any way
        raise HandlerError(f"handler {name} ({target}) cannot be loaded: {cause}") from cause
    if not callable(handler):
        raise HandlerError(f"handler {name} ({target}) cannot be called")
    return NamedHandler(name, handler, own)
