"""What a name of a cluster may look like, wherever it comes from."""

from __future__ import annotations

from typing import Any, TypeGuard

#: Characters that the store takes.
_LONGEST = 100


def is_name(value: Any) -> TypeGuard[str]:
    """Tell whether a JSON value can be the name of a cluster.

    One with spaces around it would look like another one, and to some databases be it.
    """
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST
        and value.isprintable()
        and value == value.strip()
    )
