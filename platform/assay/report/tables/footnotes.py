"""Footnotes of a table: where thresholds come from, what was departed from, and why.

Each is a fact of the plan, of the records or of the storage. Only the best cell of several studies is chosen
by its scores, and it is told so. Equal records give equal notes: no date but that of a changed question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from assay.analysis.decisions import study_decisions
from assay.analysis.ledger import study_ledger
from assay.analysis.predictions import CHANCE_NOTE, PART_RATES, collapses, part_rates
from assay.analysis.results.left_out import left_out
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_summary, spread_note
from assay.report.tables.cells import attainable_texts
from assay.statistics.wording import number_text
from assay.storage.record import Record
from assay.storage.registration import format_changes, format_replaced_looks
from assay.study import Comparison, Plan, PointCell, ReportedPlan, SearchPlan
from assay.study.names import counted, from_to
from assay.study.planning.resolution_limit import format_reach, reach_warnings
from trainables.data.inspect.findings import summarise

__all__ = ["footnotes"]

_THRESHOLD_NOTE = "thresholds: no validation images"  # the note on validation tells it


def footnotes(results: StudyResults) -> list[str]:
    """The footnotes under a study's table, without those that a row's ``n`` refers to by number."""
    plan, reported = results.plan, results.reported
    finished = {id_: record for id_, record in results.records.items() if record.result is not None}
    return [
        *_spread_note(results),
        *([CHANCE_NOTE] if collapses(results) else []),
        *_search_notes(plan),
        *_decision_note(results),
        *_published_note(reported),
        *_threshold_notes(finished),
        *_part_rate_notes(results),
        *_validation_notes(reported),
        *_method_note(reported),
        *_notes_of_cells(reported, finished),
        *_worker_notes(finished),
        *_arithmetic_note(reported, finished),
        *_bundles(reported),
        *_allowances(reported.comparisons),
        *_reach_notes(results),
        *plan.warnings,
        *left_out(results),
        *_registered_note(results),
        *_ledger_note(results),
        _origin(results),
    ]


def _decision_note(results: StudyResults) -> list[str]:
    if study_decisions(results) is None:
        return []
    study = results.plan.study
    looks = ", ".join(map(str, study.repeats.decide))
    note = f"Verdicts come at {looks} seeds, `resolve` is {study.resolve:g}: {study_decisions(results)}."
    replaced = format_replaced_looks(results.registered)
    if replaced:
        note += (
            f" They replace looks {replaced}, which may have shown something and count for nothing here: "
            "both together show something in more than 5 % of studies in which nothing differs."
        )
    claims = [result.claim for result in study_analysis(results).comparisons]
    if claims and claims[0] != "this split":
        note += (
            f" They are about {claims[0]} alone: for new data no look is planned, and nothing is compared."
        )
    return [note]


def _registered_note(results: StudyResults) -> list[str]:
    """Say since when the question stands, and each change of it."""
    if not results.registered:
        return []
    first, *later = results.registered
    before = (
        "before its first trial" if not first.ended else f"when {counted(first.ended, 'trial')} had ended"
    )
    changes = [
        f"{format_changes(old, new)} ({new.at:%Y-%m-%d %H:%M} UTC, "
        f"{counted(new.ended, 'trial')} of the changed question"
        f"{f' and {new.ended_before} of the one before' if new.ended_before else ''} had ended)"
        for old, new in pairwise(results.registered)
    ]
    since = f"changed since: {'; '.join(changes)}" if later else "unchanged since"
    return [f"Primary metric, `resolve`, comparisons and looks were registered {before}; {since}."]


def _ledger_note(results: StudyResults) -> list[str]:
    """Comparisons tried on the same question, and the best of all cells as the exploratory winner it is."""
    ledger = study_ledger(results)
    if ledger is None:
        return []
    listed = ", ".join(f"{page.study} ({counted(page.comparisons, 'comparison')})" for page in ledger.pages)
    note = (
        f"{ledger}: {listed}. Each study's p counts its own comparisons alone, so of all of them together "
        "more than 5 % may show something by chance."
    )
    if ledger.best is None:
        return [note]
    best = (
        f"Best of {ledger.tried} tried on this question by {results.primary.title}: {ledger.best}. "
        "Chosen by this score, it is an exploratory winner: its score flatters it, until a study registered "
        "with it alone confirms it on fresh seeds."
    )
    return [note, best]


def _search_notes(plan: Plan) -> list[str]:
    if not isinstance(plan, SearchPlan):
        return []
    if plan.study.replicate is None:
        return ["The table is empty: a search's own scores chose its points. Add `replicate` to the study."]
    notes = ["Winners of the search, trained again on seeds that chose nothing.", *_draw_notes(plan)]
    if len({searched.design_cell for searched in plan.searched}) > 1:
        notes.append(_budget_note(plan))
        if plan.comparisons and not plan.search.has_front:
            notes.append("Compared are the best points of two cells: their drawn settings differ as well.")
    if plan.pending_points:
        notes.append("The search is not over: winners are trained again when all points are evaluated.")
    return notes


def _budget_note(plan: SearchPlan) -> str:
    points = [max(plan.budget, drawn) for drawn in plan.drawn.values()]
    if len(set(points)) == 1:
        return f"Each cell was searched with the same budget: {points[0]} points."
    return f"Cells were searched with {from_to(points)} points: `points` is below what some had drawn before."


def _draw_notes(plan: SearchPlan) -> list[str]:
    """Notes on what a search stands for: the points that it drew, or all that it might have drawn."""
    search = plan.search
    notes: list[str] = []
    own_splits = search.nested and plan.searched[0].cell.data.splits == "per_seed"
    if search.nested:
        where = "split" if own_splits else "fold"
        notes.append(
            f"Nested: each {where} has a search of its own, whose winner is tested on that {where}. None of "
            "its test images was seen by its search."
        )
    if own_splits:
        notes.append("Each split is a search of its own: scores and verdicts are those of this search.")
    else:
        notes.append(
            "One search is one draw: scores and verdicts are those of these points, not of this search."
        )
    return notes


def _spread_note(results: StudyResults) -> list[str]:
    summaries = [s for s in metric_summary(results, results.primary.name) if s.spread is not None]
    return [spread_note(summaries)] if summaries else []


def _published_note(plan: ReportedPlan) -> list[str]:
    published = plan.study.published
    if published is None:
        return []
    note = (
        f"Published: {published.source.rstrip('.')}. The authors' figures under their own protocol, not "
        "reproduced here."
    )
    if any(sum(row.is_of(cell.levels) for cell in plan.cells) > 1 for row in published.rows):
        note += " Where one figure of the source covers several rows, it stands beside each."
    return [note]


def _threshold_notes(records: Mapping[str, Record]) -> list[str]:
    thresholds = [r.result.thresholds for r in records.values() if r.result and r.result.thresholds]
    if not thresholds:
        return []
    image = Counter(t.image_source for t in thresholds)
    pixel = Counter(t.pixel_source for t in thresholds)
    ranges = [t.image_range for t in thresholds if t.image_range is not None]
    return [f"Image threshold: {_counted(image)}{_range(ranges)}. Pixel threshold: {_counted(pixel)}."]


def _range(ranges: Sequence[tuple[float, float]]) -> str:
    """Say how far validation images leave smoothed thresholds open, if there are any."""
    if not ranges:
        return ""
    low, high = (number_text(median(ends)) for ends in zip(*ranges, strict=True))
    return f", 90 % of bootstrap draws within {low} and {high} (medians over trials)"


def _part_rate_notes(results: StudyResults) -> list[str]:
    """Intervals over parts of the rates that the table shows."""
    notes: list[str] = []
    for metric in results.metrics:
        if metric.name in PART_RATES:
            rates = part_rates(results, metric.name)
            decimals = metric.decimals
            texts = [
                f"{rate.cell} {rate.low:.{decimals}f} to {rate.high:.{decimals}f} "
                f"({number_text(rate.parts)} parts)"
                for rate in rates
            ]
            text = ", ".join(texts) if texts else "no predictions"
            title = f"{metric.title[0].upper()}{metric.title[1:]}"
            notes.append(f"{title}, 95 % intervals over the parts of a test: {text}.")
    return notes


def _counted(sources: Counter[str]) -> str:
    if len(sources) == 1:
        return next(iter(sources))
    return ", ".join(f"{source} ({counted(count, 'trial')})" for source, count in sources.most_common())


def _validation_notes(plan: ReportedPlan) -> list[str]:
    without = [cell.name for cell in plan.cells if cell.data.validation is None]
    if not without:
        return []
    text = "No validation images, as in the published protocol: last epoch, thresholds 0.5"
    return [text + _where(plan, without) + "."]


def _method_note(plan: ReportedPlan) -> list[str]:
    """Name each cell's method, where a study has several."""
    cells: dict[str, list[str]] = {}
    for cell in plan.cells:
        cells.setdefault(cell.trainable, []).append(cell.name)
    if len(cells) < 2:
        return []
    return [
        f"Methods: {'; '.join(f'`{name}` in {summarise(of_method)}' for name, of_method in cells.items())}."
    ]


