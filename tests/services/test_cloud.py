"""When there are cloud offers: each condition at its edge, and odd configurations."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest

from dlstbx_cli import mimas
from dlstbx_cli.mimas import core
from dlstbx_cli.services import cloud
from dlstbx_cli.services.cloud import Cloud, offered
from dlstbx_cli.services.cloud_settings import ENTRY_KEYS, KEYS, CloudSettings
from dlstbx_cli.services.errors import Misconfigured, Rejected
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.services.mimas import MimasService

NOW = 1_800_000_000.0
ENTRY = {"beamlines": ["i03"], "visit_pattern": ["cm"]}
ON = {"cloudbursting": True, "zocalo.mimas.cloud": [ENTRY]}
#: With these there is an offer.
SEEN = {"slurm": 61, "iris": 0, "s3echo": 1}


def statistic(cluster: str, number: Any, age: float = 0) -> dict[str, Any]:
    kind, key = ("used-storage", "total") if cluster == "s3echo" else ("job-states", "PENDING")
    return {
        "statistic-group": "cluster",
        "statistic": kind,
        "statistic-cluster": cluster,
        "statistic-timestamp": NOW - age,
        key: number,
    }


def made(storage: dict[str, Any], **seen: Any) -> Cloud:
    """Return a cloud that has seen numbers, or (number, age), or None: nothing, by cluster."""
    made = Cloud(CloudSettings.from_storage(storage), lambda: NOW)
    for cluster, value in {**SEEN, **seen}.items():
        if value is not None:
            made.observe(statistic(cluster, *value if isinstance(value, tuple) else (value,)))
    return made


def entry(**changes: Any) -> dict[str, Any]:
    return {**ENTRY, **changes}


def with_entry(**changes: Any) -> dict[str, Any]:
    return {**ON, "zocalo.mimas.cloud": [entry(**changes)]}


LIMITED = {**ON, "max_jobs_waiting": {"slurm": 10}}
CASES = [
    ("all hold", ON, {}, True),
    ("off", {**ON, "cloudbursting": False}, {}, False),
    ("null is off", {**ON, "cloudbursting": None}, {}, False),
    ("absent is off", {"zocalo.mimas.cloud": [ENTRY]}, {}, False),
    ("no entries", {"cloudbursting": True}, {}, False),
    ("empty entries", {**ON, "zocalo.mimas.cloud": []}, {}, False),
    ("storage at 0.95", ON, {"s3echo": 95}, True),
    ("storage just above", ON, {"s3echo": 95.01}, False),
    ("another quota", {**ON, "s3echo_quota": 7}, {"s3echo": 6.65}, True),
    ("above another quota", {**ON, "s3echo_quota": 7}, {"s3echo": 6.6501}, False),
    ("no quota", {**ON, "s3echo_quota": 0}, {"s3echo": 0}, True),
    ("null is the default", {**ON, "s3echo_quota": None, "timeout": None}, {"s3echo": 95}, True),
    ("storage of old", ON, {"s3echo": (1, 300)}, True),
    ("storage too old", ON, {"s3echo": (1, 300.001)}, False),
    ("storage never seen", ON, {"s3echo": None}, False),
    ("iris of old", ON, {"iris": (0, 300)}, True),
    ("iris too old", ON, {"iris": (0, 301)}, False),
    ("iris never seen", ON, {"iris": None}, False),
    ("another timeout", {**ON, "timeout": 10}, {"iris": (0, 10)}, True),
    ("too old for it", {**ON, "timeout": 10}, {"iris": (0, 11)}, False),
    ("dated ahead", ON, {"iris": (0, -5)}, True),
    ("iris below its limit", ON, {"iris": 499}, True),
    ("iris at its limit", ON, {"iris": 500}, False),
    ("slurm at its limit", ON, {"slurm": 60}, False),
    ("slurm above its limit", ON, {"slurm": 61}, True),
    ("slurm of old", ON, {"slurm": (0, 300)}, False),
    ("slurm too old", ON, {"slurm": (0, 301)}, True),
    ("slurm never seen", ON, {"slurm": None}, True),
    ("limit of the site", LIMITED, {"slurm": 11}, True),
    ("limit of the site, at it", LIMITED, {"slurm": 10}, False),
    ("other limit stays", LIMITED, {"slurm": 11, "iris": 500}, False),
    ("limit of the entry", with_entry(max_jobs_waiting={"iris": 5}), {"iris": 5}, False),
    ("others fill it up", with_entry(max_jobs_waiting={"iris": 5}), {"slurm": 60}, False),
    ("entry before site", {**LIMITED, **with_entry(max_jobs_waiting={"slurm": 70})},
     {"slurm": 70}, False),
    ("site fills up entry", {**LIMITED, **with_entry(max_jobs_waiting={"iris": 5})},
     {"slurm": 11}, True),
    ("limits of others", with_entry(max_jobs_waiting={"hamilton": 5}), {}, True),
    ("null limits", {**with_entry(max_jobs_waiting=None), "max_jobs_waiting": None}, {}, True),
    ("entry switched off", with_entry(cloudbursting=False), {}, False),
    ("entry switched on", with_entry(cloudbursting=True), {}, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("storage", "seen", "is_offered"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_offers(storage: dict[str, Any], seen: dict[str, Any], is_offered: bool) -> None:
    cloud = made(storage, **seen)
    assert cloud.offers() == ([ENTRY] if is_offered else [])
    assert offered(cloud.conditions()) == ([1] if is_offered else [])


def test_each_entry_is_judged_alone() -> None:
    entries = [
        entry(cloudbursting=False),
        entry(recipes=["xia2"], max_jobs_waiting={"slurm": 100}),
        entry(visit_pattern=["", "mx"], recipes=None),
        entry(recipes=["autoPROC"]),
    ]
    offers = made({**ON, "zocalo.mimas.cloud": entries}).offers()
    assert offers == [
        {"beamlines": ["i03"], "visit_pattern": ["", "mx"]},
        {"beamlines": ["i03"], "visit_pattern": ["cm"], "recipes": ["autoPROC"]},
    ]


def test_offers_make_a_valid_scenario() -> None:
    fields = {"DCID": 1, "event": mimas.MimasEvent.END, "dcclass": mimas.MimasDCClass.ROTATION}
    more = {"beamline": "i03", "visit": "cm1-1", "runstatus": None}
    for storage in (ON, with_entry(recipes=("xia2",))):
        mimas.validate(mimas.MimasScenario(**fields, **more, cloudbursting=made(storage).offers()))


WRONG = [
    ({"cloudbursting": "yes"}, "^cloudbursting in .* true or false, but it is 'yes'"),
    ({"cloudbursting": 1}, "^cloudbursting in"),
    ({"s3echo_quota": "100"}, "^s3echo_quota in .* number"),
    ({"s3echo_quota": -1}, "^s3echo_quota in"),
    ({"s3echo_quota": float("nan")}, "^s3echo_quota in"),
    ({"s3echo_quota": True}, "^s3echo_quota in"),
    ({"timeout": "5 min"}, "^timeout in"),
    ({"timeout": float("inf")}, "^timeout in"),
    ({"max_jobs_waiting": 60}, "^max_jobs_waiting in .* by cluster"),
    ({"max_jobs_waiting": {"slurm": "60"}}, "^max_jobs_waiting in"),
    ({"max_jobs_waiting": {"slurm": None}}, "^max_jobs_waiting in"),
    ({"max_jobs_waiting": {"slurm": -1}}, "^max_jobs_waiting in"),
    ({"max_jobs_waiting": {"slurm": True}}, "^max_jobs_waiting in"),
    ({"max_jobs_waiting": {1: 1}}, "^max_jobs_waiting in"),
    ({"zocalo.mimas.cloud": ENTRY}, "^zocalo.mimas.cloud in .* list of entries"),
    ({"zocalo.mimas.cloud": "i03"}, "^zocalo.mimas.cloud in"),
    ({"zocalo.mimas.cloud": [ENTRY, None]}, "^zocalo.mimas.cloud, entry 2 in .* missing"),
    ({"zocalo.mimas.cloud": [ENTRY, "i03"]}, "^zocalo.mimas.cloud, entry 2 in .* beamlines"),
    (with_entry(beamlines="i03"), "entry 1: beamlines in .* list of texts, but it is 'i03'"),
    (with_entry(beamlines=None), "entry 1: beamlines in .* is missing"),
    (with_entry(beamlines=[3]), "entry 1: beamlines"),
    (with_entry(visit_pattern="cm"), "entry 1: visit_pattern"),
    ({"zocalo.mimas.cloud": [{"beamlines": ["i03"]}]}, "entry 1: visit_pattern .* is missing"),
    (with_entry(recipes="xia2"), "entry 1: recipes"),
    (with_entry(max_jobs_waiting=[5]), "entry 1: max_jobs_waiting"),
    (with_entry(cloudbursting="off"), "entry 1: cloudbursting"),
    (with_entry(cloudbursting=False, recipes=[1]), "entry 1: recipes"),
    (with_entry(recipe=["xia2"]), "entry 1: unknown key recipe in .*recipes"),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG)
def test_a_configuration_that_makes_no_sense(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        CloudSettings.from_storage({**ON, **changes})


def test_switched_off_it_is_off_whatever_else_there_is() -> None:
    for changes, _ in WRONG:
        CloudSettings.from_storage({**changes, "cloudbursting": False})


def test_the_keys_are_those_that_are_read() -> None:
    class Record(dict):
        read: ClassVar[set[str]] = set()

        def get(self, key: Any, default: Any = None) -> Any:
            self.read.add(key)
            return super().get(key, default)

    class Inner(Record):
        read: ClassVar[set[str]] = set()

    inner = Inner(ENTRY, recipes=[])
    CloudSettings.from_storage(Record({**ON, "zocalo.mimas.cloud": [inner]}))
    assert (Record.read, Inner.read) == (set(KEYS), set(ENTRY_KEYS))


@pytest.mark.parametrize(
    ("storage", "topics"),
    [
        ({}, ()),
        ({"cloudbursting": True}, ()),
        ({**ON, "cloudbursting": False}, ()),
        (with_entry(cloudbursting=False), ()),
        (ON, ("transient.statistics.cluster",)),
    ],
)
def test_it_listens_only_where_statistics_decide(storage: dict[str, Any], topics: Any) -> None:
    cloud = Cloud(CloudSettings.from_storage(storage), lambda: NOW)
    assert cloud.topics == topics
    assert MimasService(core.plan, None, cloud).topics == topics


def test_statistics_arrive_in_any_order() -> None:
    cloud = made(ON, iris=(500, 10))
    cloud.observe(statistic("iris", 0, age=20))
    assert cloud.offers() == []
    cloud.observe(statistic("iris", 0, age=10))
    assert cloud.offers() == [ENTRY]


OTHERS: list[dict[str, Any]] = [
    {**statistic("iris", 500), "statistic-group": "people"},
    {**statistic("iris", 500), "statistic": "nodes"},
    statistic("hamilton", 500),
    {**statistic("s3echo", 500), "statistic": "job-states"},
    {**statistic("s3echo", 500), "statistic-cluster": "iris"},
    {"anything": "else"},
]


@pytest.mark.parametrize("body", OTHERS)
def test_what_is_no_statistic_of_ours_decides_nothing(body: dict[str, Any]) -> None:
    cloud = made(ON)
    cloud.observe(body)
    assert cloud.offers() == [ENTRY]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {**statistic("iris", 0), "statistic-timestamp": "now"},
        statistic("iris", "many"),
        statistic("s3echo", None),
        {key: value for key, value in statistic("s3echo", 0).items() if key != "total"},
    ],
)
def test_a_malformed_statistic_is_refused(body: Any) -> None:
    service = MimasService(core.plan, None, made(ON, s3echo=None))
    with pytest.raises(Rejected):
        service.observe(Message(Topic("transient.statistics.cluster"), body))


def test_without_a_pending_job_none_is_waiting() -> None:
    body = statistic("iris", 0)
    del body["PENDING"]
    cloud = made(ON, iris=None)
    cloud.observe(body)
    assert cloud.offers() == [ENTRY]


def told(cloud: Cloud) -> list[tuple[Any, ...]]:
    return [
        (one.entry, one.what, one.value, one.relation, one.threshold, one.holds)
        for one in cloud.conditions()
    ]


def test_conditions_say_value_and_threshold() -> None:
    since = "seconds since the last statistic of"
    assert told(made(ON, s3echo=(95.5, 7), iris=(12, 400), slurm=70)) == [
        (None, "cloudbursting", True, "equal to", True, True),
        (None, f"{since} s3echo", 7.0, "at most", 300.0, True),
        (None, "storage used on s3echo", 95.5, "at most", 95.0, False),
        (None, f"{since} iris", 400.0, "at most", 300.0, False),
        (1, "cloudbursting of the entry", True, "equal to", True, True),
        (1, "jobs waiting on slurm", 70, "more than", 60, True),
        (1, "jobs waiting on iris", 12, "fewer than", 500, True),
    ]
    assert told(made(ON, slurm=(3, 301), iris=None))[3:] == [
        (None, f"{since} iris", None, "at most", 300.0, False),
        (1, "cloudbursting of the entry", True, "equal to", True, True),
        (1, f"{since} slurm", 301.0, "more than", 300.0, True),
        (1, "jobs waiting on iris", None, "fewer than", 500, False),
    ]
    assert told(made(ON, slurm=None))[5] == (1, f"{since} slurm", None, "more than", 300.0, True)
    assert told(made({})) == [(None, "cloudbursting", False, "equal to", True, False)]
    assert told(made({"cloudbursting": True}))[-1] == (
        (None, "entries of zocalo.mimas.cloud", 0, "at least", 1, False)
    )


SCENARIO = {"dcid": 5, "event": "end", "beamline": "i03", "visit": "mx1-1", "dc_class": "rotation"}


def explained(cloud: Cloud | None, **changes: Any) -> list[dict[str, Any]]:
    message = Message(Queue("mimas"), {**SCENARIO, **changes})
    records = MimasService(core.plan, None, cloud).explain(message).records()
    return [record for record in records if record["explain"] == "cloud"]


def test_an_explanation_adds_whom_an_offer_is_for() -> None:
    records = explained(made({**ON, "zocalo.mimas.cloud": [ENTRY, entry(beamlines=[])]}))
    assert [record["entry"] for record in records] == [None] * 4 + [1] * 5 + [2] * 5
    assert records[7:9] == [
        {
            "explain": "cloud",
            "dcid": 5,
            "beamline": "i03",
            "event": "END",
            "entry": 1,
            "condition": what,
            "value": value,
            "relation": relation,
            "threshold": threshold,
            "holds": holds,
        }
        for what, value, relation, threshold, holds in (
            ("beamline", "i03", "one of", ["i03"], True),
            ("visit", "mx1-1", "beginning with one of", ["cm"], False),
        )
    ]
    assert [record["holds"] for record in records if record["condition"] == "beamline"] == [
        True,
        False,
    ]
    assert not explained(made(ON), visit=None)[-1]["holds"]


def test_offers_in_the_scenario_take_the_place_of_ours() -> None:
    service = MimasService(core.plan, None, made(ON))
    for own, offers in ((None, [ENTRY]), ([], []), ([{**ENTRY, "recipes": []}],) * 2):
        message = Message(Queue("mimas"), {**SCENARIO, "cloudbursting": own})
        assert service.plan(message).scenario.cloudbursting == offers
    records = explained(made(ON), cloudbursting=[ENTRY])
    assert [(record["condition"], record["holds"]) for record in records] == [
        ("offers in the scenario itself", True),
        ("beamline", True),
        ("visit", False),
    ]
    assert [record["holds"] for record in explained(None, cloudbursting=[])] == [False]


def test_a_change_of_the_verdict_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, cloud.logger.name)
    at = made(ON)
    at.observe(statistic("iris", 500))
    for _ in range(3):
        at.offers()
    records = [record for record in caplog.records if record.action == "cloud"]
    assert [record.offered for record in records] == [[], [1], []]
    assert [record.levelname for record in records] == ["INFO"] * 3
    assert "jobs waiting on iris: 500 (wanted: fewer than 500)" in records[-1].getMessage()
    assert records[-1].conditions[-1]["holds"] is False


def test_where_there_can_be_no_offers_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, cloud.logger.name)
    assert made({}).offers() == []
    assert caplog.records == []
