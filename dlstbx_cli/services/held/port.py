"""What the backlog asks of the store where held jobs wait, and what it sees there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from dlstbx_cli.services.held.values import Held, Pause, Statistic
from dlstbx_cli.services.message import Message


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known about a cluster at one instant.

    :param releases: when jobs were released to it lately (seconds since the epoch).
    :param served: when each visit (``Held.turn``) had a job released to it last.
    """

    statistic: Statistic | None
    releases: Sequence[float]
    served: Mapping[str, float] = field(default_factory=dict)
    pauses: Sequence[Pause] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A job in the store: what it is, what became of it, and its message.

    :param state: ``held``, ``going`` (being released), ``released`` or ``cancelled``.
    :param changed: when it came to be in this state.
    :param owner: who released it by hand, or cancelled it; empty: nobody.
    :param fault: why its message could not be read; None: it could.
    """

    job: Held
    state: str
    changed: float
    owner: str
    reason: str
    message: Message
    fault: str | None = None


class HeldStore(Protocol):
    """Where held jobs wait. Every method raises Unavailable, and is one transaction."""

    def hold(self, job: Held, message: Message) -> bool:
        """Keep a job, safely; False if it was there already (its number does not count)."""

    def note(self, statistic: Statistic) -> None:
        """Remember a statistic; one that is older than the last is ignored."""

    def clusters(self) -> dict[str, int]:
        """Return how many jobs are held, by the cluster that they wait for."""

    def statistics(self) -> Mapping[str, Statistic]:
        """Return the last statistic of each cluster."""

    def claim(
        self,
        cluster: str,
        free: Callable[[Seen], int],
        choose: Callable[[Iterable[Held], Seen, int], Sequence[Held]],
    ) -> list[Entry]:
        """Claim jobs for release: nobody else gets them, nobody else counts without them.

        :param free: how many may be released, as things are.
        :param choose: which of those that are held; asked only if there is room.
        """

    def abandoned(self) -> list[Entry]:
        """Claim again what somebody has claimed and not released: it may have been killed."""

    def renewing(self, numbers: Sequence[int]) -> AbstractContextManager[None]:
        """Keep claims up while what was claimed is being sent, however long that takes."""

    def released(self, numbers: Sequence[int]) -> None:
        """Note that claimed jobs have been sent."""
