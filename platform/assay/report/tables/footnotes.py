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
from assay.analysis.names import sentence_case, study_names, variant_name
from assay.analysis.predictions import CHANCE_NOTE, IMAGE_COUNTS, PART_RATES, cells_at_chance, part_rates
from assay.analysis.results.left_out import left_out
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_summary, spread_note
from assay.report.tables.cells import attainable_texts
from assay.statistics.wording import number_text
from assay.storage.preregistration import format_changes, format_replaced_looks
from assay.storage.record import Record
from assay.study import Plan, PointCell, ReportedPlan, SearchPlan
from assay.study.names import counted, from_to
from assay.study.planning.resolution_limit import format_resolution_limit, resolution_warnings
from trainables.data.inspect.findings import summarise
from trainables.data.threshold import FalseAlarms
from trainables.evaluation.operating_point import rate_text
from trainables.evaluation.scorer import KeptPromise
from trainables.plugins.method_files import is_file_method

__all__ = ["footnotes", "spread_notes"]

_THRESHOLD_NOTE = "thresholds: no validation images"  # the note on validation tells it


def footnotes(results: StudyResults) -> list[str]:
    """The footnotes under a study's table, without those that a row's ``n`` refers to by number."""
    plan, reported = results.plan, results.reported
    finished = {id_: record for id_, record in results.records.items() if record.result is not None}
    return [
        *spread_notes(results),
        *([CHANCE_NOTE] if cells_at_chance(results) else []),
        *_search_notes(plan),
        *_decision_note(results),
        *_published_note(reported),
        *_threshold_notes(finished),
        *_part_rate_notes(results),
        *_fold_sum_notes(results),
        *_validation_notes(results),
        *_method_note(results),
        *_notes_of_cells(results, finished),
        *_worker_notes(finished),
        *_unread_seed_notes(results, finished),
        *_arithmetic_notes(results, finished),
        *_bundles(results),
        *_allowances(results),
        *_resolution_notes(results),
        *plan.warnings,
        *left_out(results),
        *_preregistered_note(results),
        *_ledger_note(results),
        _origin(results),
    ]


def _decision_note(results: StudyResults) -> list[str]:
    if study_decisions(results) is None:
        return []
    study = results.plan.study
    looks = ", ".join(map(str, study.repeats.decide))
    note = f"Verdicts come at {looks} seeds, `resolve` is {study.resolve:g}: {study_decisions(results)}."
    replaced = format_replaced_looks(results.preregistrations)
    if replaced:
        note += (
            f" They replace looks {replaced}, which may have shown something and count for nothing here: "
            "both together show something in more than 5 % of studies in which nothing differs."
        )
    claims = [result.claim for result in study_analysis(results).comparisons]
    if claims and claims[0] != "this split":
        note += f" They hold for {claims[0]} alone: for new data no look is planned, and nothing is compared."
    return [note]


def _preregistered_note(results: StudyResults) -> list[str]:
    """Say since when the question stands, and each change of it after results were there.

    A question that is changed before any trial has ended was changed in ignorance of the answer.
    """
    if not results.preregistrations:
        return []
    first = results.preregistrations[0]
    before = "before its first trial"
    if first.ended:
        before = f"when {counted(first.ended, 'trial')} that it shares with other studies had ended"
    changes = [
        f"{format_changes(old, new)} ({new.at:%Y-%m-%d %H:%M} UTC, "
        f"{counted(new.ended, 'trial')} of the changed question"
        f"{f' and {new.ended_before} of the one before' if new.ended_before else ''} had ended)"
        for old, new in pairwise(results.preregistrations)
        if new.ended or new.ended_before != 0
    ]
    since = f"changed since: {'; '.join(changes)}" if changes else "unchanged since"
    return [f"Primary metric, `resolve`, comparisons and looks were preregistered {before}; {since}."]


