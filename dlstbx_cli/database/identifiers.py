"""ISPyB's ids, as requests name them."""

from __future__ import annotations

from typing import Any

from dlstbx_cli.services.errors import Rejected

#: ISPyB's ids are unsigned 32-bit integers.
LARGEST = 2**32 - 1


def identifier(value: Any, what: str) -> int:
    """Return an ISPyB id given as a number or as ASCII digits. Raises Rejected for any other."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST:
        return value
    raise Rejected(f"{what} must be a positive number that ISPyB can hold, not {shown(value)}")


def shown(value: Any) -> str:
    """Return an odd value as it may stand in an error: short, one line, always printable."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    # Python writes no integer of more than 4300 digits.
    if isinstance(value, int) and abs(value) >= 10**60:
        return "a number of more than 60 digits"
    return f"{value!r:.60}"
