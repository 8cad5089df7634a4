"""Reaching a database: URLs and credentials in, SQLAlchemy engines and our own errors out.

SQLAlchemy is imported by the functions, not by the module: reading a credentials file
and telling that there is no database should not cost a fifth of a second.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from dlstbx_cli.database import server
from dlstbx_cli.services.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

#: How long to wait for a connection of the pool, and for a lock on SQLite, in seconds.
PATIENCE = 5.0

#: Sections of a credentials file: for reading through SQLAlchemy, and for the procedures
#: that write; with what they call user, password, host, port and database.
_READER = ("ispyb_sqlalchemy", ("username", "password", "host", "port", "database"))
_WRITER = ("ispyb_mariadb_sp", ("user", "pw", "host", "port", "db"))
#: What the installed driver is called by; plain names mean MySQL's own driver, which ispyb brings.
_DRIVERS = {"mysql": server.DRIVER, "mariadb": server.DRIVER}
_SQLITE_SETTINGS = ("no such table", "not a database", "readonly database", "malformed")
#: An execution option of engines: it is a store of our own, not an ISPyB.
_OURS = "dlstbx_store"
_ANOTHER = "--state or DLSTBX_STATE names another one"


class Contended(Unavailable):
    """Another transaction was in the way of this one, which was rolled back: begin it anew."""


def connect(url: str, *, create: bool = False, store: bool = False) -> Engine:
    """Return an engine for an SQLAlchemy URL; nothing is connected yet.

    ``mysql://`` and ``mariadb://`` use the driver that the package ``ispyb`` brings. An
    SQLite file must exist, unless *create* says that it may be made.

    :param store: it is a store of our own, not an ISPyB, and may be made.

    Raises Misconfigured for a URL that is none, a driver that is not installed, and an
    SQLite file that does not exist.
    """
    from sqlalchemy import create_engine, exc

    create = create or store
    what = "state store's" if store else "database"
    parsed = _parsed(url, what)
    on_file = _is_sqlite(parsed)
    options = _sqlite(parsed, create) if on_file else server.options(parsed, PATIENCE)
    try:
        # It takes a condition with a sub-query for none, and says so on stderr.
        ours = {_OURS: store}
        engine = create_engine(parsed, enable_from_linting=False, execution_options=ours, **options)
    except (exc.ArgumentError, ImportError, TypeError) as error:
        raise Misconfigured(f"the {what} URL {shown(parsed)} cannot be used: {error}") from None
    if not on_file:
        server.prepare(engine)
    return engine


def url_from_credentials(path: str) -> str:
    """Return the URL in an ``ISPYB_CREDENTIALS`` file: section ``[ispyb_sqlalchemy]``.

    As for ``ispyb.sqlalchemy.url``, user name and password may be percent-encoded.
    Raises Misconfigured, naming the file and what is missing, never what is in it.
    """
    section, keys = _READER
    return _url(path, section, keys, _credentials(path, section), unquote)


def writer_url_from_credentials(path: str) -> str | None:
    """Return the URL for the stored procedures: section ``[ispyb_mariadb_sp]``, None without it.

    As for ``ispyb.open``, its values are taken as they are. Raises Misconfigured, naming
    the file and what is missing, never what is in it.
    """
    section, keys = _WRITER
    if not _read(path).has_section(section):
        return None
    return _url(path, section, keys, _credentials(path, section), str)


def _url(
    path: str,
    section: str,
    keys: Sequence[str],
    values: Mapping[str, str],
    plain: Callable[[str], str],
) -> str:
    """Return the URL that a section's five values make; *plain* decodes user and password."""
    from sqlalchemy import URL

    missing = [key for key in keys if not values.get(key)]
    if missing:
        raise Misconfigured(
            f"ISPYB_CREDENTIALS {path}: the section [{section}] lacks {', '.join(missing)}"
        )
    user, password, host, port, database = (values[key] for key in keys)
    port = port.strip()
    if not (port.isascii() and port.isdigit() and len(port) < 6):
        raise Misconfigured(f"ISPYB_CREDENTIALS {path}: port in [{section}] is not a number")
    url = URL.create(server.DRIVER, plain(user), plain(password), host, int(port), database)
    return url.render_as_string(hide_password=False)


