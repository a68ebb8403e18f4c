"""The best variant of a study: how it stands beside the others, and on which test images it still fails.

Where variants stand on several data sets, each data set has a best of its own, and none is the study's.

All numbers come from the records. Of the predictions only those of one trial are read, which tell how many
test images are defective.
"""

from __future__ import annotations

import base64
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from assay.analysis.breakdowns import defect_summaries
from assay.analysis.names import sentence_case, study_names
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import CellSummary, cell_summaries, metric_summary
from assay.report.masks.payload import arrange, cell_column, one_photo_each
from assay.report.masks.sheets import decision_picture
from assay.report.page.html import escape
from assay.report.tables.cells import in_order, metric_title
from assay.statistics.wording import decimal_text
from assay.storage import Record
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL
from trainables.evaluation.metrics import METRICS, Metric
from trainables.evaluation.operating_point import rate_text

__all__ = [
    "best_of_each",
    "counts_text",
    "data_sets_table",
    "failures_by_class",
    "odd_repeats",
    "pictures_of_failures",
    "tested_images",
    "variants_table",
]

_MOST_VARIANTS = 8  # of the small table
_MOST_PICTURES = 3
_COUNTS = {"fn": "missed", "fp": "false alarms"}  # metrics that count images → heading
_OVERLAP = "pixel_iou"
_ODD = 5  # images: a repeat is odd if it has so many more than any other, and twice as many


def best_of_each(results: StudyResults) -> dict[str, str]:
    """Data set → name of the variant with the best mean on it, of those where some variant has a value."""
    of_name = {summary.cell.name: summary for summary in metric_summary(results, results.primary.name)}
    ranked = [name for name in in_order(results, results.primary) if of_name[name].mean is not None]
    data_of = results.data_of
    best = {data_of[name]: name for name in reversed(ranked)}  # the last to come is the best
    return {data: best[data] for data in results.data_sets if data in best}


def variants_table(view: reading.StudyView, best: str) -> str:
    """The best variants by their mean as HTML: score ± sd, missed, false alarms, IoU; below it limits."""
    results = view.results.without_predictions()
    tested = tested_images(view, best)
    names = in_order(results, results.primary)
    shown = names[:_MOST_VARIANTS]
    summaries = _shown_summaries(results, shown)

    # "Best" is the highest mean, "tie" what cannot be told from it: both words stand beside the name, since
    # colour alone says nothing to some readers.
    tied = study_analysis(results).best
    marks = dict.fromkeys(() if tied is None else tied.cells, ' <span class="mark">tie</span>')
    if len(names) > 1:
        marks[best] = ' <span class="mark best">best</span>'
    # A count of wrong images means little without the number of images it is out of.
    out_of = {column: f"<br>of {number}" for column, number in tested.of_metric.items()}
    rest = len(names) - len(shown)
    more = f'<p class="quiet">{rest} more on the page Table.</p>' if rest > 0 else ""
    return f"{_table(results, summaries, marks, out_of)}{more}{_limits(summaries, tested, best)}"


def data_sets_table(view: reading.StudyView, best: Sequence[str]) -> str:
    """The best variant on each data set as HTML: score ± sd, missed, false alarms, IoU."""
    results = view.results.without_predictions()
    return _table(results, _shown_summaries(results, best), {}, {})


def _shown_summaries(results: StudyResults, names: Sequence[str]) -> dict[str, dict[str, CellSummary]]:
    """Metric → variant → summary: the one that the study decides by, and those of which some has a number."""
    further = [name for name in (*_COUNTS, _OVERLAP) if name != results.primary.name]
    summaries = {name: _summaries(results, names, name) for name in (results.primary.name, *further)}
    for name in further:
        if all(summary.mean is None for summary in summaries[name].values()):
            del summaries[name]
    return summaries


