"""ISPyB jobs: the payload of a creation request, parsed once into a job to be written.

Source of the fields: the ISPyB connector's command ``create_ispyb_job``; of the widths:
ISPyB's tables ProcessingJob and ProcessingJobParameter.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import DCID_HEADER, RECIPE_HEADER, Message, Queue, rule_of
from dlstbx_cli.services.recipe import Wrapped, is_wrapped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Images *start* to *end*, both included, of data collection *dcid*."""

    dcid: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Job:
    """A ProcessingJob with its parameters and sweeps, checked and ready to be written.

    :param dcid: the data collection the job belongs to.
    :param automatic: whether no person asked for it.
    :param parameters: (key, value) in order; keys may repeat.
    :param sweeps: never empty.
    """

    dcid: int
    automatic: bool
    recipe: str
    displayname: str
    comments: str
    parameters: tuple[tuple[str, str], ...]
    sweeps: tuple[Sweep, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """The job of a request.

    :param duplicate: it was made for another request that asked for the same.
    """

    job_id: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """How long a job counts for further requests with the same content.

    :param content: a digest of what is asked for, 64 characters.
    :param seconds: from the time at which the job was begun.
    """

    content: str
    seconds: float


class Jobs(Protocol):
    """The port to the database that jobs are written to."""

    def image_range(self, dcid: int) -> tuple[int | None, int | None]:
        """Return startImageNumber and numberOfImages of a collection.

        Raises Rejected for an unknown DCID, Unavailable if the database is away.
        """

    def create(self, identity: str, job: Job, window: Window | None = None) -> Made:
        """Write the job in one transaction.

        For an identity whose job has been written before, return that job and write
        nothing. The same if another identity's job with the same content was begun
        within the *window*: a duplicate. Raises Rejected (a sweep's unknown DCID),
        Unavailable.
        """


class IspybJobService:
    """Turns creation requests on ``ispyb_connector`` into jobs, triggered or held.

    :param dedupe: for so many seconds after a job was begun, requests with the same
        content are duplicates of its own; 0: there are none.
    """

    name = "ispyb-create-job"
    queue = "ispyb_connector"
    topics = ()

    def __init__(self, jobs: Jobs, dedupe: float = 0.0) -> None:
        self._jobs = jobs
        self._dedupe = dedupe

    def handle(self, message: Message) -> list[Message]:
        """Write the job and return the message that triggers or holds it.

        The same request again (the same identity) gives the same message again. From a
        duplicate (another identity, the same content) nothing follows: the request that
        made the job has triggered it or will, as its own message guarantees.

        Raises Rejected, Unavailable.
        """
        rule = rule_of(message)
        return [result.with_headers(rule) for result in self._handled(message)]

    def _handled(self, message: Message) -> list[Message]:
        if is_wrapped(message):
            return self._wrapped(message)
        body = message.body
        if not isinstance(body, dict):
            raise Rejected("a job request must be an object with parameters and content")
        _check_command(_object(body.get("parameters"), "parameters"))
        request = JobRequest.parse(body.get("content"))
        # A simple message names no way back: the usual queues are the next stages.
        queue = "processing_recipe" if request.autostart else "mimas.held"
        payload = self._create(message.identity, request)
        return [] if payload is None else request.told([Message(Queue(queue), payload)])

    def observe(self, message: Message) -> None:
        """Listen to no topic."""

    def _wrapped(self, message: Message) -> list[Message]:
        wrapped = Wrapped.parse(message)
        _check_command(wrapped.parameters)
        request = JobRequest.parse(wrapped.payload)
        output = "trigger" if request.autostart else "held"
        # Before anything is written: a recipe without that output is no place for a job.
        wrapped.send(output, None)
        payload = self._create(message.identity, request)
        return [] if payload is None else request.told(wrapped.send(output, payload))

    def _create(self, identity: str, request: JobRequest) -> dict[str, Any] | None:
        """Write the job; return what triggers it, None for a duplicate."""
        sweeps = request.sweeps or (self._whole_collection(request.dcid),)
        job = Job(
            dcid=request.dcid or sweeps[0].dcid,
            automatic=request.automatic,
            recipe=request.recipe,
            displayname=request.displayname,
            comments=request.comment,
            parameters=request.parameters,
            sweeps=sweeps,
        )
        window = Window(request.content, self._dedupe) if self._dedupe > 0 else None
        made = self._jobs.create(identity, job, window)
        if made.duplicate:
            logger.info(
                "the same was asked for before, as job %d: nothing follows",
                made.job_id,
                extra={"action": "duplicate", "ispyb_process": made.job_id, "dcid": job.dcid},
            )
            return None
        return {"parameters": {**dict(request.triggervariables), "ispyb_process": made.job_id}}

    def _whole_collection(self, dcid: int) -> Sweep:
        if not dcid:
            raise Rejected("job request: neither DCID nor sweeps")
        first, number = self._jobs.image_range(dcid)
        if first is None or number is None or number < 1:
            raise Rejected(
                f"job request without sweeps: DCID {dcid} has no startImageNumber or numberOfImages"
            )
        return Sweep(dcid, first, first + number - 1)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The payload of a creation request, parsed.

    :param dcid: 0 if the request names none.
    """

    dcid: int
    autostart: bool
    automatic: bool
    recipe: str
    comment: str
    displayname: str
    parameters: tuple[tuple[str, str], ...]
    sweeps: tuple[Sweep, ...]
    triggervariables: tuple[tuple[str, Any], ...]

    @property
    def content(self) -> str:
        """A digest of all that is asked for: equal for equal requests, whoever asks."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def told(self, messages: list[Message]) -> list[Message]:
        """Return held messages with what they are about, for whoever looks at the backlog."""
        if self.autostart:
            return messages
        dcid = self.dcid or (self.sweeps[0].dcid if self.sweeps else 0)
        about = {RECIPE_HEADER: self.recipe, DCID_HEADER: str(dcid)}
        return [message.with_headers(about) for message in messages]

    @classmethod
    def parse(cls, payload: Any) -> JobRequest:
        """Take a payload apart. Raises Rejected, naming field, limit and value."""
        fields = _object(payload, "the payload")
        autostart = fields.get("autostart", False)
        if not isinstance(autostart, bool):
            raise Rejected(f"job request: autostart must be true or false, not {autostart!r:.60}")
        recipe = _text(fields, "recipe", 50)
        if not recipe:
            raise Rejected("job request: recipe is missing")
        return cls(
            dcid=_whole(fields.get("DCID") or 0, "DCID"),
            autostart=autostart,
            automatic=_text(fields, "source", 1000) == "automatic",
            recipe=recipe,
            comment=_text(fields, "comment", 255),
            displayname=_text(fields, "displayname", 80),
            parameters=tuple(_pairs(fields, "parameters")),
            sweeps=tuple(_sweep(item) for item in _list(fields, "sweeps")),
            triggervariables=tuple(_variables(fields)),
        )


def _check_command(parameters: dict[str, Any]) -> None:
    command = parameters.get("ispyb_command")
    if command != "create_ispyb_job":
        raise Rejected(f"ispyb_command is {command!r:.60}, this service knows create_ispyb_job")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Rejected(f"job request: {what} must be an object")
    return value


def _list(fields: dict[str, Any], key: str) -> list[Any]:
    value = fields.get(key)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise Rejected(f"job request: {key} must be a list")
    return list(value)


def _text(fields: dict[str, Any], key: str, limit: int) -> str:
    """Return a text field; *limit* is the width of its column, in characters."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected(f"job request: {key} must be a text, not {value!r:.60}")
    return _fitting(value, key, limit)


def _fitting(value: str, what: str, limit: int) -> str:
    if len(value) > limit:
        raise Rejected(
            f"job request: {what} has {len(value)} characters, ISPyB takes {limit}: {value!r:.60}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Rejected(f"job request: {what} holds half a character: {value!r:.60}") from None
    return value


def _pairs(fields: dict[str, Any], key: str) -> Iterator[tuple[str, str]]:
    for item in _list(fields, key):
        pair = _object(item, f"each of {key}")
        name, value = pair.get("key"), pair.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(name, str) or not name or not isinstance(value, str):
            raise Rejected(f"job request: {key} must have texts as key and value: {item!r:.80}")
        yield _fitting(name, f"the key of {key}", 80), _fitting(value, f"{key} {name!r:.80}", 1024)


def _variables(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for item in _list(fields, "triggervariables"):
        pair = _object(item, "each of triggervariables")
        if not isinstance(pair.get("key"), str) or not pair["key"] or "value" not in pair:
            raise Rejected(f"job request: triggervariables need a key and a value: {item!r:.80}")
        yield pair["key"], pair["value"]


def _sweep(item: Any) -> Sweep:
    fields = _object(item, "each of sweeps")
    sweep = Sweep(
        _whole(fields.get("DCID"), "sweep DCID"),
        _whole(fields.get("start"), "sweep start"),
        _whole(fields.get("end"), "sweep end"),
    )
    if sweep.dcid == 0 or sweep.end < sweep.start:
        raise Rejected(f"job request: not a sweep: {item!r:.80}")
    return sweep


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise Rejected(f"job request: {what} must be a whole number, not {value!r:.60}")
    return value
