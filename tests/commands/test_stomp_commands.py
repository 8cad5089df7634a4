"""The commands that look at queues, on RabbitMQ and ActiveMQ instead of the embedded broker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_dead_letters, run

#: Where dead letters come from in these tests; a broker that cannot list is told of "other".
SOURCES = "other,demo.processing"


@pytest.fixture(params=["rabbitmq", "activemq"])
def broker(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The broker's URL, for all commands of the test; it is empty."""
    server = request.getfixturevalue(f"{request.param}_server")
    more: dict[str, object] = {"queues": SOURCES}
    if request.param == "rabbitmq":
        more = {"management": server.management_url}
    url = str(server.url(**server.place(), idle=0.1, **more))
    monkeypatch.setenv("DLSTBX_BROKER", url)
    return url


@pytest.fixture
def letters(broker: str) -> None:
    """Three dead letters of two stages."""
    make_dead_letters()


def put(*lines: Any) -> None:
    outcome = run("queue-put", stdin="\n".join(map(json.dumps, lines)))
    assert outcome.code == 0, outcome.err


def ids(lines: list[Any]) -> list[str]:
    return [line["id"] for line in lines]


def depths() -> dict[str, int]:
    states = run("queue-ls").lines
    return {line["queue"]: line["ready"] + line["in_hand"] + line["delayed"] for line in states}


def comes_to(wanted: dict[str, int]) -> bool:
    """Tell whether the queues come to hold so much, soon."""
    end = time.monotonic() + 10
    while (found := depths()) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return found == wanted


def test_dead_letters_are_listed_and_shown(letters: None) -> None:
    lines = run("dlq-ls").lines
    assert ids(lines) == ["aaa-1", "aab-2", "bbb-3"]
    last = lines[2]
    assert last["queue"] == "dlq.processing_recipe"
    assert (last["dcid"], last["recipe"], last["attempts"]) == (404, "mimas", 1)
    assert "404 is not in ISPyB" in last["reason"]
    assert last["rejected_by"] == "recipe-dispatch"
    assert 0 <= time.time() - last["rejected_at"] < 60
    for queue in ("mimas", "dlq.mimas"):
        assert ids(run("dlq-ls", "--queue", queue).lines) == ["aaa-1", "aab-2"]
    assert "DCID 404 is not in ISPyB" in run("dlq-ls", "--table").out
    letter = json.loads(run("dlq-show", "bbb").out)
    assert letter["message"]["parameters"] == {"ispyb_dcid": 404}
    assert letter["headers"]["dlstbx-rejected-by"] == "recipe-dispatch"
    assert ids(run("dlq-ls").lines) == ["aaa-1", "aab-2", "bbb-3"], "to look takes nothing"


def test_a_letter_says_how_often_it_was_tried_and_how_old_it_is(broker: str) -> None:
    headers = {
        "dlstbx-id": "i",
        "dlstbx-error": "it has ended its consumer 4 times",
        "dlstbx-rejected-by": "mimas-plan",
        "dlstbx-rejected-at": "2023-11-14T22:13:20+00:00",
        "dlstbx-attempt": "4",
    }
    body = {"payload": {"parameters": {"dcid": 7}}, "environment": {"ID": "guid"}}
    put({"queue": "dlq.other", "message": body, "headers": headers})
    (line,) = run("dlq-ls", "--queue", "other").lines
    assert (line["attempts"], line["rejected_at"]) == (4, 1_700_000_000)
    assert (line["dcid"], line["recipe_id"]) == (7, "guid")
    assert ids(run("dlq-ls").lines) == ["i"]
    assert run("dlq-retry", "i").code == 0
    (line,) = run("queue-get", "other").lines
    assert line == {"queue": "other", "message": body, "headers": {"dlstbx-id": "i"}}


@pytest.mark.parametrize(
    ("arguments", "back", "left"),
    [
        (["aaa"], {"mimas": 1}, {"dlq.mimas": 1, "dlq.processing_recipe": 1}),
        (["--reason", "EVENT must"], {"mimas": 1}, {"dlq.mimas": 1, "dlq.processing_recipe": 1}),
        (["--all"], {"mimas": 2, "processing_recipe": 1}, {}),
    ],
)
def test_retry(letters: None, arguments: list[str], back: Any, left: Any) -> None:
    outcome = run("dlq-retry", *arguments)
    assert outcome.code == 0
    assert f"{sum(back.values())} dead letter" in outcome.err
    assert comes_to(back | left)