def shown(url: URL) -> str:
    """Return a URL as it may be shown: without the password."""
    return url.render_as_string(hide_password=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection to read from. Raises Unavailable and Misconfigured, not SQLAlchemy's."""
    with translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection in a transaction, committed at the end, rolled back on any error.

    On SQLite the transaction takes the write lock at once: what is read in it stays true
    until it is committed. Raises Unavailable and Misconfigured, not SQLAlchemy's errors.
    """
    with translated(engine), engine.connect() as connection:
        if _is_sqlite(engine.url):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.commit()


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Make SQLAlchemy's errors ours: Unavailable, Misconfigured.

    Not so DataError and IntegrityError: whoever writes knows what those mean.
    """
    from sqlalchemy import exc

    try:
        yield
    except (exc.DataError, exc.IntegrityError):
        raise
    except exc.SQLAlchemyError as error:
        ours = bool(engine.get_execution_options().get(_OURS))
        raise _translation(error, engine.url, ours) from error


def _translation(error: Exception, url: URL, ours: bool) -> Exception:
    cause = getattr(error, "orig", None) or error
    reason = " ".join(str(cause).split())
    where = f"{'state store' if ours else 'database'} {shown(url)}"
    if _is_sqlite(url) and "unable to open" in reason:
        if ours:
            return Misconfigured(
                f"{where} cannot be opened: {_obstacle(_file_of(url))}; {_ANOTHER}"
            )
        if not _file_of(url).exists():
            return _no_file(url)
    number = getattr(cause, "errno", None)
    if number == server.DEADLOCK:
        return Contended(f"{where}: {reason}; try again")
    if number in server.SETTINGS or any(words in reason for words in _SQLITE_SETTINGS):
        advice = _ANOTHER if ours else "is this the URL of an ISPyB?"
        return Misconfigured(f"{where}: {reason}; {advice}")
    if is_unknown_column(error):
        return Misconfigured(f"{where}: {reason}; its schema is too old for this version")
    return Unavailable(f"{where} is not available: {reason}; try again later")


def is_unknown_column(error: Exception) -> bool:
    """Tell whether an error of SQLAlchemy says that a column does not exist."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "errno", None) == 1054 or "no such column" in str(cause)


def _parsed(url: str, what: str) -> URL:
    from sqlalchemy import exc, make_url

    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # The text may hold a password: it is not repeated.
        raise Misconfigured(
            f"the {what} URL is not one that SQLAlchemy knows, such as"
            " sqlite:////path/ispyb.sqlite3 or mysql://user@host:3306/ispyb"
        ) from None
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _obstacle(path: Path) -> str:
    """Return why SQLite cannot open a file, which it does not say itself."""
    if path.is_dir():
        return "it is a directory"
    if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        # It writes more files beside its own.
        return f"the directory {path.parent} is not writable"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        return "the file is not readable and writable"
    return "the file cannot be made there" if not path.exists() else "no reason is known"


def _file_of(url: URL) -> Path:
    return Path(url.database or "").absolute()


def _sqlite(url: URL, create: bool) -> dict[str, Any]:
    if url.database in (None, "", ":memory:"):
        return {}
    path = _file_of(url)
    if create:
        _make_directory(path)
    elif not path.is_file():
        raise _no_file(url)
    # SQLite makes a missing file silently; in this mode it does not.
    uri = f"file:{quote(str(path))}?mode={'rwc' if create else 'rw'}"

    def open_file() -> Any:
        import sqlite3

        return sqlite3.connect(uri, uri=True, timeout=PATIENCE, check_same_thread=False)

    return {"creator": open_file}


def _make_directory(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"{path.parent} cannot be made: {error.strerror}; {_ANOTHER}") from None


def _no_file(url: URL) -> Misconfigured:
    return Misconfigured(
        f"there is no database at {_file_of(url)}: dlstbx-demo makes one with demo data;"
        " --ispyb or DLSTBX_ISPYB names another"
    )


def _read(path: str) -> configparser.RawConfigParser:
    config = configparser.RawConfigParser(allow_no_value=True)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise Misconfigured(f"ISPYB_CREDENTIALS {path} cannot be read: {reason}") from None
    try:
        config.read_string(text)
    except configparser.Error:
        # The parser's own words would repeat the line, and so the password.
        raise Misconfigured(f"ISPYB_CREDENTIALS {path} is not an INI file") from None
    return config


def _credentials(path: str, section: str) -> dict[str, str]:
    try:
        return {key: value or "" for key, value in _read(path).items(section)}
    except configparser.NoSectionError:
        raise Misconfigured(f"ISPYB_CREDENTIALS {path} has no section [{section}]") from None
