"""What a cluster's jobs come to: the statistic that the backlog and Mimas decide by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dlstbx_cli.services.held.statistics import JOB_STATES, TOPIC
from dlstbx_cli.services.message import ID_HEADER, Message, Topic

#: The states that every statistic names, also where no job has them: readers ask for these.
ALWAYS = ("PENDING", "RUNNING")


def job_states(cluster: str, states: Iterable[str], now: float) -> Message:
    """Return the broadcast that says how many jobs of a cluster are in which state.

    :param states: the state of each job, as Slurm names it.
    :param now: when the cluster was asked, seconds since the epoch.

    Form: the facts' table of queues and topics. Its identity follows from its content.
    """
    counts = {**dict.fromkeys(ALWAYS, 0), **Counter(states)}
    body = {
        "statistic-group": "cluster",
        "statistic": JOB_STATES,
        "statistic-cluster": cluster,
        "statistic-timestamp": now,
        **dict(sorted(counts.items())),
    }
    message = Message(Topic(TOPIC), body)
    return message.with_headers({ID_HEADER: message.identity})
