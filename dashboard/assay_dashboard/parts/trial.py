"""One run: its curves, scores, settings, environment and log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from assay.analysis.names import study_names
from assay.analysis.predictions import measured_records
from assay.analysis.trials import CLOCKS, curves_of
from assay.report.tables.cells import in_order
from assay.statistics.wording import number_text
from assay.storage import Record, Store
from assay.storage.mlflow_sync_state import run_address
from assay.storage.search_points import best_points
from assay.study import Trial
from assay.study.planning.compare import format_value
from assay.study.planning.identity import flatten
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from assay_dashboard.layout import (
    EVERY,
    draw,
    duration,
    errors_shown,
    message,
    plain,
    stop_button,
    theme,
)
from assay_dashboard.plots import curve_plot, line_plot, score_plot
from assay_dashboard.predictions import confusion, precision_recall, roc
from assay_dashboard.state import CELL, REPEAT, choose_one, mlflow_url, trial_of
from trainables.evaluation.metrics import METRICS
from trainables.evaluation.operating_point import rate_text

_LOG_LINES, _LOG_END = 400, 25  # lines of a log that are shown, and of its end, which needs no scrolling


def _chosen(view: reading.StudyView) -> Trial | None:
    """The reader's trial, at first the telling one; None where the study has none yet."""
    # The repeat that comes first depends on the variant chosen.
    trials, usual = view.results.trials, telling_trial(view)
    if usual is None:
        return None
    left, middle, _ = st.columns([3, 2, 2])
    cells = list(dict.fromkeys(trial.cell for trial in trials))
    words = study_names(view.results).variant
    cell = choose_one(left, "Variant", cells, key=CELL, usual=usual.cell, words=words)
    repeats = [repeat_name(trial.seed, trial.fold) for trial in trials if trial.cell == cell]
    first = repeat_name(usual.seed, usual.fold) if cell == usual.cell else repeats[0]
    repeat = choose_one(middle, "Repeat", repeats, key=REPEAT, usual=first, words=str)
    return trial_of(trials, cell, repeat)


def telling_trial(view: reading.StudyView) -> Trial | None:
    """The running trial that started last; else the first finished one of the best variant that has one.

    Of a search whose winners have none yet, that of its best point. Where none has finished, the first of
    the plan; None where the plan has none.
    """
    running = [run.trial for run in view.running if run.silent is None]
    if running:
        began = {trial.id: view.store.attempts(trial.id)[-1].started for trial in running}
        return max(running, key=lambda trial: began[trial.id])
    # Nothing runs: then the first finished run of the best variant, or of the best point of a search.
    trials, records = view.results.trials, measured_records(view.results)
    finished = [trial for trial in trials if trial.id in records and records[trial.id].status == "finished"]
    results, ranked = view.results, in_order(view.results, view.results.primary)
    drawn = (each for of_cell in results.evaluated_points.values() for each in of_cell)
    ranked = [*ranked, *(each.point.name for each in best_points(results.plan, drawn, 1))]
    of_best = (trial for cell in ranked for trial in finished if trial.cell == cell)
    return next(of_best, next(iter((*finished, *trials)), None))


def _summary(view: reading.StudyView, trial: Trial, record: Record) -> None:
    """Status of the trial and its metrics at a glance."""
    reason = f": {record.reason}" if record.reason else ""
    state = f"Trial {record.id} {record.status}{reason} · {duration(record.seconds)} of training"
    plain(state, "quiet" if record.status == "finished" else "warn")
    if record.result is not None:
        scores = record.result.metrics
        with st.container(horizontal=True, gap="large"):
            for metric in view.results.metrics:
                if metric.name in scores:
                    value = metric.text(scores[metric.name])
                    st.metric(metric.title, value, width="content", help=metric.description)
    _to_mlflow(view, trial)


def _to_mlflow(view: reading.StudyView, trial: Trial) -> None:
    """A link to the same trial in MLflow, where it is there."""
    address = run_address(view.store, view.name, trial.id)
    if address is None:
        plain("MLflow does not have this trial yet. `assay mlflow --sync` sends it there.", "quiet")
    else:
        st.link_button("Open in MLflow", f"{mlflow_url()}/{address}", icon=":material/open_in_new:")
        plain("`assay mlflow` serves the page behind this link.", "quiet")


@st.fragment(run_every=EVERY)
def _running(store: Store, study: str, trial: str) -> None:
    """A trial without a record: its heartbeat, until the record is there."""
    with errors_shown():
        view = reading.view(store, study)
        if trial in view.results.records:
            st.rerun(scope="app")
        _heartbeat(view, trial)


