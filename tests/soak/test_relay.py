from __future__ import annotations

from collections import Counter

import pytest

from tests.soak.relay import Frames

STREAM = (
    b"CONNECTED\nversion:1.2\n\n\0\n\n"
    b"MESSAGE\ndestination:/queue/a.held\ncontent-length:7\n\nx\0y\n\n\0z\0\n"
    b"SEND\r\ndestination:/queue/a.held\n\nbody\0\n\n\n"
    b"MESSAGE\ndestination:/queue/a.held\ncontent-length:0\n\n\0"
    b"ACK\nid:1\n\n\0\n"
)
EXPECTED = {
    ("CONNECTED", ""): 1,
    ("MESSAGE", "a.held"): 2,
    ("SEND", "a.held"): 1,
    ("ACK", ""): 1,
}


@pytest.mark.parametrize("size", [1, 2, 7, 50, len(STREAM)])
def test_frames_are_counted_however_they_come(size: int) -> None:
    counter: Counter[tuple[str, str]] = Counter()
    frames = Frames(counter)
    for place in range(0, len(STREAM), size):
        frames.feed(STREAM[place : place + size])
    assert counter == EXPECTED
