"""Held jobs for soaks and benchmarks: their messages, and their releasers as processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlstbx_cli.services.backlog import STATISTICS_TOPIC
from dlstbx_cli.services.message import DCID_HEADER, RECIPE_HEADER, Message, Queue, Topic
from tests.soak.site import BIN, bare_environment

QUEUE, RELEASED = "mimas.held", "processing_recipe"
_RECIPE = "autoprocessing-xia2-dials-eiger"
_DCID = 993677

#: As the recipe ``mimas`` makes it, with what the look-up has filled in.
_STEPS: dict[str, Any] = {
    "start": [[1, []]],
    "1": {
        "service": "Mimas",
        "queue": "mimas",
        "parameters": {
            "dcid": str(_DCID),
            "event": "end",
            "dc_class": {"grid": False, "screen": False, "rotation": True, "serial_jet": False},
            "beamline": "i03",
            "run_status": "DataCollection Successful",
            "sweep_list": [[_DCID + number, 1, 3600] for number in range(3)],
            "unit_cell": [53.4, 71.9, 72.3, 90.0, 90.0, 90.0],
            "space_group": "P212121",
            "detectorclass": "eiger",
            "preferred_processing": "xia2/DIALS",
            "diffraction_plan_info": None,
        },
        "output": {"dispatcher": 2, "ispyb": 3},
    },
    "2": {"service": "Dispatcher", "queue": RELEASED},
    "3": {
        "service": "ISPyB connector",
        "queue": "ispyb_connector",
        "parameters": {"ispyb_command": "create_ispyb_job"},
        "output": {"trigger": 4, "held": 5},
    },
    "4": {"service": "Dispatcher", "queue": RELEASED},
    "5": {"service": "Mimas backlog", "queue": QUEUE, "output": [6]},
    "6": {"service": "Dispatcher", "queue": RELEASED},
}


def held(number: int, *, visit: str, cluster: str = "slurm", recipe: str = _RECIPE) -> Message:
    """Return the message that holds job *number*, as ``ispyb-create-job`` sends it."""
    first = {**_STEPS["1"], "parameters": {**_STEPS["1"]["parameters"], "visit": visit}}
    identity = identity_of(number)
    body = {
        "environment": {"ID": identity},
        "payload": {"parameters": {"ispyb_process": number, "statistic-cluster": cluster}},
        "recipe": {**_STEPS, "1": first},
        "recipe-path": [1, 3],
        "recipe-pointer": 5,
    }
    headers = {
        "workflows-recipe": "True",
        "dlstbx-id": identity,
        RECIPE_HEADER: recipe,
        DCID_HEADER: str(_DCID),
    }
    return Message(Queue(QUEUE), body, headers)


def identity_of(number: int) -> str:
    """Return the identity of the message that holds a job."""
    return f"held-{number:08}"


def job_of(message: Message) -> int:
    """Return the number of the job whose recipe a message starts."""
    return int(message.body["payload"]["parameters"]["ispyb_process"])


def statistic(cluster: str, pending: int, timestamp: float) -> Message:
    """Return the broadcast that so many jobs wait on a cluster."""
    body = {
        "statistic-group": "cluster",
        "statistic": "job-states",
        "statistic-cluster": cluster,
        "statistic-timestamp": timestamp,
        "PENDING": pending,
    }
    return Message(Topic(STATISTICS_TOPIC), body)


@dataclass(frozen=True)
class Releasers:
    """Where ``backlog-release --listen`` is started, and how.

    :param pace: 1: the command as it is; more: its times (see ``releaser``) divided by that.
    """

    folder: Path
    broker: str
    state: str
    options: Sequence[str] = ()
    pace: float = 1.0
    settings: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[bytes]:
        """Start one; what it says is kept in a file."""
        command = [str(BIN / "backlog-release")]
        if self.pace != 1:
            command = [sys.executable, "-m", "tests.soak.releaser", str(self.pace)]
        environment = {
            "DLSTBX_HOME": str(self.folder),
            "DLSTBX_BROKER": self.broker,
            "DLSTBX_STATE": self.state,
            **self.settings,
        }
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, "--listen", *self.options],
                cwd=BIN.parent,
                env=bare_environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    @property
    def log(self) -> Path:
        """The file with what they have said."""
        return self.folder / "backlog-release.log"

    def complaints(self) -> list[str]:
        """Return what they have said that points to a bug."""
        words = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return [line for line in words.splitlines() if "internal" in line or "Traceback" in line]
