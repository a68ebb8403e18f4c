"""Screening designs: orthogonal arrays, what they mix up, and how a fold-over takes it apart."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard

from assay.study.design import design_cells, format_design
from assay.study.designs.screen import two_level_array
from assay.study.file.schema import Study
from assay.study.orthogonal import orthogonal_levels, read_aliases
from tests.study.toy import plan, study_with
from trainables.errors import InputError

TAKES = {8: range(4, 8), 12: range(5, 12), 16: range(4, 16), 32: range(5, 17)}  # cells → factors
SIZES = st.sampled_from([(cells, factors) for cells, takes in TAKES.items() for factors in takes])


def screen(factors: int, block: Any = "all") -> Study:
    switches = {f"f{i}": {"off": {"config": {"a": 0}}, "on": {"config": {"a": 1}}} for i in range(factors)}
    return study_with(factors=switches, design={"screen": block})


def levels_of(study: Study) -> list[dict[str, str]]:
    return [cell.levels for cell in design_cells(study)]


def signs(levels: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Factor → −1 or 1 in each cell."""
    return {f: np.array([1 if cell[f] == "on" else -1 for cell in levels]) for f in levels[0]}


@given(SIZES)
def test_every_two_factors_have_each_pair_of_levels_equally_often(size: tuple[int, int]) -> None:
    cells, factors = size
    levels = levels_of(screen(factors, {"cells": cells}))
    assert len(levels) == len({tuple(cell.values()) for cell in levels}) == cells
    assert set(levels[0].values()) == {"off"}
    for first, second in combinations(levels[0], 2):
        assert set(Counter((cell[first], cell[second]) for cell in levels).values()) == {cells // 4}


@pytest.mark.parametrize("factors", range(4, 17))
def test_by_default_no_main_effect_is_mixed_up_with_an_interaction_of_two(factors: int) -> None:
    levels = levels_of(screen(factors))
    assert len(levels) == (16 if factors <= 8 else 32)
    for three in combinations(signs(levels).values(), 3):
        assert np.prod(three, axis=0).sum() == 0


@pytest.mark.parametrize("cells", [8, 12, 16])
def test_the_widest_array_of_each_size_is_a_hadamard_matrix(cells: int) -> None:
    array = np.column_stack([np.ones(cells, int), 2 * np.array(two_level_array(cells, cells - 1)) - 1])
    assert (array.T @ array == cells * np.eye(cells)).all()
    if cells != 12:  # scipy's, whose sides are powers of two, has the same columns in another order
        assert {tuple(column * column[0]) for column in array.T} == {tuple(row) for row in hadamard(cells)}


@given(SIZES)
def test_aliases_are_the_columns_that_are_equal_up_to_sign(size: tuple[int, int]) -> None:
    cells, factors = size
    levels = levels_of(screen(factors, {"cells": cells}))
    columns, aliases = signs(levels), read_aliases(levels)
    if cells == 2**factors:
        assert aliases is None  # a full crossing mixes nothing up
        return
    assert aliases is not None
    mixed = {
        (factor, f"{a} × {b}"): abs((columns[factor] * columns[a] * columns[b]).sum()) / cells
        for factor in columns
        for a, b in combinations([name for name in columns if name != factor], 2)
    }
    assert aliases.clear == (not any(mixed.values()))
    for (factor, pair), share in mixed.items() if not aliases.clear else ():
        assert (pair in aliases.rows.get(factor, "").split(", ")) == (share == 1)
    for effect, others in aliases.rows.items() if aliases.clear else ():
        a, b = effect.split(" × ")
        for c, d in (other.split(" × ") for other in others.split(", ")):
            assert abs((columns[a] * columns[b] * columns[c] * columns[d]).sum()) == cells


@pytest.mark.parametrize(("factors", "cells"), [(5, 8), (7, 8), (6, 12), (11, 12), (9, 16), (15, 16)])
def test_folding_over_all_factors_frees_main_effects(factors: int, cells: int) -> None:
    everything = [f"f{i}" for i in range(factors)]
    levels = levels_of(screen(factors, {"cells": cells, "fold_over": everything}))
    aliases = read_aliases(levels)
    assert aliases is not None
    assert (len(levels), aliases.clear) == (2 * cells, True)


@pytest.mark.parametrize(("factors", "block"), [(4, {"cells": 8}), (6, "all"), (8, "all"), (7, {"cells": 8})])
def test_the_proposed_follow_up_keeps_every_cell_and_takes_apart_what_it_names(
    factors: int, block: Any
) -> None:
    study = screen(factors, block)
    assert study.design is not None
    text = study.design.form.follow_up(study, study.design.block, "f2")
    proposed = yaml.safe_load(text.split("`")[1])["design"]["screen"]
    before, after = levels_of(study), levels_of(screen(factors, proposed))
    assert after[: len(before)] == before
    assert len(after) == 2 * len(before)
    aliases = read_aliases(after)
    assert aliases is None or aliases.clear
    if factors in (6, 8):
        assert aliases is not None
        assert not any("f2" in f"{row} {others}".split() for row, others in aliases.rows.items())


def test_nothing_is_proposed_where_interactions_of_two_are_clear() -> None:
    study = screen(5)
    assert study.design is not None
    assert read_aliases(levels_of(study)) == (True, {})
    assert study.design.form.follow_up(study, study.design.block, "f0") == ""


@pytest.mark.parametrize(
    ("factors", "block", "rule"),
    [
        (3, "all", "a screen has 4 to 16 factors, found 3: use `full: all`"),
        (17, "all", "a screen has 4 to 16 factors, found 17: make two studies of it"),
        (9, {"cells": 8}, "8 cells screen 4 to 7 factors, found 9: leave `cells` out"),
        (5, {"cells": 10}, "should be 8, 12, 16 or 32, found 10"),
        (5, {"fold_over": "x"}, "fold_over: unknown factor `x`"),
        (6, {"fold_over": [f"f{i}" for i in range(6)]}, "it repeats those that there are"),
    ],
)
def test_a_screen_that_cannot_be_had_is_refused(factors: int, block: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        screen(factors, block)


def test_a_factor_of_three_levels_cannot_be_screened() -> None:
    dials = {name: {"x": {}, "y": {"config": {name: 1}}} for name in "abcd"}
    dials["d"]["z"] = {"config": {"d": 2}}
    with pytest.raises(InputError, match="factors of two levels, found 3 of d: name two of them"):
        study_with(factors=dials, design={"screen": "all"})


def test_a_screen_is_planned_without_any_comparison() -> None:
    dials = {name: {"x": {}, "y": {"config": {name: 1}}} for name in "abcd"}
    planned = plan(study_with(factors=dials, design={"screen": {"cells": 8}}))
    assert (len(planned.cells), len(planned.trials), planned.comparisons) == (8, 16, ())
    assert format_design(planned.study) == "screen of 4 factors in 8 cells"


@pytest.mark.parametrize(
    "cells",
    [
        [{"a": "x", "b": "x"}, {"a": "y", "b": "y"}],
        [{"a": "x", "b": "x"}, {"a": "y", "b": "x"}, {"a": "x", "b": "y"}],
        [{"a": "x", "b": "x"}, {"a": "y", "b": "x"}],
        [{"a": "x", "b": "x"}, {"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"a": "y", "b": "y"}] * 2,
        [],
    ],
    ids=["one and the same", "a corner is missing", "one factor varies", "cells twice", "nothing"],
)
def test_a_design_whose_factors_depend_on_each_other_has_no_main_effects(cells: list[dict[str, str]]) -> None:
    assert orthogonal_levels(cells) == {}
