"""Objects as they are sent, and as commands."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasEvent,
    MimasISPyBAnomalousScatterer,
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasISPyBSpaceGroup,
    MimasISPyBTriggerVariable,
    MimasRecipeInvocation,
    zocalo_command_line,
    zocalo_message,
)
from tests.mimas.scenarios import CELL, OTHER, OWN, P212121, scenario

PARAMETER = MimasISPyBParameter("key", "value")
VARIABLE = MimasISPyBTriggerVariable("statistic-cluster", "iris")
PLAIN = MimasISPyBJobInvocation(5, False, "recipe", "automatic")
FULL = MimasISPyBJobInvocation(
    5, True, "recipe", "automatic", "a comment", "xia2 dials",
    (PARAMETER,), [OWN, OTHER], (VARIABLE,),
)  # fmt: skip

MESSAGES: list[tuple[Any, Any]] = [
    (MimasRecipeInvocation(5, "r"), {"recipes": ["r"], "parameters": {"ispyb_dcid": 5}}),
    (PLAIN, {
        "DCID": 5, "autostart": False, "recipe": "recipe", "source": "automatic", "comment": "",
        "displayname": "", "parameters": (), "sweeps": (), "triggervariables": (),
    }),
    (FULL, {
        "DCID": 5, "autostart": True, "recipe": "recipe", "source": "automatic",
        "comment": "a comment", "displayname": "xia2 dials",
        "parameters": ({"key": "key", "value": "value"},),
        "sweeps": [{"DCID": 5, "start": 1, "end": 100}, {"DCID": 6, "start": 1, "end": 200}],
        "triggervariables": ({"key": "statistic-cluster", "value": "iris"},),
    }),
    (OWN, {"DCID": 5, "start": 1, "end": 100}),
    (PARAMETER, {"key": "key", "value": "value"}),
    (VARIABLE, {"key": "statistic-cluster", "value": "iris"}),
    (CELL, (10, 11, 12, 90, 91.0, 92)),
    (P212121, "P212121"),
    (MimasISPyBSpaceGroup("R 3 2:H"), "R32"),
    (True, True), (0, 0), (1.5, 1.5), ("text", "text"), (None, None), ([], []), ((), ()),
    ([OWN, (P212121, [None])], [{"DCID": 5, "start": 1, "end": 100}, ("P212121", [None])]),
]  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal in their types as well."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    return not isinstance(left, list | tuple) or all(map(same, left, right))


@pytest.mark.parametrize(("obj", "message"), MESSAGES, ids=str)
def test_messages(obj: Any, message: Any) -> None:
    assert same(zocalo_message(obj), message)
    json.dumps(zocalo_message(obj))


@pytest.mark.parametrize(
    "obj",
    [b"bytes", {}, {"key": 1}, set(), object(), MimasEvent.END, MimasDCClass.ROTATION, 1j,
     MimasISPyBAnomalousScatterer("Se"), scenario("i03"), [b"bytes"], ((MimasEvent.END,),),
     MimasISPyBSpaceGroup("nonsense"), MimasISPyBJobInvocation(5, True, "r", b"s"),  # type: ignore[arg-type]
     MimasISPyBJobInvocation(5, True, "r", "s", parameters=[{}])],  # type: ignore[list-item]
)  # fmt: skip
def test_anything_else_has_no_message(obj: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  gemmi's own among them
        zocalo_message(obj)


def job(**fields: Any) -> MimasISPyBJobInvocation:
    return MimasISPyBJobInvocation(
        **{"DCID": 5, "autostart": False, "recipe": "r", "source": "s", **fields}
    )


START = "ispyb.job --new --dcid=5 --source=s --recipe=r"
COMMANDS: list[tuple[Any, str]] = [
    (MimasRecipeInvocation(5, "per-image-analysis"), "zocalo.go -r per-image-analysis 5"),
    (MimasRecipeInvocation(5, "a b"), "zocalo.go -r 'a b' 5"),
    (FULL, "ispyb.job --new --dcid=5 --source=automatic --recipe=recipe --add-sweep=5:1:100"
           " --add-sweep=6:1:200 --add-param=key:value --display='xia2 dials'"
           " --comment='a comment' --trigger --trigger-variable=statistic-cluster:iris"),
    (job(), START),
    (job(DCID=0, autostart=True), "ispyb.job --new --dcid=0 --source=s --recipe=r --trigger"),
    (job(displayname="fast_dp"), f"{START} --display='fast_dp'"),
    (job(displayname="it's"), f'{START} --display="it\'s"'),
    (job(displayname="it's $HOME"), START + " --display='it'\"'\"'s $HOME'"),
    (job(displayname="it's `id`"), START + " --display='it'\"'\"'s `id`'"),
    (job(displayname="it's \\"), START + " --display='it'\"'\"'s \\'"),
    (job(displayname="it's!"), START + " --display='it'\"'\"'s!'"),
    (job(displayname='"$HOME" `id`'), START + " --display='\"$HOME\" `id`'"),
    (job(comment="back\\slash"), START + " --comment='back\\slash'"),
    (job(comment="both ' and \""), START + " --comment='both '\"'\"' and \"'"),
    (job(comment="two\nlines"), START + " --comment='two\nlines'"),
    (job(comment="Ångström"), f"{START} --comment='Ångström'"),
    (job(parameters=[MimasISPyBParameter("k", "a b")]), f"{START} --add-param=k:'a b'"),
    (job(parameters=[MimasISPyBParameter("k;", "")]), f"{START} --add-param='k;':"),
    (job(parameters=[MimasISPyBParameter("k", "1,2-x/y=z%+@.:_")]),
     f"{START} --add-param=k:1,2-x/y=z%+@.:_"),
    (job(triggervariables=[MimasISPyBTriggerVariable("k", "$x")]),
     f"{START} --trigger-variable=k:'$x'"),
    (job(source="a&b", recipe="c|d"), "ispyb.job --new --dcid=5 --source='a&b' --recipe='c|d'"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "command"), COMMANDS, ids=[c[1] for c in COMMANDS])
def test_commands(obj: Any, command: str) -> None:
    assert zocalo_command_line(obj) == command


@pytest.mark.parametrize(
    "obj", [None, "text", 5, [], [PLAIN], {}, scenario("i03"), OWN, PARAMETER, P212121]
)
def test_anything_else_has_no_command(obj: Any) -> None:
    with pytest.raises(ValueError, match="no command"):
        zocalo_command_line(obj)


def words(obj: MimasISPyBJobInvocation) -> list[str]:
    """Return the words that a command must receive."""
    return [
        "ispyb.job",
        "--new",
        f"--dcid={obj.DCID}",
        f"--source={obj.source}",
        f"--recipe={obj.recipe}",
        *[f"--add-param={p.key}:{p.value}" for p in obj.parameters],
        *([f"--display={obj.displayname}"] if obj.displayname else []),
        *([f"--comment={obj.comment}"] if obj.comment else []),
        *[f"--trigger-variable={v.key}:{v.value}" for v in obj.triggervariables],
    ]


def received(command: str) -> list[str]:
    """Return the words that a shell makes of a command."""
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, cwd="/"
    )
    return done.stdout.decode().split("\0")[:-1]


# NUL can stand in no word of a command; lone surrogates in no UTF-8 line.
NASTY = st.text(st.sampled_from("a'\"`$\\!\n\t ~*?[]{}()<>|&;#=-:%\x1b\x7fÅ\u2028"), max_size=8)
TEXTS = NASTY | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
FILLED = TEXTS.filter(bool)


@settings(deadline=None, max_examples=150)
@given(
    st.builds(
        job,
        source=TEXTS,
        recipe=FILLED,
        displayname=TEXTS,
        comment=TEXTS,
        parameters=st.lists(st.builds(MimasISPyBParameter, FILLED, TEXTS), max_size=2),
        triggervariables=st.lists(st.builds(MimasISPyBTriggerVariable, FILLED, TEXTS), max_size=2),
    )
)
def test_a_shell_receives_every_word_as_it_is_meant(obj: MimasISPyBJobInvocation) -> None:
    command = zocalo_command_line(obj)
    assert received(command) == words(obj)
    assert shlex.split(command) == words(obj)


@settings(deadline=None, max_examples=50)
@given(FILLED)
def test_a_shell_receives_the_recipe_as_it_is_meant(recipe: str) -> None:
    command = zocalo_command_line(MimasRecipeInvocation(5, recipe))
    assert received(command) == ["zocalo.go", "-r", recipe, "5"]
