"""The URL of a STOMP broker: what it may say, and that nothing of a password is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.transport.stomp.settings import _READERS, Settings, settings

NAMES = sorted({*_READERS, "ca", "cert", "key", "verify"})


def error_of(url: str) -> str:
    """Return what is wrong with a URL, the empty text if nothing is."""
    try:
        settings(url)
    except Misconfigured as error:
        return str(error)
    return ""


def test_the_defaults() -> None:
    assert settings("stomp://h") == Settings((("h", 61613),), topic_form="/topic/{}", timeout=10)
    assert settings("stomp://h", timeout=3).timeout == 3
    assert settings("stomp://h/?timeout=7", timeout=3).timeout == 7
    assert settings("stomp+ssl://h").hosts == (("h", 61614),)


@pytest.mark.parametrize(
    ("url", "hosts", "user", "password"),
    [
        ("stomp://h", (("h", 61613),), None, ""),
        ("stomp://h:1", (("h", 1),), None, ""),
        ("stomp://h1:1,h2,10.0.0.1:65535/", (("h1", 1), ("h2", 61613), ("10.0.0.1", 65535)), None,
         ""),
        ("stomp://[::1]:5,[fe80::2]/", (("::1", 5), ("fe80::2", 61613)), None, ""),
        ("stomp://me@h", (("h", 61613),), "me", ""),
        ("stomp://me:pw@h", (("h", 61613),), "me", "pw"),
        ("stomp://me:a:b@h", (("h", 61613),), "me", "a:b"),
        ("stomp://m%40e:p%40s%2Fs%3F%25%3A@h/", (("h", 61613),), "m@e", "p@s/s?%:"),
        ("stomp://:@h", (("h", 61613),), None, ""),
        ("stomp+ssl://me:pw@h?verify=no", (("h", 61614),), "me", "pw"),
    ],
)  # fmt: skip
def test_hosts_and_login(url: str, hosts: object, user: object, password: str) -> None:
    read = settings(url)
    assert (read.hosts, read.user, read.password) == (hosts, user, password)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("prefix=zocalo", "prefix", "zocalo"),
        ("prefix=zocalo.", "prefix", "zocalo"),
        ("prefix=", "prefix", ""),
        ("vhost=%2F", "vhost", "/"),
        ("vhost=a/b", "vhost", "a/b"),
        ("broker=auto", "broker", None),
        ("broker=activemq", "broker", "activemq"),
        ("broker=rabbitmq", "broker", "rabbitmq"),
        ("queue-form=/amq/queue/{}", "queue_form", "/amq/queue/{}"),
        ("topic-form=%2Fexchange%2F%7B%7D/x", "topic_form", "/exchange/{}/x"),
        ("window=1", "window", 1),
        ("window=10000", "window", 10_000),
        ("heartbeat=0", "heartbeat", 0),
        ("heartbeat=2.5", "heartbeat", 2.5),
        ("timeout=0.1", "timeout", 0.1),
        ("idle=3600", "idle", 3600),
        ("management=http://u:p%40@h:1/api/", "management", "http://u:p@@h:1"),
        ("management=https%3A%2F%2Fu%3Ap%2540%40h", "management", "https://u:p%40@h"),
        ("queues=a,b,,c", "queues", ("a", "b", "c")),
        ("window=1&window=2", "window", 2),
    ],
)
def test_settings(text: str, name: str, value: object) -> None:
    assert getattr(settings(f"stomp://h/?{text}"), name) == value


@pytest.mark.parametrize(
    "text",
    [
        "prefix=a/b",
        "prefix=a b",
        "prefix=a*",
        f"prefix={'a' * 51}",
        "vhost=%0A",
        "broker=artemis",
        "queue-form=/queue/",
        "queue-form=/queue/{}{}",
        "queue-form=/queue/{}}",
        "queue-form=/queue/{0}",
        "queue-form=/queue/{}%0Areceipt:x",
        "window=0",
        "window=10001",
        "window=-1",
        "window=1.5",
        "window=%D9%A3",
        f"window={'9' * 5000}",
        "heartbeat=-1",
        "heartbeat=nan",
        "heartbeat=inf",
        "heartbeat=x",
        "timeout=0",
        "idle=3601",
        "management=ftp://h",
        "management=http://h?x",
        "queues=a%00b",
        "nonsense=1",
        "ca=/etc/passwd",
        "verify=no",
    ],
)
def test_what_a_setting_may_not_be(text: str) -> None:
    told = error_of(f"stomp://h/?{text}")
    assert text.partition("=")[0] in told
    assert ("stomp+ssl" in told) == text.startswith(("ca", "verify"))
    assert "\n" not in told
    assert len(told) < 300


@pytest.mark.parametrize(
    "url",
    [
        "stomp://",
        "stomp://h:0",
        "stomp://h:65536",
        "stomp://h:x",
        "stomp://h,,g",
        "stomp://h /",
        "stomp://::1/",
        "stomp://[x]/",
        "stomp://h/path",
        "stomp://h\n/",
        "tcp://h",
        "stomp:h",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(Misconfigured, match="broker URL"):
        settings(url)


def test_files_for_tls(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    with pytest.raises(Misconfigured, match=r"ca=.*/ca\.pem: there is no such file"):
        settings(f"stomp+ssl://h/?ca={ca}")
    with pytest.raises(Misconfigured, match="no such file"):
        settings(f"stomp+ssl://h/?ca={'a' * 5000}")
    with pytest.raises(Misconfigured, match="no such file"):
        settings(f"stomp+ssl://h/?key={tmp_path}")
    with pytest.raises(Misconfigured, match="verify must be yes or no"):
        settings("stomp+ssl://h/?verify=maybe")
    ca.touch()
    tls = settings(f"stomp+ssl://h/?ca={ca}&cert={ca}&key={ca}").tls
    assert tls is not None
    assert (tls.ca, tls.cert, tls.key, tls.verify) == (ca, ca, ca, True)


def test_what_is_shown_of_a_broker() -> None:
    read = settings("stomp://me:secret@h1:1,h2:2/?management=http://x:secret2@h:3")
    assert read.shown == "broker stomp://h1:1,h2:2"
    assert "secret" not in repr(read)
    assert read.named("q") == "q"
    assert settings("stomp://h/?prefix=z.").named("q") == "z.q"


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
#: The signs that a URL is made of, so that the interesting cases are frequent.
SIGNS = st.text("@:/?&=%#,[]{}+ \n\0" + "aw1", max_size=20)
#: No text that an error would have in it anyway, and none that is a host, a port, a setting.
SECRET = "s3cr3t"


@given(st.one_of(ANY, SIGNS), st.sampled_from(["stomp://", "stomp+ssl://", ""]))
@example("h/?prefix=%ff", "stomp://")
@example("h/?ca=%00", "stomp+ssl://")
@example("h/?ca=" + "x/" * 3000, "stomp+ssl://")
def test_whatever_the_url_it_is_read_or_misconfigured(text: str, scheme: str) -> None:
    told = error_of(scheme + text)
    assert not told or told.startswith("broker URL")


@given(
    before=st.one_of(ANY, SIGNS),
    after=st.one_of(ANY, SIGNS),
    name=st.sampled_from(["", *(f"?{name}=" for name in NAMES), *(f"&{name}=" for name in NAMES)]),
    rest=st.sampled_from(["", "/", "/?window=x", "/?nonsense=1", "/?ca=/nowhere", "/?prefix=a/b"]),
    scheme=st.sampled_from(["stomp", "stomp+ssl"]),
)
@example("12", "", "?window=", "/", "stomp")
@example("12", "", "?ca=", "/", "stomp+ssl")
@example("12/", "=", "?", "/", "stomp")
@example("12?", "=1", "", "/", "stomp")
def test_a_password_that_is_not_quoted_is_not_told(
    before: str, after: str, name: str, rest: str, scheme: str
) -> None:
    """Whatever people forget to quote: the piece that stands in the middle is in no error."""
    password = f"{before}{name}{SECRET}{after}"
    assert SECRET not in error_of(f"{scheme}://me:{password}@host{rest}")
