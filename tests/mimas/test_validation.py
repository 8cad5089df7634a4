"""What is valid, sentence by sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlstbx_cli.mimas as mimas
from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBAnomalousScatterer,
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBTriggerVariable,
    MimasRecipeInvocation,
    MimasScenario,
    validate,
)
from tests.mimas.scenarios import CELL, OTHER, OWN, P212121, scenario

OFFER = {"beamlines": ["i03"], "visit_pattern": ["cm"], "recipes": ["x"]}
FULL = scenario(
    "i03",
    detector="EIGER",
    spacegroup=P212121,
    unitcell=CELL,
    getsweepslistfromsamedcg=(OWN, OTHER),
    preferred_processing="xia2/DIALS",
    anomalous_scatterer=MimasISPyBAnomalousScatterer("Se"),
    cloudbursting=[OFFER],
)
JOB = MimasISPyBJobInvocation(
    5,
    True,
    "recipe",
    "automatic",
    "comment",
    "display",
    (MimasISPyBParameter("key", "value"),),
    (OWN,),
    (MimasISPyBTriggerVariable("statistic-cluster", "iris"),),
)
RECIPE = MimasRecipeInvocation(5, "recipe")
PARAMETER = MimasISPyBParameter("key", "value")
VARIABLE = MimasISPyBTriggerVariable("key", "value")


class Number(enum.IntEnum):
    ONE = 1


VALID: list[tuple[Any, dict[str, Any]]] = [
    (FULL, {}),
    (FULL, {"DCID": 0}),
    (FULL, {"visit": None}),
    (FULL, {"beamline": None, "runstatus": None, "preferred_processing": None}),
    (FULL, {"getsweepslistfromsamedcg": []}),
    (FULL, {"getsweepslistfromsamedcg": [OWN]}),
    (FULL, {"spacegroup": None, "detectorclass": None, "anomalous_scatterer": None}),
    (FULL, {"unitcell": None, "cloudbursting": None}),
    (FULL, {"cloudbursting": ({"beamlines": (), "visit_pattern": []},)}),
    (FULL, {"cloudbursting": [SimpleNamespace(**OFFER)]}),
    (RECIPE, {}),
    (RECIPE, {"DCID": 10**30}),
    (JOB, {}),
    (JOB, {"autostart": False}),
    (JOB, {"DCID": 0, "source": "", "comment": "", "displayname": ""}),
    (JOB, {"parameters": [], "sweeps": [], "triggervariables": []}),
    (PARAMETER, {"value": ""}),
    (VARIABLE, {"value": ""}),
    (OWN, {"start": 0, "end": 0}),
    (CELL, {"a": 0.001, "alpha": 179.99, "beta": 0.01}),
    (CELL, {"a": 10**400}),
    (P212121, {"symbol": "R 3 2:H"}),
    *[(MimasISPyBAnomalousScatterer(s), {}) for s in ("Se", "se", "SE", "S", "zn", "U")],
]


@pytest.mark.parametrize(("obj", "changes"), VALID, ids=str)
def test_valid(obj: Any, changes: dict[str, Any]) -> None:
    validate(dataclasses.replace(obj, **changes))
    validate(dataclasses.replace(obj, **changes), expectedtype=type(obj))


@pytest.mark.parametrize("member", [*MimasEvent, *MimasDCClass, *MimasDetectorClass])
def test_members_are_valid(member: enum.Enum) -> None:
    validate(member)
    validate(member, expectedtype=type(member))


NO_INTS = [True, False, "5", 5.0, None, b"5", (5,), Number.ONE]
NO_TEXTS = [None, 5, b"text", ["text"], True]
NO_LISTS = ["", "text", None, 5, {}, set(), {"key": "value"}, iter(())]
NO_LENGTHS = [0, -1, math.nan, math.inf, -math.inf, False, True, "10", None, 1j]
NO_ANGLES = [0, 180, 180.0, -90, 360, math.nan, math.inf, False, True, "90", None, 10**400]
NO_OFFERS = [
    "i03", {}, OFFER, [5], ["i03"], [None], [{}],
    [{**OFFER, "beamlines": "i03"}], [{**OFFER, "visit_pattern": "cm"}],
    [{**OFFER, "recipes": "x"}], [{**OFFER, "beamlines": [3]}], [{**OFFER, "recipes": None}],
    [SimpleNamespace(beamlines=["i03"])],
]  # fmt: skip

INVALID: list[tuple[Any, str, list[Any]]] = [
    (FULL, "DCID", NO_INTS),
    (FULL, "dcclass", [None, 1, "ROTATION", MimasEvent.END]),
    (FULL, "event", [None, 1, "END", MimasDCClass.ROTATION]),
    (FULL, "detectorclass", [1, "EIGER", "", MimasDCClass.ROTATION]),
    (FULL, "visit", [5, b"cm1-1", ["cm1-1"], False]),
    (FULL, "beamline", [5, b"i03", ["i03"], False]),
    (FULL, "runstatus", [5, ["ok"]]),
    (FULL, "preferred_processing", [5, ["xia2/DIALS"]]),
    (FULL, "getsweepslistfromsamedcg", [
        *NO_LISTS, OWN, (5,), ("sweep",), [(5, 1, 100)], [None], (MimasISPyBSweep(5, 2, 1),),
    ]),
    (FULL, "spacegroup", ["P212121", 19, False, CELL, MimasISPyBSpaceGroup("P123")]),
    (FULL, "unitcell", [False, (10, 11, 12, 90, 91, 92), "10,11", OWN, P212121]),
    (FULL, "anomalous_scatterer", ["Se", 34, P212121, MimasISPyBAnomalousScatterer("X")]),
    (FULL, "cloudbursting", NO_OFFERS),
    (RECIPE, "DCID", NO_INTS),
    (RECIPE, "recipe", [*NO_TEXTS, "", RECIPE]),
    (JOB, "DCID", NO_INTS),
    (JOB, "autostart", [None, 0, 1, "True", "banana"]),
    (JOB, "recipe", [*NO_TEXTS, "", RECIPE]),
    (JOB, "source", NO_TEXTS),
    (JOB, "comment", NO_TEXTS),
    (JOB, "displayname", NO_TEXTS),
    (JOB, "parameters", [
        *NO_LISTS, PARAMETER, [("key", "value")], [VARIABLE], [None],
        [MimasISPyBParameter("", "v")],
    ]),
    (JOB, "sweeps", [*NO_LISTS, OWN, [(5, 1, 2)], [PARAMETER], [MimasISPyBSweep(0, 1, 2)]]),
    (JOB, "triggervariables", [
        *NO_LISTS, VARIABLE, [("key", "value")], [PARAMETER], [MimasISPyBTriggerVariable("k", 5)],  # type: ignore[arg-type]
    ]),
    (PARAMETER, "key", [*NO_TEXTS, ""]),
    (PARAMETER, "value", NO_TEXTS),
    (VARIABLE, "key", [*NO_TEXTS, ""]),
    (VARIABLE, "value", NO_TEXTS),
    (OWN, "DCID", [*NO_INTS, 0, -1]),
    (OWN, "start", [*NO_INTS, -1]),
    (OWN, "end", [*NO_INTS, 0, -1]),
    *[(CELL, field, NO_LENGTHS) for field in "abc"],
    *[(CELL, field, NO_ANGLES) for field in ("alpha", "beta", "gamma")],
    (P212121, "symbol", [*NO_TEXTS, "", "P123", "nonsense", "\ud800"]),
    (MimasISPyBAnomalousScatterer("Se"), "symbol", [
        *NO_TEXTS, "", "X", "x", "nope", "selenium", "34", "S3", "S ", "S\0", "Å", "Qq", "\ud800",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "field", "value"),
    [(obj, field, value) for obj, field, values in INVALID for value in values],
    ids=lambda value: str(value)[:30] if not isinstance(value, MimasScenario) else "scenario",
)
def test_invalid(obj: Any, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"(?s){type(obj).__name__}: {field}") as error:
        validate(dataclasses.replace(obj, **{field: value}))
    assert len(str(error.value)) < 600


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "obj",
    [None, True, False, 5, 1.5, "text", b"bytes", [], {}, (), [OWN], object(), mimas, MimasScenario,
     MimasEvent, Unprintable(), 10**5000],
    ids=lambda obj: type(obj).__name__,
)  # fmt: skip
def test_unknown_objects_are_refused(obj: Any) -> None:
    with pytest.raises(ValueError, match="is not a Mimas object"):
        validate(obj)
    with pytest.raises(ValueError, match="is not a MimasScenario"):
        validate(obj, expectedtype=MimasScenario)


OBJECTS = [FULL, JOB, RECIPE, PARAMETER, VARIABLE, OWN, CELL, P212121, MimasEvent.END]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("other", OBJECTS, ids=lambda o: type(o).__name__)
def test_only_the_type_expected_is_accepted(obj: Any, other: Any) -> None:
    if obj is other:
        validate(obj, expectedtype=type(other))
        validate(obj, expectedtype=(type(other), int))
    else:
        with pytest.raises(ValueError, match=f"is not a {type(other).__name__}"):
            validate(obj, expectedtype=type(other))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(max_size=3) | st.binary(max_size=3)
    | st.just(5000).map(lambda digits: 10**digits) | st.builds(Unprintable)
    | st.sampled_from([*OBJECTS, *MimasDCClass]),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner)
    | st.dictionaries(st.sampled_from(["beamlines", "visit_pattern", "recipes"]), inner),
    max_leaves=4,
)  # fmt: skip


@given(obj=st.sampled_from(OBJECTS[:-1]), data=st.data())
def test_whatever_stands_in_a_field_the_answer_is_none_or_value_error(obj: Any, data: Any) -> None:
    names = [field.name for field in dataclasses.fields(obj)]
    changed = dataclasses.replace(
        obj, **{data.draw(st.sampled_from(names)): data.draw(ANYTHING) for _ in range(2)}
    )
    with contextlib.suppress(ValueError):
        assert validate(changed) is None  # type: ignore[func-returns-value]


@given(ANYTHING)
def test_whatever_the_object_the_answer_is_none_or_value_error(obj: Any) -> None:
    with contextlib.suppress(ValueError):
        assert validate(obj) is None  # type: ignore[func-returns-value]


@given(st.text(max_size=4))
def test_elements_and_space_groups_never_fail_otherwise(symbol: str) -> None:
    for kind in (MimasISPyBAnomalousScatterer, MimasISPyBSpaceGroup):
        try:
            validate(kind(symbol))
        except ValueError:
            continue
        assert kind(symbol).string
