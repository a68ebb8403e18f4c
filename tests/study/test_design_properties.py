"""What holds for every design over any number of factors, whatever its form."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.test_design import FACTORS
from tests.study.test_extension import Text, described, ids, made, shuffled
from tests.study.toy import BASIC

FORMS = ("full", "rows", "one_at_a_time", "leave_one_out", "cumulative")


@st.composite
def studies(draw: st.DrawFn) -> Text:
    """A study file with one of the five designs, and a comparison of every factor where it states none."""
    factors = draw(FACTORS)
    form = draw(st.sampled_from(FORMS))
    start = {name: draw(st.sampled_from(sorted(levels))) for name, levels in factors.items()}
    other = {
        name: draw(st.sampled_from([level for level in levels if level != start[name]]))
        for name, levels in factors.items()
    }
    lists = {
        name: draw(st.lists(st.sampled_from(sorted(levels)), min_size=1, unique=True))
        for name, levels in factors.items()
    }
    order = draw(st.permutations(sorted(factors)))
    design: Text = {
        "full": {"full": "all"},
        "rows": {"rows": [start, lists, other]},
        "one_at_a_time": {"one_at_a_time": {"base": start}},
        "leave_one_out": {"leave_one_out": {"whole": start, "without": other}},
        "cumulative": {"cumulative": {"base": start, "add": [{name: other[name]} for name in order]}},
    }[form]
    text = {**copy.deepcopy(BASIC), "factors": factors, "design": design}
    if form == "full":
        text["comparisons"] = [{"factor": name} for name in factors]
    return text


@given(studies())
def test_no_cell_and_no_trial_is_there_twice(text: Text) -> None:
    result = made(text)
    levels = [tuple(cell.levels.items()) for cell in result.cells]
    assert len(set(levels)) == len(levels)
    assert len({cell.name for cell in result.cells}) == len(result.cells)
    assert len(ids(result)) == len(result.cells) * len(result.study.repeats.seeds)


@given(studies())
def test_the_pairs_of_every_comparison_are_cells_that_differ_in_its_factor_only(text: Text) -> None:
    result = made(text)
    cells = {cell.name: cell for cell in result.cells}
    form = next(iter(text["design"]))
    assert result.comparisons or form == "rows"
    for comparison in result.comparisons:
        assert comparison.pairs
        for pair in comparison.pairs:
            start, end = (cells[name] for name in pair)
            assert (start.levels[comparison.factor], end.levels[comparison.factor]) == (
                comparison.start,
                comparison.end,
            )
            assert {f for f in start.levels if start.levels[f] != end.levels[f]} == {comparison.factor}
            # A factor's levels set the dial of its name.
            assert {p for p in start.config if start.config[p] != end.config[p]} == {comparison.factor}
            assert (start.supervision, start.data) == (end.supervision, end.data)
            assert comparison.paths == (f"config.{comparison.factor}",)


@settings(max_examples=50)
@given(studies().flatmap(lambda text: st.tuples(st.just(text), shuffled(text))))
def test_the_order_of_keys_changes_no_id(texts: tuple[Text, Text]) -> None:
    text, other = texts
    assert described(made(text)) == described(made(other))


@settings(max_examples=50)
@given(studies(), st.data())
def test_a_study_that_grows_keeps_every_id(text: Text, data: st.DataObject) -> None:
    before = ids(made(text))
    text["repeats"]["seeds"] = [9, *text["repeats"]["seeds"]]
    factor = data.draw(st.sampled_from(sorted(text["factors"])))
    first = data.draw(st.booleans())
    new, old = {"l9": {"config": {factor: 9}}}, text["factors"][factor]
    text["factors"][factor] = {**new, **old} if first else {**old, **new}
    after = ids(made(text))
    grown = "full" in text["design"] or "one_at_a_time" in text["design"]  # the others name their levels
    seeds = len(text["repeats"]["seeds"])
    assert before < after
    assert (len(after) > len(before) // (seeds - 1) * seeds) is grown
