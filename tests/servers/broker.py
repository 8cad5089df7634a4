"""What the brokers of the tests have in common: a user, and URLs as users write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from tests.servers import process
from tests.servers.certificates import Certificates

#: Who may do everything. The password has signs that a URL must quote.
USER, PASSWORD = "dlstbx", "p@ss/w%rd:"


def quoted(user: str, password: str) -> str:
    """Return a login as it stands in a URL."""
    return f"{quote(user, safe='')}:{quote(password, safe='')}"


class Broker(process.ServerProcess):
    """A broker with STOMP on one port, and STOMP over TLS on another."""

    host = "127.0.0.1"

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        ports: Sequence[int],
        certificates: Certificates,
    ) -> None:
        super().__init__(command, environment, log, ports)
        self.port, self.tls_port = ports[:2]
        self.certificates = certificates

    def place(self) -> dict[str, str]:
        """Return the settings of a new, empty part of the broker: ``url(**place())``."""
        raise NotImplementedError

    def url(self, **settings: object) -> str:
        """Return the URL for the user who may do everything."""
        return self.url_as(USER, PASSWORD, **settings)

    def url_as(self, user: str, password: str, **settings: object) -> str:
        """Return the URL for another user, or with another password."""
        login = quoted(user, password)
        return self.with_settings(f"stomp://{login}@{self.host}:{self.port}/", settings)

    def anonymous_url(self, **settings: object) -> str:
        """Return the URL without a login."""
        return self.with_settings(f"stomp://{self.host}:{self.port}/", settings)

    def tls_url(self, **settings: object) -> str:
        """Return the URL over TLS, with the authority of the server's certificate.

        ``ca=None`` leaves that out, ``ca=PATH`` names another.
        """
        given = {"ca": self.certificates.ca, **settings}
        return self.with_settings(
            f"stomp+ssl://{quoted(USER, PASSWORD)}@{self.host}:{self.tls_port}/",
            {name: value for name, value in given.items() if value is not None},
        )
