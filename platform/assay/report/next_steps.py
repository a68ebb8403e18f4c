"""Next steps of a study: repeats that would decide what is open, as lines to paste; masks that are enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice

from assay.analysis.labels import label_analysis
from assay.analysis.results.results import StudyResults
from assay.report.tables.labels import count_text, time_unit
from assay.statistics.families import ComparisonResult
from assay.statistics.more_repeats import MOST_REPEATS
from assay.statistics.paired import enough_repeats
from assay.study.file.schema import Labelling
from assay.study.names import counted

__all__ = ["COMMON_SECONDS", "NextRepeats", "enough_sentence", "next_repeats"]

# Of Bearman et al. 2016, arXiv:1506.02106: a question about an image takes 1 s, a mask 79 s.
COMMON_SECONDS = Labelling(image_label_seconds=1, mask_seconds=79)
_OPEN = ("open", "suggested", "too few")


@dataclass(frozen=True)
class NextRepeats:
    """Seeds to add to a study."""

    purpose: str  # `To decide both open questions`
    seeds: str  # `10 more seeds`
    likely: str  # `6–24`: the range of what is needed; empty if it is not known
    yaml: str  # the line of the study file
    minutes: float | None  # of all of them in a row, by what the runs so far took; None: not known


def next_repeats(results: StudyResults, compared: Sequence[ComparisonResult]) -> NextRepeats | None:
    """Seeds that would decide what is open among some results; None where nothing is, or seeds cannot.

    Of several open results the one that needs most counts, as far as it can be decided at all.
    """
    repeats = results.plan.study.repeats
    # What is open over data sets, more seeds do not settle.
    open_ones = [each for each in compared if each.verdict in _OPEN and each.claim != "data sets"]
    if not open_ones or repeats.decide or repeats.folds:
        return None  # looks add seeds by themselves, and folds are as many as they are
    known = [result.more for result in open_ones if result.more is not None and result.more.estimate]
    if known:
        number = max(more.estimate for more in known if more.estimate is not None)
        low = max(more.low or 0 for more in known)
        highs = [more.high for more in known]
        most = max((high for high in highs if high is not None), default=number)
        likely = f"{low} to more than {MOST_REPEATS}" if None in highs else f"{low}–{most}"
        decidable = len(known)
    else:
        # Nothing is known of the spread yet: six repeats are the fewest with which the exact test can speak.
        number, likely, decidable = enough_repeats() - len(repeats.seeds), "", len(open_ones)
        if number <= 0:
            return None
    more_seeds = islice((seed for seed in count() if seed not in repeats.seeds), number)
    if decidable < len(open_ones):
        purpose = f"To decide {decidable} of {len(open_ones)} open questions"
    elif decidable == 1:
        purpose = "To decide the open question"
    else:
        purpose = f"To decide {'both' if decidable == 2 else f'all {decidable}'} open questions"
    seconds = [record.seconds for _, record, _ in results.trained]
    per_seed = len(results.plan.cells)
    return NextRepeats(
        purpose=purpose,
        seeds=counted(number, "more seed"),
        likely=likely,
        yaml=f"repeats: {{seeds: [{', '.join(map(str, [*repeats.seeds, *more_seeds]))}]}}",
        minutes=number * per_seed * statistics.fmean(seconds) / 60 if seconds else None,
    )


def enough_sentence(results: StudyResults) -> tuple[str, str] | None:
    """``about 5 masks are enough``, ``for AP within 0.05 of that with all 39: an estimate, between 4 and 9.``

    An estimate and no verdict: the same page may leave it open whether all masks are better. None where no
    line of the study tells how many are, or several data sets have numbers of their own. By the narrowest
    claim, of the first line.
    """
    resolve = results.plan.study.resolve
    if resolve is None or len(results.data_sets) > 1:
        return None
    priced = results if results.plan.study.labelling is not None else results.with_labelling(COMMON_SECONDS)
    labels = label_analysis(priced)
    if labels is None:
        return None
    for name, of_claims in labels.enough:
        enough = of_claims[0]
        if enough.masks is None:
            continue
        line = next(line for line in labels.costs.lines if line[0].line == name)
        between = "" if enough.low is None else f", between {enough.low} and {enough.high}"
        of = f" with {name}" if name and len(labels.enough) > 1 else ""
        text = (
            f"for {labels.costs.metric.title} within {resolve:g} of that with all {enough.all_masks}{of}: "
            f"an estimate{between}."
        )

        # The time of so many masks, on the same images as the dearest variant of the line.
        times, unit = time_unit(labels.costs)
        everything = line[-1]
        hours = labels.costs.labelling.hours(everything.image_labels, enough.masks)
        few, all_of_them = (count_text(round(number * times)) for number in (hours, everything.hours))
        common = "" if results.plan.study.labelling is not None else ", at common times for a label"
        text += f" {few} instead of {all_of_them} {unit}{common}."
        return f"about {counted(enough.masks, 'mask')} {'is' if enough.masks == 1 else 'are'} enough", text
    return None
