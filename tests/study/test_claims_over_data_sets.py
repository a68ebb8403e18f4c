"""`claim: data sets`: which factor the data sets are the levels of, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.storage.preregistration import format_changes, question_of
from assay.study import parse_study, plan_study
from tests.analysis.data_set_studies import LADDER, SURFACES
from tests.analysis.made_studies import make_plan
from trainables.data import open_manifest
from trainables.errors import InputError

PLAIN = LADDER.replace(", claim: data sets", "")
TWO = LADDER.replace(
    "  supervision:", "  camera: {near: {}, far: {data: {options: {size: [64, 64]}}}}\n  supervision:"
)


def test_a_claim_changes_no_trial_and_no_pair() -> None:
    claimed, plain = make_plan(LADDER), make_plan(PLAIN)
    assert [trial.id for trial in claimed.trials] == [trial.id for trial in plain.trials]
    assert [each.pairs for each in claimed.comparisons] == [each.pairs for each in plain.comparisons]
    assert [each.over for each in claimed.comparisons] == ["surface", "surface"]
    assert [each.over for each in plain.comparisons] == [None, None]


def test_of_several_factors_that_name_data_one_is_said() -> None:
    plan = make_plan(TWO.replace("claim: data sets", "claim: data sets, over: surface"))
    assert plan.comparisons[0].over == "surface"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TWO, "found 2 that name data: surface, camera. Say which, as in `over: surface`"),
        (
            LADDER.replace("claim: data sets", "over: surface"),
            "found over: surface without one. Add `claim: data",
        ),
        (LADDER.replace("data sets}", "data sets, over: surfaces}"), "surface"),
        (
            LADDER.replace("data sets}", "data sets, over: supervision}"),
            "not the one that is compared, found supervision. Name surface",
        ),
        (LADDER.replace("claim: data sets", "claim: everything"), "'data sets'"),
        (
            LADDER.replace("data: {options: {seed: ", "config: {epochs: 1")
            .replace("}}}\n    ", "}}\n    ")
            .replace("15}}}", "15}}"),
            "needs a factor whose levels name data, found none beside supervision",
        ),
        (
            LADDER.replace("repeats: {seeds: [0, 1, 2]}", "repeats: {decide: [6, 8]}\nresolve: 0.02"),
            "found it beside `repeats.decide`",
        ),
        (
            LADDER.replace(
                "design: {full: all}", "design: {rows: [{surface: steel, supervision: [none, five, all]}]}"
            ),
            "found surface at steel alone. Train both levels on more of steel, cells",
        ),
    ],
)
def test_a_claim_that_nothing_can_answer_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        plan_study(parse_study(text, "s.yaml"), None, "cpu")
    assert says in str(refused.value)


def test_images_that_two_levels_share_are_one_data_set(tmp_path: Path) -> None:
    text = """
study: s
trainable: segdec
data: {reader: synthetic, splits: per_seed, options: {images: 60, positives: 20, size: [128, 128], items: 20}}
config: {image_size: [128, 128]}
factors:
  surface: {few: {data: {positives: 5, options: {seed: 1}}}, many: {data: {options: {seed: 1}}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
design: {full: all}
comparisons: [{factor: stop, claim: data sets}]
"""
    with pytest.raises(InputError, match="found the same images as surface few and many"):
        plan_study(parse_study(text), lambda spec: open_manifest(spec, None, tmp_path), "cpu")


def test_a_claim_is_registered_before_the_first_trial() -> None:
    before, after = question_of(make_plan(PLAIN)), question_of(make_plan(LADDER))
    assert before.data_sets == ()
    assert after.data_sets == tuple(
        sorted(f"supervision: {step} over surface" for step in ("none → five", "five → all"))
    )
    assert "claimed over data sets: 0 → 2 comparisons" in format_changes(before, after)


def test_data_sets_are_the_levels_in_their_order() -> None:
    pairs = make_plan(LADDER).comparisons[0].pairs
    assert [start for start, _ in pairs] == [f"surface={name} supervision=none" for name in SURFACES]
