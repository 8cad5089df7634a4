"""Services that speak AMQP around our stages, on a RabbitMQ whose queues they have declared."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.conftest import run, shell
from tests.wire import expected
from tests.wire.expected import DCID, END, is_proper, told
from tests.wire.messages import STATISTICS, TRIGGER, statistic
from tests.wire.site import RECIPES, AmqpSite

STAGES = ("processing_recipe", "mimas", "ispyb_connector", "mimas.held")
#: As a site has them: replicated, and what is refused goes to another queue, by the pattern
#: of Zocalo's documents. Our own dead letters go to the queues of these names.
QUEUES = {
    "names": [*STAGES, END],
    "settings": {"queues": {"type": "quorum", "dead-letter-routing-key-pattern": "dlq.{name}"}},
}
EXCHANGES = {
    "names": [STATISTICS, "news", "command", "transient.status"],
    "settings": {"broadcast": True},
}


@pytest.fixture
def site(rabbitmq_server, home, tmp_path, monkeypatch):
    site = AmqpSite(tmp_path, rabbitmq_server)
    site.declare(QUEUES, EXCHANGES)
    monkeypatch.setenv("ZOCALO_CONFIG", str(site.configuration))
    monkeypatch.setenv("DLSTBX_BROKER", rabbitmq_server.url(vhost=site.vhost))
    return site


def test_all_stages_work_on_their_queues_without_settings(site):
    ours = [(stage,) for stage in ("recipe-dispatch", "mimas-plan", "ispyb-create-job")]
    with (
        site.peer() as peer,
        site.listening(*ours, ("backlog-release", "--capacity", "slurm=20")),
    ):
        peer.serve(END)
        said = site.zocalo("zocalo.go", *TRIGGER)
        assert f"for data collection {DCID}" in said
        arrivals = peer.take(END, expected.STARTED.total())
        assert peer.quiet(END)
    for arrival in arrivals:
        is_proper(arrival, pointer=1, path=[])
        assert arrival.header["routing_key"] == END
        assert arrival.header["delivery_mode"] == 2
        given = dict(arrival.wrapped.recipe_step["parameters"])
        job = {
            name: given.pop(name, None) for name in ("process", "processing_parameters", "images")
        }
        assert given == told(given["recipe"], arrival.wrapped.environment["ID"])
        assert (job["process"] is None) == (given["recipe"] in expected.RUN)
    names = Counter(one.wrapped.recipe_step["parameters"]["recipe"] for one in arrivals)
    assert names == expected.STARTED
    assert site.waiting() == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-queue-type": "quorum", "x-quorum-initial-group-size": 1, "x-delivery-limit": 20},
        {"x-queue-type": "quorum", "x-single-active-consumer": True},
        {"x-max-priority": 5},
        {"x-message-ttl": 86400000, "x-queue-mode": "lazy"},
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "elsewhere"},
        {"x-max-length": 1000, "x-overflow": "reject-publish"},
    ],
    ids=lambda arguments: list(arguments)[-1],
)
def test_a_queue_of_any_kind_is_used_as_it_is(site, arguments):
    with site.channel() as channel:
        channel.queue_declare("theirs", durable=True, arguments=arguments)
    lines = [{"queue": "theirs", "message": {"number": number}} for number in range(3)]
    outcome = run("queue-put", stdin="".join(f"{json.dumps(line)}\n" for line in lines))
    assert outcome.code == 0, outcome.err
    outcome = run("queue-get", "theirs")
    assert [line["message"] for line in outcome.lines] == [{"number": n} for n in range(3)]
    assert site.waiting() == {}


def test_broadcasts_through_their_exchanges(site, monkeypatch):
    """Their statistic lets our backlog go on, and a recipe's topic of ours is heard by them."""
    url = site.server.url(vhost=site.vhost, topic_form="/exchange/{}")
    monkeypatch.setenv("DLSTBX_BROKER", url)
    held = {"1": {"queue": "mimas.held", "output": 2}, "2": {"queue": "processing_recipe"}}
    news = {"1": {"service": "a", "topic": "news"}, "start": [[1, ["now"]]]}
    payload = {"parameters": {"ispyb_process": 77}}
    with site.peer() as peer, site.listening(("backlog-release",)):
        peer.serve("processing_recipe")
        peer.hear("news")
        peer.start({**held, "start": [[1, payload]]}, {"ID": "of-theirs"})
        assert peer.quiet("processing_recipe", 1)
        [released] = peer.take(
            "processing_recipe",
            1,
            meanwhile=lambda: peer.transport.broadcast(STATISTICS, statistic()),
        )
        assert released.payload == payload
        assert released.wrapped.recipe_path == [1]
        request = {"custom_recipe": news, "parameters": {}}
        line = json.dumps({"queue": "processing_recipe", "message": request})
        outcome = run("recipe-dispatch", "--send", stdin=line + "\n")
        assert outcome.code == 0, outcome.err
        heard = peer.next("news")
        assert heard.payload["payload"] == ["now"]
        assert heard.header["workflows-recipe"] == "True"
        assert heard.header["exchange"] == "news"


