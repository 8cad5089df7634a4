"""Which adapter a URL asks for."""

from __future__ import annotations

from contextlib import closing

import pytest

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.transport.broker import connect


def test_slashes_as_in_sqlalchemy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(connect("sqlite:///one.db")), closing(connect(f"sqlite:///{tmp_path}/two.db")):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.db", "two.db"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("amqp://user:secret@host", "scheme 'amqp'"),
        ("secret", "no scheme"),
        ("", "no scheme"),
        ("sqlite://secret/queue", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_other_urls(url, text):
    with pytest.raises(Misconfigured, match=text) as caught:
        connect(url)
    assert "sqlite:///path" in str(caught.value)
    assert "secret" not in str(caught.value)
