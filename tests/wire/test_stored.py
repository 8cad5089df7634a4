"""Stored triggers: Zocalo's by our pickup, ours by Zocalo's, over STOMP on both brokers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import shell
from tests.wire.expected import DCID
from tests.wire.site import OnActiveMQ, OnRabbitMQ

RECIPE = {
    "1": {"service": "a", "queue": "somewhere", "parameters": {"unit": "\u00c5"}},
    "start": [[1, []]],
}


def contents(folder: Path) -> list[dict[str, Any]]:
    """Return the stored triggers, oldest first."""
    paths = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


class StoredTriggers:
    def test_those_of_zocalo_are_sent_by_ours(self, site, tmp_path):
        file = tmp_path / "recipe.json"
        file.write_text(json.dumps(RECIPE))
        site.zocalo("zocalo.go", "--drop", "-r", "mimas", "-s", "event=end", str(DCID))
        site.zocalo("zocalo.go", "--drop", "-n", "-f", str(file), "-s", "note=it's \u00c5")
        first, second = stored = contents(site.drop)
        assert first["message"] == {
            "recipes": ["mimas"],
            "parameters": {"event": "end", "ispyb_dcid": DCID},
        }
        assert second["message"]["parameters"] == {"note": "it's \u00c5"}
        outcome = shell("dlstbx.pickup")
        assert (outcome.code, outcome.err) == (0, "dlstbx.pickup: sent 2 stored triggers\n")
        self.arrive(site, stored, own={"dlstbx-id"})

    def test_ours_are_sent_by_zocalo(self, site, tmp_path):
        file = tmp_path / "recipe.json"
        file.write_text(json.dumps(RECIPE))
        for options in (f"-r mimas -s event=end {DCID}", f"-n -f {file} -s note=\u00c5"):
            assert shell(f"dlstbx.go --drop {options}").code == 0
        stored = contents(site.drop)
        assert [one["headers"].keys() for one in stored] == 2 * [
            {"dlstbx-id", "zocalo.go.user", "zocalo.go.host"}
        ]
        said = site.zocalo("zocalo.pickup", "--wait", "0", "--delay", "0")
        assert "Found 2 files" in said
        self.arrive(site, stored, own=set())

    @staticmethod
    def arrive(site, stored, own) -> None:
        """Check that the triggers arrive as they were stored, and are gone from there."""
        assert list(site.drop.iterdir()) == []
        with site.peer() as peer:
            peer.serve("processing_recipe")
            arrivals = peer.take("processing_recipe", len(stored))
            assert peer.quiet("processing_recipe")
        for kept, arrival in zip(stored, arrivals, strict=True):
            assert arrival.wrapper is None
            assert arrival.payload == kept["message"]
            assert kept["headers"].items() <= arrival.header.items()
            assert own <= arrival.header.keys()


class TestRabbitMQ(OnRabbitMQ, StoredTriggers):
    pass


class TestActiveMQ(OnActiveMQ, StoredTriggers):
    pass
