"""The files that a visit's owner has put beside the data, good ones and odd ones."""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.database import visit
from dlstbx_cli.database.lookup import SOURCES, Lookup
from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.errors import Stuck
from tests.database.building import COLLECTION, ROWS, ispyb


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """An image directory below a visit that is really there (the fifth name of its path)."""
    assert len(tmp_path.parts) == 5  # / tmp pytest-of-... pytest-N test_N
    directory = tmp_path / "cm14451-1" / "processed_Sample" / "run1"
    directory.mkdir(parents=True)
    return directory


def rows(images: Path | None = None, **more: Any) -> dict[str, list[dict[str, Any]]]:
    collection = {**COLLECTION, **({"imageDirectory": f"{images}/"} if images else {})}
    return {**ROWS, "DataCollection": [collection], **more}


def look_up(tmp_path: Path, given: Any, **parameters: Any) -> dict[str, Any]:
    database = tmp_path / secrets.token_hex(4)
    database.mkdir()
    request = {"parameters": {"ispyb_dcid": 100, **parameters}}
    found: dict[str, Any] = Lookup(ispyb(database, given))(request)["parameters"]
    json.dumps(found, allow_nan=False)
    return found


NO_CRYSTAL: dict[str, Any] = {"Crystal": [{"crystalId": 2, "proteinId": 3}]}


@pytest.mark.parametrize(
    ("text", "space_group", "cell", "warnings"),
    [
        ("ispyb_space_group: P 21 21 21\nispyb_unit_cell: [1, 2.5, 3, 90, 90, 90]",
         "P 21 21 21", [1, 2.5, 3, 90, 90, 90], 0),
        ("ispyb_unit_cell: 1 2 3 90 90 90", None, [1, 2, 3, 90, 90, 90], 0),
        ("ispyb_unit_cell: 1,2,3, 90,90,90", None, [1, 2, 3, 90, 90, 90], 0),
        ("ispyb_space_group: P99\nispyb_unit_cell: 1,2,3,90,90,90", None,
         [1, 2, 3, 90, 90, 90], 1),
        ("ispyb_space_group: P1\nispyb_unit_cell: 1,2,3", "P1", None, 1),
        ("ispyb_space_group: 5", None, None, 1),
        ("ispyb_unit_cell: [a, b, c, d, e, f]", None, None, 1),
        ("ispyb_unit_cell: .nan 1 1 1 1 1", None, None, 1),
        ("[", None, None, 1),
        ("- list", None, None, 1),
        ("", None, None, 0),
        ("a: &x [1]\nb: *x", None, None, 1),
        ("a: " + "[" * 5000, None, None, 1),
        ("x" * 70_000, None, None, 1),
    ],
)  # fmt: skip
def test_the_visit_s_configuration_file(
    tmp_path: Path, images: Path, caplog: pytest.LogCaptureFixture, text: str,
    space_group: str | None, cell: Any, warnings: int,
) -> None:  # fmt: skip
    processing = images.parents[1] / "processing"
    processing.mkdir()
    (processing / "RUN1.yml").write_text(text)
    found = look_up(tmp_path, rows(images, **NO_CRYSTAL))
    assert (found["ispyb_space_group"], found["ispyb_unit_cell"]) == (space_group, cell)
    assert len(caplog.records) == warnings


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["run1.yml"], "P1"),
        (["Processed_sample.yaml"], "P1"),
        (["cm14451-1.yml"], None),  # the visit itself is not below the visit
        (["run2.yml"], None),
        (["run1.txt"], None),
        (["run1.yaml", "run1.yml"], "P1"),  # the first by name
    ],
)
def test_which_file_applies(
    tmp_path: Path, images: Path, names: list[str], expected: str | None
) -> None:
    processing = images.parents[1] / "processing"
    processing.mkdir()
    for place, name in enumerate(names):
        group = ["P1", "C2"][place]
        (processing / name).write_text(f"ispyb_space_group: {group}")
    assert look_up(tmp_path, rows(images, **NO_CRYSTAL))["ispyb_space_group"] == expected


def test_the_crystal_s_own_symmetry_comes_first(tmp_path: Path, images: Path) -> None:
    processing = images.parents[1] / "processing"
    processing.mkdir()
    (processing / "run1.yml").write_text("ispyb_space_group: P1")
    found = look_up(tmp_path, rows(images))
    assert (found["ispyb_space_group"], found["ispyb_unit_cell"]) == ("P41212", False)


