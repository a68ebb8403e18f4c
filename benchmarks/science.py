"""Seconds for the plan of a large study and for the report over its records, and how they grow.

``python -m benchmarks.science [--rounds 5] [--planned 100000] [--reported 100000]``: full factorials × seeds,
planned on images made on the spot and reported from records on a local disk; sizes alternate within each
round. Every step runs in this one thread, so its CPU time is what it takes on a calm machine; both are
printed. Exit code 1 if a plan of 100,000 trials or a report over 10,000 records (without pictures) takes more
than 5 s of it, or ``assay.open(storage).study(name).trials()`` of 10,000 records more than 2 s.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from assay.analysis.results.reading import results_of_plan
from assay.analysis.study_analysis import study_analysis
from assay.api.opened_storage import OpenedStorage
from assay.report.formats import FORMATS
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study
from benchmarks.shared import Seconds, parser_of, timed
from tests.analysis.made_studies import make_record
from trainables.data import open_manifest
from trainables.data.manifest import Manifest
from trainables.data.spec import DataSpec

LIMIT_SECONDS, TABLE_SECONDS = 5.0, 2.0
PLANNED, REPORTED = 100_000, 10_000  # trials, records: what the limit is for
FORMS = ("md", "html")

STUDY = """
study: large
trainable: segdec
data: {{reader: synthetic}}
config: {{preset: ksdd, image_size: [128, 64]}}
factors:
{factors}
design: {{full: all}}
comparisons: [{{factor: lr, from: l0}}]
repeats: {{seeds: [{seeds}]}}
metrics: {{primary: image_ap, report: [fp, pixel_iou]}}
"""

_T = TypeVar("_T")


class Size(NamedTuple):
    """A factorial of ``factors`` factors with ten levels each."""

    factors: int
    seeds: int

    @property
    def trials(self) -> int:
        return 10**self.factors * self.seeds

    def study(self) -> str:
        settings = {"lr": 0.01, "w_pos": 1.0, "delta": 0.1}
        lines: list[str] = []
        for name, step in list(settings.items())[: self.factors]:
            levels = (f"l{i}: {{config: {{{name}: {step * (i + 1):g}}}}}" for i in range(10))
            lines.append(f"  {name}: {{{', '.join(levels)}}}")
        return STUDY.format(factors="\n".join(lines), seeds=", ".join(map(str, range(self.seeds))))


SIZES = (Size(2, 10), Size(2, 100), Size(3, 10), Size(2, 1000), Size(3, 100))


class Bench:
    """The steps of one round, and what they took so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[tuple[Size, str], list[Seconds]] = {}

    def plan(self, size: Size) -> Plan:
        """Read the study file and lay out all trials on opened images."""

        def manifest(spec: DataSpec) -> Manifest:
            return open_manifest(spec, None, self.folder / "cache")

        text = size.study()
        return self._take(size, "plan", lambda: plan_study(parse_study(text, "large.yaml"), manifest, "cpu"))

    def report(self, size: Size, plan: Plan) -> None:
        """Read all into pandas; read all, answer what the study asks, and write that in two forms."""
        store = Store(self.folder / f"{size.factors}-{size.seeds}")
        table = self._take(size, "pandas", lambda: OpenedStorage(store).study("large").trials())
        assert len(table) == size.trials
        read = self._take(size, "read", lambda: results_of_plan(plan, store))
        results = read.without_predictions()
        assert len(results.records) == size.trials
        self._take(size, "analyse", lambda: study_analysis(results))
        for form in FORMS:
            self._take(size, form, lambda f=form: FORMATS[f].study_files(results, ""))

    def write_records(self, size: Size, plan: Plan) -> None:
        """The plan and a record for each trial, straight into place: nothing is measured here."""
        write_plan(Store(self.folder / f"{size.factors}-{size.seeds}"), plan)
        for trial in plan.trials:
            record = make_record(trial, lambda trial: _scores(trial.config, trial.seed))
            path = self.folder / f"{size.factors}-{size.seeds}" / "trials" / trial.id / "record.json"
            path.parent.mkdir(parents=True)
            path.write_bytes(record.file_bytes())

    def median(self, size: Size, step: str) -> Seconds:
        """Median of the rounds."""
        taken = self.seconds[size, step]
        return Seconds(statistics.median(s.wall for s in taken), statistics.median(s.cpu for s in taken))

    def _take(self, size: Size, step: str, action: Callable[[], _T]) -> _T:
        result, seconds = timed(action)
        self.seconds.setdefault((size, step), []).append(seconds)
        return result


