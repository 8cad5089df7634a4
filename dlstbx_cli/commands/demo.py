"""``dlstbx-demo``: a facility to try things on."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.services.errors import Misconfigured

EXAMPLES = """\
dlstbx-demo
dlstbx-demo --jobs
dlstbx-demo | jq -c 'select(.beamline == "i24")'
dlstbx-demo --ispyb sqlite:////tmp/ispyb.sqlite3"""


@command("dlstbx-demo", EXAMPLES)
@click.option("--jobs", is_flag=True, help="List the processing jobs instead.")
@options.table
@options.ispyb
def main_command(run: Run, jobs: bool, table: bool, ispyb: str | None) -> int:
    """Make a demo facility in the embedded ISPyB, and list it.

    About a dozen visits and sixty data collections of all kinds, in an SQLite file. What
    is there already is not changed. At a terminal a table, on a pipe JSON Lines.
    """
    from dlstbx_cli.database.demo import collections, make, processing_jobs

    options.refuse_password(ispyb, "--ispyb")
    setting = run.configuration.ispyb(ispyb)
    if not setting.value.startswith("sqlite:"):
        raise Misconfigured(
            f"the demo facility is made in an SQLite file only, and {setting.origin} names "
            "another database: give --ispyb sqlite:////PATH"
        )
    engine = make(setting.value)
    found: list[Any] = processing_jobs(engine) if jobs else collections(engine)
    if table or sys.stdout.isatty():
        (_print_jobs if jobs else _print_collections)(found)
    else:
        for one in found:
            click.echo(json.dumps(asdict(one)))
    return 0


main = main_command.main


def _print_collections(found: list[Any]) -> None:
    from dlstbx_cli.commands.trees import print_table

    rows = [
        (
            one.dcid,
            one.beamline,
            one.visit,
            ", ".join(one.kinds) + (" (running)" if one.running else ""),
            one.detector,
            one.images,
            one.related,
            one.sample,
            one.space_group,
        )
        for one in found
    ]
    columns = ["DCID", "beamline", "visit", "kind", "detector", "images", "related", "sample"]
    print_table([*columns, "space group"], rows)


def _print_jobs(found: list[Any]) -> None:
    from dlstbx_cli.commands.trees import print_table

    rows = [
        (one.job, one.dcid, one.recipe, one.displayname, len(one.parameters), len(one.sweeps))
        for one in found
    ]
    print_table(["job", "DCID", "recipe", "display", "parameters", "sweeps"], rows)
