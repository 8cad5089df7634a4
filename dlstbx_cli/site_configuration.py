"""The plugins of a Zocalo configuration that commands ask for, read quickly.

``zocalo.configuration`` takes a tenth of a second to load, with all the transports that its
plugins configure: half of the time of ``dlstbx.go``. Here only YAML is read, for the usual
forms; whatever else a configuration may be is left to the library, whose answers a test
holds this module to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The two kinds of plugins that the library has for the same thing: a cluster with Slurm.
SLURM = ("slurm", "iris")

#: What the library wants of a plugin: these are texts.
_TEXTS = {
    "stomp": ("host", "username", "password", "prefix"),
    "rabbitmqapi": ("base_url", "username", "password"),
    "slurm": ("url", "api_version"),
    "iris": ("url", "api_version"),
}
#: And these too, where they are given.
_OPTIONAL_TEXTS = dict.fromkeys(SLURM, ("user", "user_token"))


@dataclass(frozen=True, slots=True)
class SiteConfiguration:
    """What the activated plugins say.

    :param storage: of the plugins ``storage``, the later ones first.
    :param stomp: of the last plugin ``stomp``; None without one.
    :param rabbitmqapi: of the last plugin ``rabbitmqapi``; None without one.
    :param slurm: of every plugin ``slurm`` and ``iris``, by its own name.
    """

    storage: Mapping[str, Any]
    stomp: Mapping[str, Any] | None
    rabbitmqapi: Mapping[str, Any] | None = None
    slurm: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


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
    last: dict[str, Mapping[str, Any]] = {}
    slurm: dict[str, Mapping[str, Any]] = {}
    for environment in chosen:
        names = _plugins(defined, environment)
        if names is None:
            return None
        for name in names:
            plugin = _plugin(parsed.get(name), path.parent)
            kind = _kind(plugin)
            if kind is None:
                return None
            if kind == "storage":
                storage.update(plugin)
            elif kind in SLURM:
                slurm.pop(name, None)  # what comes again, comes later
                slurm[name] = plugin
            else:
                last[kind] = plugin
    return SiteConfiguration(storage, last.get("stomp"), last.get("rabbitmqapi"), slurm)


def _kind(plugin: Mapping[str, Any]) -> str | None:
    """Return which plugin a definition is for; None if the library might refuse it."""
    kind, port = plugin.get("plugin"), str(plugin.get("port"))
    if not isinstance(kind, str) or (kind == "stomp" and not (port.isascii() and port.isdigit())):
        return None
    given = [key for key in _OPTIONAL_TEXTS.get(kind, ()) if key in plugin]
    wanted = [*_TEXTS.get(kind, ()), *given]
    return kind if all(isinstance(plugin.get(key), str) for key in wanted) else None


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