def _heartbeat(view: reading.StudyView, trial: str) -> None:
    # A trial without a record is damaged, waiting or running, and each has its own sentence.
    problem = next((problem for problem in view.results.problems if problem.trial == trial), None)
    if problem is not None:
        message(str(problem))
        return
    running = next((each for each in view.running if each.trial.id == trial), None)
    if running is None:
        message("This trial has no record yet and is not running. `assay run` trains what is missing.")
        return
    progress = running.progress
    if progress is None:
        message("This trial has no record yet: it starts.")
        return
    left = f" · about {duration(running.left)} left" if running.left is not None else ""
    if running.silent is not None:
        left = f" · no sign of life for {duration(running.silent)}"
    stage = f"{progress.stage}: " if progress.stage else ""
    st.progress(
        min(1.0, progress.epoch / max(1, progress.epochs)),
        text=f"{stage}epoch {progress.epoch} of {progress.epochs}{left}",
    )
    values = [_value_text(key, value) for key, value in progress.metrics.items() if value is not None]
    plain(" · ".join(values), "quiet")
    stop_button(view.store, view.name, "trial", trial)
    _log_end(view.store, trial, progress.attempt)


def _value_text(name: str, value: float) -> str:
    """``validation.image_ap 0.9125``; a count has no decimals."""
    metric = METRICS.get(name.removeprefix("validation."))
    return f"{name} {value:.4f}" if metric is None else f"{name} {metric.text(value)}"


def _curves(view: reading.StudyView, record: Record) -> None:
    curve = reading.read_part(view.store, record, "curve.parquet")
    stages = reading.stage_curves(view.store, record)
    if curve is None and not stages:
        message("This trial has no curve.")

    # One row is no curve: a method in stages leaves there what it measured.
    if curve is not None and curve.num_rows == 1:  # of a method in stages: what they measured, in one row
        plain("Measured in its stages", "heading")
        (row,) = curve.drop_columns([name for name in curve.column_names if name in CLOCKS]).to_pylist()
        facts = [(name, f"{value:.4g}") for name, value in row.items() if value is not None]
        wide = {"value": st.column_config.TextColumn(width=110)}  # its own is cut where many digits stand
        table = pd.DataFrame(facts, columns=["what", "value"])
        st.dataframe(table, hide_index=True, width="content", column_config=wide)
    elif curve is not None:
        _draw_curves(curves_of(curve.to_pandas()))
    _draw_curves(
        {
            f"{stage}: {title}": drawn
            for stage, table in stages.items()
            if table.num_rows > 1
            for title, drawn in curves_of(table.to_pandas()).items()
        }
    )


def _draw_curves(groups: Mapping[str, tuple[str, pd.DataFrame]]) -> None:
    columns = st.columns(2, gap="large")
    for number, (title, (unit, frame)) in enumerate(groups.items()):
        with columns[number % 2]:
            plain(title, "heading")
            draw(curve_plot(frame, unit=unit, theme=theme()), f"{title} over epochs")


def _scores(view: reading.StudyView, record: Record) -> None:
    table = reading.read_part(view.store, record, "predictions.parquet")
    if table is None or record.result is None or record.result.thresholds is None:
        message("This trial has no predictions.")
        return

    # Histogram and counts share the threshold, so a reader sees which part of the bars is wrong.
    thresholds = record.result.thresholds
    predictions = table.to_pandas()
    image = predictions["label"].map({True: "defective", False: "normal"})
    scores = pd.DataFrame({"score": predictions["score"], "image": image})
    counts = confusion(predictions)
    left, right = st.columns([3, 2], gap="large")
    with left:
        where = f"{thresholds.image:.4g} ({thresholds.image_source})"
        plain(f"Scores of {len(predictions)} test images; decided defective from {where}", "heading")
        draw(score_plot(scores, thresholds.image, theme=theme()), "Histogram of image scores")
    with right:
        plain("Decisions", "heading")
        st.dataframe(counts, alt="Confusion table")
        (_, alarms), (escapes, _) = counts.to_numpy().tolist()
        normal, defective = counts.sum(axis=1).tolist()
        plain(
            f"False alarms {rate_text(alarms, normal)}, escapes {rate_text(escapes, defective)}: images, "
            "with the exact upper limit of the rate, 95 % sure.",
            "quiet",
        )
        plain(f"Pixel threshold: {thresholds.pixel:.4g} ({thresholds.pixel_source}).", "quiet")

    # Neither curve exists where one kind of image is missing.
    if predictions["label"].nunique() < 2:
        return
    curves = {"ROC": roc(predictions), "Precision and recall": precision_recall(predictions)}
    for column, (title, curve) in zip(st.columns(2, gap="large"), curves.items(), strict=True):
        with column:
            plain(title, "heading")
            draw(line_plot(curve, theme=theme()), title)


