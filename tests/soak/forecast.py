"""What must follow from a number of triggers, known before any of them is sent.

The plans are those of ``mimas-plan`` on an embedded ISPyB: neither the broker nor the
database under test has a part in them. The identities follow from the contract: a result's
follows from its parent's and its place.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlstbx_cli.services.message import ID_HEADER, Message, Queue, derived_id
from tests.soak.site import BIN, bare_environment

_EVENTS = ("end", "start")


@dataclass(frozen=True)
class Job:
    """A processing job as it must be in ISPyB."""

    dcid: int
    recipe: str
    displayname: str
    automatic: bool
    parameters: tuple[tuple[str, str], ...]
    sweeps: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Start:
    """One recipe that must be started.

    :param job: the job whose recipe it is, if there is one.
    """

    trigger: int
    recipe: str
    dcid: int
    job: Job | None


@dataclass(frozen=True)
class Task:
    """A task of a plan: a recipe to run, or a job, triggered or held."""

    recipe: str
    dcid: int
    job: Job | None = None
    held: bool = False


@dataclass
class Facility:
    """The plans of the demo facility's collections, by event and DCID.

    :param running: collections without a run status: a trigger that waits for one waits.
    """

    plans: dict[tuple[str, int], list[Task]]
    running: frozenset[int]


@dataclass
class Forecast:
    """The triggers in order, and what must follow from them.

    :param starts: by the identity of the message that starts the recipe.
    :param jobs: by trigger, how many jobs there must be once it and all before it are done.
    """

    triggers: list[Message] = field(default_factory=list)
    starts: dict[str, Start] = field(default_factory=dict)
    jobs: list[int] = field(default_factory=list)

    def add(self, trigger: Message, plan: Sequence[Task]) -> None:
        """Add a trigger and what its plan asks for."""
        number = len(self.triggers)
        self.triggers.append(trigger)
        scenario = derived_id(trigger.identity, 0)
        for place, task in enumerate(plan):
            identity = derived_id(scenario, place)
            # The job's message and, of a held one, its release: each one result of the other.
            for _ in range((task.job is not None) + task.held):
                identity = derived_id(identity, 0)
            start = Start(number, task.recipe, task.dcid, task.job)
            self.starts[derived_id(identity, 0)] = start
        before = self.jobs[-1] if self.jobs else 0
        self.jobs.append(before + sum(task.job is not None for task in plan))


def facility() -> Facility:
    """Return the demo facility's plans, as ``mimas-plan`` prints them."""
    with tempfile.TemporaryDirectory(prefix="dlstbx-plans-") as home:
        environment = bare_environment() | {"DLSTBX_HOME": home}
        collections = _lines(["dlstbx-demo"], environment)
        with closing(sqlite3.connect(Path(home) / "ispyb.sqlite3")) as file:
            rows = file.execute(
                "SELECT dataCollectionId, startImageNumber, numberOfImages FROM DataCollection"
            ).fetchall()
        images = {dcid: (dcid, first, first + number - 1) for dcid, first, number in rows if number}
        numbers = [one["dcid"] for one in collections]
        plans: dict[tuple[str, int], list[Task]] = {
            (event, number): [] for event in _EVENTS for number in numbers
        }
        for event in _EVENTS:
            command = ["mimas-plan", "--event", event, *map(str, numbers)]
            for line in _lines(command, environment):
                task = _task(line, images)
                plans[event, task.dcid].append(task)
    running = frozenset(one["dcid"] for one in collections if one["running"])
    return Facility(plans, running)


