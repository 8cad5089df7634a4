from __future__ import annotations

from typing import Any

import pytest

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.ispyb_job import IspybJobService, Job, Made, Sweep, Window
from dlstbx_cli.services.message import Message, Queue

CONTENT = {
    "DCID": 123,
    "autostart": True,
    "recipe": "autoprocessing-fast-dp",
    "source": "automatic",
    "comment": "",
    "displayname": "fast_dp",
    "parameters": [{"key": "spacegroup", "value": "P41212"}],
    "sweeps": [{"DCID": 123, "start": 0, "end": 90}],
    "triggervariables": [{"key": "statistic-cluster", "value": "iris"}],
}


class Database:
    """Keeps what is written; knows the images of collection 123 alone."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Job]] = []

    def image_range(self, dcid: int) -> tuple[int | None, int | None]:
        if dcid == 124:
            return (None, 100)
        if dcid != 123:
            raise Rejected(f"DCID {dcid} is not in ISPyB")
        return (1, 3600)

    def create(self, identity: str, job: Job, window: Window | None = None) -> Made:
        self.written.append((identity, job))
        return Made(4000 + len(self.written))


@pytest.fixture
def database() -> Database:
    return Database()


def handle(database: Database, content: Any, **body: Any) -> list[Message]:
    simple = {"parameters": {"ispyb_command": "create_ispyb_job"}, "content": content, **body}
    message = Message(Queue("ispyb_connector"), simple, {"dlstbx-id": "id"})
    return IspybJobService(database).handle(message)


def job(database: Database, **changes: Any) -> Job:
    handle(database, {**CONTENT, **changes})
    return database.written[-1][1]


def test_a_job_is_written_and_triggered(database: Database) -> None:
    (result,) = handle(database, CONTENT)
    assert result.destination == Queue("processing_recipe")
    assert result.body == {"parameters": {"statistic-cluster": "iris", "ispyb_process": 4001}}
    assert database.written == [
        (
            "id",
            Job(
                dcid=123,
                automatic=True,
                recipe="autoprocessing-fast-dp",
                displayname="fast_dp",
                comments="",
                parameters=(("spacegroup", "P41212"),),
                sweeps=(Sweep(123, 0, 90),),
            ),
        )
    ]


def test_a_job_that_does_not_start_by_itself_is_held(database: Database) -> None:
    for content in ({**CONTENT, "autostart": False}, {"DCID": 123, "recipe": "x"}):
        (result,) = handle(database, content)
        assert result.destination == Queue("mimas.held")


@pytest.mark.parametrize(
    ("autostart", "queue"), [(True, "processing_recipe"), (False, "mimas.held")]
)
def test_a_wrapped_request_leaves_by_its_outputs(
    database: Database, autostart: bool, queue: str
) -> None:
    recipe = {
        "3": {
            "parameters": {"ispyb_command": "create_ispyb_job"},
            "output": {"trigger": 4, "held": 5},
        },
        "4": {"queue": "processing_recipe"},
        "5": {"queue": "mimas.held"},
    }
    body = {"recipe": recipe, "recipe-pointer": 3, "payload": {**CONTENT, "autostart": autostart}}
    (result,) = IspybJobService(database).handle(Message(Queue("ispyb_connector"), body))
    assert result.destination == Queue(queue)
    assert result.body["payload"]["parameters"]["ispyb_process"] == 4001


def test_without_an_output_nothing_is_written(database: Database) -> None:
    recipe = {"3": {"parameters": {"ispyb_command": "create_ispyb_job"}, "output": {"held": 5}}}
    body = {"recipe": recipe, "recipe-pointer": 3, "payload": CONTENT}
    with pytest.raises(Rejected, match="no output 'trigger'"):
        IspybJobService(database).handle(Message(Queue("ispyb_connector"), body))
    assert not database.written


def test_without_sweeps_the_whole_collection(database: Database) -> None:
    for sweeps in ([], None):
        assert job(database, sweeps=sweeps).sweeps == (Sweep(123, 1, 3600),)


def test_without_dcid_the_first_sweep_s_collection(database: Database) -> None:
    sweeps = [{"DCID": 9, "start": 1, "end": 2}, {"DCID": 8, "start": 1, "end": 2}]
    assert job(database, DCID=0, sweeps=sweeps).dcid == 9
    assert job(database, DCID=None, sweeps=sweeps).dcid == 9


def test_a_person_s_job_is_not_automatic(database: Database) -> None:
    assert not job(database, source="user").automatic


def test_numbers_as_parameter_values_become_texts(database: Database) -> None:
    parameters = [{"key": "d_min", "value": 1.8}, {"key": "n", "value": 0}]
    assert job(database, parameters=parameters).parameters == (("d_min", "1.8"), ("n", "0"))


def test_what_just_fits_the_columns(database: Database) -> None:
    fitting = job(
        database,
        recipe="r" * 50,
        displayname="d" * 80,
        comment="ü" * 255,
        parameters=[{"key": "k" * 80, "value": "v" * 1024}],
    )
    assert len(fitting.parameters[0][1]) == 1024


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"DCID": "123"}, "DCID must be a whole number"),
        ({"DCID": True, "sweeps": []}, "DCID must be a whole number"),
        ({"DCID": -1}, "DCID must be a whole number"),
        ({"DCID": 2**40}, "DCID must be a whole number"),
        ({"DCID": 0, "sweeps": []}, "neither DCID nor sweeps"),
        ({"DCID": 5, "sweeps": []}, "DCID 5 is not in ISPyB"),
        ({"DCID": 124, "sweeps": []}, "has no startImageNumber or numberOfImages"),
        ({"autostart": "yes"}, "autostart must be true or false"),
        ({"autostart": 1}, "autostart must be true or false"),
        ({"recipe": ""}, "recipe is missing"),
        ({"recipe": None}, "recipe is missing"),
        ({"recipe": 5}, "recipe must be a text"),
        ({"recipe": "r" * 51}, "recipe has 51 characters, ISPyB takes 50"),
        ({"displayname": "d" * 81}, "displayname has 81 characters, ISPyB takes 80"),
        ({"comment": "c" * 256}, "comment has 256 characters, ISPyB takes 255"),
        ({"comment": "\ud800"}, "half a character"),
        ({"parameters": {}}, "parameters must be a list"),
        ({"parameters": ["x"]}, "each of parameters must be an object"),
        ({"parameters": [{"key": "", "value": "x"}]}, "texts as key and value"),
        ({"parameters": [{"key": "x"}]}, "texts as key and value"),
        ({"parameters": [{"key": "x", "value": True}]}, "texts as key and value"),
        ({"parameters": [{"key": "k" * 81, "value": "x"}]}, "81 characters, ISPyB takes 80"),
        ({"parameters": [{"key": "k", "value": "v" * 1025}]}, "1025 characters, ISPyB takes 1024"),
        ({"sweeps": [{"DCID": 1, "start": 1}]}, "sweep end must be a whole number"),
        ({"sweeps": [{"DCID": 0, "start": 1, "end": 2}]}, "not a sweep"),
        ({"sweeps": [{"DCID": 1, "start": 3, "end": 2}]}, "not a sweep"),
        ({"sweeps": [[1, 1, 2]]}, "each of sweeps must be an object"),
        ({"triggervariables": [{"key": 5, "value": "x"}]}, "triggervariables need a key"),
        ({"triggervariables": [{"key": "x"}]}, "triggervariables need a key"),
        ({"source": 5}, "source must be a text"),
    ],
)
def test_rejected_before_anything_is_written(
    database: Database, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Rejected, match=reason):
        handle(database, {**CONTENT, **changes})
    assert not database.written


@pytest.mark.parametrize(
    ("content", "body", "reason"),
    [
        (None, {}, "payload must be an object"),
        ([], {}, "payload must be an object"),
        (CONTENT, {"parameters": None}, "parameters must be an object"),
        (CONTENT, {"parameters": {}}, "ispyb_command is None"),
        (
            CONTENT,
            {"parameters": {"ispyb_command": "drop_tables"}},
            "ispyb_command is 'drop_tables'",
        ),
    ],
)
def test_malformed_requests(
    database: Database, content: Any, body: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Rejected, match=reason):
        handle(database, content, **body)


class Known(Database):
    """Has made a job with this content before."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[Window | None] = []

    def create(self, identity: str, job: Job, window: Window | None = None) -> Made:
        self.windows.append(window)
        return Made(7, duplicate=len(self.windows) > 1)


def test_from_a_duplicate_nothing_follows() -> None:
    database = Known()
    service = IspybJobService(database, dedupe=60)
    body = {"parameters": {"ispyb_command": "create_ispyb_job"}, "content": CONTENT}
    message = Message(Queue("ispyb_connector"), body)
    assert len(service.handle(message)) == 1
    assert service.handle(message) == []
    first, second = database.windows
    assert first == second
    assert first is not None
    assert first.seconds == 60
    service.handle(Message(Queue("ispyb_connector"), {**body, "content": {**CONTENT, "DCID": 9}}))
    assert database.windows[2] != first
