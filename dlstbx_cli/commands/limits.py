"""The limits of the backlog: options, environment, Zocalo storage, defaults, in this order."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from dlstbx_cli.commands.options import numbers_by_name, pairs
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.held.values import LIMITS, TIMEOUT, Limits

Function = TypeVar("Function", bound=Callable[..., Any])

#: What the recipe of a processing job has before the job's name, which held jobs have.
PREFIX = "ispyb-"
#: The environment variables.
WAITING, AGE = "DLSTBX_MAX_JOBS_WAITING", "DLSTBX_BACKLOG_TIMEOUT"
_STORAGE = "in the Zocalo storage"
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
            pairs(limits, "--limit"),
            timeout,
            {
                name.removeprefix(PREFIX): weight
                for name, weight in pairs(priority, "--priority", "NAME=N", signed=True).items()
            },
            pairs(capacities, "--capacity"),
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
    for found, origin in (
        (_stored(storage), f"max_jobs_waiting {_STORAGE}"),
        (_of_environment(environ), WAITING),
        (chosen.waiting, "--limit"),
    ):
        waiting.update(found)
        origins.update(dict.fromkeys(found, origin))
    seconds, timeout_origin = _timeout(storage, chosen, environ)
    limits = Limits(waiting, seconds, dict(chosen.capacity), dict(chosen.weights))
    return Effective(limits, origins, timeout_origin)


def _stored(storage: Mapping[str, Any]) -> Mapping[str, int]:
    found = storage.get("max_jobs_waiting", {})
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and type(number) is int and number >= 0
        for name, number in found.items()
    ):
        raise Misconfigured(f"max_jobs_waiting {_STORAGE} must be numbers by cluster")
    return found


def _of_environment(environ: Mapping[str, str]) -> Mapping[str, int]:
    text = environ.get(WAITING, "")
    found = numbers_by_name(text.split(",")) if text else {}
    if found is None:
        raise Misconfigured(
            f"{WAITING} must be numbers by cluster, such as slurm=60,iris=3000, not {text!r}"
        )
    return found


def _timeout(
    storage: Mapping[str, Any], chosen: Chosen, environ: Mapping[str, str]
) -> tuple[float, str]:
    if chosen.timeout is not None:
        return chosen.timeout, "--timeout"
    text = environ.get(AGE)
    if text:
        return _seconds(_number(text), text, AGE), AGE
    found = storage.get("timeout")
    if found is None:
        return TIMEOUT, _DEFAULT
    origin = f"timeout {_STORAGE}"
    return _seconds(found, found, origin), origin


def _seconds(value: Any, given: Any, origin: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise Misconfigured(f"{origin} must be seconds, not {given!r}")
    return float(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
