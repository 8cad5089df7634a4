"""What is asked of a cluster: the one interface between Slurm and who counts its jobs."""

from __future__ import annotations

import re
from typing import Protocol

#: Seconds that a cluster may take to answer. Slurm's own programs give up after 10
#: (``MessageTimeout`` of slurm.conf) and then say why, which is better than our saying nothing.
TIMEOUT = 15.0

_STATE = re.compile(r"[A-Z][A-Z_]{0,40}")


class Source(Protocol):
    """One way to one cluster."""

    def states(self) -> list[str]:
        """Return the state of each job of the account, as Slurm names it.

        Raises Unavailable (away, too slow, an expired token) and Misconfigured; the text is
        one line and holds no token.
        """

    def close(self) -> None:
        """Give up what is being asked, from another thread."""


def is_state(text: object) -> bool:
    """Tell whether a text could be the name of a job's state."""
    return isinstance(text, str) and _STATE.fullmatch(text) is not None
