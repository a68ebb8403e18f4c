"""The interactive file: what it holds, how large it is, and that no name becomes markup or script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.analysis.results.reading import read_results, results_of_plan
from assay.analysis.results.results import StudyResults
from assay.report.interactive.page import interactive_page
from assay.report.masks.payload import MOST_CELLS
from assay.report.tables.cells import base_and_best, highlighted_cells
from assay.storage import Store
from assay.study import Plan
from tests.dashboard.made_records import large_study_text, make_large_study, make_scene, make_study
from tests.dashboard.made_searches import make_large_search
from trainables.errors import InputError

MOST_BYTES = 10_000_000


def test_six_cells_of_twelve_probes_of_the_largest_size_fit_into_ten_megabytes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_study(store, make_scene(12, (320, 320)), seeds=1, probes=12)
    text = interactive_page(read_results(store, "additions"))
    assert len(text.encode()) <= MOST_BYTES
    assert "Left out:" not in text


def test_of_many_cells_the_base_and_the_best_have_pictures_and_the_others_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_large_study(store, large_study_text(factors=1, seeds=1), scene=make_scene(8, (32, 48)), variants=2)
    results = read_results(store, "large")
    text = interactive_page(results)
    shown = re.findall(r'<label><input type="checkbox" checked> (.*?)</label>', text)
    names = [cell.name for cell in results.plan.cells]
    assert len(shown) == MOST_CELLS < len(names)
    pair = base_and_best(results)
    assert pair is not None
    assert set(pair) <= set(shown)
    assert set(highlighted_cells(results, names, 2)) == set(pair)
    (others,) = set(re.findall(r"<p>Left out: (.*?)\. The tables", text))
    assert sorted([*shown, *others.split("; ")]) == sorted(names)
    assert all(f">{name}<" in text for name in names)


def test_names_stay_texts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    hostile = "</script><script>alert(1)</script>{}.png"
    make_study(store, make_scene(2, (48, 72), name=hostile.format), seeds=1, probes=2)
    plan = read_results(store, "additions").plan
    named = plan.model_dump_json().replace('"all off"', '"</script><img src=x onerror=alert(2)>"')
    renamed = results_of_plan(Plan.model_validate_json(named), store)
    text = interactive_page(renamed)
    assert not re.search(r"<script>alert|<img src=x", text)
    assert text.count("<script") == text.count("</script>") == 3


def test_a_study_without_probe_images_or_curves_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_large_search(store, "hunt", points=3)
    text = interactive_page(read_results(store, "hunt"))
    assert "No finished trial has kept probe images." in text
    assert "No trial of these cells has a curve" in text


def test_trials_that_kept_no_probe_image_make_no_grid(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_study(store, make_scene(2, (32, 48)), seeds=1, probes=0)
    text = interactive_page(read_results(store, "additions"))
    assert "No finished trial has kept probe images." in text


def test_results_without_a_storage_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_large_search(store, "hunt", points=1)
    results = read_results(store, "hunt")
    with pytest.raises(InputError, match="found hunt without one"):
        interactive_page(StudyResults(results.plan, results.records))
