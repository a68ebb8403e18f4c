"""Optimism of a search's winner, its score above its worth, on KolektorSDD: plain searches and nested ones.

    python -m benchmarks.search_winners --data ROOT --storage FOLDER [--output FILE.csv]

The same eight settings of SegDecNet are searched four times by `assay.run`, with another training seed each:
all folds in one search (plain), and a search of its own on each fold (nested). A winner's fresh seeds are
the other three. All studies ask for the same 8 × 3 folds × 4 seeds = 96 trainings, so every point is trained
on every seed, and the mean of all points says how good a winner would be without a choice.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import assay
from assay.api.opened_storage import OpenedStudy
from benchmarks.shared import parser_of

SEEDS, FOLDS = (0, 1, 2, 3), (0, 1, 2)


class Score(NamedTuple):
    """AP of one training on its validation and test images."""

    point: str  # values of the settings that are searched
    seed: int
    fold: int
    validation: float
    test: float


class Winner(NamedTuple):
    """One search's winner, and the means of all points on the same images and seeds."""

    search: str  # plain, nested
    seed: int
    folds: str
    point: str
    validation: float  # with the search's seed, which chose it
    test: float  # with the other seeds
    validation_all: float
    test_all: float

    @property
    def overstated(self) -> float:
        """Score that chose it, above that of fresh trainings on test images."""
        return self.validation - self.test

    @property
    def by_choice(self) -> float:
        """The part of it that no other point has: it was chosen for its luck."""
        return self.overstated - (self.validation_all - self.test_all)

    @property
    def gained(self) -> float:
        """Worth of the search on test images."""
        return self.test - self.test_all


def study_of(seed: int, *, nested: bool) -> dict[str, Any]:
    """One search on one training seed."""
    return {
        "study": f"winners_{'nested' if nested else 'plain'}_{seed}",
        "question": "How much better does the winner of a search look than it is?",
        "trainable": "segdec",
        "data": {
            "reader": "kolektorsdd",
            "splits": "published",
            "validation": {"share": 0.25, "by": "item"},
        },
        "supervision": "full",
        "config": {
            "preset": "ksdd",
            "image_size": [224, 80],
            "channel_scale": 0.125,
            "sf_kernel": 5,
            "batch_size": 8,
            "epochs": 6,
            "lr_warmup_epochs": 0,
        },
        "search": {
            "sampler": "grid",
            "points": 8,
            "batch": 8,
            "objective": {"max": "validation.image_ap"},
            "nested": nested,
        },
        "space": {
            "config.lr": {"choice": [0.2, 0.4]},
            "config.delta": {"choice": [0.01, 0.1]},
            "config.dilation": {"choice": [7, 15]},
        },
        "replicate": {"best": 1, "seeds": [other for other in SEEDS if other != seed]},
        "repeats": {"seeds": [seed], "folds": list(FOLDS)},
        "resolve": 0.01,
        "metrics": {"primary": "image_ap", "report": ["image_auroc"]},
        "resources": {"workers": 1, "cpus": 1, "pack": "auto"},
        "keep": {"models": "none", "probes": 0},
    }


def scores_of(study: OpenedStudy) -> list[Score]:
    """Every training that one search asked for, those of its winners on fresh seeds among them."""
    return [
        Score(
            point=" ".join(f"{row[path]:g}" for path in study.results.plan.study.space),
            seed=row["seed"],
            fold=row["fold"],
            validation=row["validation:image_ap"],
            test=row["image_ap"],
        )
        for row in study.trials().to_dict("records")
    ]


def winners(searches: dict[tuple[bool, int], list[Score]]) -> Iterator[Winner]:
    """The winners of all searches, one for each, or for each fold of each."""
    pool = {score for scores in searches.values() for score in scores}
    for (nested, seed), scores in searches.items():
        for folds in [{fold} for fold in FOLDS] if nested else [set(FOLDS)]:
            (point,) = {score.point for score in scores if score.seed != seed and score.fold in folds}
            here = [score for score in pool if score.fold in folds]
            first = [score for score in here if score.seed == seed]
            fresh = [score for score in here if score.seed != seed]
            yield Winner(
                search="nested" if nested else "plain",
                seed=seed,
                folds=" ".join(map(str, sorted(folds))),
                point=point,
                validation=statistics.mean(score.validation for score in first if score.point == point),
                test=statistics.mean(score.test for score in fresh if score.point == point),
                validation_all=statistics.mean(score.validation for score in first),
                test_all=statistics.mean(score.test for score in fresh),
            )


def table(rows: list[Winner]) -> str:
    """Means over the searches with their standard errors, as Markdown."""
    names = ("validation", "test", "overstated", "by_choice", "gained")
    lines = [f"| search | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for search in ("plain", "nested"):
        texts: list[str] = []
        for name in names:
            of_seeds = [
                statistics.mean(
                    getattr(row, name) for row in rows if (row.search, row.seed) == (search, seed)
                )
                for seed in SEEDS
            ]
            error = statistics.stdev(of_seeds) / len(SEEDS) ** 0.5
            texts.append(f"{statistics.mean(of_seeds):.3f} (se {error:.3f})")
        lines.append(f"| {search} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", help="folder that holds KolektorSDD (ASSAY_DATA)")
    parser.add_argument("--storage", required=True, help="folder for the trainings")
    parser.add_argument("--processes", type=int, help="trainings at once")
    parser.add_argument("--output", type=Path, help="write one row per winner there, as CSV")
    options = parser.parse_args()
    searches: dict[tuple[bool, int], list[Score]] = {}
    for nested, seed in product((False, True), SEEDS):
        study = assay.run(
            study_of(seed, nested=nested),
            storage=options.storage,
            data=options.data,
            local=True,
            processes=options.processes,
        )
        searches[nested, seed] = scores_of(study)
    rows = list(winners(searches))
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Winner._fields)
            writer.writerows(
                [f"{value:.4f}" if isinstance(value, float) else value for value in row] for row in rows
            )
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
