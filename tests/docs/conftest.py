"""The facility that the documentation's examples are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.needs import need
from tests.docs.shell import Facility


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Facility:
    """Return a facility to be copied: to make one takes two seconds."""
    need("bash", "jq")
    return Facility.made(tmp_path_factory.mktemp("facility"))


@pytest.fixture
def facility(template: Facility, tmp_path: Path) -> Facility:
    """Return a facility of the test's own."""
    return template.copy(tmp_path / "facility")


@pytest.fixture
def empty(tmp_path: Path) -> Facility:
    """Return a directory where nothing has been made yet."""
    need("bash", "jq")
    return Facility(tmp_path)
