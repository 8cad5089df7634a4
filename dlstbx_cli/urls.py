"""URLs that carry a login: brokers and databases. No password of theirs is ever shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote_plus

from dlstbx_cli.services.errors import Misconfigured

#: What a password may be called in a URL's query: some database drivers take it there.
_NAMED = r"(?:password|passwd|passcode|pwd|pw)="

_PASSWORD = re.compile(
    # A login, and for databases one that SQLAlchemy takes although it has a slash in it.
    r"(?<=://)[^/:\s]*:[^/@?\s]*@|^(?!stomp)[\w+]+://[^:/\s]*:[^@]*@"
    rf"|[?&]{_NAMED}[^&\s]",
)

# A colon, a slash, an at sign, however often a query has been quoted.
_COLON, _SLASH, _AT = (
    rf"(?:{sign}|%(?:25)*{code})" for sign, code in ((":", "3A"), ("/", "2F"), ("@", "40"))
)
_QUOTED = rf"%(?:25)*3A{_SLASH}{{2}}|:(?:%(?:25)*2F){{2}}|:/%(?:25)*2F|:%(?:25)*2F/"

_SHOWN = (
    re.compile(r"((?<=://)[^/:\s]*:)[^/\s]*(?=@)"),
    re.compile(r"(\b(?:mysql|mariadb)[\w+]*://[^:/\s]*:)[^@\s]*(?=@)"),
    # The URL in the query of another one. Rather too much is hidden than too little.
    re.compile(
        rf"((?:{_QUOTED}|(?<==http)://|(?<==https)://)[^/@?&\s]*?{_COLON})[^/&\s]*(?={_AT})", re.I
    ),
    re.compile(rf"((?:^|[?&;\s]){_NAMED})[^&\s]+", re.I),
)


def has_password(url: str) -> bool:
    """Tell whether a URL carries a password, in its login or somewhere in its query."""
    if _PASSWORD.search(url):
        return True
    query = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    return any(has_password(value) for _, value in query)


def without_password(text: str) -> str:
    """Return a text with the password of every URL in it replaced by ``***``."""
    for pattern in _SHOWN:
        text = pattern.sub(r"\1***", text)
    return text


def with_password(url: str, origin: str) -> str:
    """Return a URL with the password of its ``?password-file=PATH`` put in.

    :param origin: where the URL comes from, for the error.

    Raises Misconfigured if the file cannot be read or is empty, or if there is no user
    whose password it could be.
    """
    before, _, query = url.partition("?")
    kept, paths = [], []
    # The other settings stay as they are written: no quoting is undone and made anew.
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if unquote_plus(name) == "password-file":
            paths.append(unquote_plus(value))
        else:
            kept.append(item)
    if not paths:
        return url
    scheme, _, rest = before.partition("://")
    netloc, slash, path = rest.partition("/")
    login, _, hosts = netloc.rpartition("@")
    user = login.partition(":")[0]
    if not user:
        raise Misconfigured(
            f"password-file (from {origin}): the URL names no user, as in USER@HOST"
        )
    password = quote(_first_line(paths[-1], origin), "")
    settings = "?" + "&".join(kept) if any(kept) else ""
    return f"{scheme}://{user}:{password}@{hosts}{slash}{path}{settings}"


def with_login(url: str, user: str, password: str) -> str:
    """Return an HTTP interface's URL with a login in it."""
    scheme, separator, rest = url.partition("://")
    # A login that somebody has written into it gives way.
    netloc, slash, path = rest.partition("/")
    host = netloc.rpartition("@")[2]
    return f"{scheme}{separator}{quote(user, '')}:{quote(password, '')}@{host}{slash}{path}"


def _first_line(path: str, origin: str) -> str:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it has no first line of text"
        raise Misconfigured(
            f"password-file {path} (from {origin}) cannot be read: {reason}"
        ) from None
