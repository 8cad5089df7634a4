"""A RabbitMQ of the tests' own: a folder, free ports, and an end whatever happens.

``serving`` gives it to benchmarks and the soak; tests have the fixture ``rabbitmq_server`` of
``brokers``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.servers.broker import PASSWORD, USER, Broker, quoted
from tests.servers.certificates import Certificates, make
from tests.servers.ports import free_ports

#: Not the one of /usr/sbin, which wants to become the user rabbitmq.
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

#: The port mapper of Erlang, which would outlive the server, is one of the server's own, in
#: its process group. The server itself wants to start none then.
_START = """
epmd &
until epmd -names >/dev/null 2>&1; do sleep 0.1; done
exec "$0"
"""

_CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{amqp}
stomp.listeners.tcp.1 = 127.0.0.1:{stomp}
stomp.listeners.ssl.1 = 127.0.0.1:{tls}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
ssl_options.cacertfile = {certificates.ca}
ssl_options.certfile = {certificates.cert}
ssl_options.keyfile = {certificates.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
default_user = {user}
default_pass = {password}
default_user_tags.administrator = true
default_permissions.configure = .*
default_permissions.write = .*
default_permissions.read = .*
# A test looks at the depth of a queue: numbers of five seconds ago are of no use to it.
collect_statistics_interval = 1000
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.10 = 1
# A full disk or a small machine is no reason to block the tests.
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.relative = 0.9
log.console = true
log.console.level = warning
log.file = false
"""


def lacking() -> str | None:
    """Return in one line what a RabbitMQ needs and this machine lacks, None if nothing."""
    missing = [name for name in ("epmd", "openssl") if not shutil.which(name)]
    missing += [] if _SERVER.exists() else [_SERVER.name]
    return f"no {', '.join(missing)}: apt-get install rabbitmq-server openssl" if missing else None


class RabbitMQ(Broker):
    """One server in *folder*."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        stomp, tls, self.amqp_port, self.management_port, mapper, distribution = free_ports(6)
        self._folder = folder
        self._vhosts = count(1)
        super().__init__(
            ["sh", "-c", _START, str(_SERVER)],
            self._surroundings(stomp, mapper, distribution),
            folder / "rabbitmq.log",
            (stomp, tls, self.amqp_port, self.management_port),
            certificates,
        )

    def _surroundings(self, number: int, mapper: int, distribution: int) -> dict[str, str]:
        """Return an environment in which nothing of the machine's own RabbitMQ counts."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RABBITMQ_", "ERL_"))
        }
        return kept | {
            "HOME": str(self._folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": f"dlstbx-{number}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
            ),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(self._folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            # The script becomes the server, instead of waiting for it: whoever waits for the
            # process has waited for the server.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def install(self) -> None:
        """Write the configuration."""
        written = {
            "rabbitmq.conf": _CONFIGURATION.format(
                amqp=self.amqp_port,
                stomp=self.port,
                tls=self.tls_port,
                management=self.management_port,
                certificates=self.certificates,
                user=USER,
                password=PASSWORD,
            ),
            "advanced.config": "[].\n",
            "env.conf": "",
            "plugins": "[rabbitmq_management,rabbitmq_stomp].\n",
        }
        for name, text in written.items():
            (self._folder / name).write_text(text, encoding="utf-8")
        (self._folder / "conf.d").mkdir()

    def _answers(self) -> bool:
        """Whether the ports are open and, after a crash too, all that was stored is back."""
        import requests

        if not super()._answers():
            return False
        try:
            self.management("GET", "health/checks/virtual-hosts")
        except requests.RequestException:
            return False
        return True

    # --- its management --------------------------------------------------------------

    @property
    def management_url(self) -> str:
        """The management's URL, with the login of the user who may do everything."""
        return f"http://{quoted(USER, PASSWORD)}@{self.host}:{self.management_port}"

    def management(self, method: str, path: str, body: object = None) -> Any:
        """Ask the management, and return the answer's JSON, None if it has none.

        :param path: what follows ``/api/``, quoted.

        Raises requests.RequestException.
        """
        import requests

        response = requests.request(
            method,
            f"http://{self.host}:{self.management_port}/api/{path}",
            auth=(USER, PASSWORD),
            json=body,
            timeout=30,
        )
        response.raise_for_status()
        return response.json() if response.content else None

    def place(self) -> dict[str, str]:
        return {"vhost": self.vhost()}

    def vhost(self) -> str:
        """Make a new virtual host, which is an empty broker, and return its name."""
        name = f"v{next(self._vhosts)}"
        self.management("PUT", f"vhosts/{name}", {})
        self.allow(USER, name)
        return name

    def remove(self, vhost: str) -> None:
        """Remove a virtual host with all that is in it; its connections are closed."""
        self.management("DELETE", f"vhosts/{quote(vhost, safe='')}")

    def add_user(
        self,
        name: str,
        password: str,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
        *,
        vhost: str = "/",
        tags: str = "",
    ) -> None:
        """Make a user, or change one.

        :param configure: what it may declare in *vhost*, a regular expression; so for
            *write* and *read*. An empty one is nothing at all.
        :param tags: ``management`` or ``monitoring`` lets it ask the management.
        """
        user = quote(name, safe="")
        self.management("PUT", f"users/{user}", {"password": password, "tags": tags})
        self.allow(name, vhost, configure, write, read)

    def allow(
        self,
        user: str,
        vhost: str,
        configure: str = ".*",
        write: str = ".*",
        read: str = ".*",
    ) -> None:
        """Give a user its rights in a virtual host, in place of those that it had there."""
        self.management(
            "PUT",
            f"permissions/{quote(vhost, safe='')}/{quote(user, safe='')}",
            {"configure": configure, "write": write, "read": read},
        )


@contextmanager
def serving(certificates: Certificates | None = None) -> Iterator[RabbitMQ]:
    """Give a new server that runs; in the end it is stopped and its folder removed.

    :param certificates: for TLS; None: new ones.
    """
    with tempfile.TemporaryDirectory(prefix="dlstbx-rabbitmq-") as name:
        folder = Path(name)
        server = RabbitMQ(folder, certificates or make(folder / "certificates"))
        try:
            server.install()
            server.start()
            yield server
        finally:
            server.kill()
