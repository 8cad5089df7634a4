from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.database import paths
from dlstbx_cli.services.errors import Rejected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("x_####.cbf", "x_%04d.cbf"),
        ("x_#.cbf", "x_%01d.cbf"),
        ("100%_##.cbf", "100%%_%02d.cbf"),
        ("ä_###_50%.cbf", "ä_%03d_50%%.cbf"),
        ("x_master.h5", "x_master.h5"),
        ("50%_master.h5", "50%_master.h5"),
        (None, None),
        ("", None),
    ],
)
def test_pattern(template, expected):
    assert paths.pattern(template) == expected


@given(st.text(alphabet="a#%d0/ä.", min_size=1), st.integers(0, 10**7))
def test_pattern_and_file_agree(template, number):
    if "#" in template:
        assert paths.image_file("", template, number).endswith(paths.pattern(template) % number)
    else:
        assert paths.image_file(None, template, number) == template


@pytest.mark.parametrize(
    ("directory", "template", "number", "expected"),
    [
        ("/d/", "x_####.cbf", 7, "/d/x_0007.cbf"),
        ("/d", "x_####.cbf", 0, "/d/x_0000.cbf"),
        ("/d", "x_##.cbf", 12345, "/d/x_12345.cbf"),
        ("/d", "50%_##.cbf", 1, "/d/50%_01.cbf"),
        ("/d", "x_master.h5", 1, "/d/x_master.h5"),
        (None, "x_##.cbf", 1, "x_01.cbf"),
    ],
)
def test_image_file(directory, template, number, expected):
    assert paths.image_file(directory, template, number) == expected


@pytest.mark.parametrize(
    ("first", "number", "expected"),
    [(1, 3600, 3600), (0, 10, 9), (5, 1, 5), (None, 10, None), (1, None, None)],
)
def test_last_image(first, number, expected):
    assert paths.last_image(first, number) == expected


@pytest.mark.parametrize(
    ("directory", "visit", "root", "rest"),
    [
        ("/dls/i03/data/2016/cm1-1/a/b/", "cm1-1", "/dls/i03/data/2016/cm1-1", ("a", "b")),
        ("/dls/i03/data/2016/cm1-1", "cm1-1", "/dls/i03/data/2016/cm1-1", ()),
        ("//dls/i03//data/2016/cm1-1/./a", "cm1-1", "/dls/i03/data/2016/cm1-1", ("a",)),
        ("/dls/mx/data/mx1/mx1-3/ü", "mx1-3", "/dls/mx/data/mx1/mx1-3", ("ü",)),
    ],
)
def test_visit_path(directory, visit, root, rest):
    assert paths.VisitPath.of(directory) == paths.VisitPath(visit, root, rest)


@pytest.mark.parametrize("directory", [None, "", "/", "/dls/i03/data/2016", "/dls/i03/data/2016/"])
def test_no_visit(directory):
    assert paths.VisitPath.of(directory) is None


@pytest.mark.parametrize("directory", ["dls/i03/data/2016/cm1-1/a", "a", "./dls", "../x"])
def test_relative_directory(directory):
    with pytest.raises(Rejected, match="not absolute"):
        paths.VisitPath.of(directory)


@pytest.mark.parametrize(
    ("prefix", "number", "level", "crystal"),
    [
        ("tlys_jan", 4, "tlys_jan_4", "xtlysjan4"),
        ("tlys", None, "tlys_", "DEFAULT"),
        (None, 4, "_4", "DEFAULT"),
        (None, None, None, "DEFAULT"),
        ("", None, None, "DEFAULT"),
        ("a%b-c.d", 0, "a%b-c.d_0", "xabcd0"),
    ],
)
def test_names_of_a_collection(prefix, number, level, crystal):
    assert paths.collection_level(prefix, number) == level
    assert paths.crystal(prefix, number) == crystal


@pytest.mark.parametrize(
    ("visit", "expected"), [("cm14451-1", "cm14451v1"), ("a-b-c", "avbvc"), (None, "AUTOMATIC")]
)
def test_project(visit, expected):
    assert paths.project(visit) == expected


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/dls/mx/data/mx1", True),
        ("/dls/mx", True),
        ("/dls/mx-scratch/a", False),
        ("/dls/i03", False),
        (None, False),
    ],
)
def test_is_below(directory, expected):
    assert paths.is_below(directory, "/dls/mx") is expected