def test_their_wrapped_message_loses_its_header_and_is_known_all_the_same(site):
    """Over AMQP the header is a boolean, which RabbitMQ does not hand on to STOMP."""
    recipe = json.loads((RECIPES / "mimas.json").read_text())
    recipe["1"]["parameters"] = expected.SCENARIO
    with site.peer() as peer:
        peer.start(recipe, {"ID": "of-theirs"})
        site.await_waiting("mimas", 1)
        outcome = run("queue-get", "--peek", "mimas")
        assert outcome.code == 0, outcome.err
        [line] = outcome.lines
        assert "workflows-recipe" not in line.get("headers", {})
        assert line["message"]["recipe-pointer"] == 1
        outcome = run("mimas-plan", "--once")
        assert (outcome.code, outcome.err) == (0, "")
        peer.serve("ispyb_connector")
        peer.serve("processing_recipe")
        requests = peer.take("ispyb_connector", expected.JOBS.total())
        started = peer.take("processing_recipe", len(expected.RUN))
    for arrival in requests:
        assert arrival.header["workflows-recipe"] == "True"
        assert arrival.wrapped.environment == {"ID": "of-theirs"}
        assert (arrival.wrapped.recipe_pointer, arrival.wrapped.recipe_path) == (3, [1])
    assert Counter(one.payload["recipe"] for one in requests) == expected.JOBS
    assert sorted(one.payload["recipes"][0] for one in started) == list(expected.RUN)


def test_their_dispatcher_on_amqp_feeds_ours(site):
    """Zocalo's Dispatcher, a process of its own, starts what our trigger asks for, and ours."""
    with site.peer() as peer, site.service("Dispatcher"), site.listening(("mimas-plan",)):
        peer.serve(END)
        peer.serve("ispyb_connector")
        settings = "-s event=end -s ispyb_beamline=i03 -s ispyb_dc_class=rotation"
        script = f"dlstbx.go -r mimas {settings} -s ispyb_detectorclass=eiger {DCID}"
        assert shell(script).code == 0
        request = peer.next("ispyb_connector")
        started = peer.take(END, len(expected.RUN))
    is_proper(request, pointer=3, path=[1])
    assert request.wrapped.recipe[1]["parameters"]["beamline"] == "i03"
    names = [one.wrapped.recipe_step["parameters"]["recipe"] for one in started]
    assert sorted(names) == list(expected.RUN)


def test_dead_letters_go_into_the_queues_that_they_have_declared(site, monkeypatch):
    """They are seen, sent back and read there by both sides."""
    # Without the management, dlq-ls waits in each of our queues until nothing comes.
    monkeypatch.setenv("DLSTBX_BROKER", site.server.url(vhost=site.vhost, idle=0.2))
    refused: dict[str, Any] = {"recipes": ["no-such-recipe"], "parameters": {}}
    with site.peer() as peer:
        with site.listening(("recipe-dispatch",)):
            peer.transport.send("processing_recipe", refused)
            site.await_waiting("dlq.processing_recipe", 1)
        [shown] = run("dlq-ls").lines
        assert "no-such-recipe" in shown["reason"]
        assert run("dlq-retry", "--all").code == 0
        assert site.waiting() == {"processing_recipe": 1}
        assert run("recipe-dispatch", "--once").code == 1
        peer.serve("dlq.processing_recipe")
        dead = peer.next("dlq.processing_recipe")
    assert dead.payload == refused
    assert "no-such-recipe" in dead.header["dlstbx-error"]
    assert dead.header["dlstbx-rejected-by"] == "recipe-dispatch"
    assert site.waiting() == {}
