from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflows.recipe import Recipe

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.filling import asked, fill

PARAMETERS = {
    "dcid": 993677,
    "visit": "cm14451-1",
    "cell": [57.5, 57.5, 149.0, 90, 90, 90],
    "info": {"runStatus": "DataCollection Successful", "note": None, "0": "zero"},
    "none": None,
    "pins": {1: 11},
}


@pytest.mark.parametrize(
    ("item", "filled"),
    [
        ("plain", "plain"),
        ("{dcid}", "993677"),
        ("x{dcid}y{visit}", "x993677ycm14451-1"),
        ("{dcid:09d}", "000993677"),
        ("{visit!r}", "'cm14451-1'"),
        ("{cell[0]}", "57.5"),
        ("{info[runStatus]}", "DataCollection Successful"),
        ("{info[0]}", "zero"),
        ("{pins[1]}", "11"),
        ("{none}", "None"),
        ("{unknown}", "{unknown}"),
        ("{unknown[key]}", "{unknown[key]}"),
        ("{{literal}}", "{literal}"),
        ("{$REPLACE:cell}", PARAMETERS["cell"]),
        ("{$REPLACE:cell[2]}", 149.0),
        ("{$REPLACE:info}", PARAMETERS["info"]),
        ("{$REPLACE:unknown}", None),
        ("{$REPLACE:info[unknown]}", None),
        ("{$REPLACE:none[key]}", None),
        ("{$REPLACE:cell[9]}", None),
        ({"{dcid}": ["{visit}", 1, None, True]}, {"993677": ["cm14451-1", 1, None, True]}),
    ],
)
def test_filled(item: Any, filled: Any) -> None:
    assert fill(item, PARAMETERS) == filled


@pytest.mark.parametrize(
    "item",
    [
        "{dcid.__class__}",
        "{info.keys}",
        "{unknown.attribute}",
        "{$REPLACE:dcid.__class__}",
        "{$REPLACE:dcid} and more",
        "{$REPLACE:dcid}{visit}",
        "{",
        "}",
        "{}",
        "{0}",
        '{"a": 1}',
        "{dcid:s}",
        "{dcid:99999999}",
        "{info[unknown]}",
        "{none[key]}",
        "{cell[9]}",
        "{cell[]}",
    ],
)
def test_refused_with_a_reason(item: str) -> None:
    with pytest.raises(Rejected, match="recipe: "):
        fill({"1": {"parameters": {"x": item}}}, PARAMETERS)


names = st.sampled_from(["dcid", "visit", "cell", "info", "none", "unknown"])
fields = st.one_of(
    names.map(lambda name: "{" + name + "}"),
    names.map(lambda name: "{" + name + "!r}"),
    st.sampled_from(["{cell[1]}", "{info[runStatus]}", "{unknown[x]}", "{{", "}}"]),
    st.text(alphabet=st.characters(exclude_characters="{}"), max_size=5),
)
texts = st.one_of(
    st.lists(fields, max_size=4).map("".join),
    names.map(lambda name: "{$REPLACE:" + name + "}"),
    st.just("{$REPLACE:info[runStatus]}"),
)
items = st.recursive(
    st.one_of(texts, st.none(), st.integers(), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(texts.filter(lambda text: not text.startswith("{$")), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(items)
def test_the_same_as_the_standard_where_it_accepts(item: Any) -> None:
    recipe = Recipe()
    recipe.recipe = {"x": item}
    recipe.apply_parameters(PARAMETERS)
    assert fill({"x": item}, PARAMETERS) == recipe.recipe


@given(st.text(alphabet="{}[].!:$aR0 ", max_size=20))
def test_any_braces_end_in_a_value_or_a_reason(text: str) -> None:
    with suppress(Rejected):
        assert len(fill([text], {"a": {"R": [0]}})) == 1


def test_the_names_that_a_recipe_asks_for() -> None:
    recipe = {
        "{key}": ["plain", "{a}/{b[c][0]:>{width}}", "{{no}}", {"x": "{$REPLACE:d[e]}"}],
        "n": 5,
    }
    assert asked(recipe) == {"key", "a", "b", "width", "d"}


@pytest.mark.parametrize("text", ["{", "{a.b}", "{$REPLACE:a}b"])
def test_the_names_of_what_is_no_field(text: str) -> None:
    with pytest.raises(Rejected):
        asked(text)
