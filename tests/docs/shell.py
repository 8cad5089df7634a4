"""A user at a shell: a fresh demo facility, and commands typed into one bash."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.tokens import jwt
from tests.docs.pages import TOP

_BETWEEN = "@@ next @@"

#: What a facility has on its broker before anybody types: some of everything.
SEED = """\
dlstbx-demo > list
mimas-plan 993677 | ispyb-create-job | recipe-dispatch | queue-put
dlstbx.go --stdout -r mimas -s event=end 993678 | recipe-dispatch | queue-put
echo '{"dcid": 0, "event": "end"}' | mimas-plan | queue-put
ispyb-create-job --dcid=1 --recipe=none | queue-put
true"""

#: Files that examples refer to, or that make what they need.
FILES = {
    "my-recipe.json": json.dumps(
        {"1": {"service": "Demo processing", "queue": "demo.processing"}, "start": [[1, []]]}
    ),
    "scenarios.jsonl": '{"dcid": 1, "event": "end", "beamline": "i03", "detectorclass": "eiger"}\n',
    "arrivals.jsonl": "".join(
        json.dumps({"taken": 1_700_000_000 + 40 * n, "visit": f"mx37124-{n % 3}"}) + "\n"
        for n in range(20)
    ),
    "dcids.txt": "993677\n993700\n",
    "restore.py": """
import sqlite3, time
with sqlite3.connect("home/state.sqlite3") as state:
    state.execute("UPDATE dlstbx_held SET state = CASE id WHEN 1 THEN 'released' ELSE 'held' END")
    until = int(1000 * time.time() + 1e7)
    pause = (4, "beamline", "i03", until, "me", "detector tests")
    columns = "id, kind, name, until, owner, reason"
    state.execute(f"REPLACE INTO dlstbx_pause ({columns}) VALUES (?, ?, ?, ?, ?, ?)", pause)
""",
    "token": jwt(sun="gda2"),
    # No broker answers on this port: what is sent to it is stored.
    "stomp.cfg": "[stomp]\nport = 1\nusername = me\npassword = secret\n",
}


#: Programs that examples call, and a machine may lack: a cluster without room, a way to it.
PROGRAMS = {
    "bin/squeue": "#!/bin/sh\nyes PENDING | head -n 60\nyes RUNNING | head -n 80\n",
    "bin/ssh": '#!/bin/sh\nshift\nexec "$@"\n',
}


@dataclass(frozen=True)
class Typed:
    """A command that was typed, and what came of it."""

    command: str
    status: int
    stdout: str
    stderr: str


class Facility:
    """A directory with a demo facility in it, whose commands are those of this checkout."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"

    @classmethod
    def made(cls, directory: Path) -> Facility:
        """Make a facility anew."""
        facility = cls(directory)
        (directory / "bin").mkdir()
        for name, text in {**FILES, **PROGRAMS}.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755 if name in PROGRAMS else 0o644)
        seeded = facility.bash(SEED)
        assert seeded.status == 0, seeded.stderr
        return facility

    def copy(self, directory: Path) -> Facility:
        """Return a copy of this facility in a directory that does not exist yet."""
        shutil.copytree(self.directory, directory)
        return Facility(directory)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user with this checkout's ``bin`` and nothing else configured."""
        ours = ("DLSTBX_", "ZOCALO", "ISPYB", "XDG_", "SLURM")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        own_programs = str(self.directory / "bin")
        path = [str(TOP / "bin"), own_programs, str(Path(sys.executable).parent)]
        path.append(os.environ["PATH"])
        own = {"DLSTBX_HOME": str(self.home), "TMPDIR": str(self.directory), "LC_ALL": "C.UTF-8"}
        return {**kept, **own, "PATH": ":".join(path), "NO_COLOR": "1", "COLUMNS": "80"}

    def bash(self, script: str, directory: Path | None = None) -> Typed:
        """Run a script in one bash, here or in another directory."""
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=directory or self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Typed(script, run.returncode, run.stdout, run.stderr)

    def session(self, commands: list[str], directory: Path | None = None) -> list[Typed]:
        """Type commands into one bash, one after the other."""
        # The separator goes to both streams: what is said belongs to a command as well.
        after = f'echo "{_BETWEEN}$?" | tee /dev/stderr'
        run = self.bash("\n".join(f"{command}\n{after}" for command in commands), directory)
        outs, errs = (_parts(text) for text in (run.stdout, run.stderr))
        assert len(outs) == len(commands), run.stderr
        return [
            Typed(command, int(status), out, err)
            for command, (out, status), (err, _) in zip(commands, outs, errs, strict=True)
        ]


def _parts(text: str) -> list[tuple[str, str]]:
    return re.findall(rf"(.*?)^{_BETWEEN}(\d+)\n", text, re.S | re.M)
