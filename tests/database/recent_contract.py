"""What one look-up has read, used by the next: never anything older than the request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from dlstbx_cli.database import recent
from dlstbx_cli.database.connection import writing
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.recipes import SHIPPED, RecipeDirectory
from dlstbx_cli.services.dispatcher import Dispatcher
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue
from tests.database.building import ROWS, add, counted

#: Recipes of several kinds, with many parameters.
RECIPES = ("mimas", "per-image-analysis-rotation", "archive-nexus", "processing-rlv")


def look(lookup: Lookup, arrived: float | None, **parameters: Any) -> dict[str, Any]:
    given = {"ispyb_dcid": 100, "guid": "g", **parameters}
    return lookup({"parameters": given}, arrived)["parameters"]


def write(engine: Engine, images: int) -> None:
    with writing(engine) as connection:
        statement = text("UPDATE DataCollection SET numberOfImages = :images")
        connection.execute(statement, {"images": images})


def checkouts(engine: Engine) -> list[int]:
    """Return a list that gets longer with each connection that is asked for."""
    found: list[int] = []
    event.listen(engine, "checkout", lambda *_: found.append(len(found)))
    return found


def check_dispatch(engine: Engine, dcids: Sequence[int]) -> None:
    """What is dispatched, all at once and shared, is what is dispatched one by one."""

    def dispatched(arrived: float | None) -> list[list[Message]]:
        dispatcher = Dispatcher(Lookup(engine), RecipeDirectory(SHIPPED), time.time)
        return [
            dispatcher.handle(request(dcid, number, name, arrived))
            for dcid in dcids
            for number, name in enumerate(RECIPES)
        ]

    def request(dcid: int, number: int, name: str, arrived: float | None) -> Message:
        body = {"recipes": [name], "parameters": {"ispyb_dcid": dcid}}
        header = {"dlstbx-id": f"{dcid}-{number}"}
        return Message(Queue("processing_recipe"), body, header, arrived=arrived)

    alone = dispatched(None)
    statements = counted(engine)
    assert dispatched(time.monotonic()) == alone
    assert len(statements) <= 6 * len(dcids)


class RecentContract:
    def test_who_had_come_before_reads_nothing_again(self, engine: Engine) -> None:
        add(engine, ROWS)
        lookup = Lookup(engine)
        arrived = time.monotonic()
        first = look(lookup, arrived)
        statements, connections = counted(engine), checkouts(engine)
        second = look(lookup, arrived, guid="another")
        assert not statements
        assert not connections
        assert second["ispyb_dc_info"]["uuid"] == "another"
        assert look(lookup, arrived) == first == look(Lookup(engine), None)

    def test_who_comes_later_reads_for_himself(self, engine: Engine) -> None:
        add(engine, ROWS)
        lookup = Lookup(engine)
        before = time.monotonic()
        look(lookup, before)
        write(engine, 17)
        assert look(lookup, time.monotonic())["ispyb_image_last"] == 17
        # And what he has read is there for those before him.
        assert look(lookup, before)["ispyb_image_last"] == 17

    @pytest.mark.parametrize("number", [2, 3, 4])
    def test_what_changes_while_somebody_reads(self, engine: Engine, number: int) -> None:
        """A transaction shows to its end how the database was at its beginning."""
        add(engine, ROWS)
        lookup, statements = Lookup(engine), counted(engine)
        arrivals: list[float] = []

        def between(*_: Any) -> None:
            if len(statements) == number and not arrivals:
                arrivals.append(0.0)
                write(engine, 17)
                arrivals[0] = time.monotonic()

        event.listen(engine, "before_cursor_execute", between)
        first = look(lookup, time.monotonic())
        found = look(lookup, *arrivals)
        event.remove(engine, "before_cursor_execute", between)
        assert found == look(Lookup(engine), None) != first
        assert found["ispyb_image_last"] == found["ispyb_related_sweeps"][0][2] == 17

    @pytest.mark.parametrize("arrived", [None, 0.0])
    def test_who_has_waited_for_long_reads_for_himself(
        self, engine: Engine, arrived: float | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recent, "KEPT", 0.05)
        add(engine, ROWS)
        lookup = Lookup(engine)
        look(lookup, arrived)
        write(engine, 17)
        time.sleep(0.1)
        assert look(lookup, arrived)["ispyb_image_last"] == 17

    def test_other_collections_are_others(self, engine: Engine) -> None:
        add(engine, ROWS)
        lookup = Lookup(engine)
        look(lookup, 0.0)
        with pytest.raises(Rejected, match="DCID 101 is not in ISPyB"):
            look(lookup, 0.0, ispyb_dcid=101)
        # A number is the same, however it is written.
        assert look(lookup, 0.0, ispyb_dcid="100")["ispyb_dc_info"]["dataCollectionId"] == 100
