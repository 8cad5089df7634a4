from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.stomp_url import StompUrl
from dlstbx_cli.urls import has_password, with_login, with_password, without_password


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("stomp://user:secret@host:1/", True),
        ("stomp://user@host:1/", False),
        ("stomp://host:1/", False),
        ("stomp+ssl://h1:1,h2:2/?prefix=a@b", False),
        ("stomp://us@er:secret@host:1/", True),
        ("stomp://me@h:1/?management=http%3A%2F%2Fme%3Asecret%40h%3A15672", True),
        ("stomp://me@h:1/?management=http://me:secret@h:15672", True),
        ("stomp://me@h:1/?management=http%3A%2F%2Fme%40h%3A15672%2Fx", False),
        ("stomp://me@h:1/?password-file=/a:b@c/d", False),
        ("stomp://me@h:1/?queue-form=/amq/queue/{}", False),
        ("mysql+mysqlconnector://me:a:b@host/db", True),
        ("mysql://me:sec/ret@host/db", True),
        ("mysql://me@host/db?password=secret", True),
        ("mysql://me@host/db?password=", False),
        ("sqlite:////a:b@c/queue", False),
    ],
)
def test_passwords_are_seen(url: str, secret: bool) -> None:
    assert has_password(url) is secret
    said = without_password(f"error at {url} and {url} , host")
    assert "secret" not in said
    assert "sec/ret" not in said
    assert said.endswith(", host")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at stomp://me:x@h:1/?prefix=p now", "at stomp://me:***@h:1/?prefix=p now"),
        ("stomp://me:x@ss@h:1,i:2/", "stomp://me:***@h:1,i:2/"),
        (
            "stomp://h:1/?management=http%3A%2F%2Fme%3Ax%2540y%40h%3A15672&window=5",
            "stomp://h:1/?management=http%3A%2F%2Fme%3A***%40h%3A15672&window=5",
        ),
        (
            "url=stomp%3A%2F%2Fh%2F%3Fmanagement%3Dhttp%253A%252F%252Fme%253Ax%2540h",
            "url=stomp%3A%2F%2Fh%2F%3Fmanagement%3Dhttp%253A***%2540h",  # rather too much
        ),
        ("mysql://me@h/db?passwd=x&charset=utf8", "mysql://me@h/db?passwd=***&charset=utf8"),
        ("http://me:x@h:1/a and http://me:y@i/", "http://me:***@h:1/a and http://me:***@i/"),
        ("stomp://h1:61613,h2:61613/", "stomp://h1:61613,h2:61613/"),
        ("no URL: a:b@c", "no URL: a:b@c"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert without_password(shown) == shown


#: Words that nothing else in the URLs below has in it.
WORDS = st.text(min_size=4).filter(lambda text: "***" not in text)


@given(user=st.text(), password=WORDS, other=WORDS)
def test_no_password_of_a_url_that_we_make_is_shown(user: str, password: str, other: str) -> None:
    management = with_login("https://broker:15671/api", user, f"QQ{other}QQ")
    stomp = StompUrl(("h1:61613", "h2:61614"), user, f"XX{password}XX")
    url = stomp.merged({"management": management, "window": 5}).text
    assert has_password(url)
    for text in (url, management, urlencode({"url": url}), f"?url={quote(url)}", f"no: {url!r}"):
        shown = without_password(text)
        for secret in (password, other):
            for form in (secret, quote(secret, ""), quote(quote(secret, ""), "")):
                for mark in ("XX", "QQ"):
                    assert f"{mark}{form}{mark}" not in shown
        # Not even the end of it.
        assert "XX" not in shown or "XX" in user or "XX" in other
        assert "QQ" not in shown or "QQ" in user or "QQ" in password


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    assert without_password(without_password(text)) == without_password(text)


def test_a_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p@ss/w{}rd\nnot this\n")
    url = (
        f"stomp+ssl://me@h1:61613,[::1]:61614/?prefix=zocalo&password-file={tmp_path}/secret"
        "&queue-form=/amq/queue/{}&vhost=/&topic-form=%2Fexchange%2F{}"
    )
    assert with_password(url, "--broker") == (
        "stomp+ssl://me:p%40ss%2Fw%7B%7Drd@h1:61613,[::1]:61614/?prefix=zocalo"
        "&queue-form=/amq/queue/{}&vhost=/&topic-form=%2Fexchange%2F{}"
    )
    alone = f"mysql://me@db:3306/ispyb?password-file={quote(str(tmp_path / 'secret'), '')}"
    assert with_password(alone, "x") == "mysql://me:p%40ss%2Fw%7B%7Drd@db:3306/ispyb"
    assert with_password("stomp://h/?prefix=&x=%2F", "x") == "stomp://h/?prefix=&x=%2F"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_password_file_that_is_none(tmp_path: Path, content: Any) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Misconfigured, match=r"password-file .*\(from DLSTBX_BROKER\)"):
        with_password(f"stomp://me@host:1/?password-file={tmp_path}/secret", "DLSTBX_BROKER")


def test_a_password_belongs_to_a_user(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(Misconfigured, match="names no user"):
        with_password(f"stomp://host:1/?password-file={tmp_path}/secret", "--broker")
