"""README.md is true: its shell session is typed as printed, its rule is asked."""

from __future__ import annotations

import re
import shutil

import pytest

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasRecipeInvocation,
    MimasScenario,
)
from tests.docs.needs import need
from tests.docs.pages import MAN, TOP, click_commands
from tests.docs.shell import Facility

README = (TOP / "README.md").read_text("utf-8")
NOTICE = re.compile(r"^\S+: no \S+ is configured: using the embedded one.*\n", re.M)


#: A command, with the lines that continue it after a pipe, and the output below.
_STEP = re.compile(r"([^\n]*\n(?:(?<=\|\n) +[^\n]*\n)*)(.*)", re.S)


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def steps(language: str = "sh") -> list[tuple[str, str]]:
    """Return each command of some blocks with the output printed below it."""
    found = []
    for block in fenced(language):
        assert block.startswith("$ "), block
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, output = _STEP.fullmatch(step).groups()
            found.append((command.rstrip("\n"), output))
    return found


def matches(printed: str, shown: str) -> bool:
    """Tell whether an output is the one printed, where ``...`` stands for anything in a line."""
    pattern = ".*".join(re.escape(part) for part in printed.split("..."))
    return re.fullmatch(pattern, shown) is not None


def test_the_session_gives_what_is_printed(empty: Facility) -> None:
    wanted = steps()
    assert len(wanted) > 8
    # The session begins in the checkout, as it says: $PWD/bin is its bin.
    typed = empty.session([command for command, _ in wanted], directory=TOP)
    for (command, printed), one in zip(wanted, typed, strict=True):
        said = NOTICE.sub("", one.stderr)
        shown = one.stdout if one.stdout else said
        assert matches(printed, shown), f"{command}\n--- printed\n{printed}--- shown\n{shown}"
        rejecting = "ende" in command
        assert rejecting or (one.stdout and said == "") or matches(printed, said), (command, said)
        assert one.status == (1 if rejecting else 0), (command, one.stderr)


def test_a_rule_is_changed_as_it_says(empty: Facility) -> None:
    need("git")
    checkout = empty.directory / "checkout"
    shutil.copytree(TOP / "dlstbx_cli", checkout / "dlstbx_cli")
    (overrides,) = fenced("toml")
    (checkout / "overrides.toml").write_text(overrides)
    made = empty.session(
        ["git init -q && git add dlstbx_cli", "dlstbx-demo > /dev/null"], directory=checkout
    )
    assert [one.status for one in made] == [0, 0]
    wanted = steps("console")
    assert len(wanted) > 8
    # The checkout whose rule is changed is a copy of this one.
    _, *typed = empty.session(
        ["export PYTHONPATH=$PWD", *(command for command, _ in wanted)], directory=checkout
    )
    for (command, printed), one in zip(wanted, typed, strict=True):
        said = NOTICE.sub("", one.stderr)
        shown = one.stdout or said
        assert matches(printed, shown), f"{command}\n--- printed\n{printed}--- shown\n{shown}"
        # As with diff(1); the shell has pipefail on.
        assert one.status == ("mimas-diff" in command and "old.jsonl" in command), command
    assert overrides.count("autoprocessing-multi-xia2-3dii") == 2
    equal = empty.session(["mimas-diff today.jsonl new.jsonl"], directory=checkout)
    assert equal[0].status == 0


@pytest.mark.parametrize(
    ("event", "detector", "recipe", "tasks"),
    [
        (MimasEvent.END, MimasDetectorClass.EIGER, "archive-nexus", 2),
        (MimasEvent.END, MimasDetectorClass.PILATUS, "archive-cbfs", 2),
        (MimasEvent.START, MimasDetectorClass.EIGER, None, 0),
    ],
)
def test_the_rule_of_the_beamline_works(event, detector, recipe, tasks: int) -> None:
    (module,) = fenced("python")
    names: dict = {}
    exec(module, names)
    scenario = MimasScenario(
        DCID=1,
        dcclass=MimasDCClass.ROTATION,
        event=event,
        beamline="p99",
        visit=None,
        runstatus=None,
        detectorclass=detector,
    )
    plan = names["handler"](scenario)
    assert len(plan) == tasks
    assert not recipe or plan[0] == MimasRecipeInvocation(1, recipe)


def test_every_command_is_in_the_table() -> None:
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", README, re.M)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {*click_commands(), "RunAtStartOfCollect", "RunAtEndOfCollect"} <= named


def test_files_and_pages_that_are_named_exist() -> None:
    paths = re.findall(r"(?<![\w/.])((?:bin|man|dlstbx_cli)/[\w./-]*\w)", README)
    missing = {path for path in paths if not (TOP / path).exists()}
    assert missing == {"dlstbx_cli/mimas/rules/p99.py"}  # the example's own
    for name, section in re.findall(r"`([\w.-]+)`\((\d)\)", README):
        assert (MAN / f"{name}.{section}").exists()


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 300
