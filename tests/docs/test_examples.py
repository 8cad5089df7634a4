"""The examples of the manual pages are typed into a shell, as printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest

from tests.docs.pages import Page
from tests.docs.shell import Facility
from tests.docs.test_man_pages import CONFIGURATION, PAGES
from tests.servers.slurmrestd import Slurmrestd

#: Examples that show a rejected message, and so do not end with 0.
REJECTING = ('echo \'{"dcid": 0',)
#: Examples that show what differs, and so do not end with 0 either.
DIFFERING = ("mimas-diff before", "mimas-diff --summary")
#: How an example ends that prints nothing on standard output.
SILENT = ("queue-put", ".jsonl", ".txt", "done", "--send", "> _dlstbx", "> dlstbx.fish")

_LETTER = (
    'echo \'{"queue": "dlq.QUEUE", "message": {"recipe": {}, "parameters": {"ispyb_dcid": 404}},'
    ' "headers": {"dlstbx-id": "5b1f7a52-QUEUE", "dlstbx-error": "no recipe for DCID 404"}}\''
    " | queue-put"
)
_LETTERS = [_LETTER.replace("QUEUE", queue) for queue in ("mimas", "processing_recipe")]
#: Some twenty held jobs in the store, of which one has been released, and a pause.
_BACKLOG = [
    "[ -e held ] || dlstbx.go --stdout -r mimas -s event=end 993677 993677 | recipe-dispatch |"
    " mimas-plan | ispyb-create-job | queue-put",
    "[ -e held ] || backlog-release --once; touch held",
    "python restore.py",
]
#: What there must be before each example of a page: dead letters, stored triggers, held jobs.
BEFORE = {
    **{
        f"backlog-{verb}.1": _BACKLOG
        for verb in ("cancel", "hold", "ls", "now", "release", "resume", "show")
    },
    **{f"dlq-{verb}.1": _LETTERS for verb in ("ls", "show", "retry", "drop", "export")},
    "backlog-simulate.1": ["backlog-release --once < /dev/null"],
    "mimas-plan.1": [
        "mimas-plan --record records 993677 > plan && cat records/* > mimas-2026-11-25.jsonl"
    ],
    "mimas-trace.1": _BACKLOG,
    "mimas-diff.1": [
        "[ -e before.jsonl ] || mimas-plan --event all $(cat dcids.txt) > before.jsonl",
        "sed 's/medium/high/' before.jsonl > after.jsonl",
    ],
    "dlstbx.pickup.1": ["dlstbx.go --drop -r mimas -s event=end 993677"],
}


def examples(path) -> list[str]:
    return Page(path).examples()


def here(command: str, facility: Facility, slurm: Slurmrestd) -> str:
    """Return a command that leaves its files in the test's directory, and asks its Slurm."""
    command = command.replace("sqlite:////tmp/", f"sqlite:///{facility.directory}/")
    command = command.replace("/var/lib/dlstbx", str(facility.directory))
    return command.replace("https://slurm.example.org:6820", slurm.url)


@pytest.mark.parametrize(
    "path", [each for each in PAGES if not each.is_symlink()], ids=lambda path: path.name
)
def test_examples_do_what_they_say(path, facility: Facility, slurmrestd: Slurmrestd) -> None:
    commands = [here(each, facility, slurmrestd) for each in examples(path) if ends(each)]
    before = BEFORE.get(path.name, [])
    session = facility.session([step for each in commands for step in [*before, each]])
    typed = session[len(before) :: len(before) + 1]
    assert typed
    for one in typed:
        expected = 1 if one.command.startswith((*REJECTING, *DIFFERING)) else 0
        assert one.status == expected, (one.command, one.stderr)
        assert "internal error" not in one.stderr, one.command
        if not is_silent(one.command):
            assert one.stdout.strip() not in ("", "null", "[]"), one.command


def ends(command: str) -> bool:
    """Tell whether an example ends by itself."""
    live = command.startswith("dlstbx-top") and "--once" not in command
    return "--listen" not in command and not live


