"""``backlog-release`` in a hurry: ``python -m tests.soak.releaser PACE ARGUMENTS``.

The lease of a claim and the time for which a release counts are divided by PACE, so that a
test need not wait for minutes. They are constants of the code, and no settings.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command with its times divided."""
    from dlstbx_cli.services.held import values

    pace = float(sys.argv.pop(1))
    values.SETTLING /= pace
    # Only now: it takes the value over.
    from dlstbx_cli.database import held

    held.LEASE /= pace
    from dlstbx_cli.commands.backlog_release import main as command

    command()


if __name__ == "__main__":
    main()
