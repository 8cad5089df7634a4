"""One STOMP connection, used by one thread.

stomp.py's receiver thread only puts frames into an inbox: whatever is done about them is
done by the thread that asks for them, so that no work ever holds up the heart-beats.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.transport.stomp.dialect import Dialect, dialect
from dlstbx_cli.transport.stomp.settings import Settings

#: Texts of an ERROR frame that say that the login is wrong, not that the broker is ill.
_REFUSED = ("access refused", "bad connect", "user name", "password", "not allowed", "vhost")


class BrokerError(Unavailable):
    """The broker has answered with an ERROR frame; its text is the reason."""


class _Inbox:
    """Listener of stomp.py: every frame and the loss of the connection, in their order."""

    def __init__(self) -> None:
        self.frames: SimpleQueue[Any] = SimpleQueue()

    def on_connected(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_message(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_receipt(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_error(self, frame: Any) -> None:
        self.frames.put(frame)

    def on_disconnected(self) -> None:
        self.frames.put(None)


class Session:
    """A connection that is open. Made by :func:`open_session`.

    Every method raises Unavailable once the connection is lost or the broker has sent an
    ERROR frame; the session is of no use any more then.
    """

    def __init__(self, settings: Settings, connection: Any, inbox: _Inbox) -> None:
        self._settings = settings
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
            raise self._lost(str(error) or type(error).__name__) from error

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
        deadline = time.monotonic() + (self._settings.timeout if timeout is None else timeout)
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
        self._failure = self._failure or Unavailable(f"{self._settings.shown}: closed")
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
            self._lost("the connection is lost")
        elif frame.cmd == "ERROR":
            self._failure = BrokerError(f"{self._settings.shown}: {_text(frame)}")
            self.drop()
        else:
            return frame
        return None

    def _lost(self, reason: str) -> Unavailable:
        if self._failure is None:
            self._failure = Unavailable(f"{self._settings.shown}: {reason}")
            self.drop()
        return self._failure


def open_session(settings: Settings) -> Session:
    """Connect to the first of the hosts that answers.

    Raises Unavailable, or Misconfigured if the broker refuses the login or the virtual
    host. The error of the last host is told.
    """
    for host in settings.hosts[:-1]:
        with suppress(Unavailable):
            return _open(settings, host)
    return _open(settings, settings.hosts[-1])


def _open(settings: Settings, host: tuple[str, int]) -> Session:
    from dlstbx_cli.transport.stomp.socket import Connection

    inbox = _Inbox()
    where = f"broker {host[0]}:{host[1]}"
    try:
        connection = Connection(host, settings)
        connection.set_listener("", inbox)
        connection.open(settings.user, settings.password)
    except OSError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unavailable(f"{where}: {reason}") from error
    except Exception as error:
        raise Unavailable(f"{where}: {error or type(error).__name__}") from error
    session = Session(settings, connection, inbox)
    try:
        frame = session.next(settings.timeout)
    except BrokerError as error:
        if any(word in str(error).lower() for word in _REFUSED):
            raise Misconfigured(f"{error} (user {settings.user or 'anonymous'})") from None
        raise
    if frame is None:
        session.drop()
        raise Unavailable(f"{where}: it takes the connection, but does not answer")
    session.dialect = dialect(settings.broker, frame.headers.get("server", ""))
    return session


def _text(frame: Any) -> str:
    """Return the text of an ERROR frame, as one line."""
    body = frame.body
    words = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    # ActiveMQ puts a stack trace into the body, RabbitMQ the explanation of the message.
    lines = [line.strip() for line in words.replace("\0", "").splitlines() if line.strip()]
    told = [frame.headers.get("message", "ERROR"), *lines[:1]]
    return ": ".join(dict.fromkeys(told))[:500]
