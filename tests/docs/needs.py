"""What the tests of the documentation need of the system."""

from __future__ import annotations

import os
import shutil

import pytest


def need(*programs: str) -> None:
    """Skip the test if a program is lacking; where CI=true that is a failure."""
    lacking = [program for program in programs if shutil.which(program) is None]
    if not lacking:
        return
    reason = f"lacking here: {', '.join(lacking)} (bin/test installs what it can)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
