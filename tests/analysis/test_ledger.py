"""The ledger of a question, over all studies of a storage on the same data and methods."""

from __future__ import annotations

import pytest

from assay.analysis.ledger import ledgers, spread_seen, study_ledger
from assay.analysis.results.followed import FollowedStudy
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import write_summary
from assay.report.tables.footnotes import footnotes
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.storage.preregistration import preregister
from assay.study import Plan
from tests.analysis.made_studies import STUDY, lose, make_plan, make_records
from tests.cli.conftest import assay
from tests.cli.small_study import Assay
from tests.study.searches import search_with
from tests.study.toy import plan

__all__ = ["assay"]

BEST = "supervision=full stop=on"


def studied(store: Store, name: str, text: str = STUDY, lost: str = "") -> StudyResults:
    """A study that was registered, trained and summarised. ``lost``: how the best cell's first seed ended."""
    plan = make_plan(text.replace("study: additions", f"study: {name}"))
    preregister(store, plan)
    gone = [trial for trial in plan.trials if lost and trial.cell == BEST and trial.seed == 0]
    records = make_records(plan) | {trial.id: lose(trial, lost) for trial in gone}
    results = StudyResults(plan, records, store=store)
    write_summary(results, store)
    return results


def test_a_study_that_asks_alone_has_no_ledger(store: Store) -> None:
    assert study_ledger(studied(store, "additions")) is None
    assert ledgers(store) == []


def test_a_study_that_came_later_is_in_the_ledger_of_one_that_is_followed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.analysis.results.followed._FRESH", 0.0)
    write_plan(store, studied(store, "additions").plan)
    followed = FollowedStudy(store, "additions")
    alone = followed.state().results
    assert study_ledger(alone) is None
    assert followed.state().results is alone
    studied(store, "again")
    beside = followed.state().results
    assert str(study_ledger(beside)).startswith("Test log of 2 studies")
    assert beside.computed is alone.computed, "what others do not change stays"


def test_status_counts_the_comparisons_of_a_question(store: Store, assay: Assay) -> None:
    for name in ("additions", "again"):
        write_plan(store, studied(store, name).plan)
    printed = " ".join(assay("status", "--storage", store.uri).out.split())
    assert "on the same data and methods, 8 comparisons tried: additions, again" in printed


def test_comparisons_that_were_dropped_later_stay_tried(store: Store) -> None:
    first = studied(store, "additions")
    studied(store, "again")
    studied(store, "again", STUDY.replace("{factor: stop}, ", ""))
    assert (
        str(study_ledger(first)) == "Test log of 2 studies on the same data and methods, 8 comparisons tried"
    )
    assert [str(ledger) for ledger in ledgers(store)] == [str(study_ledger(first))]


def test_the_best_of_all_studies_is_said_to_be_selected_afterwards_where_it_stands(store: Store) -> None:
    first = studied(store, "additions")
    longer = studied(store, "longer", STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]"))  # later ones are higher
    text = " ".join(footnotes(longer))
    assert "Best of 8 tried on this question by AP: supervision=full stop=on of longer." in text
    assert "Selected afterwards, by this score" in text
    assert "Selected afterwards" not in " ".join(footnotes(first))  # its best cell is not the best of all


@pytest.mark.parametrize(("found", "noted"), [(True, True), (False, False)])
def test_that_other_studies_tried_more_is_noted_where_something_was_found(
    store: Store, found: bool, noted: bool
) -> None:
    study = STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5]" if found else "[0, 1]")
    first = studied(store, "additions", study)
    studied(store, "again")
    assert ("Each study's p counts its own comparisons alone" in " ".join(footnotes(first))) == noted


@pytest.mark.parametrize("reported", ["primary: image_ap, report: [fp]", "primary: pixel_iou, report: [fp]"])
@pytest.mark.parametrize(
    ("lost", "best"),
    [("diverged", "additions"), ("failed", "again (mean of 2 of 3 repeats)")],
)
def test_the_best_of_all_studies_is_no_mean_of_the_seeds_that_lived(
    store: Store, reported: str, lost: str, best: str
) -> None:
    """Without its first seed the cell has the higher mean."""
    studies = [studied(store, "additions")]
    report = STUDY.replace("primary: image_ap, report: [fp, pixel_iou]", reported)
    studies.append(studied(store, "again", report, lost))
    by_ap = [results for results in studies if results.primary.name == "image_ap"]
    notes = " ".join(note for results in by_ap for note in footnotes(results))
    seen = any(best.startswith(results.name) for results in by_ap)
    assert (f"by AP: {BEST} of {best}. Selected afterwards" in notes) == seen


def test_the_spread_that_other_studies_saw_is_that_of_their_seeds(store: Store) -> None:
    planned: Plan = make_plan(STUDY.replace("study: additions", "study: next"))
    assert spread_seen(store, planned) is None
    studied(store, "additions")
    assert spread_seen(store, planned) == (pytest.approx(0.01 * 2**0.5), "additions")


def test_the_comparisons_of_a_search_are_counted(store: Store) -> None:
    for name in ("hunt", "again"):
        preregister(
            store, plan(search_with(study=name, replicate={"best": 1, "seeds": [10, 11], "start": True}))
        )
    assert [str(ledger) for ledger in ledgers(store)] == [
        "Test log of 2 studies on the same data and methods, 2 comparisons tried"
    ]