def _settings(view: reading.StudyView, record: Record) -> None:
    trial = record.trial
    # What makes this run different from the study's base comes first; all settings are below it.
    differs = [
        (path, format_value(a), format_value(b)) for path, (a, b) in dict(trial.get("diff", {})).items()
    ]
    plain("Differences from the study's base", "heading")
    if differs:
        st.dataframe(pd.DataFrame(differs, columns=["setting", "base", "here"]), hide_index=True)
    else:
        plain("None: this is the base.", "quiet")
    plain("All settings", "heading")
    parts = {part: trial.get(part) for part in ("config", "data", "supervision")}
    rows = [(path, format_value(value)) for path, value in flatten(parts).items()]
    st.dataframe(pd.DataFrame(rows, columns=["setting", "value"]), hide_index=True, height=520)


def _environment(view: reading.StudyView, record: Record) -> None:
    environment = record.environment
    # Everything that one would need to explain why the same settings gave other numbers elsewhere.
    facts = {
        "host": environment.host,
        "device": environment.device,
        "workers": environment.world_size,
        "threads": environment.threads,
        "instruction set": environment.instructions,
        "peak memory, MB": environment.peak_memory_mb,
        "started": record.started,
        "ended": record.ended,
        "attempts": record.attempts,
        "commit": environment.commit,
        "source, sha256": environment.source_hash,
        "weights, sha256": record.result.weights_hash if record.result is not None else None,
    }
    timed = {f"{part}, s": number_text(seconds, 4) for part, seconds in record.timings.items()}
    stages = {
        f"stage {stage.name}, s": f"{number_text(stage.seconds, 4)}{' (reused)' * stage.reused}"
        for stage in record.stages
    }
    versions = dict(sorted({**environment.versions, **environment.imports}.items()))
    for column, (title, rows) in zip(
        st.columns(3, gap="large"),
        {"Where and when": facts, "Times": {**timed, **stages}, "Versions": versions}.items(),
        strict=True,
    ):
        with column:
            plain(title, "heading")
            facts_shown = [(name, str(value)) for name, value in rows.items() if value not in (None, "")]
            st.dataframe(pd.DataFrame(facts_shown, columns=["what", "value"]), hide_index=True)


def _log(view: reading.StudyView, record: Record) -> None:
    if record.error:
        plain("Why it failed", "heading")
        st.code(record.error, language=None)
    _log_end(view.store, record.id, record.attempt)


def _log_end(store: Store, trial: str, attempt: str) -> None:
    """The end of an attempt's log, which grows while it trains."""
    plain("End of its log", "heading")
    try:
        text = store.read_bytes(f"{store.trial(trial)}/{attempt}/log.txt")
    except FileNotFoundError:
        message("This trial has no log.")
        return
    # The end is open and the lines before it are folded: what went wrong stands at the end.
    lines = text.decode(errors="replace").splitlines()[-_LOG_LINES:]
    st.code("\n".join(lines[-_LOG_END:]), language=None)
    if len(lines) > _LOG_END:
        with st.expander(f"The {len(lines) - _LOG_END} lines before them"):
            st.code("\n".join(lines[:-_LOG_END]), language=None, height=520)


_PARTS: dict[str, Callable[[reading.StudyView, Record], None]] = {
    "Curves": _curves,
    "Scores": _scores,
    "Settings": _settings,
    "Environment": _environment,
    "Log": _log,
}


def show(view: reading.StudyView) -> None:
    """One run of the study: that of the URL, else the one that tells most."""
    trial = _chosen(view)
    if trial is None:
        message("The search has drawn no point yet. Its first trial will be shown here.")
        return
    record = measured_records(view.results).get(trial.id)
    if record is None:
        _running(view.store, view.name, trial.id)
        return
    _summary(view, trial, record)

    # Of a failed run the reader wants to know why, of any other how it went.
    first = "Log" if record.status == "failed" else "Curves"
    part = st.segmented_control(
        "Part", list(_PARTS), default=first, required=True, key="part", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    try:
        _PARTS[part or first](view, record)
    except OSError as error:
        message(f"{error}. The numbers of its record are still valid.")