def _lines(command: list[str], environment: dict[str, str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], env=environment, capture_output=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _task(line: dict[str, Any], images: dict[int, tuple[int, int, int]]) -> Task:
    message = line["message"]
    if line["queue"] == "processing_recipe":
        (recipe,) = message["recipes"]
        return Task(recipe, message["parameters"]["ispyb_dcid"])
    content = message["content"]
    dcid = content["DCID"]
    sweeps = tuple((one["DCID"], one["start"], one["end"]) for one in content["sweeps"])
    job = Job(
        dcid=dcid,
        recipe=content["recipe"],
        displayname=content["displayname"],
        automatic=content["source"] == "automatic",
        parameters=tuple((one["key"], str(one["value"])) for one in content["parameters"]),
        sweeps=sweeps or (images[dcid],),
    )
    return Task(content["recipe"], dcid, job, held=not content["autostart"])


def trigger(dcid: int, event: str, identity: str, *, waits: bool = False) -> Message:
    """Return a trigger as ``dlstbx.go`` sends it."""
    parameters: dict[str, Any] = {"event": event, "ispyb_dcid": dcid}
    if waits:
        parameters["ispyb_wait_for_runstatus"] = "1"
    body = {"recipes": ["mimas"], "parameters": parameters}
    return Message(Queue("processing_recipe"), body, {ID_HEADER: identity})


def forecast(plans: Facility, triggers: int, dice: random.Random) -> Forecast:
    """Return so many triggers, of all collections in turn, most of them at their end."""
    result = Forecast()
    dcids: list[int] = []
    for number in range(triggers):
        if not dcids:
            dcids = sorted({dcid for _, dcid in plans.plans})
            dice.shuffle(dcids)
        dcid = dcids.pop()
        event = dice.choices(_EVENTS, (9, 1))[0]
        waits = dcid not in plans.running and dice.random() < 0.5
        # A version-4 identity of the dice's own: the same seed gives the same identities.
        identity = f"{dice.getrandbits(128):032x}-{number}"
        result.add(trigger(dcid, event, identity, waits=waits), plans.plans[event, dcid])
    return result


def jobs_in(mariadb: Any, database: str) -> dict[int, Job]:
    """Return all processing jobs of an ISPyB, whole, by their id."""

    def grouped(columns: str, table: str, key: str) -> dict[int, tuple[tuple[Any, ...], ...]]:
        found: dict[int, list[tuple[Any, ...]]] = {}
        question = f"SELECT processingJobId, {columns} FROM {table} ORDER BY {key}"
        for job, *values in mariadb.execute(question, database=database):
            found.setdefault(job, []).append(tuple(values))
        return {job: tuple(rows) for job, rows in found.items()}

    parameters = grouped(
        "parameterKey, parameterValue", "ProcessingJobParameter", "processingJobParameterId"
    )
    sweeps = grouped(
        "dataCollectionId, startImage, endImage",
        "ProcessingJobImageSweep",
        "processingJobImageSweepId",
    )
    rows = mariadb.execute(
        "SELECT processingJobId, dataCollectionId, recipe, displayName, automatic"
        " FROM ProcessingJob",
        database=database,
    )
    return {
        job: Job(
            dcid, recipe, name or "", bool(automatic), parameters.get(job, ()), sweeps.get(job, ())
        )
        for job, dcid, recipe, name, automatic in rows
    }


@dataclass
class Verdict:
    """What was wrong, in words, and how often what happened.

    :param copies: how often each recipe was started, by the identity of its message.
    :param whole: triggers of whose recipes every one was started more than once.
    """

    faults: list[str]
    copies: Counter[str]
    whole: int

    @property
    def excess(self) -> int:
        """How many starts there were beyond one of each."""
        return self.copies.total() - len(self.copies)


def judge(expected: Forecast, started: Sequence[Message], jobs: dict[int, Job]) -> Verdict:
    """Compare what was started, and the jobs in ISPyB, with what must follow."""
    faults: list[str] = []
    made: dict[int, str] = {}
    for message in started:
        start = expected.starts.get(message.identity)
        if start is None:
            faults.append(f"nobody asked for {message.identity}: {_step(message)}")
        else:
            faults += _differences(message, start, jobs, made)
    copies = Counter(message.identity for message in started)
    missing = [start for identity, start in expected.starts.items() if identity not in copies]
    if missing:
        faults.append(f"{len(missing)} recipes were never started, as {missing[0]}")
    if len(jobs) != expected.jobs[-1]:
        faults.append(f"{len(jobs)} jobs in ISPyB instead of {expected.jobs[-1]}")
    if asked := set(jobs) - set(made):
        faults.append(f"{len(asked)} jobs in ISPyB were never started, as {min(asked)}")
    least: dict[int, int] = {}
    for identity, start in expected.starts.items():
        least[start.trigger] = min(least.get(start.trigger, 10**9), copies[identity])
    return Verdict(faults, copies, sum(number > 1 for number in least.values()))


def _step(message: Message) -> dict[str, Any]:
    parameters: dict[str, Any] = message.body["recipe"]["1"]["parameters"]
    return parameters


def _differences(
    message: Message, start: Start, jobs: dict[int, Job], made: dict[int, str]
) -> list[str]:
    """Compare one start with what it must be; note in *made* whose its job is."""
    step = _step(message)
    if (step["recipe"], step["dcid"]) != (start.recipe, str(start.dcid)):
        return [f"{start.recipe} for {start.dcid} is {step['recipe']} for {step['dcid']}"]
    if start.job is None:
        return []
    number = int(step["process"])
    if made.setdefault(number, message.identity) != message.identity:
        return [f"job {number} serves two requests"]
    if jobs.get(number) != start.job:
        return [f"job {number} is {jobs.get(number)} instead of {start.job}"]
    return []
