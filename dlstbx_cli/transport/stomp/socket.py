"""The socket below a STOMP connection: stomp.py's own, with TLS that verifies and says why not."""

from __future__ import annotations

import importlib
import logging
import os
import re
import selectors
import socket
import struct
import sys
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.transport.stomp.settings import Settings, Tls

if TYPE_CHECKING:
    import ssl


def _prepare() -> None:
    """Import stomp.py quickly and quietly.

    It asks the name service for this host's names: on a beamline whose name service hangs
    no trigger would ever leave. It logs tracebacks of its own, passwords in reach. And it
    loads adapters for web sockets and multicast, which we never use and which take as long
    as the rest: they are left out of its first import, and there for others after it. So is
    TLS, a tenth of the time of a trigger that goes without.
    """
    os.environ.setdefault("STOMP_SKIP_HOSTNAME_SCAN", "1")
    logging.getLogger("stomp.py").disabled = True
    if "stomp" in sys.modules:
        return
    adapter: Any = ModuleType("stomp.adapter")
    adapter.ws = SimpleNamespace(WSStompConnection=None)
    without: dict[str, Any] = {"stomp.adapter": adapter}
    if "ssl" not in sys.modules:
        # stomp.py does without TLS then, until _secure gives it back.
        without["ssl"] = None
    sys.modules.update(without)
    try:
        importlib.import_module("stomp.connect")
    finally:
        for name in without:
            del sys.modules[name]


_prepare()

from stomp.connect import BaseConnection  # noqa: E402
from stomp.protocol import Protocol12  # noqa: E402
from stomp.transport import Transport  # noqa: E402
from stomp.utils import PollableQueue  # noqa: E402

#: Bytes that are read at a time.
_CHUNK = 1 << 16


class _Queue(PollableQueue):  # type: ignore[misc]
    """Frames on their way to the thread that writes them over TLS, not waited for for ever."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        _bound(self._putsocket, timeout)


class _Transport(Transport):  # type: ignore[misc]
    """stomp.py's transport, connecting once: it would sleep, and swallow the reason.

    :param patience: seconds that connecting may take.
    """

    def __init__(self, host: tuple[str, int], settings: Settings, patience: float) -> None:
        super().__init__(
            [host],
            prefer_localhost=False,
            try_loopback_connect=False,
            vhost=settings.vhost,
            auto_decode=False,
            recv_bytes=_CHUNK,
        )
        self._host = host
        self._settings = settings
        self._patience = patience
        self._is_between = True

    def attempt_connection(self) -> None:
        """Connect, and check who answers. Raises OSError (TLS errors are such), Misconfigured."""
        tls = self._settings.tls
        context = _context(tls) if tls else None
        host, port = self._host
        # As bytes: a text would load the tables of international names for nothing.
        place: Any = (host.encode(), port) if host.isascii() else self._host
        plain = socket.create_connection(place, self._patience)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if context is None:
            plain.settimeout(None)
            _bound(plain, self._settings.timeout)
            self.socket = plain
        else:
            self._secure(plain, context)
        self.current_host_and_port = self._host

    def receive(self) -> bytes:
        """Return what has come; empty: the connection has ended.

        Raises SSLWantReadError, SSLWantWriteError if nothing has come over TLS.
        """
        try:
            chunk: bytes = self.socket.recv(_CHUNK)
        except (OSError, AttributeError) as error:  # reset, or closed by the other thread
            if type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError"):
                raise
            chunk = b""
        if not chunk:
            if not self.blocking:
                # stomp.py takes that for a pause, and would ask again without one.
                self.shutdown_queue()
            return chunk
        _acknowledge(self.socket)
        return self._without_beats(chunk)

    def disconnect_socket(self) -> None:
        """Cut the connection: the thread that reads it ends and closes the socket.

        stomp.py would say farewell over TLS and wait for an answer, from a broker that hangs.
        """
        self.running = False
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _without_beats(self, chunk: bytes) -> bytes:
        """Take the heart-beats before a frame away: stomp.py loses a frame after two of them."""
        # Between two frames there is nothing left over, neither of this chunk nor of before.
        if self._is_between and not self._BaseTransport__recvbuf:
            chunk = chunk.lstrip(b"\r\n") or b"\n"
            self._is_between = chunk == b"\n"
        self._is_between = self._is_between or b"\0" in chunk
        return chunk

    def _secure(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        import ssl

        import stomp.transport

        stomp.transport.ssl = ssl
        secured = context.wrap_socket(plain, server_hostname=self._host[0])
        # An SSL object is not for two threads at once: stomp.py's receiver writes too.
        self.set_ssl(for_hosts=[self._host])
        self.socket = secured
        self.send_queue = _Queue(self._settings.timeout)
        self.sel = selectors.DefaultSelector()
        self.sel.register(self.send_queue, selectors.EVENT_READ)
        self.sel.register(secured, selectors.EVENT_READ)
        self.blocking = False
        secured.setblocking(False)


class Connection(BaseConnection, Protocol12):  # type: ignore[misc]
    """stomp.py's connection of version 1.2 on our transport, not connected yet."""

    def __init__(self, host: tuple[str, int], settings: Settings, patience: float) -> None:
        milliseconds = int(1000 * settings.heartbeat)
        transport = _Transport(host, settings, patience)
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
        """Connect, and say who we are. Raises OSError, Misconfigured."""
        if re.search(r"[\0\r\n]", f"{user or ''}{password}"):
            # The frame that carries it knows no escapes: what follows would be headers.
            raise Misconfigured("broker: a line break in the user or the password")
        self.transport.start()
        login = {"username": user, "passcode": password} if user else {}
        self.connect(**login)


def _acknowledge(receiver: socket.socket) -> None:
    """Let the kernel tell at once that data has come: it does so for a while only.

    ActiveMQ sends no second small frame before that (Nagle's algorithm), and a kernel takes
    its 40 ms.
    """
    with suppress(OSError, AttributeError):
        receiver.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _bound(sender: socket.socket, seconds: float) -> None:
    """Let the kernel give up what a socket that blocks cannot send: nobody reads it."""
    whole, part = divmod(int(1e6 * seconds), 1_000_000)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", whole, part))


def _context(tls: Tls) -> ssl.SSLContext:
    import ssl

    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        named = (f"{name}={path}" for name, path in (("ca", tls.ca), ("cert", tls.cert)) if path)
        reason = error.strerror or str(error)
        raise Misconfigured(f"broker URL: {', '.join(named)}: {reason}") from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