def _ledger_note(results: StudyResults) -> list[str]:
    """Other studies of the same question, where this one found something; and its best cell if it is of all.

    What is not found needs no warning of chance, and the best cell of another study is no winner of this one.
    """
    ledger = study_ledger(results)
    if ledger is None:
        return []
    notes: list[str] = []
    found = ("shown", "suggested", "negligible", "dispensable")
    if any(result.verdict in found for result in study_analysis(results).comparisons):
        pages = (f"{page.study} ({counted(page.comparisons, 'comparison')})" for page in ledger.pages)
        notes.append(
            f"{ledger}: {', '.join(pages)}. Each study's p counts its own comparisons alone, so of all of "
            "them together more than 5 % may show something by chance."
        )
    if ledger.best is not None and ledger.best.study == results.name:
        notes.append(
            f"Best of {ledger.tried} tried on this question by {results.primary.title}: {ledger.best}. "
            "Selected afterwards, by this score, which flatters it until a study preregistered with it alone "
            "confirms it on fresh seeds."
        )
    return notes


def _search_notes(plan: Plan) -> list[str]:
    if not isinstance(plan, SearchPlan):
        return []
    if plan.study.replicate is None:
        return ["The table is empty: a search's own scores chose its points. Add `replicate` to the study."]
    notes = ["Winners of the search, trained again on seeds that chose nothing.", *_draw_notes(plan)]
    if len({searched.design_cell for searched in plan.searched}) > 1:
        notes.append(_budget_note(plan))
        if plan.comparisons and not plan.search.has_front:
            notes.append("Compared are the best points of two variants: their drawn settings differ as well.")
    if plan.pending_points:
        notes.append("The search is not over: winners are trained again when all points are evaluated.")
    return notes


def _budget_note(plan: SearchPlan) -> str:
    points = [max(plan.budget, drawn) for drawn in plan.drawn.values()]
    if len(set(points)) == 1:
        return f"Each variant was searched with the same budget: {points[0]} points."
    return (
        f"Variants were searched with {from_to(points)} points: `points` is below what some had drawn before."
    )


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


def spread_notes(results: StudyResults) -> list[str]:
    """The note on what ± is; empty where no cell has a spread."""
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
    image = Counter(_chosen_at(t.image_source) for t in thresholds)
    pixel = Counter(_chosen_at(t.pixel_source) for t in thresholds)
    ranges = [t.image_range for t in thresholds if t.image_range is not None]
    notes = [f"Image threshold: {_counted(image)}{_range(ranges)}. Pixel threshold: {_counted(pixel)}."]
    promises = [t.promise for t in thresholds if t.promise is not None]
    if promises:
        notes.append(_promise_note(promises))
    return notes


def _promise_note(promises: Sequence[KeptPromise]) -> str:
    """Say what promises rest on and what they hold for."""
    kind = "good" if isinstance(promises[0].rule, FalseAlarms) else "defective"
    parts, wrong = from_to(p.parts for p in promises), from_to(p.wrong for p in promises)
    return (
        f"A promise is about new parts like those that chose the threshold ({parts} {kind} parts of "
        f"{promises[0].source}, {wrong} of them decided wrongly), and about each model by itself, not about "
        "the best of several chosen on test images."
    )


def _chosen_at(source: str) -> str:
    """``at best validation F1``; ``fixed 0.5`` as it is."""
    if source.startswith("fixed"):
        return source
    part, _, rule = source.partition(": ")
    return f"{rule} (by {part})" if rule else f"at best {source.removesuffix(' of heatmap maxima')}"


def _range(ranges: Sequence[tuple[float, float]]) -> str:
    """Say how far the parts leave thresholds by cost open, if there are any."""
    if not ranges:
        return ""
    low, high = (number_text(median(ends)) for ends in zip(*ranges, strict=True))
    return f", 90 % of bootstrap draws within {low} and {high} (medians over trials)"


def _part_rate_notes(results: StudyResults) -> list[str]:
    """Limits of the rates of wrong decisions that the table shows, and intervals of those of parts."""
    notes: list[str] = []
    for metric in results.metrics:
        if metric.name not in (*PART_RATES, *IMAGE_COUNTS):
            continue
        of_parts, decimals = metric.name in PART_RATES, metric.decimals
        texts: list[str] = []
        for rate in part_rates(results, metric.name):
            between = f", {rate.low:.{decimals}f} to {rate.high:.{decimals}f}" if of_parts else ""
            texts.append(f"{variant_name(results, rate.cell)} {rate_text(rate.wrong, rate.parts)}{between}")
        title = f"{metric.title[0].upper()}{metric.title[1:]}"
        if of_parts:
            text = "; ".join(texts) if texts else "no predictions"
            notes.append(
                f"{title}, parts of a test with the exact upper limit (95 % sure) and the 95 % interval: "
                f"{text}."
            )
        elif texts:
            notes.append(
                f"{title}, images of a test with the exact upper limit (95 % sure): {'; '.join(texts)}."
            )
    return notes


