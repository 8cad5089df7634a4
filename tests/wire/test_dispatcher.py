"""Zocalo's own Dispatcher, a process of its own, before our Mimas, over STOMP on both brokers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.conftest import shell
from tests.wire import expected
from tests.wire.expected import DCID, END, is_proper
from tests.wire.site import OnActiveMQ, OnRabbitMQ

#: Zocalo's Dispatcher looks nothing up: a trigger must say what the recipe mimas asks for.
SAID = {
    "event": "end",
    "ispyb_dc_class": "rotation",
    "ispyb_beamline": "i03",
    "ispyb_visit": "mx37124-8",
    "ispyb_space_group": "P212121",
    "ispyb_detectorclass": "eiger",
    "ispyb_preferred_processing": "xia2/DIALS",
}
#: Without other collections of the same sample nothing is processed together with them.
JOBS = Counter({name: n for name, n in expected.JOBS.items() if "-multi-" not in name})


def trigger() -> None:
    said = " ".join(f"-s {name}={value}" for name, value in SAID.items())
    outcome = shell(f"dlstbx.go -r mimas {said} {DCID}")
    assert (outcome.code, outcome.err) == (
        0,
        f"dlstbx.go: mimas for data collection {DCID}: sent\n",
    )


def scenario() -> dict[str, Any]:
    """Return the parameters that their Dispatcher makes of the recipe mimas."""
    parameters = dict.fromkeys(expected.SCENARIO)
    return parameters | {
        "dcid": str(DCID),
        **{name.removeprefix("ispyb_"): value for name, value in SAID.items()},
    }


class Dispatchers:
    def test_its_messages_are_planned_and_it_takes_the_plan(self, site):
        with site.peer() as peer, site.service("Dispatcher"):
            peer.serve(END)
            peer.serve("ispyb_connector")
            with site.listening(("mimas-plan",)):
                trigger()
                self.check(peer)
            # Once more, by a command that takes what is there, and ends.
            trigger()
            site.await_waiting("mimas", 1)
            outcome = shell("mimas-plan --once")
            assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
            self.check(peer)
            assert peer.quiet(END)
        assert site.waiting() == {}

    @staticmethod
    def check(peer) -> None:
        requests = peer.take("ispyb_connector", JOBS.total())
        started = peer.take(END, len(expected.RUN))
        for arrival in requests:
            is_proper(arrival, pointer=3, path=[1])
            assert arrival.wrapped.recipe[1]["parameters"] == scenario()
        assert Counter(one.payload["recipe"] for one in requests) == JOBS
        assert len({one.wrapped.environment["ID"] for one in requests}) == 1
        # These are started by their Dispatcher again, from wrapped messages of ours.
        names = [one.wrapped.recipe_step["parameters"]["recipe"] for one in started]
        assert sorted(names) == list(expected.RUN)
        for arrival in started:
            assert arrival.wrapped.recipe_step["parameters"]["dcid"] == str(DCID)
            assert (arrival.wrapped.recipe_pointer, arrival.wrapped.recipe_path) == (1, [])


class TestRabbitMQ(OnRabbitMQ, Dispatchers):
    pass


class TestActiveMQ(OnActiveMQ, Dispatchers):
    pass
