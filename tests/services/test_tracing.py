from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dlstbx_cli.services.message import Message, Queue, derived_id
from dlstbx_cli.services.tracing import (
    STAGES,
    Event,
    Named,
    Scope,
    Trace,
    followers,
    guid_of,
    named_in,
    number_of,
    planned_ids,
    recipe_in,
    request_id,
    timeline,
)
from dlstbx_cli.services.verdict import verdict
from tests.effort import effort

GUID = "12345678-1234-1234-1234-123456789abc"


def event(stage: str, when: float | None = None, job: int | None = None, **more: Any) -> Event:
    return Event(stage, "test", "", when, job=job, **more)


def trace(*events: Event, whole: bool = True, away: tuple[str, ...] = ()) -> Trace:
    scope = Scope(dcid=1, whole=whole)
    return Trace("DCID 1", scope, timeline(events), dict.fromkeys(away, "away"))


def test_a_timeline_is_in_order_whatever_came_first() -> None:
    events = [
        # ISPyB rounds to seconds: what is planned before a job is made stands before it.
        event("planned", 100.9),
        event("created", 100.0, 1),
        event("held", 100.2, 1),
        event("released", 160.0, 1),
        event("started", 159.0, 2),
        event("triggered", None, latest=100.5),
        event("waiting", None, 1),
    ]
    wanted = ["triggered", "planned", "created", "held", "started", "released", "waiting"]
    for seed in range(20):
        random.Random(seed).shuffle(events)
        assert [one.stage for one in timeline(events)] == wanted


def test_what_two_sources_say_alike_is_said_once() -> None:
    assert len(timeline([event("held", 1.0, 1), event("held", 1.0, 1)])) == 1


def test_a_message_is_of_the_job_whose_recipe_it_belongs_to() -> None:
    started = event("started", 1.0, 7, guid=GUID, recipe="xia2")
    waiting = Event("waiting", "broker", "", guid=GUID)
    assert timeline([waiting, started])[-1] == replace(waiting, job=7, recipe="xia2")
    assert timeline([replace(waiting, guid=None), started])[-1].job is None


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [
        ("created", "created"),
        ("created held", "held"),
        ("held released", "released"),
        # Clocks of different machines: what counts is how far a job has come.
        ("released held created", "released"),
        ("held cancelled", "cancelled"),
        ("held cancelled started", "started"),
        ("started running", "running"),
        ("started began succeeded", "succeeded"),
        ("began succeeded began failed", "failed"),
        ("began failed began succeeded", "succeeded"),
        # Two programs: one has ended, one has not.
        ("began succeeded running", "running"),
        ("succeeded dead", "dead"),
        ("dead created", "dead"),
    ],
)
def test_what_became_of_a_job(stages: str, wanted: str) -> None:
    events = [event(stage, 10.0 * place, 5) for place, stage in enumerate(stages.split())]
    assert {job: one.stage for job, one in trace(*events).fates().items()} == {5: wanted}


def test_a_job_that_is_held_again() -> None:
    again = event("held", 30.0, 5, reason="full")
    for before in ("released", "cancelled", "started", "succeeded"):
        assert trace(event("held", 1.0, 5), event(before, 2.0, 5), again).fates()[5] is again
    assert trace(again, event("running", 1.0, 5)).fates()[5].stage == "running"


def test_a_timeline_of_very_many() -> None:
    events = [event("waiting", ident=str(number % 10_000)) for number in range(20_000)]
    with effort() as taken:
        assert len(timeline(events)) == 10_000
    assert taken.seconds < 5


def letters(number: int) -> Iterator[Event]:
    for place in range(number):
        yield event("dead", float(place), ident=f"0123456789-{place}", reason=f"reason {place}")


JOBS = [event("created", 1.0, job) for job in range(1, 8)]
PLAN = event("planned", 0.0, tasks=tuple({"recipe": "x", "kind": "hold"} for _ in range(7)))


