"""The socket below a STOMP connection: stomp.py's own, with TLS that verifies and says why not."""

from __future__ import annotations

import importlib.util
import logging
import os
import selectors
import socket
import ssl
import sys

from dlstbx_cli.transport.stomp.settings import Settings, Tls


def _prepare() -> None:
    """Make the import of stomp.py quick and quiet.

    It asks the name service for this host's names: on a beamline whose name service hangs
    no trigger would ever leave. It loads a package for web sockets, which we never use,
    and takes as long as the rest. It logs tracebacks of its own, passwords in reach.
    """
    os.environ.setdefault("STOMP_SKIP_HOSTNAME_SCAN", "1")
    logging.getLogger("stomp.py").disabled = True
    if "websocket" in sys.modules:
        return
    spec = importlib.util.find_spec("websocket")
    if spec is not None and spec.loader is not None:
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules["websocket"] = module
        spec.loader.exec_module(module)


_prepare()

from stomp.connect import BaseConnection  # noqa: E402
from stomp.protocol import Protocol12  # noqa: E402
from stomp.transport import Transport  # noqa: E402
from stomp.utils import PollableQueue  # noqa: E402


class _Transport(Transport):  # type: ignore[misc]
    """stomp.py's transport, connecting once: it would sleep, and swallow the reason."""

    def __init__(self, host: tuple[str, int], settings: Settings) -> None:
        super().__init__(
            [host],
            prefer_localhost=False,
            try_loopback_connect=False,
            timeout=settings.timeout,
            vhost=settings.vhost,
            auto_decode=False,
            recv_bytes=1 << 16,
        )
        self._host = host
        self._settings = settings

    def attempt_connection(self) -> None:
        """Connect, and check who answers. Raises OSError (TLS errors are such)."""
        timeout = self._settings.timeout or None
        plain = socket.create_connection(self._host, timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._settings.tls is None:
            plain.settimeout(None)
            self.socket = plain
        else:
            self._secure(plain, self._settings.tls)
        self.current_host_and_port = self._host

    def _secure(self, plain: socket.socket, tls: Tls) -> None:
        secured = _context(tls).wrap_socket(plain, server_hostname=self._host[0])
        # An SSL object is not for two threads at once: stomp.py's receiver writes too.
        self.set_ssl(for_hosts=[self._host])
        self.socket = secured
        self.send_queue = PollableQueue()
        self.sel = selectors.DefaultSelector()
        self.sel.register(self.send_queue, selectors.EVENT_READ)
        self.sel.register(secured, selectors.EVENT_READ)
        self.blocking = False
        secured.setblocking(False)


class Connection(BaseConnection, Protocol12):  # type: ignore[misc]
    """stomp.py's connection of version 1.2 on our transport, not connected yet."""

    def __init__(self, host: tuple[str, int], settings: Settings) -> None:
        milliseconds = int(1000 * settings.heartbeat)
        transport = _Transport(host, settings)
        BaseConnection.__init__(self, transport)
        Protocol12.__init__(
            self,
            transport,
            heartbeats=(milliseconds, milliseconds),
            # Without a length the body is a text for ActiveMQ and its JMS peers.
            auto_content_length=False,
            # A broker under load may be late; what it must not be is dead for a minute.
            heart_beat_receive_scale=3,
        )

    def open(self, user: str | None, password: str) -> None:
        """Connect, and say who we are. Raises OSError."""
        self.transport.start()
        login = {"username": user, "passcode": password} if user else {}
        self.connect(**login)


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
