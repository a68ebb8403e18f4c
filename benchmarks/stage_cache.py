"""Wall-clock of a study whose trials share stages, and of the same study where each trial makes its own.

    python -m benchmarks.stage_cache --data ROOT [--study FILE] [--seeds 0]
    python -m benchmarks.stage_cache --records STORAGE      what studies saved there; trains nothing

Both arms are `assay run` on an empty storage, one after the other, so Ray's start, the evaluation and the
records are in both. In the second arm each row has a learning rate of its own, larger by a ten-millionth per
row: the work is the same, and no stage has the key of another. Prints a Markdown table.

``--records`` counts instead: a record holds the seconds of every stage that its trial used, whoever made it.
Evaluation is in neither count: what stages show is evaluated once, too.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from assay.storage import Record, Store
from assay.storage.stage_store import made_stages
from assay.study import Plan, parse_study, plan_study
from assay.study.file.shipped import shipped_studies
from benchmarks.shared import ROOT, parser_of


class Arm(NamedTuple):
    """One way to run the study."""

    name: str
    seconds: float
    trials: int
    stages: int
    stage_seconds: float  # of all stages that were made, each once


def studies(path: Path, seeds: list[int]) -> dict[str, str]:
    """The study with shared stages and with own ones, as YAML."""
    text = path.read_text(encoding="utf-8")
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    document["repeats"] = {**document["repeats"], "seeds": seeds}
    document["comparisons"] = []
    document.pop("published", None)
    shared = _yaml(document)
    plan: Plan = plan_study(parse_study(shared, path.name), None, "cpu")
    rows = [
        {**cell.levels, "override": {"config": {"lr": cell.config["lr"] * (1 + 1e-7 * number)}}}
        for number, cell in enumerate(plan.cells, start=1)
    ]
    return {"shared": shared, "own": _yaml({**document, "design": {"rows": rows}})}


def run(name: str, text: str, data: Path, cache: Path, folder: Path) -> Arm:
    """Run one arm on an empty storage."""
    study, storage = folder / f"{name}.yaml", folder / name
    study.write_text(text, encoding="utf-8")
    places = ("--data", str(data), "--storage", str(storage), "--cache", str(cache))
    command = [sys.executable, "-m", "assay", "run", str(study), *places]
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=ROOT)
    seconds = time.monotonic() - begin
    store = Store(storage)
    keys = (folder.removesuffix("/") for folder in store.list("stages"))
    made = made_stages(store, keys).values()
    return Arm(name, seconds, len(store.trials()), len(made), sum(stage.seconds for stage in made))


def table(arms: list[Arm], what: str) -> str:
    """The arms as a Markdown table, with the machine's load over five minutes."""
    lines = [
        f"{what}; {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}",
        "",
        "| stages | trials | stages made | seconds in stages | wall-clock | of own |",
        "|---|---|---|---|---|---|",
    ]
    for arm in arms:
        share = arm.seconds / arms[-1].seconds
        made = f"{arm.trials} | {arm.stages} | {arm.stage_seconds:.0f}"
        lines.append(f"| {arm.name} | {made} | {arm.seconds:.0f} s | {share:.3f} |")
    return "\n".join(lines)


def counted(store: Store) -> str:
    """Costs of the stages of each study in ``store``, each once and for each trial that used it."""
    lines = [
        "| study | trials | seconds in stages | if none were shared | of that |",
        "|---|---|---|---|---|",
    ]
    studies: dict[str, list[Record]] = {}
    for record in store.records(store.trials()).values():
        studies.setdefault(record.study, []).append(record)
    for name, records in sorted(studies.items()):
        uses = [use for record in records for use in record.stages]
        if not uses:
            continue
        made = sum({use.key: use.seconds for use in uses}.values())
        alone = sum(use.seconds for use in uses)
        lines.append(f"| {name} | {len(records)} | {made:.0f} | {alone:.0f} | {made / alone:.2f} |")
    return "\n".join(lines)


def _yaml(document: dict[str, Any]) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, stream)
    return stream.getvalue()


def main() -> int:
    """Run both arms, or count, and print the table."""
    parser = parser_of(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder with the study's images")
    what.add_argument("--records", metavar="STORAGE", help="count in a storage what was saved there")
    parser.add_argument("--study", type=Path, default=shipped_studies()["guided_cropping_mtd"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for both arms' storages")
    given = parser.parse_args()
    if given.records is not None:
        print(counted(Store(given.records)))  # noqa: T201
        return 0
    if given.keep is not None:
        given.keep.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="stage-cache-") as scratch:
        arms = [
            run(name, text, given.data.resolve(), Path(scratch) / "cache", given.keep or Path(scratch))
            for name, text in studies(given.study, given.seeds).items()
        ]
    print(table(arms, f"{given.study.name}, seeds {given.seeds}"))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