def test_what_is_retried_is_handled_and_dead_once_more(letters: None) -> None:
    assert run("dlq-retry", "aaa").code == 0
    assert run("mimas-plan", "--once").code == 1
    assert ids(run("dlq-ls", "--queue", "mimas").lines) == ["aab-2", "aaa-1"]
    assert run("dlq-retry", "zzz").code == 1
    assert run("dlq-retry").code == 2


def test_letters_not_chosen_stay_in_their_order(broker: str) -> None:
    """There are more of them than a consumer has in hand at a time."""
    number = 60
    put(
        *(
            {"queue": "dlq.other", "message": place, "headers": {"dlstbx-id": f"i{place:02}"}}
            for place in range(number)
        )
    )
    assert run("dlq-retry", "--queue", "other", "i07", "i59", "i30").code == 0
    assert [line["message"] for line in run("queue-get", "other").lines] == [7, 30, 59]
    left = [f"i{place:02}" for place in range(number) if place not in (7, 30, 59)]
    assert ids(run("dlq-ls", "--queue", "other").lines) == left
    outcome = run("dlq-drop", "--queue", "other", "i58", "i00")
    assert [line["message"] for line in outcome.lines] == [0, 58]
    assert ids(run("dlq-ls", "--queue", "other").lines) == left[1:-1]


def test_drop_prints_what_can_be_put_back(letters: None) -> None:
    outcome = run("dlq-drop", "--all")
    assert outcome.code == 0
    assert comes_to({})
    assert run("queue-put", stdin=outcome.out).code == 0
    assert ids(run("dlq-ls").lines) == ["aaa-1", "aab-2", "bbb-3"]


def test_export_leaves_them_there(letters: None) -> None:
    assert len(run("dlq-export").lines) == 3
    assert comes_to({"dlq.mimas": 2, "dlq.processing_recipe": 1})


def test_put_look_and_get(broker: str) -> None:
    lines = [
        {
            "queue": "mimas",
            "message": {"n": place},
            "headers": {"dlstbx-id": f"i{place}", "h": "é:"},
        }
        for place in range(5)
    ]
    put(*lines, {"queue": "mimas", "message": "later", "delay": 60})
    assert comes_to({"mimas": 5, "dlstbx.delayed": 1})
    assert run("queue-ls", "--table").out.count("mimas") == 1
    peeked = run("queue-get", "--peek", "mimas").lines
    assert peeked[:5] == lines
    assert peeked[5]["message"] == "later"
    assert 50 < peeked[5]["delay"] <= 60
    assert run("queue-get", "--peek", "--max", 2, "mimas").lines == lines[:2]
    assert run("queue-get", "--max", 2, "mimas").lines == lines[:2]
    assert run("queue-get", "mimas").lines == lines[2:]
    assert run("queue-get", "mimas").lines == []
    assert run("queue-get", "no/name").code == 1


def test_a_line_that_is_no_message(broker: str) -> None:
    assert run("queue-put", stdin="nonsense\n").code == 1
    assert comes_to({"dlq.queue-put": 1})
    (line,) = run("dlq-ls").lines
    assert "not JSON" in line["reason"]


def test_a_stage_once(broker: str) -> None:
    """The whole way of a trigger, from the command that sends it."""
    assert run("dlstbx.go", "-r", "mimas", "-s", "event=end", 993677).code == 0
    assert comes_to({"processing_recipe": 1})
    assert run("recipe-dispatch", "--once").code == 0
    assert run("mimas-plan", "--once").code == 0
    left = depths()
    assert set(left) == {"processing_recipe", "ispyb_connector"}
    assert run("ispyb-create-job", "--once").code == 0
    again = depths()
    assert "ispyb_connector" not in again
    assert sum(again.values()) == sum(left.values())


def test_the_live_view_takes_nothing(letters: None) -> None:
    before = depths()
    for _ in range(2):
        (found,) = run("dlstbx-top", "--once").lines
        # There is no store of held jobs, and nobody keeps records.
        assert found["faults"].keys() == {"held", "clusters", "decisions"}
        queues = {one["queue"]: one["ready"] for one in found["queues"]}
        assert queues == {"dlq.mimas": 2, "dlq.processing_recipe": 1}
        assert found["dead_letters"]["count"] == 3
        assert sorted(ids(found["dead_letters"]["last"])) == ["aaa-1", "aab-2", "bbb-3"]
    assert comes_to(before)
