"""The code that a cluster's workers run: this program's own, shipped as Ray's working directory.

What goes is an allow-list: the Python files of ``assay`` and ``trainables`` and the files that are named, so
that no data, secret or environment of this machine travels along. A working directory, because Ray puts it
first on the workers' path and then adds nothing of the driver's: no worker mixes shipped and installed code.
What these packages need (``requirements.txt``) and a third party's method are installed on the nodes. A
method that is a file beside the study goes with a submitted study, and workers read it from the storage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from assay.engine.versions import COMMIT_VARIABLE, source_files, source_roots, source_version
from trainables.nn.weight_files import ROOT_VARIABLE as WEIGHTS_VARIABLE
from trainables.runtime.device import MMAP_THRESHOLD, TRIM_THRESHOLD

__all__ = ["SETTINGS", "runtime_env", "stage"]

# Of Ray's processes; the same on a Ray of our own and, through the runtime environment, on one of others.
SETTINGS = {
    # A report, and the end of a run, waits for the next poll: 2 s by default.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where data roots and storage are relative to
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Results are records: Tune's own result files would be a second truth.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # an answer without news carries no value
    "RAY_AIR_NEW_OUTPUT": "0",  # the new reporter prints whatever the verbosity
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Workers keep freed memory for the next step (`trainables.runtime.device`); in one arena, as those of
    # threads give whole heaps back; and what is mapped anew is faulted in by 2 MiB instead of 4 KiB.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD),
    "MALLOC_TRIM_THRESHOLD_": str(TRIM_THRESHOLD),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # The searcher bounds what trains at once; by itself Tune would let one driver start after the other.
    "TUNE_MAX_PENDING_TRIALS_PG": "100",
}


SHIPPED = (".py", ".css", ".html", ".js")  # of the packages; the last three are of reports in HTML


def stage(folder: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Copy what is shipped into ``folder``: both packages, and beside them ``files``, content by path."""
    for root in source_roots():
        for path in source_files(root, *SHIPPED):
            target = folder / root.name / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def runtime_env(folder: Path) -> dict[str, Any]:
    """Ray's runtime environment of workers that run the code staged in ``folder``."""
    variables = {**SETTINGS, COMMIT_VARIABLE: source_version().commit}
    if weights := os.environ.get(WEIGHTS_VARIABLE):
        variables[WEIGHTS_VARIABLE] = str(Path(weights).resolve())
    return {"working_dir": str(folder), "env_vars": variables}