def _notes_of_cells(plan: ReportedPlan, finished: Mapping[str, Record]) -> list[str]:
    """Notes of methods and evaluations, each once, with the cells that it is about."""
    cells: dict[str, dict[str, None]] = {}
    for cell in plan.cells:
        for note in cell.footnotes:
            cells.setdefault(note, {})[cell.name] = None
    for trial in plan.trials:
        record = finished.get(trial.id)
        if record is not None and record.result is not None:
            for note in record.result.notes:
                if not note.startswith(_THRESHOLD_NOTE):
                    cells.setdefault(note, {})[trial.cell] = None
    return [note.rstrip(".") + _where(plan, list(names)) + "." for note, names in cells.items()]


def _worker_notes(finished: Mapping[str, Record]) -> list[str]:
    """Name trials whose number of workers changed: they can be repeated up to rounding only."""
    sizes = Counter(
        ", then ".join(map(str, (*environment.earlier_world_sizes, environment.world_size)))
        for environment in (record.environment for record in finished.values())
        if environment.earlier_world_sizes
    )
    return [
        f"The number of workers of {counted(count, 'trial')} changed on the way ({numbers}): their sums were "
        "rounded in another order, so another run of them need not end in the same bits."
        for numbers, count in sizes.items()
    ]


def _arithmetic_note(plan: ReportedPlan, finished: Mapping[str, Record]) -> list[str]:
    """Name the trials that a CPU computed with another number of threads or instruction set than most."""
    repeats: dict[tuple[int, str], list[str]] = {}
    for trial in {trial.id: trial for trial in plan.trials}.values():
        environment = finished[trial.id].environment if trial.id in finished else None
        if environment is not None and environment.device == "cpu" and environment.instructions:
            fold = "" if trial.fold is None else f" fold {trial.fold}"
            kind = (environment.threads, environment.instructions)
            repeats.setdefault(kind, []).append(f"{trial.cell} seed {trial.seed}{fold}")
    if len(repeats) < 2:
        return []
    most, *others = sorted(repeats, key=lambda kind: (-len(repeats[kind]), kind))
    texts = [f"{counted(len(repeats[most]), 'trial')} with {_arithmetic(*most)}"]
    for kind in others:
        named = f"{counted(len(repeats[kind]), 'trial')} with {_arithmetic(*kind)}"
        texts.append(f"{named} ({summarise(repeats[kind])})")
    return [
        f"CPUs did not compute all trials alike: {', '.join(texts)}. Then sums are rounded in another order: "
        "weights and scores may differ in their last bits for this reason alone."
    ]


