from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_dead_letters, run, shell


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> None:
    """Three dead letters of two stages."""
    make_dead_letters()


def ids(lines: list[Any]) -> list[str]:
    return [line["id"] for line in lines]


def depths() -> dict[str, int]:
    return {line["queue"]: line["ready"] for line in run("queue-ls").lines}


def test_ls() -> None:
    lines = run("dlq-ls").lines
    assert ids(lines) == ["aaa-1", "aab-2", "bbb-3"]
    assert lines[2]["queue"] == "dlq.processing_recipe"
    assert lines[2]["dcid"] == 404
    assert lines[2]["recipe"] == "mimas"
    assert lines[2]["attempts"] == 1
    assert "404" in lines[2]["reason"]
    assert lines[2]["rejected_by"] == "recipe-dispatch"
    assert lines[2]["rejected_at"] > 1.7e9
    assert ids(run("dlq-ls", "--queue", "mimas").lines) == ["aaa-1", "aab-2"]
    assert ids(run("dlq-ls", "--queue", "dlq.mimas").lines) == ["aaa-1", "aab-2"]
    table = run("dlq-ls", "--table").out
    assert "DCID 404 is not in ISPyB" in table


def test_show() -> None:
    outcome = run("dlq-show", "bbb")
    letter = json.loads(outcome.out)
    assert letter["message"]["parameters"] == {"ispyb_dcid": 404}
    assert letter["headers"]["dlstbx-rejected-by"] == "recipe-dispatch"
    assert run("dlq-show", "zzz").code == 1
    assert run("dlq-show").code == 2


@pytest.mark.parametrize(
    ("arguments", "back", "left"),
    [
        (["aaa"], {"mimas": 1}, {"dlq.mimas": 1, "dlq.processing_recipe": 1}),
        (["aa"], {"mimas": 2}, {"dlq.processing_recipe": 1}),
        (["aaa", "bbb"], {"mimas": 1, "processing_recipe": 1}, {"dlq.mimas": 1}),
        (["--reason", "EVENT must"], {"mimas": 1}, {"dlq.mimas": 1, "dlq.processing_recipe": 1}),
        (["--all", "--queue", "mimas"], {"mimas": 2}, {"dlq.processing_recipe": 1}),
        (["--all"], {"mimas": 2, "processing_recipe": 1}, {}),
    ],
)
def test_retry(arguments: list[str], back: dict[str, int], left: dict[str, int]) -> None:
    assert run("dlq-retry", *arguments).code == 0
    assert depths() == back | left


def test_retry_keeps_the_identity_and_forgets_the_rejection() -> None:
    run("dlq-retry", "aaa")
    (line,) = run("queue-get", "mimas").lines
    assert line["headers"] == {"dlstbx-id": "aaa-1"}
    assert line["message"] == {"dcid": "x"}


def test_what_is_rejected_again_is_dead_once_more() -> None:
    for _ in range(3):
        assert run("dlq-retry", "--all", "--queue", "mimas").code == 0
        assert run("mimas-plan", "--once").code == 1
    assert ids(run("dlq-ls", "--queue", "mimas").lines) == ["aaa-1", "aab-2"]


def test_the_others_keep_their_place() -> None:
    run("dlq-retry", "aab")
    run("mimas-plan", "--once")
    assert ids(run("dlq-ls", "--queue", "mimas").lines) == ["aaa-1", "aab-2"]
    run("dlq-retry", "aaa")
    run("mimas-plan", "--once")
    assert ids(run("dlq-ls", "--queue", "mimas").lines) == ["aab-2", "aaa-1"]


def test_drop_prints_what_can_be_put_back() -> None:
    outcome = run("dlq-drop", "--all")
    assert outcome.code == 0
    assert depths() == {}
    assert run("queue-put", stdin=outcome.out).code == 0
    assert ids(run("dlq-ls").lines) == ["aaa-1", "aab-2", "bbb-3"]


def test_export_leaves_them_there() -> None:
    assert len(run("dlq-export").lines) == 3
    assert depths() == {"dlq.mimas": 2, "dlq.processing_recipe": 1}


@pytest.mark.parametrize("command", ["dlq-retry", "dlq-drop"])
def test_nothing_is_done_by_mistake(command: str) -> None:
    assert run(command).code == 2
    assert run(command, "zzz").code == 1
    assert len(run("dlq-ls").lines) == 3


def test_drop_into_a_closed_pipe_drops_nothing_unwritten() -> None:
    assert shell("dlq-drop --all | true; echo ${PIPESTATUS[0]}").out == "0\n"
    assert len(run("dlq-ls").lines) >= 2
