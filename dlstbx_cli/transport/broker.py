"""The way to a broker: which adapter a URL asks for."""

from __future__ import annotations

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.transport.link import Broker

#: Seconds until a broker that does not answer counts as not available.
TIMEOUT = 10.0


def connect(url: str, timeout: float = TIMEOUT) -> Broker:
    """Connect to the broker of a URL: ``sqlite:///path`` (four slashes: from the root).

    :param timeout: seconds until a broker that does not answer is Unavailable.

    Raises Misconfigured for a URL of another kind. Of such a URL the error names the
    scheme alone: it may hold a password.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme != "sqlite":
        shown = f"scheme {scheme!r}" if found else "no scheme"
        raise Misconfigured(f"broker URL with {shown}: known is sqlite:///path")
    if not rest.startswith("/") or rest in ("/", "/:memory:"):
        raise Misconfigured("broker URL sqlite:// names no file: write sqlite:///path")
    from dlstbx_cli.transport.sqlite import SqliteBroker

    return SqliteBroker(rest[1:], timeout)
