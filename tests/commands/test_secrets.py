"""Whatever an error says, no password is shown."""

from __future__ import annotations

from typing import Any

import pytest

from dlstbx_cli.services.errors import Unavailable
from tests.conftest import run

TEXT = "no answer of http://me:s3cret@api:15672/ (http%3A%2F%2Fme%3As3cret%40api, ?password=s3cret)"


@pytest.mark.parametrize("error", [Unavailable(TEXT), RuntimeError(TEXT)])
@pytest.mark.parametrize("more", [[], ["-vv"], ["--log-format", "json", "-vv"]])
@pytest.mark.parametrize(
    "command", [["queue-ls"], ["dlstbx.go", "-r", "a", "7"], ["mimas-plan", "--once"]]
)
def test_errors_are_discreet(
    home: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, more: list[str], command: Any
) -> None:
    def connect(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("dlstbx_cli.transport.broker.connect", connect)
    outcome = run(*command, *more)
    assert "no answer of http://me:***@api" in outcome.err
    assert "s3cret" not in outcome.err + outcome.out
