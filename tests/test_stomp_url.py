from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.stomp_url import StompUrl, host_and_port
from dlstbx_cli.transport.stomp.settings import settings

URL = "stomp://me:pw@h1:1,h2:2/?prefix=zocalo&vhost=/"


def changed(**parts: str) -> str:
    url = StompUrl.parse(URL)
    assert url is not None
    return url.changed(parts).text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, URL),
        ({"prefix": "test"}, "stomp://me:pw@h1:1,h2:2/?prefix=test&vhost=/"),
        ({"prefix": ""}, "stomp://me:pw@h1:1,h2:2/?vhost=/"),
        ({"host": "other"}, "stomp://me:pw@other:1/?prefix=zocalo&vhost=/"),
        ({"host": "::1", "port": "5"}, "stomp://me:pw@[::1]:5/?prefix=zocalo&vhost=/"),
        ({"port": "5"}, "stomp://me:pw@h1:5,h2:5/?prefix=zocalo&vhost=/"),
        ({"username": "y@u"}, "stomp://y%40u:pw@h1:1,h2:2/?prefix=zocalo&vhost=/"),
        ({"username": "", "password": ""}, "stomp://h1:1,h2:2/?prefix=zocalo&vhost=/"),
        ({"password": ""}, "stomp://me@h1:1,h2:2/?prefix=zocalo&vhost=/"),
    ],
)
def test_parts_are_changed_alone(parts: dict[str, str], expected: str) -> None:
    assert changed(**parts) == expected


@pytest.mark.parametrize("host", ["", "a b", "a/b", "me:pw@host", "a,b", "a?b", "a#b"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        host_and_port(host, "1")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///x", "stomp://h/path/?x=y", "http://h/", "", "stomp:/h"])
def test_what_is_no_such_url(url: str) -> None:
    assert StompUrl.parse(url) is None


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({}, URL),
        ({"vhost": "zoc/alo"}, "stomp://me:pw@h1:1,h2:2/?prefix=zocalo&vhost=zoc/alo"),
        ({"vhost": None, "prefix": ""}, "stomp://me:pw@h1:1,h2:2/"),
        ({"hosts": ["a", "b:9", "[::1]:8", "::1"]}, "stomp://me:pw@a:1,b:9,[::1]:8,[::1]:1/"),
        ({"hosts": "a, b:9"}, "stomp://me:pw@a:1,b:9/"),
        ({"tls": True, "verify": False}, "stomp+ssl://me:pw@h1:1,h2:2/"),
        ({"window": 5, "heartbeat": 2.5}, "stomp://me:pw@h1:1,h2:2/"),
    ],
)
def test_a_mapping_is_merged(mapping: dict[str, Any], expected: str) -> None:
    url = StompUrl.parse(URL)
    assert url is not None
    merged = url.merged(mapping).text
    assert merged.partition("?")[0] == expected.partition("?")[0]
    read = settings(merged)
    for name, value in mapping.items():
        if name in ("window", "heartbeat", "vhost", "prefix") and value:
            assert getattr(read, name) == value
    if "verify" in mapping:
        assert read.tls is not None
        assert read.tls.verify is False


@pytest.mark.parametrize(
    "mapping",
    [
        {"vhost": ["/"]},
        {"window": {"a": "secret"}},
        {"tls": "secret"},
        {"hosts": ["me:secret@h"]},
        {"hosts": {"a": "secret"}},
        {"hosts": ["a", ""]},
    ],
)
def test_a_mapping_that_cannot_be_used(mapping: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured) as caught:
        StompUrl(("h:1",)).merged(mapping)
    assert "secret" not in str(caught.value)


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)
NAME = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/,*>?%\"'\\"),
    min_size=1,
    max_size=50,
)


@given(user=st.text(), password=st.text(), prefix=NAME, vhost=PRINTABLE)
def test_the_adapter_reads_what_is_written(
    user: str, password: str, prefix: str, vhost: str
) -> None:
    written = StompUrl(
        ("h1:1", "[::1]:2"), user, password, True, {"prefix": prefix, "vhost": vhost}
    )
    read = settings(written.text)
    assert (read.user or "", read.password) == (user, password)
    assert read.hosts == (("h1", 1), ("::1", 2))
    assert (read.prefix, read.vhost) == (prefix.removesuffix("."), vhost)
    assert StompUrl.parse(written.text) == written
