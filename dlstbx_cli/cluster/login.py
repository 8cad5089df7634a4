"""Who we are for slurmrestd: a user and a token, which no error and no log ever shows.

A token (JWT) expires. Where it is in a file, something renews that file: it is read anew at
each call.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Misconfigured

#: What ``scontrol token`` prints in front of a token.
VARIABLE = "SLURM_JWT"
#: What can stand in an HTTP header as it is.
_TOKEN, _USER = re.compile(r"[!-~]+"), re.compile(r"[!-~]+(?: [!-~]+)*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a token as they are now."""

    user: str
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers by which slurmrestd knows us."""
        return {"X-SLURM-USER-NAME": self.user, "X-SLURM-USER-TOKEN": self.token}

    def expired(self, now: float) -> str:
        """Return in words since when the token is no longer valid; empty if it may be."""
        end = _claims(self.token).get("exp")
        if isinstance(end, bool) or not isinstance(end, int | float) or end > now:
            return ""
        minutes = int(now - end) // 60
        return f"its token expired {minutes} min ago" if minutes else "its token has just expired"

    def hidden(self, text: str) -> str:
        """Return a text without the token, whoever has put that into it."""
        return text.replace(self.token, "***")


@dataclass(frozen=True, slots=True)
class Login:
    """Where a user and a token are to be had.

    :param origin: where this is said, in words for people.
    :param user: None: the one whom the token names.
    :param token: the token itself.
    :param file: or the file that has it in its first line, also as ``scontrol token`` prints it.
    """

    origin: str
    user: str | None = None
    token: str | None = field(default=None, repr=False)
    file: Path | None = None

    def credentials(self) -> Credentials:
        """Return user and token as they are now. Raises Misconfigured."""
        place, text = self._read()
        token = text.strip().removeprefix(f"{VARIABLE}=").strip()
        if not _TOKEN.fullmatch(token):
            raise Misconfigured(f"{place} holds no token")
        user = self.user or _claims(token).get("sun")
        if not isinstance(user, str) or not _USER.fullmatch(user):
            raise Misconfigured(f"the token in {place} names no user: give --slurm-user")
        return Credentials(user, token)

    def _read(self) -> tuple[str, str]:
        if self.file is None:
            return self.origin, self.token or ""
        place = f"token file {self.file} (from {self.origin})"
        try:
            with self.file.open(encoding="utf-8") as file:
                return place, file.readline()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise Misconfigured(f"{place} cannot be read: {reason}") from None


def of_text(value: str, user: str | None, origin: str) -> Login:
    """Return the login of a setting that is a token, or the path of a file with one.

    That is how Zocalo's plugin ``slurm`` has it. What may be a token is never taken for a
    path that could be shown: only what has a slash in it, or is the name of a file, is one.
    """
    path = Path(os.path.expanduser(value))  # noqa: PTH111  # a home that is none is no error
    if "/" in value or _is_file(path):
        return Login(origin, user, file=path)
    return Login(origin, user, token=value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a token is too long for a file's name
        return False


def _claims(token: str) -> Mapping[str, Any]:
    """Return what a JWT says of itself (user ``sun``, end ``exp``); empty if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