@pytest.mark.parametrize(
    ("events", "state", "text"),
    [
        ([], "nothing", "nothing is known of DCID 1"),
        ([event("collected")], "nothing", "no trigger is known of DCID 1"),
        ([event("looked-up", 0.0)], "looked-up",
         "it was looked up and sent on; what became of it is not known"),
        ([event("planned", 0.0)], "planned", "the plan has no jobs (mimas-plan --explain 1)"),
        ([PLAN], "missing", "7 jobs were planned, 0 are known: is ispyb-create-job running?"),
        ([PLAN, *JOBS[:6]], "missing",
         "7 jobs were planned, 6 are known: is ispyb-create-job running?"),
        # A plan of the collection's start has no jobs; one of a message that came twice is one.
        ([PLAN, *JOBS[:6], replace(PLAN, tasks=(), time=-9.0), replace(PLAN, guid=GUID)], "created",
         "all 6 jobs are in ISPyB; what became of them is not known"),
        ([replace(PLAN, tasks=(), time=-9.0), *(replace(PLAN, guid=GUID, time=t) for t in (0, 1)),
          *JOBS[:6]], "missing",
         "7 jobs were planned, 6 are known: is ispyb-create-job running?"),
        ([PLAN, *JOBS], "created", "all 7 jobs are in ISPyB; what became of them is not known"),
        ([PLAN, event("waiting", queue="mimas")], "waiting",
         "1 message waits in the queue mimas (queue-ls)"),
        ([event("waiting", queue="mimas", ident=str(n)) for n in range(2)], "waiting",
         "2 messages wait in the queue mimas (queue-ls)"),
        ([*letters(1)], "dead", "dead letter: reason 0 (dlq-show 01234567)"),
        ([*letters(3)], "dead", "3 dead letters, the last one: reason 2 (dlq-show 01234567)"),
        ([event("stored", 0.0)], "stored", "a trigger is stored, not sent: run dlstbx.pickup"),
        ([*JOBS, event("held", 2.0, 3, ident="17", reason="full")], "held",
         "1 of 7 jobs is held: full (backlog-show 17)"),
        ([event("held", 2.0, n, ident=str(10 + n), reason="full" if n < 3 else "paused")
          for n in range(1, 5)], "held",
         "2 of 4 jobs are held: full (backlog-show 11);"
         " 2 of 4 jobs are held: paused (backlog-show 13)"),
        ([event("held", 2.0, n, ident=str(10 + n), reason=f"room for 2, {100 - n} jobs go before")
          for n in range(1, 4)], "held",
         "all 3 jobs are held, the first one: room for 2, 97 jobs go before (backlog-show 13)"),
        ([event("held", 2.0, 1, ident="9", reason="full")], "held",
         "the job is held: full (backlog-show 9)"),
        ([event("cancelled", 2.0, 1, ident="9", reason="bad", who="gda2")], "cancelled",
         "the job is cancelled by gda2: bad (backlog-show 9)"),
        ([event("failed", 2.0, 1, reason="no spots"), event("running", 2.0, 2)], "failed",
         "1 of 2 jobs failed, job 1: no spots; 1 of 2 jobs is running"),
        ([event("succeeded", 2.0, n) for n in (1, 2)], "done", "all 2 jobs are done"),
        ([event("succeeded", 2.0, 1), event("started", 2.0, 2)], "sent",
         "1 of 2 jobs is on the way and has reported nothing yet; 1 done"),
    ],
)  # fmt: skip
def test_a_verdict(events: list[Event], state: str, text: str) -> None:
    found = verdict(trace(*events))
    assert (found.state, found.text) == (state, text)
    assert "\n" not in found.text
    json.dumps(found.record())


def test_a_verdict_says_who_was_not_asked_where_that_matters() -> None:
    assert verdict(trace(away=("ISPyB",))).text.endswith("(not asked: ISPyB)")
    known = trace(event("collected"), away=("ISPyB", "logbook"))
    assert verdict(known).text.endswith("(not asked: logbook)")
    # Jobs that a source would have known of are not missing.
    assert verdict(trace(PLAN, away=("ISPyB",))).text == (
        "7 jobs were planned; what became of them is not known (not asked: ISPyB)"
    )
    # A job may be held, and a letter dead, without anybody who would say so.
    waits = trace(event("waiting", queue="mimas"), away=("state", "queues", "logbook"))
    assert verdict(waits).text.endswith("(queue-ls) (not asked: state)")
    done = trace(event("succeeded", 2.0, 1), away=("state", "broker"))
    assert verdict(done).text == "the job is done"


