"""The manual pages and the commands, taken apart so that they can be compared."""

from __future__ import annotations

import configparser
import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
import pytest

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.transport.stomp.settings import settings

TOP = Path(__file__).parents[2]
MAN = TOP / "man"

#: Every page of section 1 has these sections, in this order.
SECTIONS = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "EXIT STATUS",
    "ENVIRONMENT",
    "EXAMPLES",
    "SEE ALSO",
]

_ESCAPES = {r"\-": "-", r"\e": "\\", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~"}
_ESCAPE = re.compile(r"\\(?:\(aq|\(ga|\(ha|\(ti|f[BIR]|[-e&%])")


@dataclass(frozen=True)
class Page:
    """A manual page in man(7): its sections, and what stands in them as plain text."""

    path: Path

    @cached_property
    def sections(self) -> dict[str, list[str]]:
        """The lines of each section, macros included, escapes replaced."""
        sections: dict[str, list[str]] = {}
        for line in self.path.read_text("utf-8").splitlines():
            if line.startswith(".SH "):
                sections[line[4:]] = []
            elif sections:
                next(reversed(sections.values())).append(_plain(line))
        return sections

    @cached_property
    def text(self) -> str:
        """The words of the page in one line."""
        return " ".join(" ".join(lines) for lines in self.sections.values())

    def terms(self, section: str) -> list[str]:
        """Return the terms that a section explains: what stands after each .TP."""
        lines = self.sections[section]
        return [lines[place + 1] for place, line in enumerate(lines) if line == ".TP"]

    def blocks(self, section: str) -> list[str]:
        """Return the literal blocks of a section."""
        found = re.findall(r"^\.EX\n(.*?)\n\.EE$", "\n".join(self.sections[section]), re.M | re.S)
        return [str(block) for block in found]

    def examples(self, *sections: str) -> list[str]:
        """Return the shell commands: what begins with ``$``, with the lines that continue it."""
        blocks = [block for name in sections or self.sections for block in self.blocks(name)]
        return [example for block in blocks for example in commands(block)]


def commands(block: str) -> list[str]:
    """Return the commands of a block: each ``$ `` line and the indented lines below it."""
    found = re.findall(r"^\$ (.*(?:\n +.*)*)", block, re.M)
    return [str(command) for command in found]


def squeezed(command: str) -> str:
    """Return a command on one line, as it would be typed."""
    return " ".join(command.replace("\\\n", " ").split())


def click_commands() -> dict[str, click.Command]:
    """Return all commands that setup.cfg installs, by name."""
    config = configparser.ConfigParser()
    config.read(TOP / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].split("\n")
    entries = [line.split(" = ") for line in lines if line]
    return {name: _command(target) for name, target in entries}


def stomp_settings() -> list[str]:
    """Return the names of all settings of a STOMP broker's URL."""
    with pytest.raises(Misconfigured, match="prefix") as caught:
        settings("stomp://host/?no-such-setting=")
    return [*str(caught.value).rpartition("there are ")[2].split(", "), "password-file"]


def _command(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    main = getattr(importlib.import_module(module), attribute)
    command = main.__self__  # the entry point is the command's bound method main
    assert isinstance(command, click.Command)
    return command


def _plain(line: str) -> str:
    return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape.group(), ""), line)
