"""Says when held jobs wait only because nobody tells how their cluster is."""

from __future__ import annotations

import logging

from dlstbx_cli.services.held.policy import Room

logger = logging.getLogger(__name__)


class Blindness:
    """Which clusters there have been no statistics of for a while, each said once.

    :param patience: seconds without any before it is said: a service that has just begun
        waits for the first one, and a run that ends at once says nothing.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[str, float] = {}
        self._said: set[str] = set()

    def look(self, cluster: str, room: Room, now: float) -> None:
        """Take the room on a cluster for which jobs are held."""
        extra = {"action": "blind", "cluster": cluster}
        if not room.blind:
            self._since.pop(cluster, None)
            if cluster in self._said:
                self._said.discard(cluster)
                logger.warning("cluster %s: statistics come again", cluster, extra=extra)
            return
        since = self._since.setdefault(cluster, now)
        if now - since < self._patience or cluster in self._said:
            return
        self._said.add(cluster)
        logger.warning(
            "cluster %s: %s: its jobs stay held; is cluster-stats --listen running?",
            cluster,
            room.refusal,
            extra=extra,
        )
