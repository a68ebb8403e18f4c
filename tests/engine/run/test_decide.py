"""A study that decides trains look by look, however it is run and whatever kills it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.analysis.results.reading import needed_plan
from assay.engine import Outcome
from assay.engine.order import batches_of_rounds
from assay.engine.trial_batch import BatchTasks
from assay.storage.lease import request_stop
from assay.study import Trial
from tests.analysis.made_studies import make_plan
from tests.engine.staged_study import STAGED, StagedStudy
from tests.engine.toy_study import TOY, ToyStudy

PACE = "pace: {slow: {config: {lr: 0.05}}, fast: {config: {lr: 0.2}}, faster: {config: {lr: 0.3}}}"
LOOKS = [6, 8, 10]


def toy(storage: Path, cache: Path, more: str = "") -> ToyStudy:
    """Three paces of the toy: two comparisons, of which one is soon settled."""
    text = TOY.format(name="toy", epochs=2, seconds=0.0, workers=1, pack="auto", factor=PACE, seeds=[])
    pairs = "[{factor: pace, from: slow, to: fast}, {factor: pace, from: slow, to: faster}]"
    decides = f"{{decide: {LOOKS}}}\nresolve: 0.1\ncomparisons: {pairs}\n{more}"
    return ToyStudy(storage, cache, text.replace("{seeds: []}", decides))


Trained = tuple[ToyStudy, Outcome]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Trained:
    study = toy(tmp_path_factory.mktemp("trained"), cache_root)
    return study, study.run(local=True, processes=0, needed=needed_plan)


def test_what_no_undecided_comparison_needs_is_never_trained(trained: Trained) -> None:
    study, outcome = trained
    records = study.records()
    assert records.keys() == {trial.id for trial in needed_plan(study.plan, records).trials}
    assert (outcome.finished, outcome.missing) == (len(records), 0)
    assert len(records) < len(study.plan.trials)


def test_records_that_are_lost_between_looks_are_trained_again_and_nothing_else(trained: Trained) -> None:
    study, _ = trained
    whole = study.results()
    for trial in (study.plan.trials[0], study.plan.trials[8]):
        study.store.forget_record(trial.id, "finished")
    outcome = study.run(local=True, processes=0, needed=needed_plan)
    assert outcome.trained_now == 2
    assert study.results() == whole


def test_a_study_that_decides_keeps_to_its_budget_and_goes_on_with_another(
    trained: Trained, tmp_path: Path, cache_root: Path
) -> None:
    bounded = toy(tmp_path, cache_root, more="budget: {hours: 1e-9}")
    first = bounded.run(local=True, processes=0, needed=needed_plan)
    assert (len(bounded.records()), first.missing, first.postponed) == (3, 0, 15)  # one seed of each cell
    richer = toy(tmp_path, cache_root, more="budget: {hours: 1}")
    richer.run(local=True, processes=0, needed=needed_plan)
    assert richer.results() == trained[0].results()


def test_a_trial_that_was_stopped_is_not_left_for_another_budget(tmp_path: Path, cache_root: Path) -> None:
    bounded = toy(tmp_path, cache_root, more="budget: {hours: 1e-9}")

    def stop_the_first(message: str) -> None:
        if "trials to train" in message:
            request_stop(bounded.store, "trial", bounded.plan.trials[0].id)

    outcome = bounded.run(local=True, processes=0, needed=needed_plan, on_message=stop_the_first)
    assert (outcome.missing, outcome.postponed) == (1, 15)


def test_stages_that_looks_share_are_made_once(tmp_path: Path, cache_root: Path) -> None:
    decides = STAGED.replace(
        "{{seeds: {seeds}}}", "{{decide: [6, 8]}}\nresolve: 0.1\ncomparisons: [{{factor: last}}]"
    )
    sharpen = next(line for line in STAGED.splitlines(keepends=True) if "sharpen:" in line)
    study = StagedStudy.of(tmp_path, cache_root, text=decides.replace(sharpen, ""), epochs=1)
    outcome = study.run(local=True, processes=0, needed=needed_plan)
    assert (outcome.missing, outcome.problems) == (0, ())
    assert study.records().keys() == {t.id for t in needed_plan(study.plan, study.records()).trials}
    folders = list((tmp_path / "stages").iterdir())
    assert [len(list(folder.glob("001-*"))) for folder in folders] == [1] * len(folders)


TRIALS = list(make_plan().trials)


class Rounds:
    """Rounds of two trials each; what is handed out is over when the test says so."""

    def __init__(self, lost: int | None = None) -> None:
        self.done: set[str] = set()
        self.in_flight: set[str] = set()
        self.lost = lost  # index of a trial that never leaves a record
        self.asked = 0

    def now(self) -> list[Trial]:
        self.asked += 1
        for start in range(0, 6, 2):
            missing = [trial for trial in TRIALS[start : start + 2] if trial.id not in self.done]
            if missing:
                return missing
        return []

    def end(self) -> None:
        lost = set() if self.lost is None else {TRIALS[self.lost].id}
        self.done |= self.in_flight - lost
        self.in_flight.clear()

    def batches(self) -> Iterator[BatchTasks | None]:
        return batches_of_rounds(self.now, lambda trials: iter([trials]), self.in_flight)


@pytest.mark.parametrize(("lost", "rounds"), [(None, 3), (3, 2)], ids=["all end", "one leaves no record"])
def test_a_round_waits_for_the_one_before_and_what_is_lost_ends_it(lost: int | None, rounds: int) -> None:
    study = Rounds(lost)
    handed: list[str] = []
    waited = 0
    for batch in study.batches():
        if batch is None:
            waited += 1
            study.end()
            continue
        handed += [entry.id for entry in batch]
        study.in_flight |= {entry.id for entry in batch}
    assert handed == [trial.id for trial in TRIALS[: 2 * rounds]]
    assert waited == rounds
