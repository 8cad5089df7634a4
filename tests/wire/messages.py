"""What the services of a site say: triggers, statistics, requests."""

from __future__ import annotations

import time
from typing import Any

from tests.wire.expected import DCID

#: The trigger at the end of a collection, as options of both sides' programs.
TRIGGER = ("-r", "mimas", "-s", "event=end", str(DCID))
STATISTICS = "transient.statistics.cluster"


def statistic() -> dict[str, Any]:
    """Return what the site's cluster monitor broadcasts: there is room."""
    return {
        "statistic-group": "cluster",
        "statistic": "job-states",
        "statistic-cluster": "slurm",
        "statistic-timestamp": time.time(),
        "PENDING": 0,
        "RUNNING": 80,
    }


def request(recipe: str, autostart: bool) -> dict[str, Any]:
    """Return what a Mimas asks of the ISPyB connector."""
    return {
        "DCID": DCID,
        "autostart": autostart,
        "recipe": recipe,
        "source": "automatic",
        "comment": "",
        "displayname": "a job",
        "parameters": [{"key": "resolution", "value": "1.5"}],
        "sweeps": [],
        "triggervariables": [{"key": "statistic-cluster", "value": "slurm"}],
    }
