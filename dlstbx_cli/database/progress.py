"""What ISPyB knows of a collection's way: its times, its jobs, and the programs that ran."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.tables import Schema
from dlstbx_cli.services.tracing import Event

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Engine

#: Jobs that are asked for at once: SQLite has a limit.
_AT_ONCE = 500
#: AutoProcProgram.processingStatus: 1 success, 0 failure, null while it runs. Source: ISPyB's
#: own comment on the column.
_STAGES = {1: "succeeded", 0: "failed"}


@dataclass(frozen=True, slots=True)
class Collection:
    """A data collection. Times in seconds since the epoch.

    :param run_status: None while it is running.
    """

    dcid: int
    beamline: str | None
    visit: str | None
    started: float | None
    ended: float | None
    run_status: str | None

    def events(self) -> list[Event]:
        """Return what happened to it, as events of the trace."""
        where = " ".join(name for name in (self.beamline, self.visit) if name)
        began = Event(
            "collected", "ISPyB", f"collection begins {where}".strip(), self.started, dcid=self.dcid
        )
        if self.ended is None and self.run_status is None:
            return [began]
        status = f": {self.run_status}" if self.run_status else ""
        text = f"collection ends{status}"
        return [began, Event("collected", "ISPyB", text, self.ended, dcid=self.dcid)]


class Progress:
    """Asks an ISPyB. Every method raises Unavailable, Misconfigured."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._schema = Schema()

    def collection(self, dcid: int) -> Collection | None:
        """Return a collection, None if there is none of this number."""
        dc, group = self._schema["DataCollection"], self._schema["DataCollectionGroup"]
        session, proposal = self._schema["BLSession"], self._schema["Proposal"]
        joined = (
            dc.outerjoin(group, dc.c.dataCollectionGroupId == group.c.dataCollectionGroupId)
            .outerjoin(
                session, session.c.sessionId == func.coalesce(group.c.sessionId, dc.c.SESSIONID)
            )
            .outerjoin(proposal, session.c.proposalId == proposal.c.proposalId)
        )
        statement = (
            select(
                *(session.c.beamLineName, session.c.visit_number),
                *(proposal.c.proposalCode, proposal.c.proposalNumber),
                *(self._when(dc.c.startTime), self._when(dc.c.endTime), dc.c.runStatus),
            )
            .select_from(joined)
            .where(dc.c.dataCollectionId == dcid)
        )
        with reading(self._engine) as connection:
            row = connection.execute(statement).first()
        if row is None:
            return None
        beamline, number, code, proposal_number, *times, status = row
        visit = f"{code}{proposal_number}-{number}" if code and number is not None else None
        began, ended = map(_local, times)
        return Collection(dcid, beamline, visit, began, ended, status)

    def jobs(self, dcid: int | None = None, ids: Iterable[int] = ()) -> list[Event]:
        """Return the processing jobs of a collection, or some by number, as events."""
        job = self._schema["ProcessingJob"].c
        one = job.dataCollectionId == dcid if dcid is not None else job.processingJobId.in_(ids)
        columns = (
            *(job.processingJobId, job.dataCollectionId, job.recipe, job.displayName),
            *(job.automatic, self._when(job.recordTimestamp)),
        )
        with reading(self._engine) as connection:
            rows = connection.execute(select(*columns).where(one).order_by(job.processingJobId))
            return [self._job(*row) for row in rows]

    def programs(self, jobs: Sequence[int]) -> list[Event]:
        """Return what the programs of jobs have reported, as events."""
        program = self._schema["AutoProcProgram"].c
        columns = (
            *(program.processingJobId, program.processingPrograms, program.processingStatus),
            *(program.processingMessage, self._when(program.processingStartTime)),
            *(self._when(program.processingEndTime), self._when(program.recordTimeStamp)),
        )
        found = []
        for start in range(0, len(jobs), _AT_ONCE):
            one = program.processingJobId.in_(jobs[start : start + _AT_ONCE])
            statement = select(*columns).where(one).order_by(program.autoProcProgramId)
            with reading(self._engine) as connection:
                for row in connection.execute(statement):
                    found += _program(row)
        return found

    def _job(
        self, number: int, dcid: int, recipe: str | None, display: Any, automatic: Any, made: Any
    ) -> Event:
        name = f" {display!r}" if display else ""
        return Event(
            stage="created",
            source="ISPyB",
            text=f"{'automatic' if automatic else 'by hand'}{name}",
            # A TIMESTAMP that SQLite sets is in UTC.
            time=_utc(made) if self._on_file else _local(made),
            dcid=dcid,
            job=number,
            recipe=recipe,
        )

    @property
    def _on_file(self) -> bool:
        return bool(self._engine.dialect.name == "sqlite")

    def _when(self, column: Column[Any]) -> ColumnElement[Any]:
        """Return a time such that a server, which knows its zone, gives seconds."""
        return column if self._on_file else func.unix_timestamp(column)


def _program(row: Any) -> list[Event]:
    job, programs, status, message, *times = tuple(row)
    began, ended, recorded = map(_local, times)
    name = programs or "a program"
    if status is None:
        return [Event("running", "ISPyB", f"{name} runs", began or recorded, job=job)]
    end = _STAGES.get(int(status), "failed")
    return [
        Event("began", "ISPyB", f"{name} begins", began or recorded, job=job),
        Event(end, "ISPyB", f"{name} ends", ended, job=job, reason=message or None),
    ]


def _local(value: Any) -> float | None:
    """Return seconds since the epoch; a time without a zone is one of this machine's."""
    if value is None:
        return None
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _utc(value: Any) -> float | None:
    return _local(value.replace(tzinfo=UTC) if isinstance(value, datetime) else value)