def _arithmetic(threads: int, instructions: str) -> str:
    return f"{counted(threads, 'thread')} on {instructions}"


def _reach_notes(results: StudyResults) -> list[str]:
    """Sentences on what the methods could reach at best."""
    plan = results.plan
    several = len(plan.reach) > 1
    notes = [
        format_reach(reach) + (f" This is of {summarise(cells)}." if several else "")
        for cells, reach in ((each.cells, each.reach) for each in plan.reach)
    ]
    if attainable_texts(results):
        notes.append(
            "Attainable: an IoU that a map of the cells of a method's grid reaches, fitted to the true mask, "
            "mean over defective test images. It is no bound: another map may reach more. IoU counts the "
            "pixels of all images together."
        )
    return [*notes, *(f"{warning[0].upper()}{warning[1:]}." for warning in reach_warnings(plan.reach))]


def _where(plan: ReportedPlan, cells: Sequence[str]) -> str:
    if len(cells) == len(plan.cells):
        return ""
    return f" (in {summarise(cells)})"


def _bundles(reported: ReportedPlan) -> list[str]:
    """A level may set several things at once: its effect is theirs together.

    Several cells that were searched have comparisons of one name, each with what its own winner changes.
    """
    searched = {cell.name: cell.searched for cell in reported.cells if isinstance(cell, PointCell)}
    count = Counter(comparison.name for comparison in reported.comparisons)
    notes: list[str] = []
    for comparison in reported.comparisons:
        cell = searched.get(comparison.pairs[0][1]) if count[comparison.name] > 1 else None
        if len(comparison.paths) > 1:
            paths = ", ".join(f"`{path}`" for path in comparison.paths)
            within = f" within {cell}" if cell is not None else ""
            notes.append(f"{comparison.name}{within} changes {paths} together.")
    return notes


def _origin(results: StudyResults) -> str:
    """Question and program. No date: equal records give equal pages."""
    programs = dict.fromkeys(
        ", ".join(f"{name} {versions[name]}" for name in ("assay", "torch") if name in versions)
        for versions in (record.environment.versions for record in results.records.values())
    )
    trained = " and ".join(sorted(filter(None, programs)))
    of_file = "sha256 of what its file asks, comments and resources apart"
    study = f"Study `{results.plan.study.content_hash}`: {of_file}."
    return f"{study} Trained with {trained}." if trained else study


def _allowances(comparisons: Sequence[Comparison]) -> list[str]:
    allowed = {(c.name, path): reason for c in comparisons for path, reason in c.allowed.items()}
    return [
        f"{name}: the cells also differ in `{path}`, allowed because: {reason.rstrip('.')}."
        for (name, path), reason in allowed.items()
    ]
