"""A run's figures for Prometheus: a meter, and the HTTP server that is asked for them.

Sources: Prometheus' text format, and its advice on names and units.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily

from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.meter import Levelled
from dlstbx_cli.services.service import Initiative

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger(__name__)

#: Upper bounds in seconds: a message takes milliseconds; one that meets a database or a file
#: system that hangs, many seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Seconds that the store has for saying how things stand: a scrape's usual limit is 10.
PATIENCE = 2.0

_LABELS = ("command", "queue")


class PrometheusMeter:
    """Counts for Prometheus, see :class:`dlstbx_cli.services.meter.Meter`.

    :param command: the command's name.
    :param queue: where its messages come from.
    :param service: what is asked how things stand at each scrape, if it can be asked.
    """

    def __init__(self, command: str, queue: str, service: object = None) -> None:
        # Otherwise each counter has a second one beside it, with its date of birth.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        labels = (command, queue)

        def counter(name: str, text: str) -> Counter:
            # With its labels from the beginning: a rate needs the 0 before the first 1.
            return Counter(name, text, _LABELS, registry=self.registry).labels(*labels)

        self._handled = counter("dlstbx_handled", "Messages whose results have been sent.")
        self._rejected = counter("dlstbx_rejected", "Dead letters, and broadcasts without sense.")
        self._failed = counter(
            "dlstbx_failures", "Failures of the surroundings: broker, database, cluster away."
        )
        self._seconds = Histogram(
            "dlstbx_handling_seconds",
            "Time that a message was in hand, handled or rejected.",
            _LABELS,
            buckets=BUCKETS,
            registry=self.registry,
        ).labels(*labels)
        self._released: Counter | None = None
        if isinstance(service, Initiative):
            self._released = counter("dlstbx_released", "Held jobs that have been released.")
        if isinstance(service, Levelled):
            self.registry.register(_LevelsNow(service))
        ProcessCollector(registry=self.registry)

    def handled(self) -> None:
        """Count a message whose results have been sent."""
        self._handled.inc()

    def rejected(self) -> None:
        """Count a dead letter, or a broadcast that made no sense."""
        self._rejected.inc()

    def took(self, seconds: float) -> None:
        """Take down how long one message was in hand."""
        self._seconds.observe(seconds)

    def departed(self, number: int) -> None:
        """Count what the service has sent of its own accord."""
        if self._released is not None:
            self._released.inc(number)

    def failed(self) -> None:
        """Count a failure of the surroundings."""
        self._failed.inc()


class _LevelsNow:
    """Asks a service how things stand whenever it is scraped.

    What cannot be known is left out: a number of yesterday would look like one of now.
    """

    def __init__(self, service: Levelled) -> None:
        self._service = service
        self._bounded = Bounded(threads=1)
        self._turn = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield the levels."""
        # Of two scrapes at once the second waits: the bound takes one at a time.
        if not self._turn.acquire(timeout=PATIENCE):
            return
        try:
            levels = self._bounded.run("the store of held jobs", PATIENCE, self._service.levels)
        except (Unavailable, Misconfigured) as error:
            logger.debug("no levels: %s", error)
            return
        finally:
            self._turn.release()
        held = GaugeMetricFamily("dlstbx_held_jobs", "Jobs that are held now.", labels=["cluster"])
        for cluster, number in sorted(levels.held.items()):
            held.add_metric([cluster], number)
        age = GaugeMetricFamily(
            "dlstbx_statistics_age_seconds",
            "Time since a cluster's last statistic was taken.",
            labels=["cluster"],
        )
        for cluster, seconds in sorted(levels.ages.items()):
            age.add_metric([cluster], seconds)
        yield from (held, age)


def _not_answered(request: object, client_address: object) -> None:
    del request
    logger.debug("a scrape by %s was not answered", client_address, exc_info=True)


class Scrapes:
    """The HTTP server that gives a meter's figures to whoever asks, on threads of its own.

    Raises Misconfigured if the address cannot be listened on.
    """

    def __init__(self, meter: PrometheusMeter, host: str, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, meter.registry)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no name of a host"
            raise Misconfigured(
                f"--metrics-port {port}: {host} port {port} cannot be listened on: {reason};"
                " choose another port or --metrics-host"
            ) from None
        # By itself it would write a traceback among the logs for each client that goes away.
        self._server.handle_error = _not_answered  # type: ignore[method-assign]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
