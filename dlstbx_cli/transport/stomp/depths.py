"""Which queues there are on a STOMP broker, and how much is in them.

STOMP itself cannot say. RabbitMQ's management plugin can (setting ``management``): exactly
and at once. Without it, and on ActiveMQ, our own queues, those of the setting
``queues`` and the dead letters of all these are looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.transport.link import QueueState
from dlstbx_cli.transport.stomp.publisher import DELAYED
from dlstbx_cli.transport.stomp.settings import Settings

#: The queues of this system (facts: the table in ``man 7 dlstbx-message``).
OWN = ("ispyb_connector", "mimas", "mimas.held", "processing_recipe")


def states(settings: Settings, count: Callable[[str], int]) -> list[QueueState]:
    """Return the state of every queue that is not empty, by name.

    :param count: counts the messages of one queue by looking into it.
    """
    found = _managed(settings) if settings.management else _counted(settings, count)
    return sorted(found, key=lambda state: state.name)


def _counted(settings: Settings, count: Callable[[str], int]) -> Iterator[QueueState]:
    names = {*OWN, DELAYED, *settings.queues}
    for queue in sorted(names | {f"dlq.{name}" for name in names}):
        if number := count(queue):
            yield _state(queue, number, 0)


def _managed(settings: Settings) -> Iterator[QueueState]:
    start = f"{settings.prefix}." if settings.prefix else ""
    for row in _queues(settings):
        name, ready = str(row.get("name", "")), int(row.get("messages_ready", 0))
        in_hand = int(row.get("messages_unacknowledged", 0))
        if name.startswith(start) and ready + in_hand:
            yield _state(name.removeprefix(start), ready, in_hand)


def _state(name: str, ready: int, in_hand: int) -> QueueState:
    if name == DELAYED:
        # In whose hand a message waits until it is due makes no difference.
        return QueueState(name, 0, 0, ready + in_hand, None)
    return QueueState(name, ready, in_hand, 0, None)


def _queues(settings: Settings) -> list[dict[str, Any]]:
    """Ask RabbitMQ. Raises Unavailable, which never shows the login."""
    import requests

    parts = urlsplit(settings.management or "")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    # The plain listing tells numbers of some seconds ago: these totals are exact.
    url = f"{settings.management}/api/queues/{quote(settings.vhost, '')}"
    query = {"disable_stats": "true", "enable_queue_totals": "true"}
    try:
        answer = requests.get(url, params=query, timeout=settings.timeout)
        answer.raise_for_status()
        rows = answer.json()
    except requests.HTTPError as error:
        raise Unavailable(f"management of {shown}: {error.response.reason}") from None
    except (requests.RequestException, ValueError) as error:
        raise Unavailable(f"management of {shown}: {type(error).__name__}") from None
    return rows if isinstance(rows, list) else []
