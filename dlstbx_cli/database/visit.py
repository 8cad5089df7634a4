"""The files that a visit's owner has put beside the data, read within a time bound.

Source: the places where the reference's look-up reads and writes: ``VISIT/processing`` and
``VISIT/tmp/pdb``.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeVar

from dlstbx_cli.services.bounded import Bounded

logger = logging.getLogger("dlstbx_cli")

#: How long the file system may take for all of one look-up, in seconds.
PATIENCE = 10.0
#: The longest file that is read, in bytes: what people write by hand is far shorter.
LONGEST = 64 * 1024

_SETTINGS = (".yml", ".yaml")
_GROUPS = "sample_groups.yml"

Result = TypeVar("Result")


class Unusable(Exception):
    """A file that is no use: the text is the reason, for a warning."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that somebody wrote: its text, or why it cannot be read."""

    path: str
    text: str = ""
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class VisitContents:
    """What stands in ``VISIT/processing``, as far as a look-up needs it.

    :param reference_geometry: the path of ``reference_geometry.expt``, if it is there.
    :param settings: the configuration file that applies, the first by name.
    :param sample_groups: ``sample_groups.yml``, if it is there.
    :param pdb: the paths of the ``*.pdb`` files in ``pdb``, by name.
    """

    reference_geometry: str | None = None
    settings: TextFile | None = None
    sample_groups: TextFile | None = None
    pdb: tuple[str, ...] = ()


class VisitFiles:
    """The files of one visit, for one look-up: all its looks together are bounded in time.

    :param directory: the visit's.
    :param bounded: where the waiting is done; shared by all look-ups.
    """

    def __init__(self, directory: str, bounded: Bounded) -> None:
        self.directory = directory
        self._bounded = bounded
        self._left = PATIENCE

    def contents(self, names: Collection[str]) -> VisitContents:
        """Return what stands in ``processing``.

        :param names: a configuration file applies if it is called by one of these; in
            lower case.

        Raises Stuck if the file system does not answer in time.
        """
        return self._within_time(lambda: _contents(f"{self.directory}/processing", names))

    def keep(self, texts: Collection[tuple[str | None, str]]) -> list[str | None]:
        """Return the paths of files with these names and contents, None where there is none.

        They are ``tmp/pdb/SHA1-OF-CONTENTS/NAME``: what is there already is not written
        again. What cannot be written is a warning. Raises Stuck.
        """
        root = f"{self.directory}/tmp/pdb"  # noqa: S108  the visit's, not the machine's
        return self._within_time(lambda: [_kept(root, name, text) for name, text in texts])

    def _within_time(self, work: Callable[[], Result]) -> Result:
        start = monotonic()
        try:
            return self._bounded.run(self.directory, self._left, work)
        finally:
            self._left -= monotonic() - start


def warn(path: str, reason: str) -> None:
    """Say that a file is left out, and why."""
    # A name may hold bytes that are no text.
    shown = path.encode("utf-8", "backslashreplace").decode()
    logger.warning("%s: %s: left out", shown, reason, extra={"action": "look up", "path": shown})


def _contents(directory: str, names: Collection[str]) -> VisitContents:
    found = _names(directory)
    applying = sorted(name for name in found if _applies(name, names))
    geometry = f"{directory}/reference_geometry.expt"
    return VisitContents(
        geometry if _is_file(geometry) else None,
        _text(f"{directory}/{applying[0]}") if applying else None,
        _text(f"{directory}/{_GROUPS}") if _GROUPS in found else None,
        tuple(_pdb(f"{directory}/pdb")) if "pdb" in found else (),
    )


def _names(directory: str) -> list[str]:
    try:
        return sorted(path.name for path in Path(directory).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        warn(directory, _reason(error))
        return []


def _applies(name: str, names: Collection[str]) -> bool:
    path = Path(name)
    return path.suffix in _SETTINGS and path.stem.lower() in names


def _pdb(directory: str) -> Iterator[str]:
    for name in _names(directory):
        # A dot and nothing before it is a hidden file, and no extension.
        if Path(name).suffix != ".pdb":
            continue
        path = f"{directory}/{name}"
        if not _is_text(name):
            warn(path, "its name is not a text in UTF-8")
        elif _is_file(path):
            yield path
        else:
            warn(path, "it is not a file")


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError as error:
        warn(path, _reason(error))
        return False


def _text(path: str) -> TextFile:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            return TextFile(path, fault=f"it has more than {LONGEST} bytes")
        return TextFile(path, content.decode("utf-8"))
    except (OSError, ValueError) as error:
        return TextFile(path, fault=_reason(error))


def _kept(root: str, name: str | None, text: str) -> str | None:
    content = text.encode("utf-8", "surrogatepass")
    base = (name or "").rpartition("/")[2]
    # Not for any secrecy: it is how the reference names the place.
    place = f"{root}/{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"
    path = f"{place}/{base}"
    if base in ("", ".", ".."):
        warn(path, "it has no name")
        return None
    try:
        if not Path(path).is_file():
            _write(place, path, content)
    except (OSError, ValueError) as error:
        warn(path, _reason(error))
        return None
    return path


def _write(place: str, path: str, content: bytes) -> None:
    """Write under another name and rename: nobody ever sees half a file."""
    Path(place).mkdir(parents=True, exist_ok=True)
    part = Path(place, f".{uuid.uuid4()}.part")
    try:
        part.write_bytes(content)
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not a text in UTF-8"
    return getattr(error, "strerror", None) or str(error)
