"""Ports that stay free while a server is down."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

#: Below the ports that a system gives to its clients: one of ours that tries to reach a
#: server that is down could be given the very port that it calls, meet itself, and keep the
#: server from coming back.
_RANGE = range(20_000, 32_000)
_given: set[int] = set()


def free_ports(number: int) -> list[int]:
    """Return free ports of 127.0.0.1, none of them given before."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == number:
            return found
        if port not in _given and _is_free(port):
            found.append(port)
            _given.add(port)
    raise RuntimeError(f"no {number} free ports of 127.0.0.1")


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False
