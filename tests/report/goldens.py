"""Reports whose bytes are kept in ``golden/``; ``python -m tests.report.goldens`` renews them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from matplotlib.figure import Figure

from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import results_of_records
from assay.report.formats import FORMATS
from assay.storage import DamagedRecord, Environment, Record, Store
from assay.storage.conditions import ConditionResult, write_condition
from assay.study import ManifestSummary, Plan, Trial
from tests.analysis.data_set_studies import LADDER, ladder_scores
from tests.analysis.made_studies import STUDY, lose, make_plan, make_record

__all__ = ["FOLDER", "FORMS", "GOLDENS", "golden_files", "golden_results"]

FOLDER = Path(__file__).parent / "golden"
_PROGRAM = Environment(versions={"assay": "0.1.0", "torch": "2.13.0"})
_PUBLISHED = """
published:
  source: Božič & Skočaj 2021, Table 4_a
  rows:
    - {at: {supervision: full, stop: on}, values: {image_ap: 0.9975, fp: 2}}
"""


def _scores(trial: Trial) -> dict[str, float]:
    """`stop` is worth 0.05 and masks 0.02, each a little more or less in every repeat; AP ends at 1."""
    on, full = trial.levels.get("stop") == "on", trial.levels.get("supervision") == "full"
    wobble = ((trial.seed * 7 + 3 * on + 5 * full) % 11 - 5) / 1000
    ap = min(1.0, 0.9 + 0.05 * on + 0.02 * full + wobble + 0.004 * (trial.fold or 0))
    return {"image_ap": ap, "fp": float((trial.seed + on) % 3), "pixel_iou": ap / 2}


def _records(plan: Plan) -> dict[str, Record]:
    return {trial.id: make_record(trial, _scores, environment=_PROGRAM) for trial in plan.trials}


def _of_seeds() -> tuple[Plan, dict[str, Record], tuple[DamagedRecord, ...]]:
    """A factorial on one split with eight seeds; one trial diverged, one record is damaged."""
    text = (
        STUDY.replace("splits: per_seed", "splits: published, validation: none")
        + "resolve: 0.01"
        + _PUBLISHED
    )
    plan = make_plan(text.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5, 6, 7]"))
    data = ManifestSummary(
        hash="a", reader="mtd", images=90, defective=40, with_mask=40, folds=(), pixels="8 bits"
    )
    allowed = plan.comparisons[0].model_copy(update={"allowed": {"config.lr": "50 % of {the} paper's #1"}})
    plan = plan.model_copy(
        update={
            "manifests": {"a": data},
            "warnings": ("2 images of train are also in test: <a&b>.png, c_$d.png.",),
            "comparisons": (allowed, *plan.comparisons[1:]),
        }
    )
    records = _records(plan)
    diverged, unread = (t for t in plan.trials if t.seed == 7 and t.levels["supervision"] == "few")
    lost = lose(diverged, "diverged", "NaN loss at epoch 3")
    records[diverged.id] = lost.model_copy(update={"environment": _PROGRAM})
    del records[unread.id]
    return plan, records, (DamagedRecord(unread.id, f"trials/{unread.id}/record.json", "not a record"),)


def _of_folds() -> tuple[Plan, dict[str, Record], tuple[DamagedRecord, ...]]:
    """Prescribed folds: two claims; more than 200 trials, which only HTML lists."""
    text = STUDY.replace("splits: per_seed", "splits: published")
    plan = make_plan(text.replace("[0, 1, 2]}", f"{list(range(18))}, folds: [0, 1, 2]}}"))
    return plan, _records(plan), ()


def _of_one_cell() -> tuple[Plan, dict[str, Record], tuple[DamagedRecord, ...]]:
    """No factors, nothing to compare, and two of three seeds are still to be trained."""
    text = STUDY.partition("factors:")[0] + "repeats: {seeds: [0, 1, 2]}\n"
    plan = make_plan(text)
    first = plan.trials[0]
    return plan, {first.id: make_record(first, _scores, environment=_PROGRAM)}, ()


def _of_data_sets() -> tuple[Plan, dict[str, Record], tuple[DamagedRecord, ...]]:
    """A claim over six data sets, on three seeds each."""
    plan = make_plan(LADDER)
    records = {trial.id: make_record(trial, ladder_scores, environment=_PROGRAM) for trial in plan.trials}
    return plan, records, ()


def _of_conditions() -> tuple[Plan, dict[str, Record], tuple[DamagedRecord, ...], Store]:
    """In half the light less is left of `stop`, and masks hurt. Moved images score as plain ones do."""
    text = STUDY.replace("splits: per_seed", "splits: published, validation: none")
    text = text.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5, 6, 7]") + "test_under: {light: [0.5], shift: [4]}\n"
    plan, store = make_plan(text), Store(Path(_STORAGE.name))
    for trial, condition in product(plan.trials, plan.study.conditions):
        scores = _scores(trial)
        if condition.kind == "light":
            on, full = trial.levels["stop"] == "on", trial.levels["supervision"] == "full"
            wobble = ((trial.seed * 3 + 5 * on + full) % 7 - 3) / 1000
            scores["image_ap"] += wobble - 0.1 - 0.03 * on - 0.05 * full
        write_condition(
            store,
            trial.id,
            ConditionResult(
                condition=condition,
                weights_hash=trial.id,
                image_threshold=0.4,
                pixel_threshold=0.5,
                metrics=scores,
                n_test=60,
            ),
        )
    return plan, _records(plan), (), store


FORMS = ("md", "latex", "html", "csv")
GOLDENS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "seeds": _of_seeds,
    "folds": _of_folds,
    "one_cell": _of_one_cell,
    "data_sets": _of_data_sets,
    "conditions": _of_conditions,
}
_STORAGE = TemporaryDirectory(prefix="assay-")  # of results under conditions, until the process ends


@cache
def golden_results(name: str) -> StudyResults:
    """The study of a golden report, analysed once for all its forms."""
    return results_of_records(*GOLDENS[name]())


def golden_files(name: str, form: str) -> Mapping[str, str]:
    """File name → text of a report, with empty pictures: another version of matplotlib draws other bytes."""
    with patch.object(Figure, "savefig"):
        files = FORMATS[form].study_files(golden_results(name), f"{name}{FORMATS[form].suffix}")
    return {path: data.decode() for path, data in files.items() if "/" not in path}


if __name__ == "__main__":
    for stale in FOLDER.iterdir():
        stale.unlink()
    for golden in GOLDENS:
        for form in FORMS:
            for path, text in golden_files(golden, form).items():
                (FOLDER / path).write_text(text, encoding="utf-8")
