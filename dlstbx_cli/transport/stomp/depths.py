"""Which queues there are on a STOMP broker, and how much is in them.

STOMP itself cannot say. RabbitMQ's management plugin can (setting ``management``): exactly
and at once. Without it, and on ActiveMQ, our own queues, those of the setting
``queues`` and the dead letters of all these are looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dlstbx_cli.services.message import DLQ
from dlstbx_cli.transport.link import QueueState
from dlstbx_cli.transport.stomp import management
from dlstbx_cli.transport.stomp.publisher import DELAYED
from dlstbx_cli.transport.stomp.settings import Settings

#: The queues of this system (facts: the table in ``man 7 dlstbx-message``).
OWN = ("ispyb_connector", "mimas", "mimas.held", "processing_recipe")
#: Has no queue of its own, but dead letters: of lines that are no messages.
_SENDER = "queue-put"


def states(settings: Settings, count: Callable[[str], int], prefix: str = "") -> list[QueueState]:
    """Return the state of every queue that is not empty, by name.

    :param count: counts the messages of one queue by looking into it.
    :param prefix: of those only whose name begins so; no other is looked into.
    """
    found = _managed(settings) if settings.management else _counted(settings, count, prefix)
    return sorted(
        (state for state in found if state.name.startswith(prefix)), key=lambda state: state.name
    )


def _counted(settings: Settings, count: Callable[[str], int], prefix: str) -> Iterator[QueueState]:
    names = {*OWN, DELAYED, *settings.queues}
    for queue in sorted(names | {f"{DLQ}{name}" for name in {*names, _SENDER}}):
        if queue.startswith(prefix) and (number := count(queue)):
            yield _state(queue, number, 0)


def _managed(settings: Settings) -> Iterator[QueueState]:
    start = f"{settings.prefix}." if settings.prefix else ""
    for row in management.queues(settings):
        name, ready = str(row.get("name", "")), int(row.get("messages_ready", 0))
        in_hand = int(row.get("messages_unacknowledged", 0))
        if name.startswith(start) and ready + in_hand:
            yield _state(name.removeprefix(start), ready, in_hand)


def _state(name: str, ready: int, in_hand: int) -> QueueState:
    if name == DELAYED:
        # In whose hand a message waits until it is due makes no difference.
        return QueueState(name, 0, 0, ready + in_hand, None)
    return QueueState(name, ready, in_hand, 0, None)