@pytest.mark.parametrize("stage", STAGES)
def test_an_event_is_one_object(stage: str) -> None:
    record = event(stage, 1.0, ident="x").record()
    assert record["id"] == "x"
    assert "tasks" not in record
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    "text",
    ["", "../..", GUID + "/", GUID[:-1], "/" + GUID, GUID.replace("-", "/"), GUID + "\n", None, 5,
     {}, "g" + GUID[1:], "\u0661" + GUID[1:]],
)  # fmt: skip
def test_what_is_no_guid(text: Any) -> None:
    assert guid_of(text) is None
    assert Scope().with_guids([text]).guids == frozenset()


def test_guids_and_numbers() -> None:
    assert guid_of(GUID.upper()) == GUID
    assert [number_of(one) for one in (7, "7", "007")] == [7, 7, 7]
    for odd in (0, -1, "", "x", True, 7.0, None, "9" * 5000, 10**20, "\u0667", [], "+7"):
        assert number_of(odd) is None


@pytest.mark.parametrize(
    ("body", "dcids", "jobs"),
    [
        ({"dcid": "5"}, {5}, set()),
        ({"recipes": ["x"], "parameters": {"ispyb_dcid": 5}}, {5}, set()),
        ({"parameters": {"ispyb_process": "7"}}, set(), {7}),
        ({"parameters": {"ispyb_reprocessing_id": 7}}, set(), {7}),
        ({"content": {"DCID": 5}, "parameters": {}}, {5}, set()),
        ({"payload": {"DCID": 5, "recipe": "x"}, "recipe": {}}, {5}, set()),
        ({"payload": {"parameters": {"ispyb_process": 7}},
          "recipe": {"1": {"queue": "mimas", "parameters": {"dcid": "5"}}, "start": [[1, []]]}},
         {5}, {7}),
        ("text", set(), set()), (None, set(), set()), ([1], set(), set()),
        ({"parameters": 5, "payload": [], "recipe": "x", "environment": 1}, set(), set()),
    ],
)  # fmt: skip
def test_what_a_message_names(body: Any, dcids: set[int], jobs: set[int]) -> None:
    named = named_in(Message(Queue("q"), body))
    assert (named.dcids, named.jobs, named.guids) == (dcids, jobs, set())


def test_the_requests_that_a_message_names() -> None:
    body = {"environment": {"ID": GUID.upper()}, "parameters": {"guid": "../../x"}}
    assert named_in(Message(Queue("q"), body)).guids == {GUID}
    # One that has not been looked up yet will be known by what follows from its identity.
    waiting = Message(Queue("q"), {}, {"dlstbx-id": "abc", "dlstbx-dcid": "5"})
    assert named_in(waiting) == Named(frozenset({5}), frozenset(), frozenset({request_id("abc")}))


def test_what_concerns_a_collection_a_job_and_a_request() -> None:
    collection = Scope(dcid=5, whole=True)
    job = Scope(dcid=5, jobs=frozenset({7}))
    request = Scope(dcid=5, guids=frozenset({GUID}))
    for scope, named, concerned in (
        (collection, Named(dcids=frozenset({5})), True),
        (collection, Named(dcids=frozenset({6})), False),
        (job, Named(dcids=frozenset({5})), False),
        (job, Named(jobs=frozenset({7, 8})), True),
        (request, Named(dcids=frozenset({5})), False),
        (request, Named(guids=frozenset({GUID})), True),
        (Scope(whole=True), Named(), False),
    ):
        assert scope.concerns(named) is concerned


def test_identities_are_those_that_the_stages_give() -> None:
    message = Message(Queue("q"), {})
    (plan,) = planned_ids("parent", 1)
    assert plan == message.child(message.child("parent", 0).identity, 0).identity
    assert followers(plan)[1] == request_id(derived_id(plan, 0))


def test_the_recipe_of_a_message() -> None:
    assert recipe_in(Message(Queue("q"), {"recipes": ["a", "b"]})) == "a, b"
    assert recipe_in(Message(Queue("q"), {"payload": {"recipe": "c"}, "recipe": {}})) == "c"
    assert recipe_in(Message(Queue("q"), {"recipe": {}}, {"dlstbx-recipe": "d"})) == "d"
    assert recipe_in(Message(Queue("q"), None)) is None
