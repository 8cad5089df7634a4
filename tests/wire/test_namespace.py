"""The namespace: both sides meet in the same one, however each is told of it, and only there."""

from __future__ import annotations

import json

import pytest

from tests.conftest import run, shell
from tests.wire.site import OnActiveMQ, OnRabbitMQ

QUEUE = "processing_recipe"


def parameters(lines) -> list[str]:
    return [line["message"]["parameters"]["note"] for line in lines]


class Namespaces:
    @pytest.fixture
    def ours(self, site, monkeypatch):
        """A function that takes what is in a namespace's queue, told by a URL alone."""

        def take(prefix):
            monkeypatch.setenv("DLSTBX_BROKER", site.server.url(prefix=prefix, idle=0.2))
            outcome = run("queue-get", QUEUE)
            monkeypatch.delenv("DLSTBX_BROKER")
            assert outcome.code == 0, outcome.err
            return parameters(outcome.lines)

        return take

    def test_theirs_is_read_by_us(self, site, ours):
        """Their prefix comes from the plugin, or an option; with its dot, or without."""
        mine = site.prefix
        other = f"{mine}-other"
        site.zocalo("zocalo.go", "-n", "-r", "any", "-s", "note=plugin")
        site.zocalo("zocalo.go", "-n", "-r", "any", "-s", "note=dot", f"--stomp-prfx={mine}.")
        site.zocalo("zocalo.go", "-n", "-r", "any", "-s", "note=other", f"--stomp-prfx={other}")
        assert ours(mine) == ["plugin", "dot"]
        assert ours(f"{other}.") == ["other"]

    def test_ours_is_read_by_them(self, site, monkeypatch):
        """Our prefix comes from the plugin, an option, or a URL."""
        mine, note = site.prefix, "dlstbx.go -n -r any -s note"
        other = f"{mine}-other"
        assert shell(f"{note}=plugin").code == 0
        assert shell(f"{note}=other --stomp-prfx={other}").code == 0
        monkeypatch.setenv("DLSTBX_BROKER", site.server.url(prefix=f"{mine}."))
        assert shell(f"{note}=url").code == 0
        with site.peer() as peer, site.peer(f"{other}.") as elsewhere:
            peer.serve(QUEUE)
            elsewhere.serve(QUEUE)
            found = [one.payload["parameters"] for one in peer.take(QUEUE, 2)]
            assert found == [{"note": "plugin"}, {"note": "url"}]
            assert elsewhere.next(QUEUE).payload["parameters"] == {"note": "other"}
            assert peer.quiet(QUEUE, 0.2)
            assert elsewhere.quiet(QUEUE, 0.2)

    def test_broadcasts_too(self, site):
        """A recipe's topic is in the namespace: heard there, and nowhere else."""
        topic = {"1": {"service": "a", "topic": "news"}, "start": [[1, ["now"]]]}
        (site.folder / "recipe.json").write_text(json.dumps(topic))
        with site.peer() as peer, site.peer(f"{site.prefix}-other") as elsewhere:
            peer.hear("news")
            elsewhere.hear("news")
            script = f"dlstbx.go -n -f {site.folder}/recipe.json && recipe-dispatch --once"
            outcome = shell(script)
            assert outcome.code == 0, outcome.err
            assert peer.next("news").payload["payload"] == ["now"]
            assert elsewhere.quiet("news", 0.2)


class TestRabbitMQ(OnRabbitMQ, Namespaces):
    pass


class TestActiveMQ(OnActiveMQ, Namespaces):
    pass
