"""Logs: on stderr, as text for people or as JSON Lines for a log collector."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime

from dlstbx_cli.commands.base import printable
from dlstbx_cli.services.trace import in_hand
from dlstbx_cli.urls import without_password

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """``command: what happened``, as any Unix tool says it."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, a traceback below it only if there is one."""
        text = f"{self.command}: {printable(without_password(record.getMessage()))}"
        if record.exc_info:
            text += "\n" + without_password(self.formatException(record.exc_info))
        return text


class JsonFormatter(logging.Formatter):
    """One object a record: time, level, command, message and what the record carries."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        # With the zone: a collector would take a local time without one for UTC.
        when = datetime.fromtimestamp(record.created).astimezone()
        entry = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "command": self.command,
            "message": without_password(record.getMessage()),
            **{key: _discreet(value) for key, value in vars(record).items() if key not in _USUAL},
        }
        if record.exc_info:
            entry["traceback"] = without_password(self.formatException(record.exc_info))
        return json.dumps(entry, default=str)


class InHand(logging.Filter):
    """Adds to every record what is known of the message in hand."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass; what it says itself counts for more."""
        for name, value in in_hand().items():
            vars(record).setdefault(name, value)
        return True


def _discreet(value: object) -> object:
    return without_password(value) if isinstance(value, str) else value


def start_logging(command: str, verbosity: int, log_format: str) -> None:
    """Send our records to stderr: warnings, with -v what is done, with -vv everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(InHand())
    handler.setFormatter((JsonFormatter if log_format == "json" else TextFormatter)(command))
    logger = logging.getLogger("dlstbx_cli")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbosity, 2)])