def test_reference_geometry(tmp_path: Path, images: Path) -> None:
    assert look_up(tmp_path, rows(images))["ispyb_reference_geometry"] is None
    geometry = images.parents[1] / "processing" / "reference_geometry.expt"
    geometry.parent.mkdir()
    geometry.write_text("{}")
    assert look_up(tmp_path, rows(images))["ispyb_reference_geometry"] == str(geometry)


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A visit whose ``processing`` we may not look into: root is somebody else meanwhile."""
    # Not below pytest's folder, where nobody else may look at all.
    with tempfile.TemporaryDirectory(prefix="dlstbx-visit-") as name:
        directory, root = Path(name), os.geteuid() == 0
        (directory / "processing" / "pdb").mkdir(parents=True)
        (directory / "processing" / "run1.yml").write_text("ispyb_space_group: P1")
        directory.chmod(0o755)
        (directory / "processing").chmod(0)
        if root:
            os.seteuid(65534)
        try:
            yield directory
        finally:
            if root:
                os.seteuid(0)
            (directory / "processing").chmod(0o755)


def test_a_directory_without_permission_is_a_warning(
    forbidden: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = visit.VisitFiles(str(forbidden), Bounded())
    assert files.contents({"run1"}) == visit.VisitContents()
    assert files.keep([("x.pdb", "ATOM")]) == [None]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert all("Permission denied" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("make", "warning"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("/nowhere"), "No such file"),
        (lambda path: path.symlink_to(path), "Too many levels"),
        (lambda path: path.symlink_to("/dev/zero"), "more than 65536 bytes"),
        (lambda path: path.write_bytes(b"\xff\xfe\xfd"), "not a text in UTF-8"),
        (lambda path: path.write_text("a: " + "9" * 60_000), "not YAML"),
    ],
)
@pytest.mark.parametrize("name", ["run1.yml", "sample_groups.yml"])
def test_odd_files_are_warnings(
    tmp_path: Path, images: Path, caplog: pytest.LogCaptureFixture, name: str, make: Any,
    warning: str,
) -> None:  # fmt: skip
    processing = images.parents[1] / "processing"
    processing.mkdir()
    make(processing / name)
    found = look_up(tmp_path, rows(images, **NO_CRYSTAL))
    assert found["ispyb_space_group"] is None
    assert len(found["ispyb_related_dcids"]) == 1
    (record,) = caplog.records
    assert warning in record.getMessage()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/nowhere"),
        lambda path: path.symlink_to(path),
        os.mkfifo,
    ],
)
def test_a_model_that_is_no_file_is_a_warning(
    tmp_path: Path, images: Path, caplog: pytest.LogCaptureFixture, make: Any
) -> None:
    directory = images.parents[1] / "processing" / "pdb"
    directory.mkdir(parents=True)
    make(directory / "x.pdb")
    (directory / os.fsdecode(b"\xff.pdb")).write_text("ATOM")
    assert look_up(tmp_path, rows(images))["ispyb_pdb"] == []
    assert len(caplog.records) == 2
    for record in caplog.records:
        record.getMessage().encode()


@pytest.mark.parametrize("name", ["processing", "processing/pdb"])
def test_a_file_where_a_directory_should_be(tmp_path: Path, images: Path, name: str) -> None:
    path = images.parents[1] / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("a file")
    assert look_up(tmp_path, rows(images))["ispyb_pdb"] == []


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("- [1, run1]\n- [run2]", 1),
        ("run1: [run1]", 1),
        ("- run1", 1),
        ("- [run1]\n- {}", 1),
        ("", 0),
        ("[]", 0),
        ("- []", 0),
        ("&a [*a]", 1),
        ("- &a [run1]\n- *a", 1),
    ],
)
def test_odd_sample_groups(
    tmp_path: Path, images: Path, caplog: pytest.LogCaptureFixture, text: str, warnings: int
) -> None:
    processing = images.parents[1] / "processing"
    processing.mkdir()
    (processing / "sample_groups.yml").write_text(text)
    groups = look_up(tmp_path, rows(images))["ispyb_related_dcids"]
    assert groups[:-1] == ([{"dcids": [100]}] if text.startswith("- [1, run1]") else [])
    assert len(caplog.records) == warnings


def test_where_the_symmetry_came_from(tmp_path: Path, images: Path) -> None:
    processing = images.parents[1] / "processing"
    processing.mkdir()
    (processing / "run1.yml").write_text("ispyb_space_group: P1")
    database = tmp_path / "database"
    database.mkdir()
    lookup = Lookup(ispyb(database, rows(images, **NO_CRYSTAL)))
    _, origins = lookup.explained({"parameters": {"ispyb_dcid": 100}})
    assert origins["ispyb_space_group"] == f"ispyb_space_group in {processing}/run1.yml"
    assert origins["ispyb_unit_cell"].startswith("neither the crystal")
    (tmp_path / "other").mkdir()
    _, origins = Lookup(ispyb(tmp_path / "other", rows(images))).explained(
        {"parameters": {"ispyb_dcid": 100}}
    )
    assert origins["ispyb_space_group"] == "Crystal.spaceGroup of the group's sample"


def _hanging(visit_directory: Path) -> int:
    names = [thread.name for thread in threading.enumerate()]
    return sum(name.startswith(f"bounded {visit_directory}") for name in names)


def test_a_file_system_that_hangs_costs_a_request_its_wait(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "PATIENCE", 0.3)
    processing = images.parents[1] / "processing"
    processing.mkdir()
    os.mkfifo(processing / "run1.yml")  # opening it waits for a writer, for ever
    (tmp_path / "database").mkdir()
    lookup = Lookup(ispyb(tmp_path / "database", rows(images, **NO_CRYSTAL)))
    begin = time.monotonic()
    with pytest.raises(Stuck, match="does not answer"):
        lookup({"parameters": {"ispyb_dcid": 100}})
    assert 0.2 < time.monotonic() - begin < 2
    assert _hanging(images.parents[1]) == 1
    for _ in range(20):  # it costs those who ask again neither time nor threads
        with pytest.raises(Stuck, match="still"):
            lookup({"parameters": {"ispyb_dcid": 100}})
    both = {"parameters": {"ispyb_dcid": 100}}, {"parameters": {"ispyb_dcid": 404}}
    stuck, unknown = lookup.several(both, ["ispyb_space_group"])
    assert isinstance(stuck, Stuck)
    assert str(unknown) == "DCID 404 is not in ISPyB"  # the others go on
    assert _hanging(images.parents[1]) == 1
    with (processing / "run1.yml").open("w") as writer:  # it answers again
        writer.write("ispyb_space_group: P1")
    time.sleep(0.2)
    (processing / "run1.yml").unlink()
    assert lookup({"parameters": {"ispyb_dcid": 100}})["parameters"]["ispyb_space_group"] is None


def test_all_looks_of_a_look_up_share_their_time(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "PATIENCE", 0.4)
    files = visit.VisitFiles("place", Bounded())
    monkeypatch.setattr(visit, "_contents", lambda *_: time.sleep(0.3))
    monkeypatch.setattr(visit, "_kept", lambda *_: time.sleep(0.3))
    files.contents([])
    with pytest.raises(Stuck):
        files.keep([("x", "y")])


def test_the_directories_of_a_visit_are_listed_once_for_many_collections(
    tmp_path: Path, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    visits = [f"{images}/", f"{images.parent}/run2/"]
    for name in ("run1", "run2"):
        settings = images.parents[1] / "processing" / f"{name}.yml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(f"ispyb_space_group: {'P1' if name == 'run1' else 'P2'}")
    (images.parents[1] / "processing" / "pdb" / "odd.pdb").mkdir(parents=True)  # said each time
    given = rows(images, **NO_CRYSTAL)
    (first,) = given["DataCollection"]
    given["DataCollection"] = [
        {**first, "dataCollectionId": 100 + n, "imageDirectory": visits[n % 2]} for n in range(6)
    ]
    (tmp_path / "database").mkdir()
    lookup = Lookup(ispyb(tmp_path / "database", given))
    requests = [{"parameters": {"ispyb_dcid": 100 + n, "guid": "g"}} for n in range(6)]
    found = lookup.several(requests, SOURCES)
    assert [one["ispyb_space_group"] for one in found] == ["P1", "P2"] * 3
    assert caplog.text.count("odd.pdb: it is not a file") == 2
    assert found == [lookup(request)["parameters"] for request in requests]
