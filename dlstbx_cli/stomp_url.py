"""The URL of a STOMP broker, put together from what a site says in several places.

Only its form is known here. Which settings there are, and what they may be, the adapter
knows, which reads the URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.urls import with_login

_URL = re.compile(
    r"(?P<scheme>stomp|stomp\+ssl)://(?:(?P<login>[^@/?]*)@)?(?P<hosts>[^/?]*)/?(?:\?(?P<query>.*))?"
)


@dataclass(frozen=True, slots=True)
class StompUrl:
    """The parts of a STOMP broker's URL, as people write them: nothing is quoted.

    :param hosts: each HOST or HOST:PORT, an IPv6 address in brackets.
    :param user: both it and the password empty: anonymous.
    :param settings: those of the query, by name.
    """

    hosts: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> StompUrl | None:
        """Take a URL apart; None if it is none of STOMP, or too broken to be added to."""
        match = _URL.fullmatch(url)
        if not match or not is_stomp(url):
            return None
        user, _, password = (match["login"] or "").partition(":")
        return cls(
            tuple(match["hosts"].split(",")),
            unquote(user),
            unquote(password),
            match["scheme"] == "stomp+ssl",
            dict(parse_qsl(match["query"] or "", keep_blank_values=True)),
        )

    @property
    def text(self) -> str:
        """The URL. It holds the password: not to be shown."""
        login = quote(self.user, "") + (f":{quote(self.password, '')}" if self.password else "")
        # The usual values stay readable: zocalo, /.
        query = "&".join(f"{quote(k, '')}={quote(v, '/')}" for k, v in self.settings.items())
        scheme = "stomp+ssl" if self.tls else "stomp"
        where = f"{login}@{','.join(self.hosts)}" if login else ",".join(self.hosts)
        return f"{scheme}://{where}/{'?' + query if query else ''}"

    def changed(self, given: Mapping[str, str]) -> StompUrl:
        """Return the URL with some parts in the place of its own.

        :param given: any of ``host``, ``port``, ``username``, ``password``, ``prefix``. A
            host replaces all hosts, and gets the first one's port if none is given.

        Raises Misconfigured if the host is none.
        """
        hosts, port = self.hosts, given.get("port")
        if "host" in given:
            hosts = (host_and_port(given["host"], port or _split(hosts[0])[1]),)
        elif port:
            hosts = tuple(host_and_port(_split(host)[0], port) for host in hosts)
        prefix = {"prefix": given.get("prefix", self.settings.get("prefix", ""))}
        others = {name: value for name, value in self.settings.items() if name != "prefix"}
        return replace(
            self,
            hosts=hosts,
            user=given.get("username", self.user),
            password=given.get("password", self.password),
            settings=prefix | others if prefix["prefix"] else others,
        )

    def merged(self, settings: Mapping[str, Any]) -> StompUrl:
        """Return the URL with the settings of a YAML mapping added, or in place of its own.

        :param settings: as the query of a URL has them, and ``hosts`` (a list, or text with
            commas; a host without a port gets the one that the URL has), ``tls`` (true).
            False is ``no``, true is ``yes``; an empty value takes the setting away.

        Raises Misconfigured, which names no value: one may be a password.
        """
        texts = dict(_texts(settings))
        hosts, tls = texts.pop("hosts", ""), texts.pop("tls", "") or "no"
        if tls not in ("yes", "no"):
            raise Misconfigured("tls must be true or false")
        others = {name: value for name, value in self.settings.items() if name not in texts}
        given = [_split(host) for host in hosts.split(",")] if hosts else []
        port = _split(self.hosts[0])[1]
        return replace(
            self,
            hosts=tuple(host_and_port(name, own or port) for name, own in given) or self.hosts,
            tls=tls == "yes",
            settings=others | {name: value for name, value in texts.items() if value},
        )


#: The broker that ``zocalo.go`` looks for where nothing says which.
LOCAL = StompUrl(("localhost:61613",), "admin", "password")


def of_plugins(
    stomp: Mapping[str, Any], settings: Any, rabbitmqapi: Mapping[str, Any] | None = None
) -> str:
    """Return the URL that plugins of a Zocalo configuration make together.

    :param stomp: the plugin ``stomp``.
    :param settings: a mapping, see :meth:`StompUrl.merged`; it goes before the plugins.
    :param rabbitmqapi: the plugin of that name: the setting ``management``.

    Raises Misconfigured.
    """
    if not isinstance(settings, dict):
        raise Misconfigured("it must be a mapping of settings")
    url = StompUrl(
        (host_and_port(stomp["host"], str(stomp["port"])),),
        stomp["username"],
        stomp["password"],
        settings={"prefix": stomp["prefix"]} if stomp["prefix"] else {},
    )
    if rabbitmqapi:
        base, user, password = (rabbitmqapi[key] for key in ("base_url", "username", "password"))
        # zocalo wants the path of the API in it, the setting is the interface itself.
        base = base.rstrip("/").removesuffix("/api")
        url = url.merged({"management": with_login(base, user, password)})
    return url.merged(settings).text


def is_stomp(url: str) -> bool:
    """Tell whether a URL is one of a STOMP broker."""
    return url.startswith(("stomp://", "stomp+ssl://"))


def host_and_port(host: str, port: str) -> str:
    """Return a host and its port as a URL has them; an IPv6 address gets its brackets.

    Raises Misconfigured if the host could not stand in a URL.
    """
    if not host or re.search(r"[\s/?#@,]", host):
        raise Misconfigured("what is given as host is not the name of one")
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{name}:{port}" if port else name


def _split(host: str) -> tuple[str, str]:
    """Return name and port (or empty) of ``HOST``, ``HOST:PORT``, ``[::1]:PORT``, ``::1``."""
    text = host.strip()
    name, _, port = text.rpartition(":")
    alone = not name or not port.isdigit() or (":" in name and not name.endswith("]"))
    return (text, "") if alone else (name, port)


def _texts(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, bool):
            yield str(name), "yes" if value else "no"
        elif isinstance(value, str | int | float) or value is None:
            yield str(name), "" if value is None else str(value)
        elif name == "hosts" and isinstance(value, list):
            yield "hosts", ",".join(map(str, value))
        else:
            raise Misconfigured(f"{name} must be text, a number, true or false")
