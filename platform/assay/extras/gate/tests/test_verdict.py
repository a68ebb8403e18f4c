"""The verdict of `assay gate` from records of both sides, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.extras.gate.revisions import Revision
from assay.extras.gate.verdict import GateVerdict, decide_gate, interim_looks_of, same_bits
from assay.extras.gate.writing import gate_answer, gate_junit, gate_markdown
from assay.study import Plan, Trial, parse_study
from tests.analysis.made_studies import lose, make_plan, make_record
from trainables.errors import InputError

STUDY = """
study: gate
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
repeats: {seeds: [%s]}
metrics: {primary: image_ap}
resolve: 0.05
"""
SEEDS = 10
DECLARED = parse_study(STUDY % ", ".join(map(str, range(SEEDS))), "gate.yaml")
BASE, HEAD = Revision("main", "a" * 40, "1"), Revision("HEAD", "b" * 40, "2")


@cache
def _plan(seeds: int) -> Plan:
    return make_plan(STUDY % ", ".join(map(str, range(seeds))))


def _side(shift: Callable[[int], float], seeds: int = SEEDS) -> StudyResults:
    def scores(trial: Trial) -> Mapping[str, float]:
        return {"image_ap": 0.6 + 0.01 * trial.seed + shift(trial.seed)}

    plan = _plan(seeds)
    return StudyResults(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})


def _losing(status: str, lost: range, seeds: int = SEEDS) -> StudyResults:
    side = _side(lambda _: 0.0, seeds)
    records = {t.id: lose(t, status, "no sampler") for t in side.plan.trials if t.seed in lost}
    return StudyResults(side.plan, {**side.records, **records})


def _verdict(shift: Callable[[int], float], seeds: int = SEEDS) -> GateVerdict:
    return decide_gate(DECLARED, _side(lambda _: 0.0, seeds), _side(shift, seeds))


@pytest.mark.parametrize(
    ("shift", "decision"),
    [
        (lambda seed: -0.2 - 0.01 * seed, "worse"),
        (lambda seed: 0.1 + 0.01 * seed, "not worse"),
        (lambda seed: 0.001 * (seed % 3 - 1), "not worse"),  # negligible
        (lambda seed: -0.002 - 0.0001 * seed, "not worse"),  # shown, and not worth knowing
        (lambda seed: 0.1 * (-1) ** seed, "undecided"),
        (lambda _: 0.0, "undecided"),  # every seed ties: no spread, so nothing is sure
    ],
)
def test_a_head_is_worse_where_a_difference_worth_knowing_is_shown_against_it(
    shift: Callable[[int], float], decision: str
) -> None:
    assert _verdict(shift).decision == decision


PER_SEED = ("published}", "per_seed}")
FOLDS = ("]}\nmetrics", "], folds: [0, 1, 2]}\nmetrics")


@pytest.mark.parametrize(
    ("change", "claim"), [(PER_SEED, "this data"), (FOLDS, "these folds")], ids=["per_seed", "folds"]
)
def test_the_interval_of_a_verdict_is_of_the_claim_that_the_looks_test(
    change: tuple[str, str], claim: str
) -> None:
    text = STUDY.replace(*change) % "0, 1, 2, 3, 4, 5"
    plan = make_plan(text)

    def side(shift: float) -> StudyResults:
        def scores(trial: Trial) -> Mapping[str, float]:  # differences: mean 0.022, sd 0.016, all of one sign
            return {"image_ap": 0.6 + shift * (1 + 8 * trial.seed)}

        return StudyResults(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})

    (cell,) = decide_gate(parse_study(text, "gate.yaml"), side(0.0), side(-0.022 / 21)).cells
    assert cell.comparison is not None
    assert (cell.comparison.claim, cell.comparison.n) == (claim, 6)
    assert (cell.comparison.verdict, cell.decision) == ("shown", "not worse")


@pytest.mark.parametrize(("seeds", "over"), [(6, False), (8, False), (10, True)])
def test_undecided_goes_on_to_the_next_look_until_the_last(seeds: int, over: bool) -> None:
    verdict = _verdict(lambda seed: 0.04 * (-1) ** seed + 0.035, seeds)
    assert (verdict.decision, verdict.over) == ("undecided", over)


@pytest.mark.parametrize(
    ("repeats", "looks"),
    [
        ("seeds: [0, 1, 2, 3, 4, 5]", (6,)),
        ("seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8]", (6, 8, 9)),
        ("decide: [7, 12]", (7, 12)),
    ],
)
def test_a_gate_looks_where_the_study_decides_or_else_at_six_eight_and_so_on(
    repeats: str, looks: tuple[int, ...]
) -> None:
    assert interim_looks_of(parse_study(STUDY.replace("seeds: [%s]", repeats), "gate.yaml")) == looks


def test_of_twenty_heads_that_differ_by_chance_at_most_one_is_blocked() -> None:
    rng = np.random.default_rng(7)
    blocked = 0
    for _ in range(20):
        noise = rng.normal(0, 0.05, (2, SEEDS))
        for seeds in interim_looks_of(DECLARED):
            verdict = decide_gate(DECLARED, *(_side(each.__getitem__, seeds) for each in noise))
            if verdict.over or verdict.decision == "worse":
                break
        blocked += verdict.decision == "worse"
    assert blocked <= 1


@pytest.mark.parametrize(
    ("base", "head", "decision"),
    [
        (range(0), range(SEEDS), "worse"),
        (range(0), range(6), "worse"),
        (range(0), range(5), "undecided"),  # by chance in 3 of 100
        (range(9, 10), range(6), "worse"),
        (range(1), range(1, 8), "undecided"),
        (range(SEEDS), range(SEEDS), "undecided"),
    ],
)
@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_head_that_loses_trainings_is_worse_where_that_is_no_chance(
    status: str, base: range, head: range, decision: str
) -> None:
    verdict = decide_gate(DECLARED, _losing(status, base), _losing(status, head))
    assert verdict.decision == decision
    assert ("no sampler" in verdict.cells[0].text) == (len(head) > len(base))


@pytest.mark.parametrize(("reason", "told"), [("no sampler", "no sampler"), (None, "it is failed")])
def test_a_single_training_without_a_result_is_one_and_has_its_reason(reason: str | None, told: str) -> None:
    head = _side(lambda _: 0.0)
    trial = head.plan.trials[0]
    head = StudyResults(head.plan, {**head.records, trial.id: lose(trial, "failed", reason)})
    lost, *_ = decide_gate(DECLARED, _side(lambda _: 0.0), head).cells
    assert lost.text == f"1 training without a result, 0 of the base: {told}."


def test_the_message_of_an_error_breaks_neither_junit_nor_markdown() -> None:
    head = _side(lambda _: 0.0)
    lost = {t.id: lose(t, "failed", "\x1b[31mno <sampler>") for t in head.plan.trials}
    verdict = decide_gate(DECLARED, _side(lambda _: 0.0), StudyResults(head.plan, lost))
    (failure,) = ElementTree.fromstring(gate_junit("gate", verdict)).iter("failure")
    assert r"\x1b[31mno <sampler>" in str(failure.get("message"))
    assert r"\x1b[31mno \<sampler>" in gate_markdown("gate", BASE, HEAD, verdict)


def test_a_small_loss_beside_a_training_that_diverged_is_not_called_small() -> None:
    base = _side(lambda seed: -0.5 - 0.01 * seed)  # 0.1: low enough to be shown with 0 in place, too
    head = _side(lambda seed: -0.54 - 0.0101 * seed)
    diverged = {t.id: lose(t, "diverged", "NaN loss") for t in head.plan.trials if t.seed == 0}
    records = {**head.records, **diverged}
    *_, cell = decide_gate(DECLARED, base, StudyResults(head.plan, records)).cells
    assert cell.comparison is not None
    assert (cell.comparison.verdict, cell.decision) == ("shown", "worse")
    assert "It is within" not in cell.text


@pytest.mark.parametrize(("shift", "same"), [(0.0, True), (1e-9, False)])
def test_equal_bits_are_seen(shift: float, same: bool) -> None:
    assert same_bits(_side(lambda _: 0.0), _side(lambda _: shift)) is same


def test_trainings_that_failed_on_both_sides_are_not_equal_bits() -> None:
    assert not same_bits(_losing("failed", range(1)), _losing("failed", range(1)))


def test_other_test_images_are_refused() -> None:
    head = _side(lambda _: 0.0)
    trials = tuple(trial.model_copy(update={"split": "other"}) for trial in head.plan.trials)
    moved = StudyResults(head.plan.model_copy(update={"trials": trials}), head.records)
    with pytest.raises(InputError, match="of 10 trainings they are others, the first of base, seed 0"):
        decide_gate(DECLARED, _side(lambda _: 0.0), moved)


@pytest.mark.parametrize(
    ("shift", "mark", "decision"),
    [
        (lambda seed: -0.2 - 0.01 * seed, "failure", "worse"),
        (lambda seed: 0.1 * (-1) ** seed, "skipped", "undecided"),
        (lambda seed: 0.2 + 0.01 * seed, None, "not worse"),
    ],
)
def test_markdown_junit_and_json_say_the_verdict(
    shift: Callable[[int], float], mark: str | None, decision: str
) -> None:
    verdict = _verdict(shift)
    suite = ElementTree.fromstring(gate_junit("gate", verdict))
    assert [child.tag for child in suite[0]] == ([] if mark is None else [mark])
    assert suite.get("failures") == str(int(mark == "failure"))
    assert gate_markdown("gate", BASE, HEAD, verdict).startswith(
        f"**{decision.capitalize()}**: study gate, `HEAD` (bbbbbbbb) against `main` (aaaaaaaa), 10 seeds. "
    )
    answer = gate_answer("gate", BASE, HEAD, verdict)
    assert (answer.decision, answer.cells[0].decision) == (decision, decision)
    assert answer.cells[0].comparison is not None
    assert answer.cells[0].comparison.sentence in answer.cells[0].text
