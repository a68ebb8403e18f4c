"""The study that a storage keeps names a method's file, and the code of it lies in the same storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.storage import Store
from assay.storage.method_store import keep_methods
from assay.storage.plans import write_plan
from assay.study import Plan, plan_study, read_study
from assay.study.methods import method_files
from trainables.errors import InputError

CODE = """\
from dataclasses import replace

from assay_toy import method

TRAINABLE = replace(method.TRAINABLE, name="blur", title="{title}")
OTHER = replace(method.TRAINABLE, name="other")
"""
STUDY = """\
study: own
data: {{reader: synthetic}}
supervision: weak
factors: {{method: {{blur: {{trainable: "./{path}:TRAINABLE"}}, other: {{trainable: "./{path}:OTHER"}}}}}}
design: {{full: all}}
repeats: {{seeds: [0]}}
"""


def keep(folder: Path, title: str = "A", path: str = "blur.py") -> tuple[Plan, Path]:
    """The plan of a study in a folder of its own, and the study as the storage keeps it."""
    own = folder / title
    file = own / path / "__init__.py" if "." not in path else own / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(CODE.format(title=title))
    (own / "own.yaml").write_text(STUDY.format(path=path))
    plan = plan_study(read_study(own / "own.yaml"), None, "cpu")
    store = Store(str(folder / "storage"))
    write_plan(store, plan)
    keep_methods(store, plan.trainables)
    return plan, folder / "storage" / "studies" / "own" / "study.yaml"


@pytest.mark.parametrize("path", ["blur.py", "below/soft.py", "blur"])
def test_it_is_planned_with_the_copy_that_lies_there(path: str, tmp_path: Path) -> None:
    plan, kept = keep(tmp_path, f"At {path.partition('/')[0]}", path)
    assert plan_study(read_study(kept), None, "cpu").trials == plan.trials


def test_its_copy_is_shipped_to_where_the_study_names_it(tmp_path: Path) -> None:
    _, kept = keep(tmp_path, "Shipped", "below/soft.py")
    assert method_files(read_study(kept)) == {"below/soft.py": CODE.format(title="Shipped").encode()}


def test_of_several_versions_it_is_the_one_of_its_last_plan(tmp_path: Path) -> None:
    before, _ = keep(tmp_path, "A")
    after, kept = keep(tmp_path, "B")
    planned = plan_study(read_study(kept), None, "cpu")
    assert planned.trainables == after.trainables != before.trainables


def test_of_several_versions_none_is_guessed_where_the_plan_is_gone(tmp_path: Path) -> None:
    keep(tmp_path, "A")
    _, kept = keep(tmp_path, "B")
    (kept.parent / "plan.parquet").unlink()
    with pytest.raises(InputError, match=r"trainable: a storage keeps .* blur@.*, blur@.*, other@.* Copy"):
        plan_study(read_study(kept), None, "cpu")


def test_a_copy_that_was_changed_is_refused(tmp_path: Path) -> None:
    plan, kept = keep(tmp_path)
    for name in plan.trainables:
        (tmp_path / "storage" / "methods" / name / "blur.py").write_text(CODE.format(title="B"))
    with pytest.raises(InputError, match=r"trainable: the code in .* has the hash that its name says, found"):
        plan_study(read_study(kept), None, "cpu")


def test_a_file_beside_it_comes_first(tmp_path: Path) -> None:
    plan, kept = keep(tmp_path)
    (kept.parent / "blur.py").write_text(CODE.format(title="B"))
    assert plan_study(read_study(kept), None, "cpu").trainables != plan.trainables
