"""The limits of the backlog: options, environment, Zocalo storage, defaults, in this order."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from dlstbx_cli.commands.options import pairs
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.held import configured
from dlstbx_cli.services.held.values import LIMITS, TIMEOUT, Limits
from dlstbx_cli.services.recipe import JOB_PREFIX

Function = TypeVar("Function", bound=Callable[..., Any])

#: The environment variables.
WAITING, AGE = configured.WAITING, "DLSTBX_BACKLOG_TIMEOUT"
_DEFAULT = "the default"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options of a command say.

    :param waiting: of ``--limit``, by cluster.
    :param weights: of ``--priority``, by name.
    """

    waiting: Mapping[str, int] = field(default_factory=dict)
    timeout: float | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    capacity: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        limits: Sequence[str] = (),
        timeout: float | None = None,
        priority: Sequence[str] = (),
        capacities: Sequence[str] = (),
    ) -> Chosen:
        """Take the texts of the options. Raises UsageError."""
        if timeout is not None and not math.isfinite(timeout):
            raise click.UsageError("--timeout takes seconds.")
        return cls(
            _by_cluster(limits, "--limit"),
            timeout,
            {
                name.removeprefix(JOB_PREFIX): weight
                for name, weight in pairs(priority, "--priority", "NAME=N", signed=True).items()
            },
            _by_cluster(capacities, "--capacity"),
        )


@dataclass(frozen=True, slots=True)
class Effective:
    """The limits in force, and where they come from, in words for people.

    :param origins: of each cluster's limit.
    :param timeout_origin: of the age at which a statistic is too old.
    """

    limits: Limits
    origins: Mapping[str, str]
    timeout_origin: str

    def __str__(self) -> str:
        """Return all of it in one line: each value and where it comes from."""
        limits = self.limits
        waiting = [
            f"{name}={number} ({self.origins[name]})"
            for name, number in sorted(limits.waiting.items())
        ]
        parts = [f"limits {', '.join(waiting)}"]
        parts.append(f"a statistic is too old after {limits.timeout:g} s ({self.timeout_origin})")
        for what, given in (("capacity", limits.capacity), ("priority", limits.weights)):
            if given:
                parts.append(f"{what} {', '.join(f'{name}={n}' for name, n in given.items())}")
        return "; ".join(parts)


def choosing(function: Function) -> Function:
    """Add the options that choose limits and priorities."""
    for option in (
        click.option(
            "--priority",
            multiple=True,
            metavar="NAME=N",
            help="Weight of a recipe, visit or beamline: higher goes first; may be repeated.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help=f"Age at which a cluster's statistic is too old ({AGE}). [default: {TIMEOUT:g}]",
        ),
        click.option(
            "--limit",
            "limits",
            multiple=True,
            metavar="CLUSTER=N",
            help=f"Release while fewer than N jobs wait on this cluster ({WAITING})."
            f" [default: {', '.join(f'{name}={number}' for name, number in LIMITS.items())}]",
        ),
    ):
        function = option(function)
    return function


def effective(
    storage: Mapping[str, Any], chosen: Chosen, environ: Mapping[str, str] = os.environ
) -> Effective:
    """Return the limits in force, each cluster's by itself: a place that names one leaves
    the others to the next.

    :param storage: the plugin of that name of the Zocalo configuration.

    Raises Misconfigured for a limit or timeout of another form, naming where it stands.
    """  # noqa: D205
    waiting = dict(LIMITS)
    origins = dict.fromkeys(waiting, _DEFAULT)
    found = configured.waiting(storage, environ)
    found |= {name: (number, "--limit") for name, number in chosen.waiting.items()}
    waiting |= {name: number for name, (number, _) in found.items()}
    origins |= {name: origin for name, (_, origin) in found.items()}
    seconds, timeout_origin = _timeout(storage, chosen, environ)
    limits = Limits(waiting, seconds, dict(chosen.capacity), dict(chosen.weights))
    return Effective(limits, origins, timeout_origin)


def _timeout(
    storage: Mapping[str, Any], chosen: Chosen, environ: Mapping[str, str]
) -> tuple[float, str]:
    if chosen.timeout is not None:
        return chosen.timeout, "--timeout"
    text = environ.get(AGE)
    if text:
        return configured.seconds(configured.number_in(text), AGE), AGE
    found = storage.get("timeout")
    if found is None:
        return TIMEOUT, _DEFAULT
    origin = f"timeout {configured.STORAGE}"
    return configured.seconds(found, origin), origin


def _by_cluster(texts: Sequence[str], flag: str) -> dict[str, int]:
    """Return ``CLUSTER=N`` options as numbers by cluster. Raises UsageError."""
    found: dict[str, int] = {}
    for text in texts:
        try:
            found |= configured.numbers(text, flag)
        except Misconfigured as error:
            raise click.UsageError(f"{error}.") from None
    return found
