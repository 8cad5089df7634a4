"""A database server, as against a file: how long to wait for it, and how it is lost.

The driver is MySQL's own (``mysql.connector``, which the package ``ispyb`` brings). What is
said here of its errors was seen with version 9.5 against MariaDB 10.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine, ExceptionContext

#: The driver's name in SQLAlchemy's URLs.
DRIVER = "mysql+mysqlconnector"
#: Access denied (user, database, table, column, procedure), unknown database, no such table
#: or procedure, a procedure with other parameters.
SETTINGS = frozenset({1044, 1045, 1049, 1142, 1143, 1146, 1227, 1305, 1318, 1370, 1698})
#: The server has ended this transaction for the sake of another one: begin it anew.
DEADLOCK = 1213

#: Seconds for a new connection, for the answer to one statement, and in it for a lock.
_CONNECT, _ANSWER, _LOCK = 5, 8, 5
#: Seconds after which a pooled connection is replaced: servers close those that idle.
_RECYCLE = 300
#: Killed; the server goes down; idle for too long; the time for an answer is over. SQLAlchemy
#: knows the other errors that end a connection.
_LOST = {1053, 1927, 3024, 4031}


def options(url: URL, patience: float) -> dict[str, Any]:
    """Return the engine's options for a server: pooled, checked before use, bounded in time.

    :param patience: seconds to wait for a connection of the pool.

    What the URL's query says of character set and times is left to it.
    """
    chosen: dict[str, Any] = {
        "pool_pre_ping": True,
        "pool_recycle": _RECYCLE,
        "pool_timeout": patience,
    }
    if url.drivername == DRIVER:
        arguments = {
            "connection_timeout": _CONNECT,
            "read_timeout": _ANSWER,
            "write_timeout": _ANSWER,
            "charset": "utf8mb4",
            # MariaDB refuses the collation that MySQL's driver asks for by itself.
            "collation": "utf8mb4_general_ci",
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {_LOCK}",
        }
        given = {key: arguments[key] for key in arguments if key not in url.query}
        # Not for the URL to say: without it, every statement would be a transaction.
        chosen["connect_args"] = {**given, "autocommit": False}
    return chosen


def prepare(engine: Engine) -> None:
    """Make an engine know when its connection is lost: it is never used again then."""
    import logging

    from sqlalchemy import event

    event.listen(engine, "handle_error", _judge)
    event.listen(engine, "connect", _trust)
    # The pool logs a traceback for a connection that cannot be reset; without any handler
    # Python prints it, and the one line about the failure is ours to print.
    logger = logging.getLogger("sqlalchemy")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _trust(connection: Any, _: Any) -> None:
    """Let a cursor be made without asking the server first whether it is there.

    The driver asks before every statement: a fifth of the time of all that we do with a
    database near by. The pool has asked when it gave the connection, and a statement that
    finds it lost says so itself.
    """
    connection.is_connected = lambda: True


def _judge(context: ExceptionContext) -> None:
    from sqlalchemy import exc

    error = context.original_exception
    # COMMIT and ROLLBACK on a lost connection raise an error of the driver's C part, which
    # neither the driver nor SQLAlchemy makes one of theirs.
    raw = type(error).__module__ == "_mysql_connector"
    if raw or getattr(error, "errno", None) in _LOST:
        context.is_disconnect = True
    if raw:
        context.chained_exception = exc.OperationalError(None, None, error)
        raise context.chained_exception
