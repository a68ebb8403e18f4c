"""The study that ``assay demo`` shows: the quickstart, trained here and packed without its models.

    python -m benchmarks.demo [--storage FOLDER] [--output platform/assay/demo/demo.tar.xz]

Without ``--storage`` the study is trained first, which takes three minutes on two cores. The same storage
gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from assay.demo.demo import DEMO
from assay.storage import Store
from assay.storage.check.retention import KeepRule, free, unkept_models
from assay.storage.check.storage_format import FORMAT_FILE
from assay.storage.plans import stored_plan
from benchmarks.shared import parser_of

STUDY = "quickstart"
# Of runs that ended: who ran, its batches, and what the MLflow sync noted.
_OF_RUNS = (".lease", "lease.json", "packs", "mlflow-", "attempts", "progress.json")


def pack(storage: Path, output: Path) -> None:
    """Write the study of ``storage`` as an archive, without models and without what runs leave."""
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        copy = Path(folder)
        parts = (path for part in ("studies", "trials") for path in (storage / part).rglob("*"))
        for path in (storage / FORMAT_FILE, *sorted(parts)):
            place = path.relative_to(storage)
            if path.is_file() and not any(part.startswith(_OF_RUNS) for part in place.parts):
                (copy / place).parent.mkdir(parents=True, exist_ok=True)
                (copy / place).write_bytes(path.read_bytes())
        _drop_models(Store(folder))
        with tarfile.open(output, "w:xz", preset=9) as archive:
            # Files of one name beside one another: the photos in them are the same in every trial.
            for path in sorted(copy.rglob("*.*"), key=lambda path: (path.name, path)):
                _add(archive, path.relative_to(copy).as_posix(), path.read_bytes())


def _drop_models(store: Store) -> None:
    plan = stored_plan(store, STUDY)
    rule = dataclasses.replace(KeepRule.of(plan), models="none")
    records = store.records(trial.id for trial in plan.trials)
    free(store, unkept_models(store, rule, records, list))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def main() -> None:
    """Train the study where no storage is named, and pack it."""
    parser = parser_of(__doc__)
    parser.add_argument("--storage", type=Path, help="a storage with the finished study (default: train it)")
    parser.add_argument("--output", type=Path, default=DEMO, help="the archive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-quickstart-") as folder:
        storage: Path = options.storage or Path(folder)
        if options.storage is None:
            command = [sys.executable, "-m", "assay", "run", f"studies/{STUDY}.yaml", "--local"]
            subprocess.run([*command, "--storage", folder], check=True)
        pack(storage, options.output)
    sys.stdout.write(f"{options.output}: {options.output.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
