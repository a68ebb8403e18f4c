"""Confounding: a comparison is about its factor and nothing else, or is refused before anything trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.study import Study, parse_study, plan_study, read_study
from tests.data.made_images import bare_manifest
from tests.study.toy import BASIC, plan, study_with
from trainables.data import DataSpec, Manifest
from trainables.errors import InputError

LENGTHS = {"length": {"short": {}, "long": {"config": {"epochs": 20}}}}  # `warm-up` follows `epochs`
AS_PUBLISHED = Path(__file__).parents[2] / "studies" / "published" / "segdec_table4_as_published.yaml"


def refusal(study: Study) -> str:
    with pytest.raises(InputError) as caught:
        plan(study)
    return str(caught.value)


def rows(*overrides: dict[str, Any] | None, **changes: Any) -> Study:
    """Four rows, `all off` to `a + b`, with these overrides, and a comparison of the second factor."""
    cells = [{"a": a, "b": b} for a in ("off", "on") for b in ("off", "on")]
    own = [{} if one is None else {"override": one} for one in overrides]
    made = [{**cell, **more} for cell, more in zip(cells, own, strict=True)]
    return study_with(**{"design": {"rows": made}, "comparisons": [{"factor": "b"}], **changes})


def test_a_difference_outside_the_factor_is_refused_with_paths_and_both_values_side_by_side() -> None:
    text = refusal(rows(None, None, None, {"config": {"lr": 0.5}, "supervision": "weak"}))
    assert text.splitlines() == [
        "study.yaml:1:530: comparisons[0]: b: off → on is confounded, two cells differ outside b:",
        "                    a      a + b",
        "      config.lr     0.1    0.5",
        "      supervision   full   weak",
        "    Make them alike, or give the reason, which will stand under every table:",
        "    `allow: {config.lr: why, supervision: why}`",
    ]


def test_a_setting_that_follows_the_factor_is_a_difference_too() -> None:
    text = refusal(study_with(factors=LENGTHS, comparisons=[{"factor": "length"}]))
    assert "\n      config.warmup   1       10\n" in text


@pytest.mark.parametrize(
    ("lr", "told"),
    [
        (0.5, {"2 pairs of cells differ alike outside b": 1, "config.lr   0.1": 1}),
        (0.7, {"is confounded, two cells differ outside b": 2}),
    ],
    ids=["alike", "otherwise"],
)
def test_pairs_that_differ_alike_are_told_once_and_others_one_by_one(lr: float, told: dict[str, int]) -> None:
    text = refusal(rows(None, {"config": {"lr": 0.5}}, None, {"config": {"lr": lr}}))
    assert {part: text.count(part) for part in told} == told


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ({"data": {"positives": 3}}, "data.positives   –   3"),
        ({"config": {"b": 3}}, "config.b   0   3"),
    ],
    ids=["data are settings like all others", "an override on what the factor sets is no part of the factor"],
)
def test_every_setting_of_one_row_alone_confounds(override: dict[str, Any], told: str) -> None:
    assert told in refusal(rows(None, None, None, override))


def test_the_same_override_on_both_sides_confounds_nothing() -> None:
    own = {"config": {"lr": 0.5}}
    (comparison,) = plan(rows(own, own, None, None)).comparisons
    assert comparison.paths == ("config.b",)


def test_a_difference_may_be_allowed_with_its_reason() -> None:
    allow = {"config.warmup": "follows the number of epochs"}
    study = study_with(factors=LENGTHS, comparisons=[{"factor": "length"}], allow=allow)
    (comparison,) = plan(study).comparisons
    assert comparison.paths == ("config.epochs",)
    assert comparison.allowed == allow


def test_allowing_one_difference_does_not_allow_another() -> None:
    text = refusal(
        rows(None, None, None, {"config": {"lr": 0.5, "c": 1}}, allow={"config.lr": "tuned for each"})
    )
    assert "config.c" in text
    assert "config.lr" not in text


def test_a_level_that_sets_several_settings_is_the_bundle_it_is() -> None:
    levels = {"full": {"supervision": "full"}, "weak": {"supervision": "weak", "config": {"lr": 0.01}}}
    study = study_with(
        factors={"supervision": levels}, comparisons=[{"factor": "supervision", "from": "weak"}]
    )
    (comparison,) = plan(study).comparisons
    assert comparison.changes() == ["config.lr 0.01 → 0.1", "supervision weak → full"]


def test_a_data_set_is_a_bundle_as_well() -> None:
    sets = {"one": {}, "other": {"data": {"reader": "mtd", "splits": "per_seed"}, "config": {"lr": 0.2}}}
    study = study_with(factors={"set": sets}, comparisons=[{"factor": "set"}])
    (comparison,) = plan(study).comparisons
    assert {"config.lr", "data.reader", "data.splits"} <= set(comparison.paths)


def test_a_row_says_what_it_sets_beside_its_levels() -> None:
    cell = plan(rows(None, None, None, {"config": {"lr": 0.5}}, comparisons=[])).cells[3]
    assert cell.diff["config.lr"] == (0.1, 0.5)
    assert "The row has settings of its own: `config.lr` 0.5." in cell.footnotes


def test_a_row_with_an_empty_override_has_nothing_to_say() -> None:
    cell = plan(rows(None, None, None, {}, comparisons=[])).cells[3]
    assert not any("The row has settings" in note for note in cell.footnotes)


def test_two_rows_do_not_ask_for_one_cell_with_different_overrides() -> None:
    row: dict[str, Any] = {"a": "on", "b": "on"}
    text = refusal(study_with(design={"rows": [row, {**row, "override": {"config": {"lr": 0.5}}}]}))
    assert (
        "design.rows[1].override: another `override` for the cell a + b than design.rows[0].override: "
        in text
    )


def test_a_mistake_in_an_override_is_named_with_its_place() -> None:
    text = refusal(rows(None, None, None, {"config": {"lrr": 0.5}}))
    assert "design.rows[3].override.config.lrr: unknown key `lrr`; did you mean `lr`?" in text


def test_no_factor_is_called_like_an_override() -> None:
    with pytest.raises(InputError, match=r"factors\.override: `override` is what a row sets"):
        study_with(factors={"override": {"x": {}}})


# Data sets with folds and without


def data_of(spec: DataSpec) -> Manifest:
    """`folder` publishes three folds, `table` one partition."""
    if spec.reader == "folder":
        return bare_manifest([{"sample": f"{i:02d}", "label": i % 2 == 1, "fold": i % 3} for i in range(60)])
    parts = [("train", i) for i in range(40)] + [("test", i) for i in range(20)]
    return bare_manifest([{"sample": f"{p}{i}", "label": i % 2 == 1, "split": p} for p, i in parts])


SETS: dict[str, Any] = {
    "data": {"reader": "folder"},
    "factors": {
        "set": {"folds": {}, "plain": {"data": {"reader": "table"}}},
        "b": BASIC["factors"]["b"],
    },
    "repeats": {"seeds": [0, 1], "folds": [0, 1, 2]},
}


def test_folds_are_for_the_data_sets_that_publish_them() -> None:
    result = plan(study_with(**SETS, comparisons=[{"factor": "b"}]), open_manifest=data_of)
    folds = {cell.name: [t.fold for t in result.trials if t.cell == cell.name] for cell in result.cells}
    assert folds["set=folds b=off"] == [0, 1, 2, 0, 1, 2]
    assert folds["set=plain b=off"] == [None, None]


def test_cells_that_share_no_repeat_are_not_compared() -> None:
    with pytest.raises(
        InputError, match="set: folds → plain: set=folds b=off and set=plain b=off have no repeat in common"
    ):
        plan(study_with(**SETS, comparisons=[{"factor": "set"}]), open_manifest=data_of)


# The published experiment lines

DAGM = "dataset=dagm class=c1 supervision=weak balance={} stop=on"
KSDD = "dataset=ksdd supervision=weak balance={} stop=on"


def test_the_published_lines_are_refused_for_their_two_mistakes_and_nothing_else() -> None:
    with pytest.raises(InputError) as caught:
        plan_study(read_study(AS_PUBLISHED), None, "cpu")
    text = str(caught.value).replace(str(AS_PUBLISHED), "file")
    found = [line for line in text.splitlines() if "file:" in line or line.startswith("      ")]
    assert found == [
        "file:81:5: comparisons[0]: balance: off → on is confounded, "
        "10 pairs of cells differ alike outside balance:",
        f"                    {DAGM.format('off')}   {DAGM.format('on')}",
        f"      supervision   {'weak':<{len(DAGM.format('off'))}}   mixed: 15",
        "file:81:5: comparisons[0]: balance: off → on is confounded, two cells differ outside balance:",
        f"                     {KSDD.format('off')}   {KSDD.format('on')}",
        f"      config.delta   {'1.0':<{len(KSDD.format('off'))}}   0.01",
        f"      config.lr      {'0.01':<{len(KSDD.format('off'))}}   1.0",
    ]


def without_slips(text: str) -> str:
    for mistake in (
        "      override: {supervision: {mixed: 15}}",
        ", override: {config: {lr: 0.01, delta: 1.0}}",
    ):
        assert mistake in text
        text = text.replace(mistake, "")
    return text


def test_the_published_lines_without_their_mistakes_are_the_fourteen_rows_of_each_data_set() -> None:
    made = plan_study(parse_study(without_slips(AS_PUBLISHED.read_text(encoding="utf-8"))), None, "cpu")
    rows_of = [cell.levels["dataset"] for cell in made.cells]
    assert {name: rows_of.count(name) for name in set(rows_of)} == {"dagm": 140, "ksdd": 14, "severstal": 14}
    pairs = {comparison.name: len(comparison.pairs) for comparison in made.comparisons}
    models = 10 + 1 + 1
    assert pairs == {
        "balance: off → on": 5 * models,
        "stop: off → on": 4 * models,
        "distance: off → on": 4 * models,
        "supervision: n15 → full": 6 * 10,
        "supervision: n5 → full": 6,
        "supervision: n250 → full": 6,
    }


def test_where_the_mistake_of_dagm_is_allowed_two_rows_of_the_table_turn_out_to_be_one() -> None:
    text = AS_PUBLISHED.read_text(encoding="utf-8")
    text += "allow: {supervision: as published, config.lr: as published, config.delta: as published}\n"
    with_masks = DAGM.format("on").replace("weak", "n15") + " distance=on"
    with pytest.raises(InputError, match=f"the cells {with_masks} and {DAGM.format('on')} are the same"):
        plan_study(parse_study(text), None, "cpu")
