"""A STOMP broker's URL, read once: hosts, login, and the settings of its query."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from dlstbx_cli.services.errors import Misconfigured

#: The port that both brokers use for STOMP, and for STOMP over TLS.
PORT, TLS_PORT = 61613, 61614

_URL = re.compile(
    r"(?P<scheme>stomp|stomp\+ssl)://(?:(?P<login>[^@/?]*)@)?(?P<hosts>[^/?]*)/?(?:\?(?P<query>.*))?"
)
#: With any of these a broker would misread the names below (see ``frames.check``).
_PREFIX = re.compile(r"[^/,*>?%\"'\\\s]{0,50}")
_FORM = re.compile(r"[^{}]*\{\}[^{}]*")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS connection is checked, and what it shows of us.

    :param ca: a file with the authorities to trust; None: those of the system.
    :param cert: our certificate, for brokers that want one; its key may be in it.
    :param verify: False trusts anyone: for tests alone.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a broker is and how to speak to it. Never shown whole: it holds the password.

    :param hosts: (host, port), tried in this order; the next one when one is away.
    :param user: None: anonymous.
    :param prefix: the namespace before every name, without its dot; empty: none.
    :param vhost: the virtual host: RabbitMQ refuses an unknown one, ActiveMQ does not care.
    :param broker: ``activemq`` or ``rabbitmq``; None: as the broker says when it answers.
    :param queue_form: how a queue's name becomes a destination, ``{}`` being the name;
        None: as the dialect finds it out. With ``/amq/queue/{}`` every queue must be there:
        RabbitMQ confirms, and throws away, what is sent to one that is not. Where
        ``management`` is set that is asked for before, and the message is rejected.
    :param window: messages that a consumer has received and not acknowledged, at most.
    :param heartbeat: seconds between two signs of life in each direction; 0: none.
    :param timeout: seconds until a broker that does not answer counts as away.
    :param idle: seconds without a message after which a queue counts as empty.
    :param management: URL of the broker's HTTP interface, with its login; None: none.
    :param queues: names of further queues to look into, where the broker cannot list them.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str | None = None
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    prefix: str = ""
    vhost: str = "/"
    broker: str | None = None
    queue_form: str | None = None
    topic_form: str = "/topic/{}"
    window: int = 20
    heartbeat: float = 10.0
    timeout: float = 10.0
    idle: float = 0.5
    management: str | None = field(default=None, repr=False)
    queues: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The broker as errors and logs name it: no login, no settings."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"broker {'stomp+ssl' if self.tls else 'stomp'}://{hosts}"

    def named(self, name: str) -> str:
        """Return a queue's or topic's name with the namespace."""
        return f"{self.prefix}.{name}" if self.prefix else name


def settings(url: str, timeout: float = 10.0) -> Settings:
    """Read a URL ``stomp://user:password@host:port,host:port/?setting=value``.

    :param timeout: seconds, where the URL does not say.

    Raises Misconfigured, which never names the login.
    """
    match = _URL.fullmatch(url)
    if not match:
        raise Misconfigured("broker URL: not of the form stomp://user@host:port/?setting=value")
    given = dict(parse_qsl(match["query"] or "", keep_blank_values=True))
    # Behind an @ that is not quoted there may be the end of a password that is not.
    secret = "@" in (match["query"] or "")
    unknown = sorted(given.keys() - _READERS.keys() - _TLS)
    if unknown:
        known = ", ".join(sorted(_READERS.keys() | _TLS))
        # What is no word may be a piece of such a password as well.
        is_word = re.fullmatch("[a-z-]{1,20}", unknown[0]) and not secret
        shown = unknown[0] if is_word else "of that name"
        raise Misconfigured(f"broker URL: no setting {shown}; there are {known}")
    tls = match["scheme"] == "stomp+ssl"
    values: dict[str, Any] = {
        name.replace("-", "_"): _value(name, given[name], read, secret)
        for name, read in _READERS.items()
        if name in given
    }
    user, _, password = (match["login"] or "").partition(":")
    values["timeout"] = values.get("timeout", timeout)
    return Settings(
        hosts=tuple(_host(text, TLS_PORT if tls else PORT) for text in match["hosts"].split(",")),
        user=unquote(user) or None,
        password=unquote(password),
        tls=_tls(given, tls, secret),
        **values,
    )


def _host(text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if not match or not 0 < int(match["port"] or port) < 65536:
        # It may be a piece of a password that was not quoted.
        raise Misconfigured("broker URL: a host is not HOST or HOST:PORT (quote login and hosts)")
    return match["name"].strip("[]"), int(match["port"] or port)


def _tls(given: Mapping[str, str], tls: bool, secret: bool) -> Tls | None:
    files = {name: Path(given[name]) for name in ("ca", "cert", "key") if name in given}
    if not tls:
        if given.keys() & _TLS:
            raise Misconfigured("broker URL: ca, cert, key and verify are for stomp+ssl://")
        return None
    for name, path in files.items():
        if not _is_file(path):
            shown = name if secret else f"{name}={path}"
            raise Misconfigured(f"broker URL: {shown}: there is no such file")
    verify: bool = _value("verify", given.get("verify", "yes"), _yes, secret)
    return Tls(**files, verify=verify)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a directory that is not for us
        return False


def _value(name: str, text: str, read: Callable[[str], Any], secret: bool) -> Any:
    """Return what a setting's text means.

    :param secret: the text is not to be shown.
    """
    try:
        return read(text)
    except ValueError as error:
        shown = "" if secret or name == "management" else f", not {text!r:.60}"
        raise Misconfigured(f"broker URL: {name} must be {error}{shown}") from None


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
    return text == "yes"


def _name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("printable")
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text) or not text.isprintable():
        raise ValueError("a name, of at most 50 letters")
    return text.removesuffix(".")


def _broker(text: str) -> str | None:
    if text not in ("auto", "activemq", "rabbitmq"):
        raise ValueError("auto, activemq or rabbitmq")
    return None if text == "auto" else text


def _form(text: str) -> str:
    if not _FORM.fullmatch(text) or not text.isprintable():
        raise ValueError("a destination with {} for the name, such as /amq/queue/{}")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, _name(text).split(",")))


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) <= 10_000:
        raise ValueError("a number from 1 to 10000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 3600:
        raise ValueError("seconds")
    return number


def _patience(text: str) -> float:
    if _seconds(text) < 0.1:
        raise ValueError("seconds, at least 0.1")
    return float(text)


def _http(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s?#]+", text):
        raise ValueError("an http or https URL")
    return text.rstrip("/").removesuffix("/api")


_TLS = frozenset({"ca", "cert", "key", "verify"})
_READERS: dict[str, Callable[[str], Any]] = {
    "broker": _broker,
    "heartbeat": _seconds,
    "idle": _seconds,
    "management": _http,
    "prefix": _prefix,
    "queue-form": _form,
    "queues": _names,
    "timeout": _patience,
    "topic-form": _form,
    "vhost": _name,
    "window": _count,
}
