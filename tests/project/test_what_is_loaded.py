"""Heavy libraries load where they are used: each costs a command, a driver or a worker its start.

Half a second or more each (docs/benchmarks.md, "The start"). Planning a method needs no torch: its settings,
its stages and the number of its weights stand apart from what trains. Handing trials out, watching them and
scoring their models needs none either: drivers and ``--local`` hold arrays and files of safetensors. It is
loaded there only where several workers share a trial, and where a model shows stages. No metric needs
scikit-learn, and the statistics load ``scipy.stats`` for ranks, ``scipy.signal`` for studies that decide,
else ``scipy.special``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = ("torch", "sklearn", "onnxruntime")
STATISTICS = ("statsmodels", "scipy.stats", "matplotlib")
TABLES = ("pandas", *STATISTICS)
OTHERS = ("ray", "mlflow", "streamlit", "optuna")
DATA = ("numpy", "cv2", "pyarrow", "pydantic")


def loaded(code: str, *names: str) -> set[str]:
    """Those of these modules that an interpreter has after ``code``."""
    tail = f"\nimport sys; print('loaded', *({set(names)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        ("--help", (*TRAINING, *TABLES, *OTHERS, *DATA)),
        ("run --help", (*TRAINING, *TABLES, *OTHERS)),
        ("studies", (*TRAINING, *STATISTICS, *OTHERS)),
        ("plan guided_cropping_mtd_crack --no-data", (*TRAINING, *STATISTICS, *OTHERS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_command_loads_only_what_it_uses(command: str, absent: tuple[str, ...]) -> None:
    code = (
        f"import sys, assay.cli.app as cli; sys.argv = ['assay', *{command.split()!r}]\n"
        "try: cli.main()\nexcept SystemExit as end: assert not end.code, end.code"
    )
    assert not loaded(code, *absent)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            "assay, assay.api.opened_storage, assay.api.running, assay.forecast.forecast, "
            "assay.engine.local, assay.engine.worker.worker, trainables.evaluation.evaluate",
            (*TRAINING, *TABLES, *OTHERS),
        ),
        (
            "trainables.segdec, trainables.supervised, trainables.cam, trainables.focus, "
            "trainables.regioncam, trainables.unsupervised, trainables.memory_bank, trainables.supersimple",
            (*TRAINING, *TABLES, *OTHERS),
        ),
        ("assay.api, assay.engine", (*TRAINING, *STATISTICS, *OTHERS)),
        (
            "assay.engine.on_ray.train, assay.engine.on_ray.driver",
            (*TRAINING, "statsmodels", "matplotlib", "mlflow", "streamlit", "optuna"),
        ),
        (
            "assay.engine.on_ray.own_process",
            (*TRAINING, "ray.tune", "statsmodels", "matplotlib", "mlflow", "streamlit", "optuna"),
        ),
        ("assay.tracking", (*TRAINING, *OTHERS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_process_of_a_study_loads_only_what_it_uses(modules: str, absent: tuple[str, ...]) -> None:
    assert not loaded(f"import {modules}", *absent)


def test_a_run_whose_methods_train_in_processes_of_their_own_loads_no_torch_itself(
    tmp_path: Path, cache_root: Path
) -> None:
    code = (
        "from pathlib import Path; from tests.engine.toy_study import ToyStudy\n"
        f"study = ToyStudy.make(Path({str(tmp_path)!r}), Path({str(cache_root)!r}), seeds=(0,))\n"
        "assert study.run(local=True).finished == 2"
    )
    assert not loaded(code, "torch", "ray")


def test_an_evaluation_loads_no_scikit_learn_and_none_of_the_statistics() -> None:
    code = (
        "import numpy as np, trainables.evaluation.evaluate\n"
        "from trainables.evaluation.metrics import image_metrics\n"
        "print(image_metrics(np.array([True, False]), np.array([0.9, 0.1]), 0.5)['image_ap'])"
    )
    assert not loaded(code, "sklearn", "scipy.stats", "pandas")
