"""Two plans compared, as a table of cases, and what holds for all plans."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.difference import (
    BY,
    Change,
    Difference,
    Lone,
    Place,
    Planned,
    Sum,
    Task,
    Wanted,
    difference,
)

END, START = Place(5, "END"), Place(5, "START")
OTHER = Place(6, "END")


def job(recipe: str = "dials", place: Place = END, rule: str = "r", **fields: Any) -> Task:
    named = {name.replace("_", "."): value for name, value in fields.items()}
    return Task.of(place, "job", recipe, named, rule=rule, beamline="i03")


def recipe(name: str = "archive", place: Place = END, rule: str = "r") -> Task:
    return Task.of(place, "recipe", name, {}, rule=rule, beamline="i03")


def said(found: Difference) -> list[Any]:
    """Return the cases in short: the kind, the recipe, what has changed."""
    return [
        (one.kind, one.task.recipe, *((each.name, each.old, each.new) for each in one.changes))
        for one in found.cases
    ]


A, B = job(p_a="1", p_b="2", autostart=True), job(p_a="1", p_b="3", autostart=True)


@pytest.mark.parametrize(
    ("old", "new", "total", "cases"),
    [
        ([], [], Sum(), []),
        ([A], [A], Sum(same=1), []),
        ([A, A], [A], Sum(same=1, gone=1), [("gone", "dials")]),
        ([A], [A, A, A], Sum(same=1, added=2), [("added", "dials")] * 2),
        ([A], [B], Sum(changed=1), [("changed", "dials", ("p.b", '"2"', '"3"'))]),
        # what is equal is paired before what is similar
        ([A, B], [B], Sum(same=1, gone=1), [("gone", "dials")]),
        ([job(p="1", autostart=True)], [job(p="1", autostart=False)], Sum(changed=1),
         [("changed", "dials", ("autostart", "true", "false"))]),
        ([job(a="1")], [job(b="1")], Sum(changed=1),
         [("changed", "dials", ("a", '"1"', None), ("b", None, '"1"'))]),
        # kinds of values are different values
        ([job(a="1")], [job(a=1)], Sum(changed=1), [("changed", "dials", ("a", '"1"', "1"))]),
        ([job(a=True)], [job(a=1)], Sum(changed=1), [("changed", "dials", ("a", "true", "1"))]),
        ([job(a=None)], [job()], Sum(changed=1), [("changed", "dials", ("a", "null", None))]),
        # two pairs: each with the one that it has most in common with
        ([job(a="1", b="1", c="1"), job(a="2", b="2", c="2")],
         [job(a="2", b="2", c="9"), job(a="1", b="8", c="1")], Sum(changed=2),
         [("changed", "dials", ("b", '"1"', '"8"')), ("changed", "dials", ("c", '"2"', '"9"'))]),
        # of what is equally similar, what belongs to the same rule
        ([job(a="1", rule="x"), job(a="1", rule="y")], [job(a="2", rule="y")],
         Sum(changed=1, gone=1), [("changed", "dials", ("a", '"1"', '"2"')), ("gone", "dials")]),
        ([job("dials")], [job("xia2")], Sum(gone=1, added=1),
         [("gone", "dials"), ("added", "xia2")]),
        # a recipe that is run is no job
        ([recipe("x")], [job("x")], Sum(gone=1, added=1), [("added", "x"), ("gone", "x")]),
        # another rule, or override, that asks for the same is no difference
        ([job(rule="x")], [job(rule="y")], Sum(same=1), []),
        ([recipe()], [recipe(place=START), recipe()], Sum(same=1, added=1), [("added", "archive")]),
    ],
)  # fmt: skip
def test_cases(old: list[Any], new: list[Any], total: Sum, cases: list[Any]) -> None:
    found = difference(old, new)
    assert (found.total, said(found)) == (total, cases)
    assert found.equal is (not cases)


def test_which_of_two_has_changed() -> None:
    found = difference([job(a="1", rule="x"), job(a="1", rule="y")], [job(a="2", rule="y")])
    changed, gone = found.cases
    assert (changed.old.rule, changed.new.rule, gone.task.rule) == ("y", "y", "x")


def test_sums_by_rule_beamline_and_recipe() -> None:
    old = [job("a", rule="x"), job("b", rule="x"), job("c", rule="y", p="1")]
    new = [job("a", rule="x"), job("c", rule="y", p="2"), recipe("d", rule="z")]
    by = difference(old, new).by
    assert by["rule"] == {"x": Sum(same=1, gone=1), "y": Sum(changed=1), "z": Sum(added=1)}
    assert by["beamline"] == {"i03": Sum(same=1, changed=1, added=1, gone=1)}
    assert by["recipe"] == {
        "a": Sum(same=1), "b": Sum(gone=1), "c": Sum(changed=1), "d": Sum(added=1),
    }  # fmt: skip


def test_a_collection_that_is_in_one_plan_only() -> None:
    found = difference([A], [A, job(place=OTHER), recipe(place=OTHER), recipe(place=START)])
    assert found.lone == [Lone(START, "new", "i03", 1), Lone(OTHER, "new", "i03", 2)]
    assert found.places == 1
    assert [case.alone for case in found.cases] == [True] * 3
    assert found.total == Sum(same=1, added=3)


def test_a_collection_that_is_planned_without_tasks_is_in_the_plan() -> None:
    found = difference([Planned(END)], [A])
    assert (found.lone, found.places, found.cases[0].alone) == ([], 1, False)
    # and where neither asks for anything, nothing differs: lines do not show empty plans
    assert difference([Planned(END)], []).equal
    assert difference([Planned(END)], [Planned(END)]).places == 1


def test_what_is_known_in_part_is_not_said_to_differ() -> None:
    whole = Task.of(END, "recipe", "x", {"parameters.filename": "a"})
    part = Task.of(END, "recipe", "x", {}, partly=True)
    assert difference([whole], [part]).equal
    assert not difference([whole, whole], [part]).equal


def test_a_beamline_that_one_plan_knows() -> None:
    unknown = Task.of(END, "recipe", "archive", {}, rule="r")
    assert difference([unknown], [recipe()]).by["beamline"] == {"i03": Sum(same=1)}


@pytest.mark.parametrize(
    ("wanted", "total", "lone"),
    [
        (Wanted(), Sum(same=1, changed=1, gone=1, added=1), 1),
        (Wanted(rules=frozenset({"x"})), Sum(same=1, changed=1), 0),
        (Wanted(rules=frozenset({"y"})), Sum(changed=1, gone=1), 0),
        (Wanted(recipes=frozenset({"d", "a"})), Sum(same=1, added=1), 1),
        (Wanted(events=frozenset({"START"})), Sum(added=1), 1),
        (Wanted(beamlines=frozenset({"i04"})), Sum(), 0),
        (Wanted(beamlines=frozenset({"i03", "i04"}), rules=frozenset({"z"})), Sum(added=1), 1),
    ],
)
def test_filters(wanted: Wanted, total: Sum, lone: int) -> None:
    old = [job("a", rule="x"), job("b", rule="y"), job("c", rule="x", p="1")]
    new = [job("a", rule="x"), job("c", rule="y", p="2"), job("d", START, rule="z")]
    found = difference(old, new, wanted)
    assert (found.total, len(found.lone)) == (total, lone)


def test_very_many_tasks_of_one_recipe() -> None:
    old = [job(p=str(number)) for number in range(3000)]
    new = [job(p=str(number)) for number in range(1000, 5000)]
    assert difference(old, new).total == Sum(same=2000, changed=1000, added=1000)


def test_a_case_is_about_a_task() -> None:
    from dlstbx_cli.services.difference import Case

    with pytest.raises(ValueError, match="a task"):
        _ = Case("gone", None, None, None).task


_tasks = st.lists(
    st.one_of(
        st.builds(
            lambda dcid, event, name, kind, fields, rule: Task.of(
                Place(dcid, event), kind, name, fields, rule=rule
            ),
            st.integers(1, 2),
            st.sampled_from(["END", None]),
            st.sampled_from("ab"),
            st.sampled_from(["job", "recipe"]),
            st.dictionaries(st.sampled_from("pqr"), st.sampled_from(["1", "2", 1, None])),
            st.sampled_from(["x", "y", None]),
        ),
        st.builds(Planned, st.builds(Place, st.integers(1, 3), st.just("END"))),
    ),
    max_size=12,
)


@given(_tasks, st.randoms())
def test_a_plan_equals_itself_in_any_order(tasks: list[Any], shuffle: random.Random) -> None:
    again = list(tasks)
    shuffle.shuffle(again)
    found = difference(tasks, again)
    assert found.equal
    assert found.total == Sum(same=sum(isinstance(one, Task) for one in tasks))


@given(_tasks, _tasks, st.randoms())
def test_the_other_way_round_is_the_mirror_image(
    old: list[Any], new: list[Any], shuffle: random.Random
) -> None:
    there = difference(old, new)
    shuffle.shuffle(old)
    back = difference(new, old)
    total = back.total
    assert there.total == Sum(total.same, total.changed, total.gone, total.added)
    mirrored = {"added": "gone", "gone": "added", "changed": "changed"}
    assert sorted(map(_told, there.cases)) == sorted(
        (mirrored[kind], after, before, sorted((name, is_new, was) for name, was, is_new in fields))
        for kind, before, after, fields in map(_told, back.cases)
    )
    sides = {"old": "new", "new": "old"}
    assert there.lone == [Lone(one.place, sides[one.side], None, one.tasks) for one in back.lone]


@given(_tasks, _tasks)
def test_every_task_is_counted_once(old: list[Any], new: list[Any]) -> None:
    found = difference(old, new)
    total = found.total
    before, after = (sum(isinstance(one, Task) for one in tasks) for tasks in (old, new))
    assert total.same + total.changed + total.gone == before
    assert total.same + total.changed + total.added == after
    for dimension in BY:
        sums = found.by[dimension].values()
        for kind in ("same", "changed", "added", "gone"):
            assert sum(getattr(one, kind) for one in sums) == getattr(total, kind)
    assert len(found.cases) == total.changed + total.added + total.gone
    assert all(bool(case.changes) is (case.kind == "changed") for case in found.cases)


def _told(case: Any) -> Any:
    def of(task: Task | None) -> Any:
        return str(task and (task.place, task.kind, task.recipe, task.content, task.rule))

    fields = sorted((str(one.name), str(one.old), str(one.new)) for one in case.changes)
    return case.kind, of(case.old), of(case.new), fields


def test_changes_name_the_field() -> None:
    (case,) = difference([A], [B]).cases
    assert case.changes == (Change("p.b", '"2"', '"3"'),)
