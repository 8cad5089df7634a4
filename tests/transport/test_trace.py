"""What log lines say of a message."""

from __future__ import annotations

import pytest

from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.trace import trace


@pytest.mark.parametrize(
    ("body", "recipe_id", "dcid"),
    [
        (None, None, None),
        ({"parameters": {"ispyb_dcid": 7, "guid": "g"}}, "g", 7),
        ({"parameters": {"ispyb_dcid": [7], "guid": {}}}, None, None),
        ({"dcid": 7}, None, 7),
        (
            {
                "environment": {"ID": "e"},
                "recipe": {"1": {"parameters": {"dcid": 8}}},
                "recipe-pointer": 1,
            },
            "e",
            8,
        ),
        ({"environment": {"ID": "e"}, "payload": {"DCID": 9}}, "e", 9),
        ({"environment": [], "payload": 1, "recipe": {"1": 2}, "recipe-pointer": "1"}, None, None),
    ],
)
def test_trace(body, recipe_id, dcid):
    assert trace(Message(Queue("q"), body)) == {"recipe_id": recipe_id, "dcid": dcid}
