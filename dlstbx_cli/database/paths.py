"""Names of image files and directories: pure rules, no look at any file system.

Source: the file and directory names that the reference's look-up gives its recipes.
Image directories look like ``/dls/BEAMLINE/data/YEAR/VISIT/...``.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from dlstbx_cli.services.errors import Rejected

_HASHES = re.compile(r"#+")
#: An absolute image directory names the visit at the fifth place.
_VISIT_DEPTH = 5


def pattern(template: str | None) -> str | None:
    """Return a file template with its run of ``#`` as a printf field: ``x_%04d.cbf``.

    Percent signs are doubled. Without ``#`` the template is returned as it is; None without
    a template.
    """
    if not template:
        return None
    run = _HASHES.search(template)
    if run is None:
        return template
    before, after = (
        text.replace("%", "%%") for text in (template[: run.start()], template[run.end() :])
    )
    return f"{before}%0{len(run.group())}d{after}"


def image_file(directory: str | None, template: str, number: int) -> str:
    """Return the path of an image: the first run of ``#`` is replaced by the padded number."""
    name = _HASHES.sub(lambda run: str(number).zfill(len(run.group())), template, count=1)
    return posixpath.join(directory or "", name)


def sweep(directory: str | None, template: str, first: int, last: int) -> str:
    """Return ``FILE:first:last``, the file being that of the first image."""
    return f"{image_file(directory, template, first)}:{first}:{last}"


def last_image(first: int | None, number: int | None) -> int | None:
    """Return the number of the last image; None if either is not known."""
    return None if first is None or number is None else first + number - 1


def is_below(directory: str | None, root: str) -> bool:
    """Tell whether a directory is *root* or below it."""
    return directory is not None and f"{directory}/".startswith(f"{root}/")


@dataclass(frozen=True, slots=True)
class VisitPath:
    """An image directory taken apart.

    :param visit: the visit's name, such as ``cm14451-1``.
    :param directory: the path up to and including it.
    :param rest: the names of the directories below it.
    """

    visit: str
    directory: str
    rest: tuple[str, ...]

    @classmethod
    def of(cls, directory: str | None) -> VisitPath | None:
        """Take an image directory apart; None if there is none or it does not name a visit.

        Raises Rejected for a relative one, and one with ``..`` in it: what is below it
        might not be below the visit.
        """
        if not directory:
            return None
        if not directory.startswith("/"):
            raise Rejected(f"the image directory is not absolute: {directory!r:.200}")
        names = [name for name in directory.split("/") if name not in ("", ".")]
        if ".." in names:
            raise Rejected(f"the image directory leads elsewhere: {directory!r:.200}")
        if len(names) < _VISIT_DEPTH:
            return None
        top = names[:_VISIT_DEPTH]
        return cls(top[-1], "/" + "/".join(top), tuple(names[_VISIT_DEPTH:]))

    def names_below(self, directory: str | None) -> list[str]:
        """Return the names between the visit and a directory; none if it is not below it."""
        names = [name for name in (directory or "").split("/") if name not in ("", ".")]
        top = self.directory.split("/")[1:]
        return names[len(top) :] if names[: len(top)] == top else []

    def below(self, area: str, level: str | None, uuid: str) -> str:
        """Return the directory of a request in an area of the visit, such as ``processed``."""
        levels = [level] if level else []
        return "/".join([self.directory, area, *self.rest, *levels, uuid])


def collection_level(prefix: str | None, number: int | None) -> str | None:
    """Return ``PREFIX_NUMBER``, a missing one being empty; None if both are missing.

    Raises Rejected for a prefix with ``..`` among its names: it would lead elsewhere.
    """
    if not prefix and number is None:
        return None
    if prefix and ".." in prefix.split("/"):
        raise Rejected(f"the image prefix leads elsewhere: {prefix!r:.200}")
    return f"{prefix or ''}_{'' if number is None else number}"


def project(visit: str | None) -> str:
    """Return the project name for a visit: hyphens become ``v``."""
    return "AUTOMATIC" if visit is None else visit.replace("-", "v")


def crystal(prefix: str | None, number: int | None) -> str:
    """Return the crystal name for a collection: letters and digits only, after an ``x``."""
    if not prefix or number is None:
        return "DEFAULT"
    return "x" + "".join(letter for letter in f"{prefix}{number}" if letter.isalnum())
