"""Flaws of our own rules that are meant to be there, by name, with the reason."""

from __future__ import annotations

ACCEPTED = {
    "repeated:characterization-end+rotation-end:generate-diffraction-preview": (
        "a characterization is a rotation too, as in the rules that these follow; "
        "a plan has the task once"
    ),
}
