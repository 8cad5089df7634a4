"""Whatever JSON arrives, a service ends in results or in Rejected, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.mimas import core
from dlstbx_cli.recipes import SHIPPED, RecipeDirectory
from dlstbx_cli.services.backlog import Backlog
from dlstbx_cli.services.dispatcher import Dispatcher
from dlstbx_cli.services.errors import NoRoom, NotReady, Rejected
from dlstbx_cli.services.held.values import Limits
from dlstbx_cli.services.ispyb_job import IspybJobService, Job, Made, Window
from dlstbx_cli.services.message import Message, Queue, dead_letter
from dlstbx_cli.services.mimas import MimasService
from dlstbx_cli.services.service import Service

#: Words that the services look for: without them, arbitrary JSON stays on the surface.
WORDS = [
    "recipe", "recipe-pointer", "recipe-path", "environment", "payload", "ID", "start", "output",
    "queue", "topic", "parameters", "transport-delay", "1", "2", "recipes", "custom_recipe",
    "guid", "ispyb_dcid", "ispyb_process", "ispyb_wait_for_runstatus", "dispatcher_timeout",
    "dispatcher_expiration", "dispatcher_error_queue", "dcid", "event", "end", "dc_class",
    "rotation", "beamline", "i03", "i19-2", "visit", "sweep_list", "unit_cell", "space_group",
    "P41212", "diffraction_plan_info", "anomalousScatterer", "Se", "detectorclass", "eiger",
    "serial_fixed", "ispyb_command", "create_ispyb_job", "content", "DCID", "autostart",
    "comment", "displayname", "source", "sweeps", "key", "value", "triggervariables",
    "statistic-cluster", "slurm", "mimas", "dispatcher", "ispyb", "trigger", "held",
    "{guid}", "{x[0]}", "{$REPLACE:ispyb_dcid}", "{", "}",
]  # fmt: skip
words = st.sampled_from(WORDS)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 5),
    st.integers(),
    st.floats(allow_nan=False),
    words,
    st.text(max_size=4),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(words, st.text(max_size=3)), inner, max_size=5),
    ),
    max_leaves=20,
)
steps = st.fixed_dictionaries(
    {},
    optional={
        "queue": st.one_of(st.just("q"), anything),
        "topic": st.one_of(st.just("t"), anything),
        "parameters": anything,
        "transport-delay": scalars,
        "output": st.one_of(
            st.just(2),
            st.dictionaries(st.sampled_from(["dispatcher", "ispyb", "trigger", "held"]), scalars),
            anything,
        ),
    },
)
recipes = st.fixed_dictionaries(
    {"1": steps}, optional={"2": steps, "start": st.one_of(st.just([[1, []]]), anything)}
)
wrapped = st.fixed_dictionaries(
    {"recipe": st.one_of(recipes, anything), "recipe-pointer": st.one_of(st.just(1), scalars)},
    optional={"payload": anything, "environment": anything, "recipe-path": anything},
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "recipes": st.one_of(
            st.lists(st.sampled_from(["mimas", "archive-cbfs", "../x"])), anything
        ),
        "custom_recipe": st.one_of(recipes, anything),
        "parameters": anything,
    },
)
bodies = st.one_of(anything, wrapped, requests)


class Database:
    """Knows every collection, little of each."""

    def __call__(self, request: Mapping[str, Any], arrived: float | None = None) -> dict[str, Any]:
        return dict(request)

    def run_status(self, dcid: Any) -> str | None:
        return None if dcid == 1 else "done"

    def image_range(self, dcid: int) -> tuple[int | None, int | None]:
        return (1, dcid % 5)

    def create(self, identity: str, job: Job, window: Window | None = None) -> Made:
        return Made(len(identity) + job.dcid)


def services() -> list[Service]:
    return [
        Dispatcher(Database(), RecipeDirectory(SHIPPED), lambda: 0.0),
        MimasService(core.plan, lambda dcid: {"dcid": dcid, "beamline": "i03"}),
        IspybJobService(Database()),
        Backlog(lambda: 0.0, Limits(capacity={"slurm": 10**9})),
    ]


@pytest.mark.parametrize("service", services(), ids=lambda service: service.name)
@given(body=bodies, flagged=st.booleans())
def test_results_or_rejected(service: Service, body: Any, flagged: bool) -> None:
    headers = {"workflows-recipe": "True"} if flagged else {}
    message = Message(Queue(service.queue), body, headers)
    with suppress(NoRoom, NotReady):
        try:
            results = service.handle(message)
        except Rejected as error:
            results = [dead_letter(message, service.queue, str(error), service.name, 0.0)]
            assert results[0].headers["dlstbx-error"]
        for result in results:
            json.dumps(result.body)


@pytest.mark.parametrize("service", services(), ids=lambda service: service.name)
@given(body=bodies)
def test_broadcasts_are_taken_or_rejected(service: Service, body: Any) -> None:
    with suppress(Rejected):
        assert service.observe(Message(Queue("topic"), body)) is None  # type: ignore[func-returns-value]
