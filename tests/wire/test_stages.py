"""Zocalo's trigger and workflows' services around our stages, over STOMP on both brokers."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from itertools import count

from tests.conftest import shell
from tests.wire import expected
from tests.wire.expected import DCID, END, is_proper, told
from tests.wire.messages import STATISTICS, TRIGGER, request, statistic
from tests.wire.site import RECIPES, OnActiveMQ, OnRabbitMQ

ALL = (("recipe-dispatch",), ("mimas-plan",), ("ispyb-create-job",), ("backlog-release",))


def jobs(home) -> dict[int, str]:
    """Return the recipes of the jobs in ISPyB, by number."""
    with closing(sqlite3.connect(home / "ispyb.sqlite3")) as ispyb:
        return dict(ispyb.execute("SELECT processingJobId, recipe FROM ProcessingJob"))


class Stages:
    def test_their_trigger_becomes_recipes_for_their_services(self, site, home):
        with site.peer() as peer, site.listening(*ALL):
            peer.serve(END)
            said = site.zocalo("zocalo.go", *TRIGGER)
            assert f"for data collection {DCID}" in said
            arrivals = peer.take(
                END,
                expected.STARTED.total(),
                meanwhile=lambda: peer.transport.broadcast(STATISTICS, statistic()),
            )
            assert peer.quiet(END)
        made, processes = jobs(home), Counter()
        for arrival in arrivals:
            is_proper(arrival, pointer=1, path=[])
            assert arrival.payload == []
            wrapper = arrival.wrapped
            assert wrapper.recipe_step.keys() == {"service", "queue", "parameters"}
            assert wrapper.recipe_step["service"] == "Demo processing"
            given = dict(wrapper.recipe_step["parameters"])
            if "process" in given:
                process = int(given.pop("process"))
                processes[process] += 1
                assert made[process] == given["recipe"]
                assert isinstance(given.pop("processing_parameters"), dict)
                assert given.pop("images").startswith(expected.IMAGES)
            assert given == told(given["recipe"], wrapper.environment["ID"])
        names = Counter(one.wrapped.recipe_step["parameters"]["recipe"] for one in arrivals)
        assert names == expected.STARTED
        assert Counter(made.values()) == expected.JOBS
        assert processes == dict.fromkeys(made, 1)
        for what in ("dlstbx-id", "ID"):
            identities = {one.header.get(what) or one.wrapped.environment[what] for one in arrivals}
            assert len(identities) == len(arrivals)
        assert site.waiting() == {}

    def test_their_mimas_and_connector_stand_between_ours(self, site, home):
        """Their Mimas asks for a recipe, a job at once, and a job to be held."""

        def mimas(wrapper, payload, **how):
            run = {"recipes": ["archive-nexus"], "parameters": {"ispyb_dcid": DCID}}
            wrapper.send_to("dispatcher", run, **how)
            for name, autostart in (("fast-dp-eiger", True), ("xia2-dials-eiger", False)):
                wrapper.send_to("ispyb", request(f"autoprocessing-{name}", autostart), **how)

        ours = [stage for stage in ALL if stage != ("mimas-plan",)]
        with site.peer() as peer, site.listening(*ours):
            peer.serve(END)
            peer.serve("mimas", mimas)
            assert shell(f"dlstbx.go {' '.join(TRIGGER)}").code == 0
            asked = peer.next("mimas")
            arrivals = peer.take(
                END, 3, meanwhile=lambda: peer.transport.broadcast(STATISTICS, statistic())
            )
            assert peer.quiet(END)
        is_proper(asked, pointer=1, path=[])
        assert asked.payload == []
        shipped = json.loads((RECIPES / "mimas.json").read_text())
        assert asked.wrapped.recipe_step == {**shipped["1"], "parameters": expected.SCENARIO}
        for number in range(2, 7):
            outputs = {"output": [6]} if number == 5 else {}
            assert asked.wrapped.recipe[number] == {**shipped[str(number)], **outputs}
        by_name = {one.wrapped.recipe_step["parameters"]["recipe"]: one for one in arrivals}
        assert by_name.keys() == {
            "archive-nexus",
            "autoprocessing-fast-dp-eiger",
            "autoprocessing-xia2-dials-eiger",
        }
        made = jobs(home)
        for name, arrival in by_name.items():
            is_proper(arrival, pointer=1, path=[])
            parameters = told(name, arrival.wrapped.environment["ID"])
            if name != "archive-nexus":
                [number] = [number for number, recipe in made.items() if recipe == name]
                parameters |= {
                    "process": str(number),
                    "processing_parameters": {"resolution": ["1.5"]},
                    "images": expected.IMAGES,
                }
            assert arrival.wrapped.recipe_step["parameters"] == parameters
        assert site.waiting() == {}

    def test_their_dispatcher_and_connector_stand_around_ours(self, site):
        """Our Mimas and backlog alone, between services of theirs on all other queues."""

        numbers = count(77)

        def connector(wrapper, payload, **how):
            parameters = {"ispyb_process": next(numbers), "statistic-cluster": "slurm"}
            wrapper.send_to("held", {"parameters": parameters}, **how)

        recipe = json.loads((RECIPES / "mimas.json").read_text())
        recipe["1"]["parameters"] = expected.SCENARIO
        guid = "0f3c5a9e-6f5b-4c52-a6b5-3a6a0b1a8f11"
        asked = expected.JOBS.total()
        with site.peer() as peer, site.listening(("mimas-plan",), ("backlog-release",)):
            peer.serve("processing_recipe")
            peer.serve("ispyb_connector", connector)
            peer.start(recipe, {"ID": guid})
            requests = peer.take("ispyb_connector", asked)
            arrivals = peer.take(
                "processing_recipe",
                len(expected.RUN) + asked,
                meanwhile=lambda: peer.transport.broadcast(STATISTICS, statistic()),
            )
            assert peer.quiet("processing_recipe")
        for arrival in [*requests, *arrivals]:
            assert arrival.wrapped.environment == {"ID": guid}
            assert arrival.wrapped.recipe[1]["parameters"] == expected.SCENARIO
        for arrival in requests:
            is_proper(arrival, pointer=3, path=[1])
            assert arrival.wrapped.recipe_step["parameters"] == {
                "ispyb_command": "create_ispyb_job"
            }
            assert arrival.payload.keys() == request("", True).keys()
            assert (arrival.payload["DCID"], arrival.payload["source"]) == (DCID, "automatic")
        assert Counter(one.payload["recipe"] for one in requests) == expected.JOBS
        held = [one for one in arrivals if one.wrapped.recipe_pointer == 6]
        run = [one for one in arrivals if one.wrapped.recipe_pointer == 2]
        for number, arrival in enumerate(held, 77):
            is_proper(arrival, pointer=6, path=[1, 3, 5])
            assert arrival.payload == {
                "parameters": {"ispyb_process": number, "statistic-cluster": "slurm"}
            }
        for arrival in run:
            is_proper(arrival, pointer=2, path=[1])
            assert arrival.payload["parameters"]["ispyb_dcid"] == DCID
        assert sorted(one.payload["recipes"][0] for one in run) == list(expected.RUN)
        assert len(held) == asked
        assert site.waiting() == {}

    def test_delays_topics_and_dead_letters(self, site, tmp_path):
        """A recipe of theirs that waits, one that broadcasts, and one that there is not."""
        recipe = {
            "1": {"service": "a", "queue": "later", "transport-delay": 1, "output": 2},
            "2": {"service": "b", "topic": "news"},
            "start": [[1, {"say": "\u00c5ngstr\u00f6m \u2603"}], [2, ["now"]]],
        }
        (tmp_path / "recipe.json").write_text(json.dumps(recipe))

        def then(wrapper, payload, **how):
            wrapper.send(["then"], **how)

        with site.peer() as peer, site.listening(("recipe-dispatch",)):
            peer.serve("later", then)
            peer.serve("dlq.processing_recipe")
            peer.hear("news")
            began = time.time()
            site.zocalo("zocalo.go", "-n", "-f", str(tmp_path / "recipe.json"))
            site.zocalo("zocalo.go", "-r", "no-such-recipe", str(DCID))
            later, dead = peer.next("later"), peer.next("dlq.processing_recipe")
            assert time.time() - began >= 1
            news = peer.take("news", 2)
        is_proper(later, pointer=1, path=[])
        assert later.payload == {"say": "\u00c5ngstr\u00f6m \u2603"}
        assert [one.payload["payload"] for one in news] == [["now"], ["then"]]
        assert [one.payload["recipe-path"] for one in news] == [[], [1]]
        assert {one.payload["recipe-pointer"] for one in news} == {2}
        assert {one.payload["environment"]["ID"] for one in news} == {
            later.wrapped.environment["ID"]
        }
        assert dead.wrapper is None
        assert dead.payload == {
            "recipes": ["no-such-recipe"],
            "parameters": {"ispyb_dcid": DCID},
        }
        assert "no-such-recipe" in dead.header["dlstbx-error"]
        assert dead.header["dlstbx-rejected-by"] == "recipe-dispatch"
        assert {"zocalo.go.user", "zocalo.go.host"} <= dead.header.keys()


class TestRabbitMQ(OnRabbitMQ, Stages):
    pass


class TestActiveMQ(OnActiveMQ, Stages):
    pass
