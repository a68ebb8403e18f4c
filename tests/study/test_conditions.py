"""`test_under` in a study: what it asks, and what is refused before anything trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.study import Plan, parse_study, plan_study
from tests.program.made_program import STUDY as PROGRAM
from tests.program.made_program import plan_of, write_program
from tests.study.searches import search_with
from trainables.data import DataSpec, Manifest, open_manifest
from trainables.errors import InputError

STUDY = """
study: made
trainable: segdec
data: {reader: synthetic, splits: per_seed, options: {images: 60, positives: 30, items: 30, size: [128, 64]}}
config: {preset: ksdd, image_size: [128, 64]}
factors: {stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}}
design: {full: all}
"""


def plan(text: str, cache: Path | None = None) -> Plan:
    def opened(spec: DataSpec) -> Manifest:
        assert cache is not None
        return open_manifest(spec, None, cache)

    return plan_study(parse_study(text, "made.yaml"), None if cache is None else opened, "cpu")


def test_conditions_are_asked_and_change_no_id() -> None:
    plain, under = (plan(STUDY + block) for block in ("", "test_under: {light: [0.7], blur: [1]}\n"))
    assert [trial.id for trial in under.trials] == [trial.id for trial in plain.trials]
    assert under.study.content_hash != plain.study.content_hash
    assert (plain.study.conditions, len(under.study.conditions)) == ((), 2)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("{lihgt: [0.7]}", "made.yaml:8:14: test_under.lihgt: unknown key `lihgt`; did you mean `light`?"),
        ("{shift: [64]}", "a shift stays in the picture, found shift 64 px of images of 64 px"),
        (
            "{where: {exposure: [1]}}",
            "reader synthetic knows these properties of images: none; found exposure",
        ),
    ],
)
def test_what_no_image_can_be_under_is_refused(cache_root: Path, block: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        plan(f"{STUDY}test_under: {block}\n", cache_root)
    assert words in str(refused.value)


def test_a_search_has_none() -> None:
    with pytest.raises(InputError, match="leave `test_under` out, or run its winner as a study of its own"):
        search_with(test_under={"light": [0.7]})


def test_predictions_of_a_loop_of_ones_own_have_none() -> None:
    text = STUDY.replace("trainable: segdec", "trainable: elsewhere").partition("config:")[0]
    with pytest.raises(InputError, match="conditions are put to a trained model"):
        plan(f"{text}config: {{image_size: [128, 64]}}\ntest_under: {{light: [0.7]}}\n")


def test_images_as_stored_are_chosen_and_never_changed(tmp_path: Path) -> None:
    stored = PROGRAM.replace("image_size: [32, 32]", "image_size: [32, 32], images: stored")
    changed = write_program(tmp_path, study=f"{stored}test_under: {{light: [0.7]}}\n")
    with pytest.raises(InputError, match="is given images as they are stored: leave all but `where` out"):
        plan_of(changed)
    assert plan_of(write_program(tmp_path, study=f"{PROGRAM}test_under: {{light: [0.7]}}\n")).trials
    assert plan_of(write_program(tmp_path, study=f"{stored}test_under: {{where: {{part: [1]}}}}\n")).trials
