"""The cluster monitor: what comes of asking clusters becomes statistics, and goes out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from dlstbx_cli.cluster.watch import Look, Watch
from dlstbx_cli.services.cluster import job_states
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import Message
from dlstbx_cli.services.meter import UNMETERED, Meter

logger = logging.getLogger(__name__)

Emit = Callable[[Sequence[Message]], None]


def once(watch: Watch, emit: Emit, stopped: Callable[[], bool]) -> list[Exception]:
    """Ask every cluster once, and give away a statistic for each that answers.

    Returns the failures of the others, their texts with the cluster's name. What *emit*
    raises is raised.
    """
    failures: list[Exception] = []
    missing = set(watch.clusters)
    for look in watch.once(stopped):
        missing.discard(look.cluster)
        if look.error is None:
            emit([_statistic(look)])
        else:
            failures.append(type(look.error)(_said(look)))
    failures += [
        Unavailable(f"cluster {name}: stopped before it answered") for name in sorted(missing)
    ]
    return failures


def listen(
    watch: Watch,
    emit: Emit,
    interval: float,
    stopped: Callable[[], bool],
    meter: Meter = UNMETERED,
) -> None:
    """Give away a statistic for each cluster every *interval* seconds.

    Failures, also of *emit* (Unavailable), are warnings: what could not be sent is not kept,
    the next statistic takes its place. The meter counts them, and takes down how long each
    cluster's answer took. Raises Misconfigured if *emit* does, or if at the start no cluster
    at all can be asked as it is configured.
    """
    hopeless: set[str] = set()
    fresh = set(watch.clusters)
    for looks in watch.for_ever(interval, stopped):
        for look in looks:
            if look.error is None:
                hopeless.discard(look.cluster)
            elif look.cluster in fresh and isinstance(look.error, Misconfigured):
                hopeless.add(look.cluster)
                if len(hopeless) == len(watch.clusters):
                    raise Misconfigured(_said(look))
            fresh.discard(look.cluster)
            _tell(look)
            if look.error is not None:
                meter.failed()
            else:
                meter.took(look.seconds)
        _send([_statistic(look) for look in looks if look.error is None], emit, interval, meter)


def _send(statistics: list[Message], emit: Emit, interval: float, meter: Meter) -> None:
    if not statistics:
        return
    try:
        emit(statistics)
        for _ in statistics:
            meter.handled()
    except Unavailable as error:
        meter.failed()
        extra = {"action": "wait"}
        logger.warning("%s; the next statistic comes in %g s", error, interval, extra=extra)


def _tell(look: Look) -> None:
    extra = {"action": "wait" if look.error else "statistic", "cluster": look.cluster}
    if look.error is not None:
        logger.warning("%s; trying again in %g s", _said(look), look.wait, extra=extra)
    else:
        logger.info("%s: %d jobs", look.cluster, len(look.states), extra=extra)


def _said(look: Look) -> str:
    return f"cluster {look.cluster}: {look.error}"


def _statistic(look: Look) -> Message:
    return job_states(look.cluster, look.states, look.time)
