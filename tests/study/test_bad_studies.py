"""Studies with one mistake each, that must be refused before anything trains; and how soon a huge one is."""

from __future__ import annotations

import re
import time

import pytest

from assay.study import parse_study, plan_study
from trainables.errors import InputError

STUDY = """\
study: s
question: q
trainable: segdec
data: {reader: synthetic, options: {images: 60, positives: 20, size: [128, 128], items: 20}}
config: {image_size: [128, 128], channel_scale: 0.125, epochs: 4, lr: 0.1, gradient_stop: true}
factors:
  a: {off: {config: {delta: 0.1}}, on: {config: {delta: 1.0}}, mid: {config: {delta: 0.5}}}
design: {full: all}
comparisons: [{factor: a, from: off, to: on}]
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap, report: [fp, fn]}
resources: {workers: 1, gpus: 0}
keep: {models: none, probes: 2}
resolve: 0.1
"""
SEARCH = """\
study: s
trainable: segdec
data: {reader: synthetic, options: {images: 60, positives: 20, size: [128, 128], items: 20}}
config: {image_size: [128, 128], channel_scale: 0.125, epochs: 4, lr: 0.1, delta: 0.1}
repeats: {seeds: [0, 1]}
search: {points: 6, objective: {max: validation.image_ap}, sampler: random, seed: 3}
space:
  config.lr: {float: [0.01, 1.0], log: true}
  config.delta: {choice: [0.1, 1.0]}
start: [preset]
replicate: {best: 2, seeds: [10, 11]}
"""
KIND = r"should be (a (whole )?number|true or false)"


def refusal(study: str, mistake: tuple[str, str]) -> str:
    """What is said about ``study`` with a mistake in it: one text in place of another."""
    before, after = mistake
    assert study.count(before) == 1
    with pytest.raises(InputError) as caught:
        plan_study(parse_study(study.replace(before, after), "s.yaml"), None, "cpu")
    return str(caught.value)


@pytest.mark.parametrize("study", [STUDY, SEARCH], ids=["study", "search"])
def test_without_a_mistake_they_are_planned(study: str) -> None:
    assert plan_study(parse_study(study), None, "cpu").size


@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        (("seeds: [0, 1]", "seeds: [true, 0]"), KIND),
        (("seeds: [0, 1]", "seeds: ['0', 1]"), KIND),
        (("epochs: 4", "epochs: 4.5"), KIND),
        (("lr: 0.1", "lr: '0.1'"), KIND),
        (("gradient_stop: true", "gradient_stop: 1"), KIND),
        (("images: 60", "images: '60'"), KIND),
        (("gpus: 0", "pack: true"), KIND),
        (("resolve: 0.1", "resolve: true"), KIND),
        (("resolve: 0.1", "supervision: {mixed: true}"), KIND),
        (("resolve: 0.1", "supervision: {mixed: 5, masks: 3}"), "found `masks: 3` beside `mixed: 5`. Remove"),
        (("resolve: 0.1", "supervision: {kind: full, mixed: 5}"), "found `kind: 'full'` beside `mixed: 5`"),
        (("resolve: 0.1", "supervision: {mixed: -3}"), r"s.yaml:14:15: supervision\.mixed: .*, found -3$"),
        (
            ("resolve: 0.1", "supervision: {mixed: five}"),
            r"s.yaml:14:15: supervision\.mixed: .*, found 'five'$",
        ),
        (("resolve: 0.1", "supervision: {weak: 3}"), "supervision: labels are `none`, `weak`, `full`"),
        (("resolve: 0.1", "supervision: [weak]"), r"supervision: labels are .*, found \['weak'\]$"),
        (("items: 20}", "items: 20}, validation: {share: '0.2'}"), KIND),
        (
            ("items: 20}", "items: 20}, white: blue"),
            r"data\.white: should be 'auto' or a number, found 'blue'$",
        ),
        (
            ("seeds: [0, 1]", "seeds: []"),
            r"repeats\.seeds: should be a list of at least 1 value, found \[\]$",
        ),
        (("seeds: [0, 1]", "seeds: 3"), r"repeats\.seeds: should be a list, found 3$"),
        (
            ("[128, 128], channel", "[128], channel"),
            r"image_size: should be a list of 2 values, found \[128\]$",
        ),
        (("[128, 128], channel", "[], channel"), r"image_size: should be a list of 2 values, found \[\]$"),
        (("{config: {delta: 1.0}}", "null"), r"factors\.a\.on: should be a mapping, found nothing$"),
        (("question: q", f"question: {'q' * 2001}"), "question: should be text of at most 2,000 characters"),
        (("60, positives: 20, size: [128, 128], items: 20", "48"), "found 60 items by default for 48 images"),
        (("study: s", "study: -s"), "takes? it for an option"),
        (("[fp, fn]", "[fp, fp]"), "`fp` twice"),
        (("[fp, fn]", "[image_ap]"), "`image_ap` twice"),
        (("to: on}]", "to: on}, {factor: a, from: off, to: on}]"), "in one direction"),
        (("to: on}]", "to: on}, {factor: a, from: on, to: off}]"), r"comparisons\[0\] too"),
        (("to: on}]", "to: on}, {factor: a}]"), r"in comparisons\[0\]"),
        (("full: all", "rows: [{a: [off, off, on]}]"), "found twice: off"),
        (("items: 20}", "items: 20}, classes: []"), "once each"),
        (("items: 20}", "items: 20}, classes: [x, x]"), "once each"),
    ],
)
def test_a_mistake_in_a_study_is_refused(mistake: tuple[str, str], rule: str) -> None:
    assert re.search(rule, refusal(STUDY, mistake))


