"""Claims over data sets in a study and in a table: the same verdicts, over studies that trained apart too."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from assay.analysis.best_model import best_trial
from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import results_of_records
from assay.analysis.scores.score_file import ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import tidy
from assay.report.answer_sentence import answer_sentence
from assay.report.formats import FORMATS
from assay.report.headline import study_answer
from assay.report.next_steps import next_repeats
from assay.report.tables.cells import base_and_best, highlighted_cells
from assay.statistics.families import ComparisonResult
from assay.statistics.scores import CLAIMS
from assay.storage import Record
from assay.study import Plan
from tests.analysis.data_set_studies import LADDER, SURFACES, ladder_scores, results_on_surfaces
from tests.analysis.made_studies import make_plan, make_record, markdown_of
from trainables.errors import InputError


def results(text: str = LADDER, *, ended: int | None = None) -> StudyResults:
    """The results of the ladder; ``ended``: of so many of its trials."""
    plan = make_plan(text)
    records = {trial.id: make_record(trial, ladder_scores) for trial in plan.trials[:ended]}
    return results_of_records(plan, records, ())


def facts(found: ComparisonResult) -> tuple[object, ...]:
    """All that a claim is made of."""
    return (
        found.comparison, found.claim, found.n, found.difference, found.low, found.high, found.next_low,
        found.next_high, found.p, found.p_adjusted, found.verdict, found.units,
    )  # fmt: skip


def test_a_claim_is_tested_over_the_levels_that_name_data() -> None:
    five, every = study_analysis(results()).over_data_sets
    assert (five.comparison, five.verdict, five.n) == ("supervision: none → five", "shown", 6)
    assert (every.verdict, every.m) == ("open", 2)
    assert five.units == SURFACES


def test_each_data_set_keeps_its_own_comparisons() -> None:
    with_claim, without = (
        study_analysis(results(text)) for text in (LADDER, LADDER.replace(", claim: data sets", ""))
    )
    assert with_claim.comparisons == without.comparisons
    assert not without.over_data_sets


def test_seeds_of_several_data_sets_make_no_main_effect() -> None:
    analysis = study_analysis(results())
    assert not analysis.main_effects
    assert not analysis.interactions


def test_until_the_study_is_over_nothing_is_claimed() -> None:
    analysis = study_analysis(results(ended=30))
    assert {claim.verdict for claim in analysis.over_data_sets} == {"interim"}
    assert not analysis.rankings


def test_the_answer_speaks_of_the_data_sets() -> None:
    ladder = results()
    answer = study_answer(ladder)
    assert answer is not None
    assert answer.claims == ("data sets",)
    assert str(answer_sentence(ladder, answer.results)) == (
        "Over 6 data sets, five masks pay (+0.15 AP). Whether all masks beat five is not decided."
    )


def test_more_seeds_are_no_way_to_settle_it() -> None:
    ladder = results()
    assert next_repeats(ladder, study_analysis(ladder).over_data_sets) is None


def test_of_cells_on_several_data_sets_none_is_the_best() -> None:
    ladder = results_on_surfaces()
    assert study_analysis(ladder).best is None
    with pytest.raises(InputError, match="mean on one data set, and surfaces has cells on 6"):
        best_trial(ladder)


def test_without_verdicts_the_answer_names_no_best_of_several_data_sets() -> None:
    text = LADDER[: LADDER.index("comparisons:")] + LADDER[LADDER.index("repeats:") :]
    assert str(answer_sentence(results_on_surfaces(text), [])) == (
        "The study compares nothing; its variants stand on 6 data sets, of which each has a best of its own."
    )


def test_what_is_shown_beside_each_other_is_of_one_data_set() -> None:
    ladder = results_on_surfaces()
    on_steel = [cell.name for cell in ladder.reported.cells if cell.levels["surface"] == "steel"]
    assert set(base_and_best(ladder) or ()) <= set(on_steel)
    assert highlighted_cells(ladder, [cell.name for cell in ladder.reported.cells], 6) == on_steel


def test_a_page_says_what_the_next_data_set_may_show() -> None:
    plan = make_plan(LADDER)
    page = markdown_of(plan, {trial.id: make_record(trial, ladder_scores) for trial in plan.trials})
    assert "Holds for data sets like these" in page
    assert "- Five masks instead of none: on average over 6 data sets AP changes by +0.149" in page
    assert "; on the next one it may be 0.048 to 0.251 (95 %)." in page
    assert "| glass    |                     +0.204 |" in page
    worded = LADDER.replace("glass: {data:", "glass: {says: float glass, data:")
    plan = make_plan(worded)
    page = markdown_of(plan, {trial.id: make_record(trial, ladder_scores) for trial in plan.trials})
    assert "| float glass |" in page


def test_files_have_the_claim_and_the_interval_of_the_next_data_set() -> None:
    (content,) = (FORMATS["json"].study_files(results(), "ladder.json") or {}).values()
    first, second, *_ = json.loads(content)["comparisons"]
    assert [first["claim"], second["claim"]] == ["data sets", "data sets"]
    assert first["next_low"] == pytest.approx(0.048, abs=1e-3)


FIVE_LEVELS = LADDER.replace(
    "five: {supervision: {mixed: 5}},",
    "one: {supervision: {mixed: 1}}, five: {supervision: {mixed: 5}}, ten: {supervision: {mixed: 10}},",
)


def five_levels(text: str = FIVE_LEVELS) -> tuple[Plan, dict[str, Record]]:
    """A plan on six surfaces and its records: the more masks, the better."""
    plan = make_plan(text)
    worth = {"none": 0, "one": 0.05, "five": 0.1, "ten": 0.12, "all": 0.14}
    records = {
        trial.id: make_record(
            trial, lambda t: {"image_ap": 0.5 + worth[t.levels["supervision"]] + 0.001 * t.seed, "fp": 1.0}
        )
        for trial in plan.trials
    }
    return plan, records


def test_five_levels_on_six_data_sets_are_ranked() -> None:
    plan, records = five_levels()
    (ranking,) = study_analysis(results_of_records(plan, records, ())).rankings
    assert list(ranking.ranks) == ["all", "ten", "five", "one", "none"]
    ranks = "Mean ranks over 6 data sets (1 is best): all masks 1.00, ten masks 2.00"
    assert ranks in markdown_of(plan, records)
    assert not study_analysis(results()).rankings


def test_a_data_set_and_a_level_of_one_name_keep_their_words() -> None:
    page = markdown_of(*five_levels(FIVE_LEVELS.replace("glass: {data:", "five: {says: plates, data:")))
    assert "| plates   |" in page
    assert "five masks 3.00" in page


# Tables ------------------------------------------------------------------------------------------------


def table_of(ladder: StudyResults) -> pd.DataFrame:
    return tidy(ladder).to_pandas()


def judged(table: pd.DataFrame, **question: object) -> tuple[ComparisonResult, ...]:
    """The claims in a table."""
    content = table.to_csv(index=False).encode()
    compared = ("supervision: none -> five", "supervision: five -> all")
    over = str(question.pop("over", "surface"))
    columns = ColumnNames(score=("image_ap",), data_sets=over)
    asked = ScoreQuestion(columns, **{"compared": compared, "over": over, "splits": "per_seed", **question})  # type: ignore[arg-type]
    return analyse_score_file("summary.csv", content, asked).analysis.over_data_sets


def test_the_summary_of_a_study_gets_the_claims_of_the_study() -> None:
    ladder = results()
    found = judged(table_of(ladder))
    assert list(map(facts, found)) == list(map(facts, study_analysis(ladder).over_data_sets))


def test_studies_that_trained_apart_are_joined_into_one_claim() -> None:
    ladder = results()
    whole = table_of(ladder)
    apart = whole.drop(columns="factor:surface").assign(
        study=whole["factor:surface"], cell=whole["factor:supervision"]
    )
    found = judged(apart, over="study", compared=("cell: none -> five", "cell: five -> all"))
    expected = study_analysis(ladder).over_data_sets
    assert [facts(claim)[1:] for claim in found] == [facts(claim)[1:] for claim in expected]


def test_a_level_of_the_only_other_factor_may_be_what_all_are_compared_with() -> None:
    rows = [
        f"{cell},{surface},{seed},{0.5 + gain + 0.01 * seed + 0.001 * i}"
        for i, surface in enumerate(SURFACES)
        for cell, gain in (("base", 0.0), ("new", 0.05 + 0.001 * i))
        for seed in range(2 + i % 2)
    ]
    text = "\n".join(["cell,data,seed,AP", *rows]).encode()
    question = ScoreQuestion(ColumnNames(data_sets="data"), against="base", over="data")
    (claim,) = analyse_score_file("s.csv", text, question).analysis.over_data_sets
    assert (claim.comparison, claim.n, claim.n_missing, claim.verdict) == ("cell: base → new", 6, 0, "shown")


@pytest.mark.parametrize(
    ("over", "compared", "said"),
    [
        (
            "colour",
            ("cell",),
            "--over names a column or factor of s.csv, found colour; it has cell, data, seed",
        ),
        ("data", ("data",), "found no comparison on two of its 2 levels"),
    ],
)
def test_a_claim_over_what_is_no_data_sets_is_refused(
    over: str, compared: tuple[str, ...], said: str
) -> None:
    rows = [f"{c},{d},{s},0.{s}5" for c in "ab" for d in "xy" for s in range(3)]
    text = "\n".join(["cell,data,seed,AP", *rows]).encode()
    with pytest.raises(InputError) as refused:
        analyse_score_file(
            "s.csv", text, ScoreQuestion(ColumnNames(data_sets=over), compared=compared, over=over)
        )
    assert said in str(refused.value)


def test_several_studies_are_refused_with_the_way_to_join_them() -> None:
    table = table_of(results())
    two = pd.concat([table, table.assign(study="other")])
    with pytest.raises(InputError, match="take each study for a data set: --over study"):
        analyse_score_file("s.csv", io.StringIO(two.to_csv(index=False)).getvalue().encode(), ScoreQuestion())


def test_a_claim_over_data_sets_is_the_widest() -> None:
    assert CLAIMS[-1] == "data sets"
