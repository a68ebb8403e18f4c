"""Whole studies by an earlier revision and by this one: seconds on the clock, and scores.

    git worktree add ../earlier 3773014
    python -m benchmarks.whole_studies ../earlier --data ROOT [--rounds 2]

The studies are those of the earlier checkout with one seed, shortened unless ``--full``; each revision asks
for the resources of its own file. Both train them in turn, each time on an empty storage, with Ray, as
`assay run` does. Nothing else should run. Prints a Markdown table.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import assay
from benchmarks.shared import ROOT, environment_of, parser_of


def read_study(checkout: Path, name: str) -> dict[str, Any]:
    """What a study's file in a checkout says."""
    [file] = (checkout / "studies").rglob(f"{name}.yaml")
    return YAML(typ="safe").load(file)


def of_one_seed(study: dict[str, Any], *, full: bool) -> dict[str, Any]:
    """One seed. Unless ``full``, one fold as well, and SegDecNet stops after six epochs."""
    folds = {key: value for key, value in study["repeats"].items() if key == "folds"}
    if full:
        return {**study, "repeats": {"seeds": [0], **folds}}
    short = {**study, "repeats": {"seeds": [0], **{key: [0] for key in folds}}}
    if study["trainable"] == "segdec":
        short["config"] = {**study["config"], "epochs": 6}
    return short


def seconds_of(checkout: Path, study: Path, data: str, storage: Path) -> float:
    """Train a study by the program of a checkout, and return the seconds of the whole command.

    Raises:
        CalledProcessError: If the command fails.
    """
    environment = environment_of(checkout)
    command = [sys.executable, "-m", "assay", "run", str(study), "--data", data, "--storage", str(storage)]
    with Path(f"{storage}.log").open("w", encoding="utf-8") as log:
        start = time.monotonic()
        subprocess.run(command, cwd=checkout, env=environment, stdout=log, stderr=log, check=True)
        return time.monotonic() - start


def mean_score(storage: Path, name: str) -> float:
    """Mean of the primary metric over all trials of a study."""
    study = assay.open(storage).study(name)
    values = study.trials().to_dict("list")[study.results.plan.study.metrics.primary]
    return statistics.mean(map(float, values))


def main() -> None:
    """Train the studies in turn and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("earlier", type=Path, help="checkout of the earlier revision")
    parser.add_argument("--data", required=True, help="folder that holds KolektorSDD and MTD")
    parser.add_argument("--rounds", type=int, default=2, help="interleaved rounds (default 2)")
    parser.add_argument("--full", action="store_true", help="all folds and all epochs")
    parser.add_argument("--study", nargs="+", default=["ksdd_accuracy", "guided_cropping_mtd"])
    options = parser.parse_args()
    rows = [
        "| study, one seed | earlier, s | now, s | of earlier | mean score, earlier and now |",
        "|---|---|---|---|---|",
    ]
    checkouts = {"earlier": options.earlier.resolve(), "now": ROOT}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        for name in options.study:
            own = {way: read_study(checkout, name) for way, checkout in checkouts.items()}
            asked = of_one_seed(own["earlier"], full=options.full)
            seconds: dict[str, list[float]] = {"earlier": [], "now": []}
            scores: dict[str, float] = {}
            for number in range(options.rounds):
                for way, checkout in checkouts.items():
                    storage = Path(folder, f"{name}-{way}-{number}")
                    file = Path(folder, f"{way}-{name}.yaml")
                    YAML().dump({**asked, "resources": own[way]["resources"]}, file)
                    seconds[way].append(seconds_of(checkout, file, options.data, storage))
                    scores[way] = mean_score(storage, name)
            ratios = [now / earlier for earlier, now in zip(seconds["earlier"], seconds["now"], strict=True)]
            texts = [", ".join(f"{each:.0f}" for each in seconds[way]) for way in ("earlier", "now")]
            shares = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            rows.append(
                f"| {name} | {texts[0]} | {texts[1]} | {statistics.median(ratios):.2f} ({shares}) "
                f"| {scores['earlier']:.3f}, {scores['now']:.3f} |"
            )
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