@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        (("points: 6", "points: true"), KIND),
        (("best: 2", "best: 7"), "7 of 6 points"),
        (("log: true", "log: 1"), KIND),
        (("[0.01, 1.0]", "[true, 2]"), KIND),
        (("choice: [0.1, 1.0]", "choice: [0.1, true]"), KIND),
        (("choice: [0.1, 1.0]", "choice: [0.1, '1.0']"), KIND),
        (("[0.01, 1.0]", "[0.1]"), r"config\.lr\.float: should be a list of 2 values, found \[0\.1\]$"),
        (
            ("[0.01, 1.0]", "[0, 1, 2]"),
            r"lr\.float: should be a list of at most 2 values, found \[0, 1, 2\]$",
        ),
        (("[0.01, 1.0]", "[1, 0.1]"), r"space\.config\.lr: bounds are \[lowest, highest\], found"),
        (("log: true", "step: 1"), "unknown key `step`; known here: float, log, when$"),
        (
            ("log: true", "when: {config.epochs: 1}"),
            "another parameter of the space; known here: config.delta$",
        ),
        (
            ("choice: [0.1, 1.0]", "choice: [1, 1]"),
            r"space\.config\.delta: each value of a choice stands once",
        ),
        (
            ("choice: [0.1, 1.0]", "choice: [[1]]"),
            r"^\S+ space\.config\.delta\.choice\[0\]: should be .* or text",
        ),
        (
            ("{max: validation.image_ap}", "{max: test.image_ap}"),
            "metric of validation images, such as `valid",
        ),
        (
            ("image_ap}", "image_ap, min: train_seconds}"),
            r"search\.objective: an objective has one direction",
        ),
        (("start: [preset]", "start: [foo]"), r"^\S+ start\[0\]: a start is `preset`, .*, found 'foo'$"),
        (
            ("start: [preset]", "start: [{lr: 1}]"),
            r"^\S+ start\[0\]\.lr: a start point sets the method's config",
        ),
        (("config.lr: {float: [0.01, 1.0]", "config.epochs: {float: [1, 20]"), r"write `\{int: \[1, 20\]\}`"),
        (("start: [preset]", "start: [{config.lr: '0.1'}]"), "lies in the space"),
        (("seed: 3", "pruner: {kind: asha, min: 50}"), "50 of 2"),
        (("seed: 3", "pruner: {kind: median, factor: 5}"), "`factor` belongs to asha"),
    ],
)
def test_a_mistake_in_a_search_is_refused(mistake: tuple[str, str], rule: str) -> None:
    assert re.search(rule, refusal(SEARCH, mistake))


@pytest.mark.parametrize("written", ["1e1", "0x4", "4.0"])
def test_whole_numbers_may_be_written_in_other_ways(written: str) -> None:
    plan = plan_study(parse_study(STUDY.replace("epochs: 4", f"epochs: {written}")), None, "cpu")
    assert plan.cells[0].config["epochs"] == float.fromhex(written) if "x" in written else float(written)


@pytest.mark.parametrize(
    ("seeds", "rule"), [(20_000, "at most 10,000 repeats"), (100_000, "at most 30,000 keys")]
)
def test_more_repeats_than_can_be_planned_are_refused_in_seconds(seeds: int, rule: str) -> None:
    begin = time.process_time()
    assert rule in refusal(STUDY, ("seeds: [0, 1]", f"seeds: {list(range(seeds))}"))
    assert time.process_time() - begin < 5
