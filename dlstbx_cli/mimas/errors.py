"""What can go wrong with rules. All of it is a ValueError."""

from __future__ import annotations


class RuleError(ValueError):
    """A rule, or a site's handler, refuses the scenario or fails on it.

    :param name: the rule's name, or the handler's.
    :param cause: what it raised.
    """

    def __init__(self, name: str, cause: Exception) -> None:
        super().__init__(name, cause)
        self.name = name
        self.cause = cause

    def __str__(self) -> str:
        """Return one line: which rule, and why."""
        plain = isinstance(self.cause, ValueError)  # said on purpose: the text is enough
        reason = str(self.cause) if plain else f"{type(self.cause).__name__}: {self.cause}"
        return f"rule {self.name}: {reason}"


class BadTaskError(ValueError):
    """What a site's handler returned is no list of valid invocations."""


class HandlerError(ValueError):
    """The set of handlers cannot be put together: an unknown, doubled or broken one."""


class UnknownHandlerError(HandlerError):
    """A handler was asked for by a name that none has."""
