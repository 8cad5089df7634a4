"""What an operator needs to know of a trace, in one line: what is wrong, and where to look."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.services.tracing import Event, Trace

#: Sources that know of a trigger: without them, none that is known means nothing.
_KNOW_TRIGGERS = ("logbook", "records", "state", "broker", "queues", "drop-dir")
#: Sources that every site has, and that know what keeps a job.
_KNOW_JOBS = ("ISPyB", "state", "broker")
#: Characters of a dead letter's identity that are enough to tell it from others.
_SHORT = 8
_NUMBER = re.compile(r"[0-9]+")
#: Characters of a reason: the event has it whole.
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict.

    :param state: the worst that there is, in a word for programs.
    :param jobs: how many jobs there are, by what became of them.
    """

    state: str
    text: str
    jobs: dict[str, int]

    def record(self) -> dict[str, Any]:
        """Return it as an object for programs."""
        return {"verdict": self.text, "state": self.state, "jobs": self.jobs}


def verdict(trace: Trace) -> Verdict:
    """Return the verdict: all that keeps a job from its end, the worst first."""
    found = [part for judge in _JUDGES for part in judge(trace)]
    if not found:
        found = [_calm(trace)]
    jobs = Counter(event.stage for event in trace.fates().values())
    state, text = found[0][0], "; ".join(text for _, text in found)
    if silent := _silent(trace, state):
        text += f" (not asked: {', '.join(silent)})"
    return Verdict(state, text, dict(jobs))


def _silent(trace: Trace, state: str) -> list[str]:
    """Return the sources that were not asked, and could have made it another verdict."""
    if not trace.events:
        return list(trace.unavailable)
    matter = {"done": (), "nothing": _KNOW_TRIGGERS}.get(state, _KNOW_JOBS)
    return [name for name in matter if name in trace.unavailable]


Part = tuple[str, str]


def _dead(trace: Trace) -> Iterator[Part]:
    letters = [event for event in trace.events if event.stage == "dead"]
    if letters:
        worst = letters[-1]
        many = f"{len(letters)} dead letters, the last one" if letters[1:] else "dead letter"
        yield "dead", f"{many}: {_short(worst.reason)} (dlq-show {str(worst.ident)[:_SHORT]})"


def _stored(trace: Trace) -> Iterator[Part]:
    if any(event.stage == "stored" for event in trace.events):
        yield "stored", "a trigger is stored, not sent: run dlstbx.pickup"


def _held(trace: Trace) -> Iterator[Part]:
    # Jobs that differ by their place in the same order are held for one reason.
    alike: dict[tuple[str, ...], list[tuple[list[int], str, Event]]] = {}
    for event in _fated(trace, "held"):
        reason = event.reason or "not known why"
        numbers = [int(number) for number in _NUMBER.findall(reason)]
        alike.setdefault((event.text, *_NUMBER.split(reason)), []).append((numbers, reason, event))
    for events in alike.values():
        numbers, reason, first = min(events, key=lambda one: one[0])
        of = _of(len(events), trace)
        which = "" if all(one[0] == numbers for one in events) else ", the first one"
        yield "held", f"{of} held{which}: {_short(reason)} (backlog-show {first.ident})"


def _failed(trace: Trace) -> Iterator[Part]:
    failed = _fated(trace, "failed")
    if failed:
        last = failed[-1]
        reason = f": {_short(last.reason)}" if last.reason else ""
        yield "failed", f"{_of(len(failed), trace, ended=True)} failed, job {last.job}{reason}"


def _cancelled(trace: Trace) -> Iterator[Part]:
    cancelled = _fated(trace, "cancelled")
    if cancelled:
        last = cancelled[-1]
        by = f" by {last.who}" if last.who else ""
        of = _of(len(cancelled), trace)
        yield "cancelled", f"{of} cancelled{by}: {last.reason} (backlog-show {last.ident})"


def _waiting(trace: Trace) -> Iterator[Part]:
    queues = Counter(event.queue for event in trace.events if event.stage == "waiting")
    for queue, number in queues.items():
        verb = "message waits" if number == 1 else "messages wait"
        yield "waiting", f"{number} {verb} in the queue {queue} (queue-ls)"


def _missing(trace: Trace) -> Iterator[Part]:
    """Say so if a plan has more jobs than there are, and no message says where they are."""
    wanted = _planned(trace)
    asked_all = not {"ISPyB", "broker", "queues"} & trace.unavailable.keys()
    unsettled = any(event.stage in ("waiting", "dead") for event in trace.events)
    if not trace.scope.whole or not asked_all or unsettled:
        return
    made = len(trace.fates())
    # Of several plans some jobs may be the same: ispyb-create-job makes them once.
    if len(wanted) == 1 and made < wanted[0]:
        yield (
            "missing",
            f"{wanted[0]} jobs were planned, {made} are known: is ispyb-create-job running?",
        )


def _planned(trace: Trace) -> list[int]:
    """Return how many jobs each plan has that has any; one that was made again counts once."""
    found: dict[object, int] = {}
    for place, event in enumerate(trace.events):
        jobs = sum(1 for task in event.tasks if task.get("kind") != "run")
        if event.stage == "planned" and jobs:
            found[event.guid or place] = jobs
    return list(found.values())


def _running(trace: Trace) -> Iterator[Part]:
    running = _fated(trace, "running")
    if running:
        yield "running", f"{_of(len(running), trace)} running"


_JUDGES: Sequence[Callable[[Trace], Iterator[Part]]] = (
    *(_dead, _stored, _held, _failed, _cancelled, _waiting, _missing, _running),
)


def _calm(trace: Trace) -> Part:
    """Return what there is to say where nothing keeps anything."""
    fates = Counter(event.stage for event in trace.fates().values())
    if fates:
        done = fates.pop("succeeded", 0)
        if not fates:
            return "done", "the job is done" if done == 1 else f"all {done} jobs are done"
        left = sum(fates.values())
        nothing = "and has reported nothing yet" if left == 1 else "and have reported nothing yet"
        also = f"; {done} done" if done else ""
        sent = fates["started"] + fates["released"]
        if sent:
            return "sent", f"{_of(sent, trace)} on the way {nothing}{also}"
        what = "it" if left == 1 else "them"
        return "created", f"{_of(left, trace)} in ISPyB; what became of {what} is not known{also}"
    stages = {event.stage for event in trace.events}
    if "planned" in stages:
        jobs = sum(_planned(trace))
        if jobs:
            return "planned", f"{jobs} jobs were planned; what became of them is not known"
        return "planned", f"the plan has no jobs (mimas-plan --explain {trace.scope.dcid})"
    if "looked-up" in stages:
        return "looked-up", "it was looked up and sent on; what became of it is not known"
    what = "no trigger" if trace.events else "nothing"
    return "nothing", f"{what} is known of {trace.subject}"


def _short(reason: str | None) -> str:
    """Return a reason as it fits into one line that a person reads."""
    text = " ".join((reason or "not known why").split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _fated(trace: Trace, stage: str) -> list[Event]:
    return [event for event in trace.fates().values() if event.stage == stage]


def _of(number: int, trace: Trace, *, ended: bool = False) -> str:
    """Return ``3 of 7 jobs are``, or ``the job is``, where there is one alone."""
    jobs = len(trace.fates())
    verb = "" if ended else (" is" if number == 1 else " are")
    if jobs == 1:
        return f"the job{verb}"
    return f"{'all' if number == jobs else f'{number} of'} {jobs} jobs{verb}"