def _scores(config: dict[str, Any], seed: int) -> dict[str, float]:
    """Scores that look random and are the same each time."""
    chance = (seed * 7919 + round(config["lr"] * 104729 + config["w_pos"] * 1299)) % 1000 / 1000
    ap = 0.8 + 0.05 * chance + 0.1 * config["lr"]
    return {"image_ap": ap, "fp": float(round(10 * chance)), "fn": 1.0, "pixel_iou": ap / 2}


def main() -> int:
    """Run the rounds, print the tables, and check the limits."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--planned", type=int, default=100_000, help="trials of the largest plan")
    parser.add_argument("--reported", type=int, default=100_000, help="records of the largest report")
    arguments = parser.parse_args()
    sizes = [size for size in SIZES if size.trials <= arguments.planned]
    most = arguments.reported
    reported = [size for size in sizes if size.trials <= (most if size.factors == 2 else min(most, REPORTED))]
    with tempfile.TemporaryDirectory(prefix="assay-science-") as folder:
        bench = Bench(Path(folder))
        bench.plan(sizes[0])  # imports, and the images
        plans = {size: bench.plan(size) for size in reported}
        for size, plan in plans.items():
            bench.write_records(size, plan)
        bench.seconds.clear()
        for _, size in product(range(arguments.rounds), sizes):
            plan = bench.plan(size)
            if size in reported:
                bench.report(size, plan)
        sys.stdout.write(_table(bench, sizes))
        sys.stdout.flush()  # removing the records may take longer than all the rest
    broken = list(_broken(bench, sizes))
    sys.stderr.write("".join(f"error: {line}\n" for line in broken))
    return 1 if broken else 0


def _table(bench: Bench, sizes: list[Size]) -> str:
    """A row for each size: median seconds of CPU, and on the clock."""
    steps = ("plan", "pandas", "read", "analyse", *FORMS)
    lines = [
        "| cells × seeds | trials | plan | `trials()` | read the records | answer | Markdown "
        "| HTML with pictures |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in sizes:
        taken = [bench.median(size, step) if (size, step) in bench.seconds else None for step in steps]
        cells = [f"{median.cpu:.2f} ({median.wall:.2f})" if median else "–" for median in taken]
        lines.append(f"| {10**size.factors:,} × {size.seeds:,} | {size.trials:,} | {' | '.join(cells)} |")
    rounds = len(next(iter(bench.seconds.values())))
    return "\n".join([f"Seconds of CPU (on the clock), median of {rounds} rounds.\n", *lines, ""])


def _broken(bench: Bench, sizes: list[Size]) -> list[str]:
    """The limits that do not hold, a sentence each."""
    broken: list[str] = []
    limits = (
        (PLANNED, ("plan",), LIMIT_SECONDS),
        (REPORTED, ("read", "analyse", "md"), LIMIT_SECONDS),
        (REPORTED, ("pandas",), TABLE_SECONDS),
    )
    for size, (trials, steps, limit) in product(sizes, limits):
        if size.trials != trials or (size, steps[0]) not in bench.seconds:
            continue
        seconds = sum(bench.median(size, step).cpu for step in steps)
        if seconds > limit:
            broken.append(
                f"{', '.join(steps)} of {size.trials:,} trials ({10**size.factors:,} cells) took "
                f"{seconds:.1f} s of CPU, at most {limit:g} s may be."
            )
    return broken


if __name__ == "__main__":
    raise SystemExit(main())
