"""The embedded broker's file: opened, checked, created; its transactions and errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlstbx_cli.services.errors import Misconfigured, Unavailable

#: "DLSQ": marks the file as ours, so that no other database is taken for a queue.
APPLICATION_ID = 0x444C5351
VERSION = 2

# A message is in one of three states, each with an index of its own, so that the number of
# messages in the others does not matter: delayed (due is set), in hand (consumer is set),
# ready (neither). Its id is its place; an index ends with it implicitly.
_SCHEMA = f"""
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    sent REAL NOT NULL,
    due REAL,
    consumer INTEGER,
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX ready ON messages (queue) WHERE due IS NULL AND consumer IS NULL;
CREATE INDEX delayed ON messages (queue, due) WHERE due IS NOT NULL;
CREATE INDEX in_hand ON messages (consumer, queue) WHERE consumer IS NOT NULL;
CREATE TABLE consumers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    queue TEXT NOT NULL
);
CREATE TABLE broadcasts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    subject TEXT NOT NULL,
    is_last INTEGER NOT NULL,
    sent REAL NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX subjects ON broadcasts (topic, subject, is_last);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

#: From the layout before to this one, which counts the deaths of a message's consumers.
_UPGRADE = f"""
ALTER TABLE messages ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = {VERSION};
"""

#: SQLite's result codes (the low byte) that waiting does not cure.
_HOPELESS = {
    sqlite3.SQLITE_ERROR: "not a queue of this program",
    sqlite3.SQLITE_PERM: "no permission",
    sqlite3.SQLITE_READONLY: "not writable",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_NOTADB: "not an SQLite database",
}
#: The same for the directories around the file.
_HOPELESS_FILES = (PermissionError, NotADirectoryError, FileExistsError, FileNotFoundError)


class QueueFile:
    """A connection to the embedded broker's database, which is made at its first use.

    :param timeout: seconds to wait for a lock that another process holds.

    Raises Misconfigured if the file cannot be opened or is something else, Unavailable
    if it is locked for longer than the timeout.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self._timeout = timeout
        with self.errors():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
        try:
            with self.errors():
                self._set_up()
        except BaseException:
            self.connection.close()
            raise

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a write transaction.

        :param durable: on return it must have reached the disk. Claims need not: after a
            loss of power there is no consumer left who could hold one.
        """
        with self.errors():
            self.connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Make errors of SQLite and of files ours: Misconfigured or Unavailable, with the path."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a bug of ours
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
            reason = f"{_HOPELESS[code]} ({error})" if code in _HOPELESS else str(error)
            raise self._blame(code in _HOPELESS, reason) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise self._blame(isinstance(error, _HOPELESS_FILES), reason) from error

    def _blame(self, hopeless: bool, reason: str) -> Misconfigured | Unavailable:
        kind = Misconfigured if hopeless else Unavailable
        return kind(f"embedded broker {self.path}: {reason}")

    def _set_up(self) -> None:
        if self._is_ours():
            return
        self._use_wal()
        with self.transaction() as connection:
            if not self._is_ours():
                script = _UPGRADE if self._is_older() else _SCHEMA
                for statement in script.split(";"):
                    connection.execute(statement)

    def _is_ours(self) -> bool:
        """Tell whether the schema is there. Raises Misconfigured if another one is."""
        number, version, tables = self.connection.execute(
            "SELECT (SELECT application_id FROM pragma_application_id),"
            " (SELECT user_version FROM pragma_user_version),"
            " (SELECT count(*) FROM sqlite_master)"
        ).fetchone()
        if (number, version) == (APPLICATION_ID, VERSION):
            return True
        if (number, version) == (APPLICATION_ID, VERSION - 1):
            return False
        if number == APPLICATION_ID:
            raise Misconfigured(
                f"embedded broker {self.path}: made by another version of this program"
                f" (layout {version}, known is {VERSION})"
            )
        if tables:
            raise Misconfigured(f"embedded broker {self.path}: holds another kind of database")
        return False

    def _is_older(self) -> bool:
        (tables,) = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return bool(tables)

    def _use_wal(self) -> None:
        # SQLite does not wait for a lock in this one statement, if several processes
        # make the file at the same time.
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return
