"""One STOMP connection, used by one thread.

stomp.py's receiver thread only puts frames into an inbox: whatever is done about them is
done by the thread that asks for them, so that no work ever holds up the heart-beats.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Queue
from typing import Any

from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.transport.stomp.dialect import Dialect, dialect
from dlstbx_cli.transport.stomp.settings import Settings

#: Texts of an ERROR frame that say that the login is wrong, not that the broker is ill.
_REFUSED = ("access refused", "bad connect", "user name", "password", "not allowed", "vhost")


#: Seconds that a second ERROR frame may come after the first.
_AFTERTHOUGHT = 0.05
_LOST = "the connection is lost"


class BrokerError(Unavailable):
    """The broker has answered with an ERROR frame; its text is the reason."""


class _Inbox:
    """Listener of stomp.py: every frame and the loss of the connection, in their order."""

    def __init__(self) -> None:
        # Not a SimpleQueue: in CPython 3.11 its wait with a time-out may never end, if a
        # signal or a busy machine lets the time pass before it has begun.
        self.frames: Queue[Any] = Queue()

    def on_connected(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_message(self, frame: Any) -> None:
        # It may wait here for those before it.
        frame.arrived = time.monotonic()
        self.frames.put(frame)

    def on_receipt(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_error(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_disconnected(self) -> None:
        self.frames.put(None)

    def on_heartbeat_timeout(self) -> None:
        """Do nothing: that the connection is lost is told as well."""


class Session:
    """A connection that is open. Made by :func:`open_session`.

    Every method raises Unavailable once the connection is lost or the broker has sent an
    ERROR frame; the session is of no use any more then.

    :param settings: with the one host that has answered.
    """

    def __init__(self, settings: Settings, connection: Any, inbox: _Inbox) -> None:
        self.settings = settings
        self._connection = connection
        self._inbox = inbox
        self._numbers = itertools.count(1)
        self._failure: Unavailable | None = None
        self.dialect: Dialect = dialect(settings.broker, "")

    def receipt(self) -> str:
        """Return a new name for a receipt, a transaction or a subscription."""
        return f"r{next(self._numbers)}"

    def send(self, command: str, headers: Mapping[str, str], body: str = "") -> None:
        """Send a frame."""
        if self._failure is not None:
            raise self._failure
        try:
            self._connection.send_frame(command, dict(headers), body)
        except Exception as error:
            # An ERROR frame that explains the loss may have come before it.
            while self._failure is None and self._next(0.2) is not None:
                pass
            hangs = isinstance(error, BlockingIOError)
            raise self._lost("it takes nothing more" if hangs else _LOST) from error

    def next(self, timeout: float) -> Any:
        """Return the next MESSAGE or RECEIPT frame, None if none comes in time."""
        if self._failure is not None:
            raise self._failure
        frame = self._next(timeout)
        if self._failure is not None:
            raise self._failure
        return frame

    def confirm(self, command: str, headers: Mapping[str, str], body: str = "") -> list[Any]:
        """Send a frame and wait for its receipt; return what came before that."""
        receipt = self.receipt()
        self.send(command, {**headers, "receipt": receipt}, body)
        return self.await_receipt(receipt)

    def await_receipt(self, receipt: str, timeout: float | None = None) -> list[Any]:
        """Wait for a receipt; return the other frames that came before it."""
        deadline = time.monotonic() + (self.settings.timeout if timeout is None else timeout)
        others: list[Any] = []
        while (left := deadline - time.monotonic()) > 0:
            frame = self.next(left)
            if frame is None:
                break
            if frame.cmd == "RECEIPT" and frame.headers.get("receipt-id") == receipt:
                return others
            others.append(frame)
        raise self._lost("it does not answer")

    def close(self, patience: float = 1.0) -> None:
        """Disconnect: the broker has done all before when it answers, or *patience* is over."""
        if self._failure is None:
            with suppress(Unavailable):
                receipt = self.receipt()
                # Below stomp.py's own disconnect, which waits for its threads without end.
                self.send("DISCONNECT", {"receipt": receipt})
                self.await_receipt(receipt, patience)
        self.drop()

    def drop(self) -> None:
        """Cut the connection: whatever is in hand goes back to the broker."""
        self._failure = self._failure or Unavailable(f"{self.settings.shown}: closed")
        with suppress(Exception):
            self._connection.transport.disconnect_socket()

    def _next(self, timeout: float) -> Any:
        try:
            frame = (
                self._inbox.frames.get(timeout=timeout)
                if timeout > 0
                else (self._inbox.frames.get_nowait())
            )
        except Empty:
            return None
        if frame is None:
            self._lost(_LOST)
        elif frame.cmd == "ERROR":
            told = "; ".join(dict.fromkeys(map(_text, [frame, *self._more_errors()])))
            self._failure = BrokerError(f"{self.settings.shown}: {told[:500]}")
            self.drop()
        else:
            return frame
        return None

    def _more_errors(self) -> Iterator[Any]:
        """Yield what else goes wrong: of ActiveMQ, why a COMMIT failed may come after that."""
        with suppress(Empty):
            while (frame := self._inbox.frames.get(timeout=_AFTERTHOUGHT)) is not None:
                if frame.cmd == "ERROR":
                    yield frame

    def _lost(self, reason: str) -> Unavailable:
        if self._failure is None:
            self._failure = Unavailable(f"{self.settings.shown}: {reason}")
            self.drop()
        return self._failure


def open_session(settings: Settings) -> Session:
    """Connect to the first of the hosts that answers, all within the timeout.

    Raises Unavailable, or Misconfigured if the broker refuses the login or the virtual
    host. The error of the last host is told.
    """
    deadline = time.monotonic() + settings.timeout
    others = settings.hosts[:-1]
    for number, host in enumerate(others):
        # A host without power does not even refuse: the next ones need their time as well.
        share = (deadline - time.monotonic()) / (len(settings.hosts) - number)
        with suppress(Unavailable):
            return _open(settings, host, share)
    return _open(settings, settings.hosts[-1], deadline - time.monotonic())


def _open(settings: Settings, host: tuple[str, int], patience: float) -> Session:
    from dlstbx_cli.transport.stomp.socket import Connection

    # Whatever is done over this session, and said of it, is about this host.
    settings = replace(settings, hosts=(host,))
    deadline = time.monotonic() + max(0.1, patience)
    inbox = _Inbox()
    connection = Connection(host, settings, deadline - time.monotonic())
    connection.set_listener("", inbox)
    try:
        connection.open(settings.user, settings.password)
    except Misconfigured:
        raise
    except Exception as error:
        connection.transport.disconnect_socket()
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, AttributeError) or getattr(error, "errno", None) == errno.EBADF:
            reason = ""  # lost between two steps: stomp.py trips over what is no longer there
        raise Unavailable(f"{settings.shown}: {reason or _LOST}") from error
    session = Session(settings, connection, inbox)
    try:
        frame = session.next(max(0.1, deadline - time.monotonic()))
    except BrokerError as error:
        if any(word in str(error).lower() for word in _REFUSED):
            raise Misconfigured(f"{error} (user {settings.user or 'anonymous'})") from None
        raise
    if frame is None:
        session.drop()
        raise Unavailable(f"{settings.shown}: it takes the connection, but does not answer")
    session.dialect = dialect(settings.broker, frame.headers.get("server", ""))
    return session


def _text(frame: Any) -> str:
    """Return the text of an ERROR frame, as one line."""
    body = frame.body
    words = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    # ActiveMQ puts a stack trace into the body, RabbitMQ the explanation of the message.
    lines = [line.strip() for line in words.replace("\0", "").splitlines() if line.strip()]
    told = [frame.headers.get("message", "ERROR"), *lines[:1]]
    return ": ".join(dict.fromkeys(told))
