"""Names of variants and changes: what differs from the base, in the words of the study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.analysis.names import StudyNames, plan_names, sentence_case
from assay.statistics.families import ComparisonResult
from assay.study import Plan, parse_study, plan_study, read_study

STUDIES = sorted((Path(__file__).parents[2] / "studies").rglob("*.yaml"))

_STOP = "stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}"
_DISTANCE = "distance: {off: {config: {distance_weights: false}}, on: {config: {distance_weights: true}}}"
_MASKS = "masks: {none: {supervision: weak}, five: {supervision: {mixed: 5}}, all: {supervision: full}}"


def _plan(*factors: str, design: str = "{full: all}", comparisons: str = "") -> Plan:
    lines = [
        "study: words",
        "trainable: segdec",
        "data: {reader: synthetic}",
        "config: {preset: dagm}",
        *(["factors:", *(f"  {factor}" for factor in factors), f"design: {design}"] if factors else []),
        f"comparisons: [{', '.join(f'{{factor: {name}}}' for name in comparisons.split())}]",
    ]
    return plan_study(parse_study("\n".join(lines)), None, "cpu")


def _variants(plan: Plan) -> list[str]:
    names = plan_names(plan)
    return [names.variant(cell.name) for cell in plan.cells]


def _changes(plan: Plan) -> list[str]:
    names = plan_names(plan)
    return [
        names.change(_result(comparison.name, end, start))
        for comparison in plan.comparisons
        for start, end in comparison.pairs
    ]


def _result(comparison: str, cell_a: str | None = None, cell_b: str | None = None) -> ComparisonResult:
    facts: Any = SimpleNamespace(
        comparison=comparison, cell_a=cell_a, cell_b=cell_b, within="beside", claim="this split"
    )
    return cast(ComparisonResult, facts)


_ROWS = "{rows: [{masks: [none, five, all], stop: on, distance: on}, {masks: all, stop: off, distance: on}]}"


@pytest.mark.parametrize(
    ("factors", "design", "variants"),
    [
        ([], "", ["segdec"]),
        ([_STOP], "{full: all}", ["no stop", "stop"]),
        ([_STOP, _DISTANCE], "{full: all}", ["no stop, no distance", "distance", "stop", "stop, distance"]),
        (
            [_STOP, _DISTANCE],
            "{leave_one_out: {whole: {stop: on, distance: on}}}",
            ["stop, distance", "no stop", "no distance"],
        ),
        ([_MASKS, _STOP, _DISTANCE], _ROWS, ["no masks", "five masks", "all masks", "all masks, no stop"]),
        (
            ["epochs: {1: {config: {epochs: 1}}, 12: {config: {epochs: 12}}}", _STOP],
            "{full: all}",
            ["1 epoch", "1 epoch, stop", "12 epochs", "12 epochs, stop"],
        ),
        (
            ["supervision: {weak: {supervision: weak}, few: {supervision: {mixed: 7}}}"],
            "{full: all}",
            ["no masks", "7 masks"],
        ),
        (
            ["loss_shape: {soft_edge: {config: {dilation: 1}}, hard: {config: {dilation: 3}}}", _STOP],
            "{rows: [{loss_shape: soft_edge, stop: off}, {loss_shape: hard, stop: on}]}",
            ["loss shape soft edge", "loss shape hard, stop"],
        ),
    ],
)
def test_without_words_a_variant_is_named_by_factor_and_level(
    factors: list[str], design: str, variants: list[str]
) -> None:
    assert _variants(_plan(*factors, design=design)) == variants


_SAID = (
    "distance: {says: distance weighting of the mask loss, "
    "off: {says: without distance weighting, config: {distance_weights: false}}, "
    "on: {config: {distance_weights: true}}}"
)


def test_words_of_the_file_come_first() -> None:
    plan = _plan(
        _MASKS, _SAID, design="{rows: [{masks: [five, all], distance: on}, {masks: all, distance: off}]}"
    )
    assert _variants(plan) == ["five masks", "all masks", "all masks, without distance weighting"]


def test_a_factor_that_cells_share_is_not_mentioned() -> None:
    plan = _plan(_MASKS, _STOP, design="{rows: [{masks: five, stop: [off, on]}]}")
    assert _variants(plan) == ["no stop", "stop"]


def test_a_sub_factor_is_mentioned_where_it_applies() -> None:
    text = (
        "study: words\ntrainable: segdec\ndata: {reader: synthetic}\nconfig: {preset: dagm}\n"
        f"factors:\n  {_DISTANCE}\n"
        "  power: {1: {config: {dilation: 1}}, 2: {config: {dilation: 3}}}\n"
        "nested: {power: {distance: on}}\ndesign: {full: all}\ncomparisons: [{factor: distance}]"
    )
    plan = plan_study(parse_study(text), None, "cpu")
    assert _variants(plan) == ["no distance", "distance, power 1", "distance, power 2"]
    assert _changes(plan) == ["distance with power 1", "distance with power 2"]


def test_long_names_leave_out_what_is_as_in_the_base() -> None:
    pools = [
        f"{name}: {{says: {name} over every single pixel of the map, config: {{dilation: {1 + 2 * index}}}}}"
        for index, name in enumerate(["maximum", "mean", "median"])
    ]
    plan = _plan(f"pool: {{{', '.join(pools)}}}", _STOP)
    assert _variants(plan) == [
        "base",
        "stop",
        "mean over every single pixel of the map",
        "mean over every single pixel of the map, stop",
        "median over every single pixel of the map",
        "median over every single pixel of the map, stop",
    ]


def test_names_that_two_cells_would_have_are_replaced_by_keys() -> None:
    same = "{same: {says: wide, config: {dilation: 3}}, other: {config: {dilation: 1}}}"
    second = "{same: {says: wide, config: {epochs: 3}}, other: {config: {epochs: 1}}}"
    plan = _plan(f"a: {same}", f"b: {second}", design="{rows: [{a: same, b: other}, {a: other, b: same}]}")
    names = _variants(plan)
    assert len({name.casefold() for name in names}) == 2


@pytest.mark.parametrize(
    ("factors", "compared", "changes"),
    [
        ([_STOP], "stop", ["stop"]),
        (
            ["stop: {on: {config: {gradient_stop: true}}, off: {config: {gradient_stop: false}}}"],
            "stop",
            ["no stop"],
        ),
        ([_SAID], "distance", ["distance weighting of the mask loss"]),
        (
            [_MASKS],
            "masks",
            ["five masks instead of none", "all masks instead of none", "all masks instead of five"],
        ),
        (
            ["pool: {gap: {says: mean pooling, config: {dilation: 1}}, gmp: {says: max pooling}}"],
            "pool",
            ["max pooling instead of mean"],
        ),
        (
            ["map: {cam: {config: {dilation: 1}}, grad_cam: {config: {dilation: 3}}}"],
            "map",
            ["map grad cam instead of cam"],
        ),
        ([_STOP, _DISTANCE], "stop", ["stop with no distance", "stop with distance"]),
    ],
)
def test_a_comparison_is_named_as_a_change(factors: list[str], compared: str, changes: list[str]) -> None:
    assert _changes(_plan(*factors, comparisons=compared)) == changes


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        ("distance: off → on", "distance weighting of the mask loss, on average"),
        ("masks: none → all", "all masks instead of none, on average"),
        ("distance × masks: none → five", "distance weighting of the mask loss × five masks instead of none"),
    ],
)
def test_contrasts_of_many_cells_are_named_by_their_factors(comparison: str, words: str) -> None:
    assert plan_names(_plan(_MASKS, _SAID)).change(_result(comparison)) == words


def test_what_is_unknown_keeps_its_name() -> None:
    names = plan_names(_plan(_STOP))
    assert names.variant("another") == "another"
    assert names.change(_result("a → b", "a", "b")) == "a → b, beside"


def test_a_tooltip_names_every_level() -> None:
    plan = _plan(_MASKS, _STOP, design="{rows: [{masks: [none, all], stop: on}]}")
    names = plan_names(plan)
    assert names.variant(plan.cells[0].name) == "no masks"
    assert names.full_variant(plan.cells[0].name) == "no masks, stop"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("five masks", "Five masks"),
        ("5 masks", "5 masks"),
        ("a U-Net", "A U-Net"),
        ("δ 0.1", "δ 0.1"),
        ("p 2 instead of 1", "p 2 instead of 1"),
        ("", ""),
    ],
)
def test_a_sentence_starts_with_a_capital_but_for_a_symbol(text: str, sentence: str) -> None:
    assert sentence_case(text) == sentence


def test_names_are_those_of_the_study_alone() -> None:
    names = StudyNames(_plan(_STOP).study, (), ())
    assert names.variant("stop") == "stop"


@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_every_level_of_a_shipped_study_reads_well(path: Path) -> None:
    study = read_study(path)
    names = StudyNames(study, (), ())
    for name, factor in study.factors.items():
        if {"on", "off"} & set(factor):
            assert factor.says is not None, f"{name} says what is on"
        for level in factor:
            words = names.level_words(name, level)
            assert words != f"{name} {level}".replace("_", " "), f"{name}: {level} says what it is"
            assert len(words) <= 40
