"""Overrides: what a plan becomes by them, and what is no override."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.mimas import MimasISPyBJobInvocation, MimasRecipeInvocation
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.mimas.overrides import overridden, overrides_from
from tests.mimas.scenarios import scenario

UNTIL = "2026-11-30T18:00:00Z"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
END = datetime(2026, 11, 30, 18, tzinfo=UTC).timestamp()
WHO = f'reason = "tests"\nowner = "ab12"\nuntil = {UNTIL}\n'

I03 = scenario("i03", detector="EIGER", visit="mx37124-8")
RUN = PlannedTask(MimasRecipeInvocation(I03.DCID, "archive-nexus"), "archive")
START = PlannedTask(MimasISPyBJobInvocation(I03.DCID, True, "xia2", "automatic"), "end")
HELD = PlannedTask(MimasISPyBJobInvocation(I03.DCID, False, "dials", "automatic"), "end")
PLAN = [RUN, START, HELD]


def parsed(text: str) -> Any:
    return overrides_from(tomllib.loads(text))


def shown(tasks: list[PlannedTask]) -> list[str]:
    """``+`` starts, ``-`` is held; ``!`` is by an override."""
    signs = {True: "+", False: "-", None: ""}
    return [
        ("!" if one.override else "")
        + signs[getattr(one.task, "autostart", None)]
        + one.task.recipe
        for one in tasks
    ]


AS_IT_WAS = ["archive-nexus", "+xia2", "-dials"]
EFFECTS = [
    ('recipe = "xia2"\naction = "drop"', ["archive-nexus", "-dials"], ["!+xia2"]),
    ('beamline = "i03"\naction = "drop"', [], ["!archive-nexus", "!+xia2", "!-dials"]),
    ('recipe = ["xia2", "archive-nexus"]\naction = "drop"',
     ["-dials"], ["!archive-nexus", "!+xia2"]),
    ('recipe = "xia2"\naction = "hold"', ["archive-nexus", "!-xia2", "-dials"], []),
    ('recipe = "dials"\naction = "hold"', AS_IT_WAS, []),
    ('beamline = "i03"\naction = "trigger"', ["archive-nexus", "+xia2", "!+dials"], []),
    ('event = "end"\naction = "add"\nadd = "new"', [*AS_IT_WAS, "!new"], []),
    ('event = "end"\naction = "add"\nadd = "archive-nexus"', AS_IT_WAS, []),
    ('visit = "mx37124"\naction = "drop"\nrecipe = "xia2"',
     ["archive-nexus", "-dials"], ["!+xia2"]),
    ('visit = ["cm", "nt"]\naction = "drop"', AS_IT_WAS, []),
    ('beamline = "I03"\nvisit = "MX37124"\nrecipe = "xia2"\naction = "drop"',
     ["archive-nexus", "-dials"], ["!+xia2"]),
    ('beamline = ["i04", "i24"]\naction = "drop"', AS_IT_WAS, []),
    ('event = "start"\naction = "drop"', AS_IT_WAS, []),
    ('class = "rotation"\ndetector = "eiger"\naction = "drop"\nrecipe = "xia2"',
     ["archive-nexus", "-dials"], ["!+xia2"]),
    ('class = "gridscan"\naction = "drop"', AS_IT_WAS, []),
    ('detector = "PILATUS"\naction = "drop"', AS_IT_WAS, []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "planned", "dropped"), EFFECTS)
def test_an_effect(text: str, planned: list[str], dropped: list[str]) -> None:
    overrides = parsed(f"[[override]]\n{text}\n{WHO}")
    after, gone = overridden(PLAN, I03, overrides, NOW)
    assert (shown(after), shown(gone)) == (planned, dropped)
    assert all("until 2026-11-30" in one.override for one in [*after, *gone] if one.override)
    assert all("ab12: tests" in one.override for one in [*after, *gone] if one.override)


@pytest.mark.parametrize(("text", "planned", "dropped"), EFFECTS)
def test_what_has_ended_changes_nothing(text: str, planned: Any, dropped: Any) -> None:
    del planned, dropped
    overrides = parsed(f"[[override]]\n{text}\n{WHO}")
    assert overridden(PLAN, I03, overrides, END) == (PLAN, [])


def test_one_follows_the_other() -> None:
    text = "\n".join(
        f"[[override]]\n{entry}\n{WHO}"
        for entry in (
            'recipe = "xia2"\naction = "hold"',
            'recipe = "xia2"\naction = "trigger"',
            'beamline = "i03"\naction = "add"\nadd = "new"',
            'recipe = "new"\naction = "drop"',
        )
    )
    after, gone = overridden(PLAN, I03, parsed(text), NOW)
    assert shown(after) == ["archive-nexus", "!+xia2", "-dials"]
    assert [(one.rule, one.task.recipe) for one in gone] == [("override", "new")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (WHO, r"there is only \[\[override\]\]"),
        ("override = 1", r"tables, written \[\[override\]\]"),
        ("override = [1]", r"tables, written"),
        (f'[[override]]\naction = "drop"\n{WHO}', "no condition"),
        (f'[[override]]\nrecipe = "a"\n{WHO}', "action must be one of drop, hold"),
        (f'[[override]]\nrecipe = "a"\naction = "stop"\n{WHO}', "not 'stop'"),
        (f'[[override]]\nrecipe = ""\naction = "drop"\n{WHO}', "recipe must be a text"),
        (f'[[override]]\nrecipe = []\naction = "drop"\n{WHO}', "recipe must be a text"),
        (f'[[override]]\nrecipe = [1]\naction = "drop"\n{WHO}', "recipe must be a text"),
        (f'[[override]]\nclass = "spiral"\naction = "drop"\n{WHO}', "class must be one of"),
        (f'[[override]]\nbeamlin = "i03"\naction = "drop"\n{WHO}', "there is no 'beamlin'"),
        (f'[[override]]\nbeamline = "i03"\naction = "add"\n{WHO}', "goes with action"),
        (f'[[override]]\nbeamline = "i03"\naction = "drop"\nadd = "a"\n{WHO}', "goes with action"),
        (f'[[override]]\nrecipe = "b"\naction = "add"\nadd = "a"\n{WHO}', "means nothing for add"),
        ('[[override]]\nrecipe = "a"\naction = "drop"\nreason = "r"\nowner = "o"', "until must be"),
        (
            '[[override]]\nrecipe = "a"\naction = "drop"\nreason = "r"\nowner = "o"\n'
            "until = 2026-11-30",
            "until is a day",
        ),
        (
            '[[override]]\nrecipe = "a"\naction = "drop"\nreason = "r"\nowner = "o"\n'
            "until = 9999-12-31T23:59:59-01:00",
            "override 1: until is beyond all calendars",
        ),
        (f'[[override]]\nrecipe = "a"\naction = "drop"\nowner = "o"\nuntil = {UNTIL}', "reason is"),
        (f'[[override]]\nrecipe = "a"\naction = "drop"\nreason = "r"\nuntil = {UNTIL}', "owner is"),
    ],
)
def test_what_is_no_override(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parsed(text)


def test_the_entry_is_named() -> None:
    good = f'[[override]]\nrecipe = "a"\naction = "drop"\n{WHO}'
    with pytest.raises(ValueError, match=r"^override 2: "):
        parsed(f"{good}[[override]]\n{WHO}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.datetimes(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_else_is_refused_in_words(value: Any) -> None:
    for document in ({"override": value}, {"override": [value]}, {"override": [{"recipe": value}]}):
        if value == [] and document == {"override": []}:
            continue
        with pytest.raises(ValueError, match="override"):
            overrides_from(document)
