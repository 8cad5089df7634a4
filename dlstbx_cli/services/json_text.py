"""JSON as it may travel: what is read can be written again."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from dlstbx_cli.services.errors import Rejected

#: A body may be nested this deep. Python's own bound depends on how deep the program
#: stands at that moment: what was read could then be impossible to write.
MAX_DEPTH = 200


def loads(text: str) -> Any:
    """Return the value of a JSON text. Raises Rejected.

    NaN, infinities, numbers beyond a float and integers of more than 4300 digits count as
    not JSON: they could be read, but not be written again.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Rejected(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError as error:
        raise Rejected(f"not JSON: {str(error).partition(';')[0]}") from None
    except RecursionError:
        raise Rejected("nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise Rejected(f"nested too deeply: more than {MAX_DEPTH} levels")
    return value


#: Return a value as JSON text in ASCII. Raises ValueError, TypeError, RecursionError.
dumps = json.JSONEncoder(allow_nan=False).encode


def _deeper_than(value: Any, depth: int) -> bool:
    level: list[Any] = [[value]]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_not_a_number, parse_float=_finite)
