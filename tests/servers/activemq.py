"""An ActiveMQ of the tests' own: a folder, free ports, and an end whatever happens.

``serving`` gives it to benchmarks and the soak; tests have the fixture ``activemq_server`` of
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

from tests.servers.broker import PASSWORD, USER, Broker
from tests.servers.certificates import Certificates, make
from tests.servers.ports import free_ports

#: May read, and make queues; may write to none. Its password is PASSWORD.
READER = "reader"
_HOME = Path("/usr/share/activemq")
_PROGRAM = _HOME / "bin" / "activemq.jar"
_CONFIGURATION = Path(__file__).parent / "activemq.xml"
_LOGGING = """
log4j.rootLogger=WARN, out
log4j.logger.org.apache.activemq.broker.BrokerService=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n
"""
#: Options of Java for a server that lives for minutes: a quick start, little memory.
QUICK = ("-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def lacking() -> str | None:
    """Return in one line what an ActiveMQ needs and this machine lacks, None if nothing."""
    missing = [name for name in ("java", "openssl") if not shutil.which(name)]
    missing += [] if _PROGRAM.exists() else [_PROGRAM.name]
    return f"no {', '.join(missing)}: apt-get install activemq openssl" if missing else None


class ActiveMQ(Broker):
    """One server in *folder*.

    :param anonymous: whether one may do without a login.
    :param options: of Java; those given replace the quick ones of tests.
    """

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        *,
        anonymous: bool = True,
        options: tuple[str, ...] = QUICK,
    ) -> None:
        ports = free_ports(2)
        self._folder = folder
        self._anonymous = anonymous
        self._namespaces = count(1)
        properties = {
            "activemq.base": folder,
            "activemq.home": _HOME,
            "activemq.conf": folder / "conf",
            "activemq.data": folder / "data",
            "java.io.tmpdir": folder / "tmp",
            "dlstbx.user": USER,
            "dlstbx.password": PASSWORD,
            "dlstbx.port": ports[0],
            "dlstbx.tls.port": ports[1],
            "dlstbx.keystore": certificates.keystore.as_uri(),
            "dlstbx.keystore.password": certificates.keystore_password,
        }
        command = [
            "java",
            *options,
            # What it would leave in /tmp when it is killed.
            "-XX:-UsePerfData",
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-jar",
            str(_PROGRAM),
            "start",
            f"xbean:file:{folder}/conf/activemq.xml",
        ]
        # Options for all of a user's Java are none of ours.
        strange = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"}
        environment = {name: value for name, value in os.environ.items() if name not in strange}
        super().__init__(command, environment, folder / "activemq.log", ports, certificates)

    def install(self) -> None:
        """Write the configuration."""
        for name in ("conf", "data", "tmp"):
            (self._folder / name).mkdir()
        configuration = _CONFIGURATION.read_text(encoding="utf-8")
        if not self._anonymous:
            # The schema of the file wants a boolean there, and so no property.
            allowed = 'anonymousAccessAllowed="{}"'
            configuration = configuration.replace(allowed.format("true"), allowed.format("false"))
        (self._folder / "conf" / "activemq.xml").write_text(configuration, encoding="utf-8")
        logging = self._folder / "conf" / "log4j.properties"
        logging.write_text(_LOGGING, encoding="utf-8")

    def place(self) -> dict[str, str]:
        return {"prefix": self.namespace()}

    def namespace(self) -> str:
        """Return a new prefix, below which there is no queue yet."""
        return f"n{next(self._namespaces)}"

    def reader_url(self, **settings: object) -> str:
        """Return the URL for the user who may not write."""
        return self.url_as(READER, PASSWORD, **settings)


@contextmanager
def serving(
    certificates: Certificates | None = None,
    *,
    anonymous: bool = True,
    options: tuple[str, ...] = QUICK,
) -> Iterator[ActiveMQ]:
    """Give a new server that runs; in the end it is stopped and its folder removed.

    :param certificates: for TLS; None: new ones.
    :param anonymous: and *options*: as ActiveMQ has them.
    """
    with tempfile.TemporaryDirectory(prefix="dlstbx-activemq-") as name:
        folder = Path(name)
        server = ActiveMQ(
            folder,
            certificates or make(folder / "certificates"),
            anonymous=anonymous,
            options=options,
        )
        try:
            server.install()
            server.start()
            yield server
        finally:
            server.kill()
