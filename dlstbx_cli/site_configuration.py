"""The two plugins of a Zocalo configuration that every command asks for, read quickly.

``zocalo.configuration`` takes a tenth of a second to load, with all the transports that its
plugins configure: half of the time of ``dlstbx.go``. Here only YAML is read, for the usual
forms; whatever else a configuration may be is left to the library, whose answers a test
holds this module to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STOMP = ("host", "port", "username", "password", "prefix")


@dataclass(frozen=True, slots=True)
class SiteConfiguration:
    """What the activated plugins say.

    :param storage: of the plugins ``storage``, the later ones first.
    :param stomp: of the last plugin ``stomp``; None without one.
    """

    storage: Mapping[str, Any]
    stomp: Mapping[str, Any] | None


def read(path: Path, environments: Sequence[str]) -> SiteConfiguration | None:
    """Return what a configuration says; None if it is not one of the usual form.

    :param environments: to be activated; none: the one called ``default``, if there is one.
    """
    parsed = _yaml(path)
    defined = parsed.get("environments")
    if parsed.get("version") != 1 or "include" in parsed or not isinstance(defined, dict):
        return None
    chosen = environments or [name for name in ("default",) if name in defined]
    storage: dict[str, Any] = {}
    stomp = None
    for environment in chosen:
        names = _plugins(defined, environment)
        if names is None:
            return None
        for name in names:
            plugin = _plugin(parsed.get(name), path.parent)
            kind = plugin.get("plugin")
            if kind is None:
                return None
            if kind == "storage":
                storage.update(plugin)
            elif kind == "stomp":
                if not all(isinstance(plugin.get(key), str | int) for key in _STOMP):
                    return None
                stomp = plugin
    return SiteConfiguration(storage, stomp)


def _yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's content; empty if it is no mapping, or cannot be read."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        parsed = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506  # both are safe
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _plugins(defined: Mapping[str, Any], environment: str) -> list[str] | None:
    """Return the plugins of an environment in order; None if it has no usual form."""
    seen = set()
    value = defined.get(environment)
    while isinstance(value, str) and value not in seen:  # an alias of another one
        seen.add(value)
        value = defined.get(value)
    groups = {"plugins": value} if isinstance(value, list) else value
    if not isinstance(groups, dict):
        return None
    # The library's order: groups by name, those called plugins last.
    ordered = sorted(groups, key=lambda group: (group == "plugins", group))
    return list(dict.fromkeys(itertools.chain.from_iterable(map(_names, _values(groups, ordered)))))


def _values(groups: Mapping[str, Any], ordered: Sequence[str]) -> Iterator[Any]:
    return (groups[group] for group in ordered)


def _names(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _plugin(definition: Any, directory: Path) -> Mapping[str, Any]:
    if isinstance(definition, str):
        return _yaml((directory / Path(definition).expanduser()).resolve())
    return definition if isinstance(definition, dict) else {}
