"""What a run tells about itself while it goes on, to whoever measures it: a port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


class Meter(Protocol):
    """Takes down what happens. No method blocks or raises: to measure must not disturb."""

    def handled(self) -> None:
        """Count a message whose results have been sent."""

    def rejected(self) -> None:
        """Count a dead letter, or a broadcast that made no sense."""

    def took(self, seconds: float) -> None:
        """Take down how long one message was in hand, handled or rejected."""

    def departed(self, number: int) -> None:
        """Count what the service has sent of its own accord: the backlog's released jobs."""

    def failed(self) -> None:
        """Count a failure of the surroundings, such as a broker or a database away."""


class Unmetered:
    """The meter of a run that nobody measures."""

    def handled(self) -> None:
        """Count nothing."""

    def rejected(self) -> None:
        """Count nothing."""

    def took(self, seconds: float) -> None:
        """Take down nothing."""

    def departed(self, number: int) -> None:
        """Count nothing."""

    def failed(self) -> None:
        """Count nothing."""


UNMETERED = Unmetered()


@dataclass(frozen=True, slots=True)
class Levels:
    """How things stand at one instant, by cluster.

    :param held: how many jobs are held.
    :param ages: how old the last statistic is, in seconds; a cluster without one is left out.
    """

    held: Mapping[str, int] = field(default_factory=dict)
    ages: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Levelled(Protocol):
    """What a service has that can be asked how things stand, at any time, on any thread."""

    def levels(self) -> Levels:
        """Return how things stand now. Raises Unavailable, Misconfigured."""
