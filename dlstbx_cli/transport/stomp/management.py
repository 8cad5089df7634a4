"""What RabbitMQ's management plugin tells, where the setting ``management`` names it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.transport.stomp.settings import Settings


def queues(settings: Settings) -> list[dict[str, Any]]:
    """Return what is known of each queue of the virtual host. Raises Unavailable."""
    # The plain listing tells numbers of some seconds ago: these totals are exact.
    rows = _get(settings, "", {"disable_stats": "true", "enable_queue_totals": "true"})
    return rows if isinstance(rows, list) else []


def is_there(settings: Settings, queue: str) -> bool:
    """Tell whether there is a queue of that name, namespace included. Raises Unavailable."""
    return _get(settings, f"/{quote(queue, '')}", {"disable_stats": "true"}) is not None


def _get(settings: Settings, path: str, query: dict[str, str]) -> Any:
    """Return an answer's JSON, None if there is no such thing. The login is never shown."""
    import requests

    parts = urlsplit(settings.management or "")
    shown = f"management of {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    url = f"{settings.management}/api/queues/{quote(settings.vhost, '')}{path}"
    try:
        answer = requests.get(url, params=query, timeout=settings.timeout)
        if answer.status_code == 404 and path:
            return None
        answer.raise_for_status()
        return answer.json()
    except requests.HTTPError as error:
        raise Unavailable(f"{shown}: {error.response.reason}") from None
    except (requests.RequestException, ValueError) as error:
        raise Unavailable(f"{shown}: {type(error).__name__}") from None
