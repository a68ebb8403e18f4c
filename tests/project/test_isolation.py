"""Trainables work in a notebook or on a bare GPU box: nothing of the platform comes along on import."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

IMPORT_ALL = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    found = {"ray", "mlflow", "optuna", "streamlit", "assay"} & set(sys.modules)
    assert not found, f"{module} imports {sorted(found)}"
"""


def test_no_module_of_trainables_imports_the_platform() -> None:
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "trainables").rglob("*.py"))
    modules = sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)
    # One fresh interpreter for all: each module is checked right after its import, so the first is named.
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *modules], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
