"""The first page of a study: what pays and what can go, where the best variant fails, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from assay.analysis.names import sentence_case, study_names, variant_name
from assay.analysis.results.results import StudyResults
from assay.analysis.results.watch import score
from assay.analysis.study_analysis import study_analysis
from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE
from assay.report.answer_sentence import AnswerSentence, answer_sentence
from assay.report.figures.effects import EffectsPlot, comparisons_plot, effects_plot
from assay.report.headline import Answer
from assay.report.next_steps import enough_sentence, next_repeats
from assay.report.page.html import escape
from assay.report.pages import count_line
from assay.report.tables.answer import strongest_first
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import (
    UNDECIDED,
    badge,
    decimal_text,
    exact_test_text,
    less_chance_text,
    loss_text,
    settle_text,
)
from assay.storage.progress import Running
from assay.study import SearchPlan
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from assay_dashboard.best_variant import (
    best_of_each,
    data_sets_table,
    failures_by_class,
    odd_repeats,
    pictures_of_failures,
    variants_table,
)
from assay_dashboard.comparison_rows import MOST_ROWS, comparison_list
from assay_dashboard.layout import (
    EVERY,
    ago,
    counted,
    duration,
    errors_shown,
    escaped,
    missing_probes,
    missing_verdicts,
    paragraph,
    plain,
    progress_bar,
    stop_button,
    study_view,
)
from assay_dashboard.predictions import has_predictions, wrong_images
from assay_dashboard.state import CELL, REPEAT, STUDY
from trainables.elsewhere import TRAINED_ELSEWHERE
from trainables.evaluation.metrics import Metric

_RUNNING = 3  # trials that are named


@st.fragment(run_every=EVERY)
def _now(view: reading.StudyView) -> None:
    """One line of facts, and what runs: by heartbeats, which are no reason to draw the page again."""
    with errors_shown():
        # All is done: one line of facts is enough. While it runs the same place shows how far it is.
        entry = reading.entry(view.store, view.name)
        if entry.done == entry.total and not entry.held:
            plain(_facts(view, entry), "quiet")
            _failed(view)
            return
        parts = [counted(entry)]
        if entry.left is not None and entry.held:
            parts.append(f"{entry.left.roughly} {duration(entry.left.seconds)} left")
        if entry.last_record is not None:
            parts.append(f"last record {ago(entry.last_record)}")
        running = [t for t in reading.view(view.store, view.name).running if t.silent is None]
        with st.container(key="answer-now"):
            st.html(progress_bar(entry))
            with st.container(horizontal=True, vertical_alignment="center", key="answer-state"):
                st.html(paragraph(" · ".join(parts), "quiet"), width="content")
                stop_button(view.store, view.name, "study", view.name)
            for trial in running[:_RUNNING]:
                _running(view, trial)
            if len(running) > _RUNNING:
                plain(f"{len(running) - _RUNNING} more run now.", "quiet")


def _failed(view: reading.StudyView) -> None:
    """The way to the first run that failed, where any did."""
    records = view.results.records
    for trial in view.results.trials:
        if trial.id in records and records[trial.id].status == "failed":
            place = {STUDY: view.name, "runs": "Run", CELL: trial.cell, "part": "Log"}
            repeat = repeat_name(trial.seed, trial.fold)
            label = f"Why {escaped(variant_name(view.results, trial.cell))}, {escaped(repeat)} failed"
            st.page_link("views/runs.py", label=label, query_params={**place, REPEAT: repeat})
            return


def _facts(view: reading.StudyView, entry: reading.StudyEntry) -> str:
    """``5 variants × 6 seeds, all 30 runs finished 27 Nov. 240 images, 120 of them for testing. …``"""
    # Counts in the order of a reader's questions: how many variants, how many runs, which images, what is
    # the score.
    results, study = view.results, view.results.plan.study
    if isinstance(results.plan, SearchPlan):
        return count_line(results)
    repeats = f"{len(study.repeats.seeds)} seed{'s' if len(study.repeats.seeds) > 1 else ''}"
    if study.repeats.folds:
        repeats += f" × {len(study.repeats.folds)} folds"
    cells = len(results.reported.cells)
    finished = entry.counts.get("finished", 0)
    runs = f"all {entry.total} runs finished" if finished == entry.total else counted(entry)
    on = "" if entry.last_record is None else f" {entry.last_record.day} {entry.last_record:%b}"
    texts = [f"{cells} variant{'s' if cells != 1 else ''} × {repeats}, {runs}{on}."]
    trained = results.trained
    tests = {result.n_test for _, _, result in trained}
    manifests = list(results.plan.manifests.values())
    if len(manifests) > 1:  # by their readers alone they could not be told apart
        images = sorted(manifest.images for manifest in manifests)
        texts.append(f"{len(manifests)} data sets of {images[0]:,} to {images[-1]:,} images.")
    else:
        tested = f", {next(iter(tests))} of them for testing" if len(tests) == 1 else ""
        texts += [f"{manifest.images:,} {manifest.reader} images{tested}." for manifest in manifests]
    metric = results.primary
    what = metric.description.rstrip(".")
    if what[1:2].islower():  # neither `IoU` nor `Σ TP`
        what = what[0].lower() + what[1:]
    texts.append(f"Score: {what} ({metric.title}, {metric.scale}).")
    if any(TRAINED_ELSEWHERE in result.notes for _, _, result in trained):
        texts.append(f"{sentence_case(TRAINED_ELSEWHERE)}.")
    return " ".join(texts)


def _running(view: reading.StudyView, running: Running) -> None:
    """A trial that runs, with its numbers, and the way to its log."""
    trial = running.trial
    repeat = repeat_name(trial.seed, trial.fold)
    with st.container(horizontal=True, vertical_alignment="center", key=f"running-{trial.id}"):
        place = {STUDY: view.name, "runs": "Run", CELL: trial.cell, REPEAT: repeat}
        st.page_link("views/runs.py", label="Log", icon=":material/article:", query_params=place)
        numbers = _numbers(running, view.results.primary)
        plain(f"Runs now: {variant_name(view.results, trial.cell)}, {repeat}{numbers}", "quiet")


def _numbers(running: Running, primary: Metric) -> str:
    progress = running.progress
    if progress is None:
        return ", before its first epoch"
    stage = f"{progress.stage}, " if progress.stage else ""
    left = f"about {duration(running.left)} left" if running.left is not None else ""
    of_epoch = f"{stage}epoch {progress.epoch} of {progress.epochs}"
    return ": " + " · ".join(filter(None, [of_epoch, score(progress.metrics, primary), left]))


# The answer --------------------------------------------------------------------------------------------


def _verdicts(results: StudyResults, answer: Answer) -> None:
    """The sentence, then a row for each comparison; of many the strongest."""
    # The axis holds all rows, also those that are not shown, so it does not jump when more are asked for.
    most = len(answer.results)
    plot = effects_plot(results, most) if answer.effects else comparisons_plot(results, most)
    assert plot is not None, "an answer has a result"
    ordered = strongest_first(answer.results)
    shown = ordered[:MOST_ROWS]
    drawn = replace(plot, groups={"": shown})
    # What the exact test cannot do yet is said once where it is true of all rows.
    floors = {exact_test_text(result) for result in shown}
    floor = floors.pop() if len(shown) > 1 and len(floors) == 1 else ""
    details = [_detail(results, result, floor) for result in shown]
    rows = comparison_list(drawn, shown, study_names(results).change, details)
    with st.container(key="answer-verdicts"):
        st.html(_sentence(answer_sentence(results, answer.results)) + rows)
        st.html(paragraph(_note(drawn, shown, answer, floor), "quiet"))
        if len(ordered) > len(shown):
            left = f"The strongest {len(shown)} of {len(ordered)} comparisons."
            with st.container(horizontal=True, vertical_alignment="center"):
                plain(left, "quiet")
                place = {STUDY: results.name, "table": "Effects"}
                st.page_link("views/table.py", label="All comparisons", query_params=place)


def _sentence(sentence: AnswerSentence) -> str:
    """The answer in a sentence or two, what it speaks of in the colour of its verdict."""
    parts = (
        f'<b class="{tone}">{escape(text)}</b>' if tone else escape(text) for text, tone in sentence.phrases
    )
    return f'<p class="sentence">{"".join(parts)}</p>'


def _detail(results: StudyResults, result: ComparisonResult, floor: str) -> str:
    """The second line of a row: what else is worth knowing of it."""
    # A second metric is worth a word where its own test shows a difference. All tests of a large study take
    # longer than a reader waits.
    few = len(results.reported.trials) <= MOST_TRIALS_AT_ONCE
    further = [
        other
        for other in (study_analysis(results).further if few else ())
        if (other.comparison, other.within, other.claim) == (result.comparison, result.within, result.claim)
        and other.metric == "pixel_iou"
        and other.verdict == "shown"
    ]
    texts = [loss_text(result), "" if floor else exact_test_text(result)]
    if result.can_go and result.loses_at_most is not None:
        most = decimal_text(max(0.0, result.loses_at_most), result.decimals)
        texts.append(f"Dropping it loses at most {most} of {result.scored_by.title}")
    if further and further[0].mean_a is not None and further[0].mean_b is not None:
        rises = "Raises" if further[0].gain > 0 else "Lowers"
        texts.append(f"{rises} IoU{' too' * (result.gain * further[0].gain > 0)}: "
                     f"{further[0].mean_b:.2f} → {further[0].mean_a:.2f}")  # fmt: skip
    return " · ".join(text.rstrip(".") for text in texts if text)


def _note(plot: EffectsPlot, shown: Sequence[ComparisonResult], answer: Answer, floor: str) -> str:
    """One line on how the rows are read."""
    units = max((result.n for result in shown), default=0)
    data_sets = "data sets" in answer.claims
    texts = [f"Small ticks: the {units} {'data sets' if data_sets else 'repeats'}."] if units > 1 else []
    if plot.resolve is not None:
        texts.append(f"Grey band: ±{plot.resolve:g}, smallest effect of interest (set in the study).")
    family = shown[0].m
    if any(result.verdict_p is not None for result in shown):
        texts.append(f"p: exact paired test{f', adjusted for {family} comparisons' if family > 1 else ''}.")
    if any(result.verdict == "dispensable" for result in shown):
        texts.append(f"p of Can go: of a loss of {plot.resolve:g} or more (one-sided t test).")
    texts.append({
        "this split": "Holds for this train/test split.",
        "these folds": "Holds for these folds.",
        "this data": "Holds for this data set.",
        "new data": "Holds for new data.",
        "data sets": "Holds for data sets like these: each is one unit, the mean over its repeats.",
    }["data sets" if data_sets else answer.claims[0]])  # fmt: skip
    return " ".join([*texts, floor, plot.dagger.strip(), *answer.notes]).replace("  ", " ")


# Below it: the best variant, where it fails, what next -------------------------------------------------


def _best(view: reading.StudyView, best: str) -> None:
    with st.container(key="answer-best"):
        several = len(view.results.reported.cells) > 1
        title = f"Best variant: {escape(variant_name(view.results, best))}" if several else "Scores"
        st.html(f"<h2>{title}</h2>{variants_table(view, best)}")


def _failures(view: reading.StudyView, best: str) -> None:
    """Which defects and images the best variant gets wrong, and the way to all of them."""
    results = view.results
    with st.container(key="answer-failures"):
        # Shares of defects by class, then repeats that stand out, then pictures.
        bars = "".join(
            f'<div class="share"><span>{escape(name)}</span><span class="full">'
            f'<i style="width:{100 * share:.1f}%"></i></span><span>{100 * share:.0f} %</span></div>'
            for name, share in failures_by_class(results, best)
        )
        repeats = len([trial for trial, _, _ in results.trained if trial.cell == best])
        mean = f" (mean of {repeats} runs)" if repeats > 1 else ""
        untouched = f"<p>Defects it does not touch, by class{mean}</p>{bars}" if bars else ""
        odd = "".join(paragraph(text, "odd") for text in odd_repeats(view, best))
        try:
            pictures = results.once("failures", lambda: pictures_of_failures(view, best))
        except OSError as error:
            pictures = paragraph(f"The pictures are left out: {error}", "warn")
        which = "the best variant" if len(results.reported.cells) > 1 else "it"
        st.html(f"<h2>Where {which} fails</h2>{untouched}{odd}{pictures}")
        if not pictures:
            missing_probes("No pictures: no finished run has kept example images.", results)
        if best not in has_predictions(view):
            return
        with st.container(horizontal=True, vertical_alignment="center"):
            place = {STUDY: view.name, "images": "Misses and false alarms", "of": best}
            st.page_link("views/images.py", label="See all misses and false alarms", query_params=place)
            st.download_button(
                "Export list (CSV)",
                lambda: wrong_images(view, [best]).to_csv(index=False).encode(),
                file_name=f"{view.name}_wrong_images.csv",
                mime="text/csv",
                on_click="ignore",
                type="tertiary",
                key="download-wrong",
            )


def _next(view: reading.StudyView, answer: Answer | None) -> None:
    """What would decide what is open, as lines to paste, and what to label."""
    results = view.results.without_predictions()
    parts: list[str] = []
    command = f'<pre class="yaml">assay run {escape(view.name)}.yaml</pre>'

    # What failed comes first: what it would have decided is no reason to add repeats.
    lost = Counter(record.status for record in results.records.values())
    compared = None if lost["failed"] else answer
    if lost["failed"] and not view.held:
        runs = "1 run" if lost["failed"] == 1 else f"{lost['failed']} runs"
        again = f'<pre class="yaml">assay run {escape(view.name)}.yaml --retry failed</pre>'
        parts.append(f"<p><b>{runs} failed.</b> Once the cause is mended:</p>{again}")
    if lost["diverged"] and not view.held:
        runs = "1 run" if lost["diverged"] == 1 else f"{lost['diverged']} runs"
        parts.append(f"<p><b>{runs} diverged</b>, and would again: other settings may help.</p>")
    more = None if compared is None else next_repeats(results, compared.results)
    if view.planned and not view.held:
        # In this order: what is still to run, then repeats that would decide something, then the sentence
        # that nothing is left.
        left = "" if view.left is None else f", {view.left.roughly} {duration(view.left.seconds)}"
        parts.append(f"<p><b>{view.planned} runs are still to come</b>{left}:</p>{command}")
    elif more is not None:
        likely = f" ({more.likely})" if more.likely else ""
        time = "" if more.minutes is None else f", about {duration(60 * more.minutes)} here"
        parts.append(
            f"<p><b>{more.purpose}: {more.seeds}</b>{likely}{time}. In the study file:</p>"
            f'<pre class="yaml">{escape(more.yaml)}</pre><p>then</p>{command}'
        )
        assert compared is not None, "repeats decide its results"
        parts.append(paragraph(less_chance_text(compared.results), "quiet"))
    elif compared is not None and not view.held:
        undecided = [result for result in compared.results if badge(result) in UNDECIDED]
        done = "All that the study asks is decided."
        parts.append(paragraph(_settle(results, undecided) if undecided else done))
    enough = results.once("enough masks", lambda: enough_sentence(results))
    if enough is not None:
        parts.append(f"<p><b>To label: {escape(enough[0])}</b> {escape(enough[1])}</p>")
    if not parts:
        return
    with st.container(key="answer-next"):
        st.html(f"<h2>What next</h2>{''.join(parts)}")
        if enough is not None:
            st.page_link("views/labels.py", label="Labelling cost", query_params={STUDY: view.name})


def _settle(results: StudyResults, undecided: Sequence[ComparisonResult]) -> str:
    """What would settle the first undecided comparison of which that is known."""
    for result in undecided:
        text = settle_text(result)
        if text:
            of = f"{sentence_case(study_names(results).change(result))}: " if len(undecided) > 1 else ""
            return of + text
    return "More seeds alone do not settle the rest."


def _page() -> None:
    view = study_view()
    _now(view)
    with st.spinner("Comparing variants …"):
        results, answer = view.results.without_predictions(), view.answer()
    if answer is not None:
        _verdicts(results, answer)
    elif len(results.plan.cells) > 1 or isinstance(results.plan, SearchPlan):
        missing_verdicts(results)  # a study of one variant asks for none
    best = list(best_of_each(results).values())
    if not best:
        _next(view, answer)
        return

    # Scores on different data do not compare: each data set has a best of its own, and none is the study's.
    if len(results.data_sets) > 1:
        left, right = st.columns([2, 1], gap="medium")
        with left, st.container(key="answer-best"):
            st.html(f"<h2>The best on each data set</h2>{data_sets_table(view, best)}")
        with right:
            _next(view, answer)
        return

    # How good it is, where it fails, and what to do next.
    columns = st.columns([5, 4, 4], gap="medium")
    with columns[0]:
        _best(view, best[0])
    with columns[1]:
        _failures(view, best[0])
    with columns[2]:
        _next(view, answer)


_page()