def is_silent(command: str) -> bool:
    sends = ("dlstbx.go" in command and "--stdout" not in command) or "--once" in command
    hook = "RunAt" in command or command.startswith(("export", "source"))
    back = command.startswith(("dlq-retry", "dlstbx.pickup")) and "--stdout" not in command
    done = re.search(r"backlog-(now|cancel|resume|hold .)", command) is not None
    return sends or hook or back or done or command.endswith(SILENT)


def test_services_listen_until_they_are_told_to_stop(
    facility: Facility, slurmrestd: Slurmrestd
) -> None:
    listening = [
        here(each, facility, slurmrestd)
        for path in PAGES
        for each in examples(path)
        if "--listen" in each
    ]
    assert len(listening) == 7
    services = [
        subprocess.Popen(each.split(), env=facility.environment, stderr=subprocess.PIPE, text=True)
        for each in listening
    ]
    # The trigger's way through all of them shows that each is at work.
    facility.session(["dlstbx.go -r mimas -s event=end 993700"])
    wanted = 'select(.message.recipe["1"].parameters | .dcid == "993700" and .process)'
    look = [
        f"queue-get --peek demo.processing | jq -c '{wanted}' | wc -l",
        "backlog-ls --all --dcid 993700",
    ]
    for _ in range(40):
        started, held = facility.session(look)
        if started.stdout.strip() == "3" and held.stdout:
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"the triggered jobs did not come through: {started.stdout}{held.stdout}")
    for service in services:
        os.kill(service.pid, signal.SIGTERM)
    for service in services:
        _, said = service.communicate(timeout=10)
        assert service.returncode == 0, (service.args, said)


def test_stored_triggers_are_sent_as_the_page_says(facility: Facility) -> None:
    (path,) = (each for each in PAGES if each.name == "dlstbx.go.1")
    *_, drop, send = examples(path)
    state = "queue-ls | jq 'select(.queue == \"processing_recipe\") | .ready'"
    before, _, stored, _, after, left = facility.session(
        [state, drop, "ls drop", send, state, "ls drop"]
    )
    assert len(stored.stdout.split()) == 1
    assert int(after.stdout) == int(before.stdout or 0) + 1
    assert left.stdout == ""


def test_the_rules_of_a_site_are_asked(facility: Facility) -> None:
    module, setup = CONFIGURATION.blocks("SITE RULES")
    site = facility.directory / "site"
    metadata = site / "p99_rules-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "p99_rules.py").write_text(module)
    entries = setup.split("[options.entry_points]\n")[1]
    group, *lines = [line.strip() for line in entries.splitlines()]
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: p99-rules\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "\n".join([f"[{group.removesuffix(' =')}]", *lines]) + "\n"
    )
    scenario = '{"dcid": 7, "event": "end", "beamline": "p99", "dc_class": "rotation"}'
    (typed,) = facility.session(
        [f"echo '{scenario}' | PYTHONPATH={site} mimas-plan --rules p99 --commands"]
    )
    assert typed.stdout.splitlines() == [
        "zocalo.go -r processing-rlv 7",
        "ispyb.job --new --dcid=7 --source=automatic --recipe=autoprocessing-xia2-dials"
        " --display='xia2' --trigger",
    ]


def test_the_zocalo_configuration_of_the_page_can_be_used(facility: Facility) -> None:
    text = CONFIGURATION.blocks("EXAMPLES")[-1]
    (facility.directory / "zocalo.yml").write_text(text + "\n")
    statistic = (
        '{"topic": "transient.statistics.cluster", "message": {"statistic-group": "cluster",'
        ' "statistic": "job-states", "statistic-cluster": "slurm",'
        ' "statistic-timestamp": NOW, "PENDING": 39}}'
    )
    held = '{"queue": "mimas.held", "message": {"parameters": {"ispyb_process": 1}}}'
    (typed,) = facility.session(
        [
            f"printf '%s\\n' '{statistic}' '{held}' '{held}' | sed \"s/NOW/$(date +%s)/\" |"
            " ZOCALO_CONFIG=zocalo.yml backlog-release | jq -r .queue//.topic"
        ]
    )
    assert typed.stdout.split() == [
        "transient.statistics.cluster",
        "processing_recipe",
        "mimas.held",
    ]
