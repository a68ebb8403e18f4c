"""The interactive file: what it holds, how large it is, and that no name becomes markup or script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.analysis.results import StudyResults
from assay.report.interactive import interactive_page
from assay.storage import Store
from assay.study import Plan
from tests.dashboard.made_records import make_scene, make_study
from tests.dashboard.made_searches import make_large_search
from trainables.errors import InputError

MOST_BYTES = 10_000_000


def test_six_cells_of_twelve_probes_of_the_largest_size_fit_into_ten_megabytes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_study(store, make_scene(12, (320, 320)), seeds=1, probes=12)
    text = interactive_page(StudyResults.read(store, "additions"))
    assert len(text.encode()) <= MOST_BYTES
    assert "in 6 of" not in text


def test_names_stay_texts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    hostile = "</script><script>alert(1)</script>{}.png"
    make_study(store, make_scene(2, (48, 72), name=hostile.format), seeds=1, probes=2)
    plan = StudyResults.read(store, "additions").plan
    named = plan.model_dump_json().replace('"all off"', '"</script><img src=x onerror=alert(2)>"')
    renamed = StudyResults.of_plan(Plan.model_validate_json(named), store)
    text = interactive_page(renamed)
    assert not re.search(r"<script>alert|<img src=x", text)
    assert text.count("<script") == text.count("</script>") == 3


def test_a_study_without_probe_images_or_curves_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_large_search(store, "hunt", points=3)
    text = interactive_page(StudyResults.read(store, "hunt"))
    assert "No finished trial has kept probe images." in text
    assert "No trial of these cells has a curve" in text


def test_results_without_a_storage_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_large_search(store, "hunt", points=1)
    results = StudyResults.read(store, "hunt")
    with pytest.raises(InputError, match="found hunt without one"):
        interactive_page(StudyResults(results.plan, results.records))
