"""What the manual says of overrides."""

from __future__ import annotations

import tomllib

from dlstbx_cli.mimas.overrides import overrides_from
from tests.docs.pages import MAN, Page


def test_the_example_of_the_page_is_valid() -> None:
    blocks = Page(MAN / "dlstbx.5").blocks("DESCRIPTION")
    (example,) = (block for block in blocks if "[[override]]" in block)
    drop, hold = overrides_from(tomllib.loads(example))
    assert (drop.action, drop.where["beamline"]) == ("drop", ("i03",))
    assert (hold.action, hold.where["visit"]) == ("hold", ("cm40607", "mx23694-1"))