def _fold_sum_notes(results: StudyResults) -> list[str]:
    """Sums of counts over the folds of a seed, as papers with prescribed folds report them."""
    folds = results.plan.study.repeats.folds
    notes: list[str] = []
    for metric in results.metrics if len(folds) > 1 else ():
        if metric.unit != "images":
            continue
        sums: list[str] = []
        for summary in metric_summary(results, metric.name):
            of_seed: dict[int, list[float]] = {}
            for repeat, value in summary.values.items():
                of_seed.setdefault(repeat.seed, []).append(value)
            whole = [sum(values) for values in of_seed.values() if len(values) == len(folds)]
            if whole:
                name = variant_name(results, summary.cell.name)
                sums.append(f"{name} {sum(whole) / len(whole):.{metric.decimals}f}")
        if sums:
            notes.append(
                f"{metric.title}, summed over the {len(folds)} folds of a seed, mean over seeds: "
                f"{'; '.join(sums)}."
            )
    return notes


def _counted(sources: Counter[str]) -> str:
    if len(sources) == 1:
        return next(iter(sources))
    return ", ".join(f"{source} ({counted(count, 'trial')})" for source, count in sources.most_common())


def _validation_notes(results: StudyResults) -> list[str]:
    without = [cell.name for cell in results.reported.cells if cell.data.validation is None]
    if not without:
        return []
    text = "No validation images: last epoch, thresholds 0.5 where nothing else chooses them"
    return [text + _where(results, without) + "."]


def _method_note(results: StudyResults) -> list[str]:
    """Name each cell's method, where a study has several."""
    cells: dict[str, list[str]] = {}
    for cell in results.reported.cells:
        cells.setdefault(cell.trainable, []).append(variant_name(results, cell.name))
    if len(cells) < 2:
        return []
    named = (f"Method `{name}`: {summarise(of_method, separator='; ')}." for name, of_method in cells.items())
    return [" ".join(named)]


def _notes_of_cells(results: StudyResults, finished: Mapping[str, Record]) -> list[str]:
    """Notes of methods and evaluations, each once, with the cells that it is about."""
    cells: dict[str, dict[str, None]] = {}
    plan = results.reported
    for cell in plan.cells:
        for note in cell.footnotes:
            cells.setdefault(note, {})[cell.name] = None
    for trial in plan.trials:
        record = finished.get(trial.id)
        if record is not None and record.result is not None:
            for note in record.result.notes:
                if not note.startswith(_THRESHOLD_NOTE):
                    cells.setdefault(note, {})[trial.cell] = None
    return [note.rstrip(".") + _where(results, list(names)) + "." for note, names in cells.items()]


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


def _unread_seed_notes(results: StudyResults, finished: Mapping[str, Record]) -> list[str]:
    """Name the variants of a user's own method whose seeds left the same bits: they show no chance."""
    same: dict[tuple[str, str, str], list[int]] = {}
    for trial in {trial.id: trial for trial in results.reported.trials}.values():
        record = finished.get(trial.id)
        if record is not None and record.result is not None and is_file_method(trial.trainable):
            same.setdefault((trial.cell, trial.trainable, record.result.weights_hash), []).append(trial.seed)
    return [
        f"{variant_name(results, cell)}: seeds {', '.join(map(str, seeds))} left the same bits. Does "
        f"{method.partition('@')[0]} read its seed (`{{seed}}`, `run.seed`)? Repeats that do not "
        "differ say nothing of chance."
        for (cell, method, _), seeds in same.items()
        if len(set(seeds)) > 1
    ]


