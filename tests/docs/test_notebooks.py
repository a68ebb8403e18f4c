"""The notebooks of the documentation run from top to bottom, and lie there without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import ROOT, blocks

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
METHODS = [block.text for block in blocks("python") if block.page == "CONTRIBUTING.md"]
SHOWN = {  # by notebook: what its last outputs hold
    "read_a_study": ("<iframe", "data:image/svg+xml;base64,", "Does SegDecNet need"),
    "write_a_method": ("my_method@", "data:image/svg+xml;base64,", "'finished'"),
}


@pytest.mark.timeout(900)  # two kernels that load torch and train, on a machine that does other things too
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "kept without outputs"
    for cell in code:
        if cell.source.startswith("%%writefile"):
            assert f"{cell.source.partition(chr(10))[2]}\n" in METHODS, "the method that CONTRIBUTING shows"
    monkeypatch.setenv("ASSAY_CACHE", str(cache_root))
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = nbformat.writes(notebook)
    assert [shown for shown in SHOWN[path.stem] if shown not in text] == []
