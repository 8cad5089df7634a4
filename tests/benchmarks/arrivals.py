"""When recipes arrive at the end of the chain, with as little work of our own as possible."""

from __future__ import annotations

import threading
import time
from typing import Any

import stomp

from dlstbx_cli.transport.stomp.settings import settings
from tests.soak.site import END, Wire


class Arrivals:
    """A bare consumer, which counts messages and notes when each of them came."""

    def __init__(self, wire: Wire) -> None:
        self.times: list[float] = []
        self._more = threading.Condition()
        read = settings(wire.url)
        self._connection = stomp.Connection12(list(read.hosts), vhost=read.vhost)
        self._connection.set_listener("", self)
        self._connection.connect(read.user, read.password, wait=True)
        self._connection.subscribe(f"/queue/{read.named(END)}", "end", ack="auto")

    def on_message(self, frame: Any) -> None:
        """Note the time; called by stomp.py, in a thread of its own."""
        with self._more:
            self.times.append(time.perf_counter())
            self._more.notify()

    def forget(self) -> None:
        """Begin to count anew."""
        with self._more:
            self.times.clear()

    def wait(self, number: int, patience: float) -> bool:
        """Wait until so many have come; tell whether they have."""
        with self._more:
            return self._more.wait_for(lambda: len(self.times) >= number, patience)

    def close(self) -> None:
        """Disconnect."""
        self._connection.disconnect()
