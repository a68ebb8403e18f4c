"""Models under the conditions of `test_under`: by the worker that trained them, or of stored trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.cli.plan import answer_of_plan, known_records
from assay.storage.check.check import check_storage
from assay.storage.conditions import lacking_conditions
from tests.engine.toy_study import TOY, ToyStudy

UNDER = "test_under: {light: [0.5], noise: [0.1], shift: [4]}\n"


@pytest.fixture
def toy_under(tmp_path: Path, cache_root: Path) -> Callable[..., ToyStudy]:
    """A toy study with its conditions, two cells on two seeds."""

    def make(under: str, keep: str = "all", storage: str = "storage") -> ToyStudy:
        text = TOY.format(
            name="toy", epochs=2, seconds=0, workers=1, pack="auto", seeds=[0, 1],
            factor="pace: {slow: {config: {lr: 0.05}}, fast: {config: {lr: 0.2}}}",
        )  # fmt: skip
        return ToyStudy(
            tmp_path / storage, cache_root, text.replace("models: none", f"models: {keep}") + under
        )

    return make


Make = Callable[..., ToyStudy]


def evaluated(study: ToyStudy) -> dict[str, bytes]:
    """Path → content of all results under conditions."""
    root = study.storage / "trials"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("*/under/*.json")}


def run(study: ToyStudy) -> int:
    return study.run(local=True, processes=0).trained_now


def test_a_stored_study_is_evaluated_and_nothing_trains(toy_under: Make) -> None:
    plain = toy_under("")
    assert run(plain) == 4
    before = plain.results()
    study = toy_under(UNDER)
    assert [trial.id for trial in study.plan.trials] == [trial.id for trial in plain.plan.trials]
    assert run(study) == 0
    assert len(evaluated(study)) == 4 * 3
    assert study.results() == before

    # What a worker found at a training's end is the same to the last byte.
    at_once = toy_under(UNDER, storage="other")
    assert run(at_once) == 4
    assert evaluated(at_once) == evaluated(study)


def test_only_what_is_lacking_is_evaluated(toy_under: Make) -> None:
    study = toy_under("test_under: {light: [0.5]}\n")
    run(study)
    kept = {path: path.stat().st_mtime_ns for path in study.storage.glob("trials/*/under/*")}
    more = toy_under(UNDER)
    run(more)
    assert len(evaluated(more)) == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("keep", ["none", "best_per_cell"])
def test_new_trials_need_no_kept_model(toy_under: Make, keep: str) -> None:
    study = toy_under(UNDER, keep)
    run(study)
    assert len(evaluated(study)) == 12


def test_plan_counts_evaluations_and_says_what_to_do_without_models(toy_under: Make) -> None:
    study = toy_under(UNDER, "none")

    def asked() -> tuple[int, int | None, str]:
        records = known_records(study.plan, study.store)
        answer = answer_of_plan(study.plan, study.store, records, known=True, listed=False)
        return answer.evaluations, answer.evaluations_left, " ".join(answer.warnings)

    assert asked()[:2] == (12, 12)
    run(toy_under("", "none"))
    total, left, warnings = asked()
    assert (total, left) == (12, 0)
    assert "4 stored trials cannot be evaluated under conditions of `test_under`" in warnings
    assert "Set `keep: {models: all}` and remove the trials' folders" in warnings


def test_a_result_of_other_weights_counts_as_none(toy_under: Make) -> None:
    study = toy_under(UNDER)
    run(study)
    first = study.plan.trials[0].id
    record = study.records()[first]
    assert record.result is not None
    other = record.model_copy(update={"result": record.result.model_copy(update={"weights_hash": "other"})})
    lacking = lacking_conditions(
        study.store, study.plan.study.conditions, {**study.records(), first: other}.values()
    )
    assert {trial: len(conditions) for trial, conditions in lacking.items()} == {first: 3}


def test_check_names_a_result_that_was_changed(toy_under: Make) -> None:
    study = toy_under(UNDER)
    run(study)
    path = next(iter(sorted(study.storage.glob("trials/*/under/*"))))
    path.write_text(path.read_text().replace('"n_test": ', '"n_test": 1'))
    (damage,) = check_storage(study.store).damages
    assert damage.path == path.relative_to(study.storage).as_posix()
    assert damage.aside == (damage.path,)
