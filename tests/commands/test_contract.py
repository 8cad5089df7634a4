"""Every command keeps the contract."""

from __future__ import annotations

import configparser
import json
import os
from typing import Any, ClassVar

from tests.commands.contract import OTHERS, Contract, ReadsLines, ServiceContract
from tests.conftest import BIN, COMMANDS, TOP


class TestRecipeDispatch(ServiceContract):
    command = "recipe-dispatch"
    queue = "processing_recipe"


class TestMimasPlan(ServiceContract):
    command = "mimas-plan"
    queue = "mimas"


class TestMimasRules(Contract):
    command = "mimas-rules"


class TestIspybCreateJob(ServiceContract):
    command = "ispyb-create-job"
    queue = "ispyb_connector"


class TestBacklogRelease(ServiceContract):
    command = "backlog-release"
    queue = "mimas.held"


class TestBacklogLs(Contract):
    command = "backlog-ls"


class TestBacklogShow(Contract):
    command = "backlog-show"
    arguments: ClassVar[list[str]] = ["1"]
    code_without_work = 1


class TestBacklogNow(Contract):
    command = "backlog-now"
    arguments: ClassVar[list[str]] = ["1"]
    code_without_work = 1


class TestBacklogCancel(Contract):
    command = "backlog-cancel"
    arguments: ClassVar[list[str]] = ["--all", "--reason", "shutdown"]


class TestBacklogHold(Contract):
    command = "backlog-hold"


class TestBacklogResume(Contract):
    command = "backlog-resume"
    arguments: ClassVar[list[str]] = ["--all"]


class TestBacklogSimulate(ReadsLines):
    command = "backlog-simulate"
    arguments: ClassVar[list[str]] = ["--slots", "slurm=4"]
    queue = ""

    def check_bad_line(self, lines: list[Any]) -> None:
        assert lines == []  # none of these lines is an arrival


class TestMimasTrace(Contract):
    command = "mimas-trace"
    arguments: ClassVar[list[str]] = ["993677"]


class TestMimasDiff(Contract):
    command = "mimas-diff"
    arguments: ClassVar[list[str]] = ["-", os.devnull]


class TestQueuePut(ReadsLines):
    command = "queue-put"
    queue = "queue-put"

    def check_bad_line(self, lines: list[Any]) -> None:
        from tests.conftest import run

        assert lines == []  # it prints nothing: the dead letter is on the broker too
        (letter,) = run("queue-get", "dlq.queue-put").lines
        assert letter["headers"]["dlstbx-error"]
        assert run("queue-get", "nobody").lines[0]["message"] == OTHERS[0]["message"]


class TestIspybLookup(ReadsLines):
    command = "ispyb-lookup"
    queue = ""

    def check_bad_line(self, lines: list[Any]) -> None:
        assert lines == []  # none of these lines is a DCID


class TestGo(Contract):
    command = "dlstbx.go"
    arguments: ClassVar[list[str]] = ["--stdout", "-r", "mimas", "1"]


class TestQueueGet(Contract):
    command = "queue-get"
    arguments: ClassVar[list[str]] = ["some-queue"]


class TestQueueLs(Contract):
    command = "queue-ls"


class TestDemo(Contract):
    command = "dlstbx-demo"


class TestCompletion(Contract):
    command = "dlstbx-completion"
    arguments: ClassVar[list[str]] = ["bash"]


class TestTop(Contract):
    command = "dlstbx-top"
    arguments: ClassVar[list[str]] = ["--once"]

    def check_empty(self, out: str) -> None:
        # Nothing has been used yet but the records, of which nobody has asked for any.
        assert json.loads(out)["faults"].keys() == {
            *("queues", "dead_letters", "held", "clusters", "decisions"),
        }


class TestDlqLs(Contract):
    command = "dlq-ls"


class TestDlqShow(Contract):
    command = "dlq-show"
    arguments: ClassVar[list[str]] = ["some-id"]
    code_without_work = 1


class TestDlqRetry(Contract):
    command = "dlq-retry"
    arguments: ClassVar[list[str]] = ["--all"]


class TestDlqDrop(Contract):
    command = "dlq-drop"
    arguments: ClassVar[list[str]] = ["--all"]


class TestDlqExport(Contract):
    command = "dlq-export"


class TestPickup(Contract):
    command = "dlstbx.pickup"


class TestClusterStats(Contract):
    command = "cluster-stats"
    # What stands before squeue is a squeue itself, which prints the state of one job.
    arguments: ClassVar[list[str]] = ["--squeue", "sh -c 'echo PENDING'"]

    def check_empty(self, out: str) -> None:
        assert json.loads(out)["message"]["PENDING"] == 1


def test_every_command_is_under_contract() -> None:
    setup = configparser.ConfigParser()
    setup.read(TOP / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    declared = {
        line.split(" = ")[0]: line.split(".")[-1].removesuffix(":main") for line in scripts if line
    }
    assert declared == COMMANDS
    contracts = [Contract]
    for contract in contracts:
        contracts += contract.__subclasses__()
    assert {one.command for one in contracts if hasattr(one, "command")} == set(COMMANDS)
    assert {path.name for path in BIN.iterdir() if path.is_symlink()} >= set(COMMANDS)