def _table(
    results: StudyResults,
    summaries: Mapping[str, Mapping[str, CellSummary]],
    marks: Mapping[str, str],
    out_of: Mapping[str, str],
) -> str:
    """A row for each variant with its mark, a column for each metric with what its numbers are out of."""
    primary, words = results.primary, study_names(results)
    heads = [
        f"{_COUNTS[name]}{out_of.get(name, '')}" if name in _COUNTS else escape(metric_title(METRICS[name]))
        for name in summaries
    ]
    head = "".join(f'<th scope="col" class="right">{text}</th>' for text in heads)
    rows: list[str] = []
    for name, summary in summaries[primary.name].items():
        scores = [
            f"{_mean(of_name[name], METRICS[metric])}{_spread(summary, primary) * (metric == primary.name)}"
            for metric, of_name in summaries.items()
        ]
        numbers = "".join(f'<td class="right">{text}</td>' for text in scores)
        title, mark = escape(sentence_case(words.variant(name))), marks.get(name, "")
        rows.append(
            f'<tr class="{"best" if "best" in mark else ""}">'
            f'<th scope="row" title="{escape(name)}">{title}{mark}</th>{numbers}</tr>'
        )
    return (
        f'<table class="variants"><thead><tr><th scope="col">variant</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _limits(summaries: Mapping[str, Mapping[str, CellSummary]], tested: TestedImages, best: str) -> str:
    """What the best variant's counts of wrong images say at most of their rates; "" where they have none."""
    rates = [
        f"{words} {rate_text(summaries[name][best].mean or 0, tested.of_metric[name])}"
        for name, words in _COUNTS.items()
        if name in tested.of_metric and name in summaries and summaries[name][best].mean is not None
    ]
    if not rates or not tested.with_limit:
        return ""
    return (
        f'<p class="quiet">Of the best: {", ".join(rates)}; exact upper limits of the rates, 95 % sure.</p>'
    )


def _summaries(results: StudyResults, names: Sequence[str], metric: str) -> dict[str, CellSummary]:
    """A metric of a few of many variants, in the order of their names."""
    of_name = {cell.name: cell for cell in results.reported.cells}
    cells = [of_name[name] for name in names]
    return {summary.cell.name: summary for summary in cell_summaries(results, cells, metric)}


def _mean(summary: CellSummary, metric: Metric) -> str:
    decimals = 2 if metric.name == _OVERLAP else metric.decimals
    return "–" if summary.mean is None else decimal_text(summary.mean, decimals)


def _spread(summary: CellSummary, metric: Metric) -> str:
    return "" if summary.spread is None else f" <small>± {summary.spread:.{metric.decimals}f}</small>"


class TestedImages(NamedTuple):
    """Test images of a variant, the same in all of its repeats."""

    of_metric: dict[str, int]  # of defective images, or of normal ones: by the metric that counts wrong ones
    with_limit: bool  # no part has two photos, which would err together: a rate has an exact limit


def tested_images(view: reading.StudyView, cell: str) -> TestedImages:
    """The images that a variant's wrong ones are counted of; none where each repeat has others."""
    nothing = TestedImages({}, with_limit=False)
    if view.results.splits[cell] != "prescribed":
        return nothing  # each seed draws its own test images
    record = next(_finished(view, cell), None)
    table = None if record is None else reading.read_part(view.store, record, "predictions.parquet")
    if table is None or any(trial.fold is not None for trial in view.results.reported.trials):
        return nothing
    defective = int(np.sum(table["label"].to_numpy()))
    counts = {"fn": defective, "fp": table.num_rows - defective}
    return TestedImages(counts, with_limit=one_photo_each(table))


def _finished(view: reading.StudyView, cell: str) -> Iterator[Record]:
    for trial in view.results.reported.trials:
        record = view.results.records.get(trial.id)
        if trial.cell == cell and record is not None and record.status == "finished":
            yield record


# Where it fails ----------------------------------------------------------------------------------------


def failures_by_class(results: StudyResults, cell: str) -> list[tuple[str, float]]:
    """Class → share of its defects of which no pixel is found, mean over repeats; the worst first.

    Of all defects where they have no class; empty without known masks.
    """
    # By class where the data set has classes, otherwise of all defects together.
    of_cell = [summary for summary in defect_summaries(results) if summary.cell.name == cell]
    kinds = [s for s in of_cell if s.of == "class"] or [s for s in of_cell if s.of == "all"]
    shares = [
        (s.name if s.of == "class" else "all defects", 1 - s.detected.mean) for s in kinds if s.detected
    ]
    return sorted(shares, key=lambda share: -share[1])


def odd_repeats(view: reading.StudyView, cell: str) -> list[str]:
    """A sentence on each repeat that is wrong on many more images than all others of the variant."""
    sentences: list[str] = []
    for metric, words in {"fp": "false alarms", "fn": "defective images"}.items():
        of_name = _summaries(view.results.without_predictions(), [cell], metric)
        values = of_name[cell].values if cell in of_name else {}
        if len(values) < 3:
            continue
        # Odd is a repeat far from *all* others: with a wide spread nothing stands out.
        (odd, most), *others = sorted(values.items(), key=lambda item: -item[1])
        second, least = others[0][1], others[-1][1]
        if most - second < _ODD or most < 2 * second:
            continue
        name, verb = repeat_name(*odd).capitalize(), "raises" if metric == "fp" else "misses"
        rest = f"{least:.0f}" if least == second else f"{least:.0f}–{second:.0f}"
        threshold = _threshold(view, cell, odd)
        why = "" if threshold is None else f": its threshold is {threshold:.2f}"
        sentences.append(f"{name} {verb} {most:.0f} {words}, the other {len(others)} have {rest}{why}.")
    return sentences


def _threshold(view: reading.StudyView, cell: str, repeat: tuple[int, int | None]) -> float | None:
    for trial, _, result in view.results.trained:
        if trial.cell == cell and (trial.seed, trial.fold) == tuple(repeat) and result.thresholds is not None:
            return result.thresholds.image
    return None


def pictures_of_failures(view: reading.StudyView, cell: str) -> str:
    """The example images that the variant decides worst, in the first repeat that kept some; "" without any.

    Raises:
        OSError: If a file of a trial is damaged or gone.
    """
    record = next((records[cell] for records in view.kept_maps.values() if cell in records), None)
    maps = None if record is None else reading.read_part(view.store, record, "maps.parquet")
    if record is None or maps is None or not maps.num_rows:
        return ""
    column = cell_column(cell, maps, record.result)
    threshold = column.image_threshold

    # The surest mistake of each kind comes first, then further mistakes, then what was nearly wrong.
    order = arrange([column], sort="loss")
    wrong = {
        sample: threshold is not None and (row["score"] >= threshold) != row["label"]
        for sample, row in column.rows.items()
    }
    mistakes = [sample for sample in order if wrong[sample]]
    alarms = [sample for sample in mistakes if not column.rows[sample]["label"]]
    misses = [sample for sample in mistakes if column.rows[sample]["label"]]
    shown = list(dict.fromkeys([*alarms[:1], *misses[:1], *mistakes, *order]))[:_MOST_PICTURES]
    figures = ""
    for sample in shown:
        row = column.rows[sample]
        truth = ", truth outlined in white" if row["label"] else ""
        described = f"{_caption(sample, row, wrong[sample])}: decision in orange{truth}"
        caption = _caption(sample.rpartition("/")[2], row, wrong[sample])
        figures += (
            f'<figure class="{"wrong" if wrong[sample] else ""}">'
            f'<img alt="{escape(described)}" src="data:image/png;base64,{_png(row)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return f'<div class="failures">{figures}</div>'


def _caption(sample: str, row: Mapping[str, Any], wrong: bool) -> str:
    """``00227 normal, false alarm``; of a defect that was found its overlap."""
    if not row["label"]:
        return f"{sample} normal, {'false alarm' if wrong else 'passed'}"
    kind = row["defect_class"] or "defective"
    if row["positives"] is None:
        return f"{sample} {kind}, {'missed' if wrong else 'caught'}"
    # Counts by level are of the full-size map, so the overlap is exact although the picture is small.
    positives, negatives = (
        np.frombuffer(row[name], "<i4").astype(np.int64) for name in ("positives", "negatives")
    )
    hit, false = int(positives[THRESHOLD_LEVEL:].sum()), int(negatives[THRESHOLD_LEVEL:].sum())
    overlap = hit / max(1, int(positives.sum()) + false)
    return f"{sample} {kind}, {'missed' if wrong else 'caught'}, IoU {overlap:.2f}"


def _png(row: Mapping[str, Any]) -> str:
    written, data = cv2.imencode(".png", decision_picture(row))
    assert written, "a uint8 image of three channels can be written as PNG"
    return base64.b64encode(data.tobytes()).decode()


def counts_text(values: Mapping[Any, float]) -> str:
    """``5.7 (1–25)``: mean over repeats, and the fewest and the most."""
    if not values:
        return "–"
    numbers = list(values.values())
    mean = f"{statistics.fmean(numbers):.1f}"
    low, high = min(numbers), max(numbers)
    return f"{low:.0f}" if low == high else f"{mean} ({low:.0f}–{high:.0f})"