def _arithmetic_notes(results: StudyResults, finished: Mapping[str, Record]) -> list[str]:
    """Name the trials that another kind of device computed than most, and the CPUs that differed."""
    devices: dict[str, list[str]] = {}
    cpus: dict[str, list[str]] = {}
    for trial in {trial.id: trial for trial in results.reported.trials}.values():
        environment = finished[trial.id].environment if trial.id in finished else None
        if environment is None or not environment.device_kind:
            continue
        fold = "" if trial.fold is None else f" fold {trial.fold}"
        name = f"{variant_name(results, trial.cell)}, seed {trial.seed}{fold}"
        devices.setdefault(f"on {environment.device_kind}", []).append(name)
        if environment.device_kind == "cpu":
            kind = f"with {counted(environment.threads, 'thread')} on {environment.instructions}"
            cpus.setdefault(kind, []).append(name)
    notes: list[str] = []
    if len(devices) > 1:
        notes.append(
            f"Devices of several kinds computed the trials: {_by_kind(devices)}. They round otherwise, and a "
            "difference between trials of two kinds may be the device's."
        )
    if len(cpus) > 1:
        notes.append(
            f"CPUs did not compute all trials alike: {_by_kind(cpus)}. Then sums are rounded in another "
            "order: weights and scores may differ in their last bits for this reason alone."
        )
    return notes


def _by_kind(trials: Mapping[str, list[str]]) -> str:
    """``3 trials on cpu, 1 trial on cuda (no stop, seed 1)``: most first, the others by name."""
    most, *others = sorted(trials, key=lambda kind: (-len(trials[kind]), kind))
    texts = [f"{counted(len(trials[most]), 'trial')} {most}"]
    texts += [
        f"{counted(len(trials[kind]), 'trial')} {kind} ({summarise(trials[kind], separator='; ')})"
        for kind in others
    ]
    return ", ".join(texts)


def _resolution_notes(results: StudyResults) -> list[str]:
    """Sentences on what the methods could reach at best."""
    plan = results.plan
    several = len(plan.resolution_limits) > 1
    notes = [
        format_resolution_limit(limit) + (f" This is of {_variants(results, cells)}." if several else "")
        for cells, limit in ((each.cells, each.limit) for each in plan.resolution_limits)
    ]
    if attainable_texts(results):
        notes.append(
            "Best IoU possible at this output size: what a map of grid cells reaches that is fitted to the "
            "true mask, mean over defective test images. IoU counts the pixels of all images together, so it "
            "may be higher."
        )
    return [
        *notes,
        *(f"{warning[0].upper()}{warning[1:]}." for warning in resolution_warnings(plan.resolution_limits)),
    ]


def _where(results: StudyResults, cells: Sequence[str]) -> str:
    if len(cells) == len(results.reported.cells):
        return ""
    return f" (in {_variants(results, cells)})"


def _variants(results: StudyResults, cells: Sequence[str]) -> str:
    """Names of variants, of which some have commas."""
    return summarise([variant_name(results, cell) for cell in cells], separator="; ")


def _bundles(results: StudyResults) -> list[str]:
    """A level may set several things at once: its effect is theirs together.

    Several cells that were searched have comparisons of one name, each with what its own winner changes.
    """
    reported, names = results.reported, study_names(results)
    searched = {cell.name: cell.searched for cell in reported.cells if isinstance(cell, PointCell)}
    count = Counter(comparison.name for comparison in reported.comparisons)
    notes: list[str] = []
    for comparison in reported.comparisons:
        cell = searched.get(comparison.pairs[0][1]) if count[comparison.name] > 1 else None
        if len(comparison.paths) > 1:
            paths = ", ".join(f"`{path}`" for path in comparison.paths)
            within = f" within {variant_name(results, cell)}" if cell is not None else ""
            notes.append(f"{sentence_case(names.step(comparison.name))}{within} changes {paths} together.")
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


def _allowances(results: StudyResults) -> list[str]:
    names = study_names(results)
    allowed = {
        (names.step(c.name), path): reason
        for c in results.reported.comparisons
        for path, reason in c.allowed.items()
    }
    return [
        f"{sentence_case(name)}: the variants also differ in `{path}`, allowed because: {reason.rstrip('.')}."
        for (name, path), reason in allowed.items()
    ]
