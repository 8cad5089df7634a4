"""What a visit's YAML files say: pure rules on their text.

Source: the reference's look-up, which reads ``processing/NAME.yml`` and
``processing/sample_groups.yml``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.visit import TextFile, Unusable, warn

if TYPE_CHECKING:
    from yaml import SafeLoader

#: A unit cell has as many numbers.
_CELL = 6


def load(file: TextFile) -> Any:
    """Return what a file says, null with a warning if that cannot be made out."""
    if file.fault is not None:
        warn(file.path, file.fault)
        return None
    try:
        return _parsed(file.text)
    except Unusable as error:
        warn(file.path, str(error))
        return None


def symmetry(file: TextFile) -> tuple[str | None, list[float] | None]:
    """Return the space group and the unit cell that a configuration file gives.

    Each is judged on its own: what is no good is null, with a warning.
    """
    settings = load(file)
    if settings is None:
        return None, None
    if not isinstance(settings, dict):
        warn(file.path, "it does not give values by name")
        return None, None

    def judged(name: str, judge: Callable[[Any], Any]) -> Any:
        value = settings.get(name)
        try:
            return None if value is None else judge(value)
        except (Unusable, ValueError, TypeError, OverflowError) as error:
            warn(f"{file.path}, {name}", str(error))
            return None

    return judged("ispyb_space_group", _space_group), judged("ispyb_unit_cell", _unit_cell)


def sample_groups(file: TextFile) -> list[frozenset[str]]:
    """Return the groups of names in a ``sample_groups.yml``, in order."""
    groups = load(file)
    if groups is None:
        return []
    if not isinstance(groups, list) or not all(isinstance(group, list) for group in groups):
        warn(file.path, "it is not a list of lists of names")
        return []
    if not all(isinstance(name, str) for group in groups for name in group):
        warn(f"{file.path}, what is not a text", "quote names that look like numbers")
    return [frozenset(name for name in group if isinstance(name, str)) for group in groups]


def _parsed(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506  # a SafeLoader, and a narrower one
    except (
        yaml.YAMLError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise Unusable(f"it is not YAML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise Unusable("it is nested too deeply") from None


def _loader() -> type[SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """A SafeLoader without aliases: nine lines of them can stand for more than a memory."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise Unusable("aliases (*name) are not read")
            return super().compose_node(parent, index)

    return Loader


def _space_group(value: Any) -> str:
    import gemmi

    if not isinstance(value, str) or gemmi.find_spacegroup_by_name(value) is None:
        raise Unusable(f"{value!r:.60} is not a space group")
    return value


def _unit_cell(value: Any) -> list[float]:
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    odd = not isinstance(parts, list) or any(isinstance(part, bool) for part in parts)
    cell = [] if odd else [float(part) for part in parts]
    if len(cell) != _CELL or not all(map(math.isfinite, cell)):
        raise Unusable(f"{value!r:.60} is not six numbers")
    return cell
