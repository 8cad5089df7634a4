"""The way to a broker: which adapter a URL asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlstbx_cli.services.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path

    from dlstbx_cli.transport.link import Broker

#: Seconds until a broker that does not answer counts as not available.
TIMEOUT = 10.0


def connect(url: str, timeout: float = TIMEOUT, scratch: Path | None = None) -> Broker:
    """Return the broker of a URL: ``sqlite:///path`` (four slashes: from the root), or
    ``stomp://user:password@host:port/?setting=value`` (``stomp+ssl``: over TLS).

    :param timeout: seconds until a broker that does not answer is Unavailable.
    :param scratch: a directory of this host, where a network broker's consumers note which
        messages they had in hand; None: they note nothing.

    Raises Misconfigured for a URL of another kind. Of such a URL the error names the
    scheme alone: it may hold a password.
    """  # noqa: D205
    scheme, found, rest = url.partition("://")
    if found and scheme in ("stomp", "stomp+ssl"):
        from dlstbx_cli.transport.stomp.broker import StompBroker
        from dlstbx_cli.transport.stomp.settings import settings

        return StompBroker(settings(url, timeout), scratch)
    if not found or scheme != "sqlite":
        shown = f"scheme {scheme!r}" if found else "no scheme"
        raise Misconfigured(
            f"broker URL with {shown}: known are sqlite:///path and stomp://host:port/"
        )
    if not rest.startswith("/") or rest in ("/", "/:memory:"):
        raise Misconfigured("broker URL sqlite:// names no file: write sqlite:///path")
    from dlstbx_cli.transport.sqlite import SqliteBroker

    return SqliteBroker(rest[1:], timeout)
