"""``recipe-dispatch``: look requests up in ISPyB, fill in their recipes, start them."""

from __future__ import annotations

import time
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command

EXAMPLES = """\
dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch
dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch | jq .message.recipe
recipe-dispatch --listen"""


@command("recipe-dispatch", EXAMPLES)
@options.service
@options.ispyb
@options.recipes
@click.option("--logbook", metavar="DIR", help="Write every dispatched request to this directory.")
def main_command(
    run: Run, ispyb: str | None, recipes: str | None, logbook: str | None, **ways: Any
) -> int:
    """Look requests up in ISPyB, fill in their recipes and start them.

    Takes the requests addressed to processing_recipe and puts in their place the
    messages that start the recipe: for the recipe mimas, one to the queue mimas. A
    request that waits for a run status is looked at every 2 seconds.
    """
    from dlstbx_cli.commands.serving import Serving, serve
    from dlstbx_cli.database.lookup import Lookup
    from dlstbx_cli.recipes import RecipeDirectory
    from dlstbx_cli.recipes.logbook import Logbook
    from dlstbx_cli.services.dispatcher import Dispatcher

    serving = Serving(**ways)

    def make() -> Dispatcher:
        store = RecipeDirectory(run.configuration.recipes(recipes))
        directory = run.configuration.logbook(logbook)
        book = Logbook(directory) if directory else None
        return Dispatcher(Lookup(options.engine(run, ispyb)), store, time.time, book)

    return serve(run, make, serving)


main = main_command.main
