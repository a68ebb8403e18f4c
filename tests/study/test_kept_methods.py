"""The study that a storage keeps names a method's file, and the code of it lies in the same storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.storage import Store
from assay.storage.method_store import keep_methods, read_method
from assay.storage.plans import write_plan
from assay.study import Plan, plan_study, read_study
from assay.study.settings.methods import method_files
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
    return plan, stored(folder, plan)


def stored(folder: Path, plan: Plan) -> Path:
    """Write a plan and its methods to a storage; the study as it lies there."""
    store = Store(str(folder / "storage"))
    write_plan(store, plan)
    keep_methods(store, plan.trainables)
    return folder / "storage" / "studies" / "own" / "study.yaml"


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


def test_none_is_guessed_where_the_plan_is_gone(tmp_path: Path) -> None:
    _, kept = keep(tmp_path)
    (kept.parent / "plan.parquet").unlink()
    with pytest.raises(InputError, match=r"trainable: a method lies in .*, found neither at .*own/blur.py"):
        plan_study(read_study(kept), None, "cpu")


def test_a_copy_of_another_study_is_not_taken(tmp_path: Path) -> None:
    _, kept = keep(tmp_path)
    fresh = kept.parents[1] / "fresh" / "fresh.yaml"
    fresh.parent.mkdir()
    fresh.write_text(STUDY.format(path="blur.py"))
    with pytest.raises(InputError, match=r"trainable: a method lies in .*, found neither at .*fresh/blur.py"):
        plan_study(read_study(fresh), None, "cpu")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("./../../../blur.py", "a method's file lies in the folder of its study or below it"),
        ("./below/blur.py", "a method lies in .*, found neither at .*own/below/blur.py"),
    ],
)
def test_a_file_of_the_same_name_elsewhere_is_another_file(path: str, message: str, tmp_path: Path) -> None:
    _, kept = keep(tmp_path)
    kept.write_text(kept.read_text().replace("./blur.py", path))
    with pytest.raises(InputError, match=f"trainable: {message}"):
        plan_study(read_study(kept), None, "cpu")


def test_of_two_files_of_one_name_none_is_guessed(tmp_path: Path) -> None:
    for part in ("below", "above"):
        file = tmp_path / "own" / part / "blur.py"
        file.parent.mkdir(parents=True)
        file.write_text(CODE.format(title=part).replace('"other"', f'"{part}"'))
    study = tmp_path / "own" / "own.yaml"
    text = STUDY.format(path="below/blur.py")
    study.write_text(text.replace("./below/blur.py:OTHER", "./above/blur.py:OTHER"))
    kept = stored(tmp_path, plan_study(read_study(study), None, "cpu"))
    with pytest.raises(InputError, match=r"trainable: .* own, found of blur.py above@.*, blur@.* Copy the"):
        plan_study(read_study(kept), None, "cpu")


def test_a_copy_that_was_changed_is_refused(tmp_path: Path) -> None:
    plan, kept = keep(tmp_path)
    for name in plan.trainables:
        (tmp_path / "storage" / "methods" / name / "blur.py").write_text(CODE.format(title="B"))
    with pytest.raises(InputError, match=r"trainable: the code in .* has the hash that its name says, found"):
        plan_study(read_study(kept), None, "cpu")


def test_what_a_killed_writer_left_is_no_file_of_it(tmp_path: Path) -> None:
    plan, _ = keep(tmp_path)
    store = Store(tmp_path / "storage")
    for name in plan.trainables:
        store.write_bytes(f"methods/{name}/.blur.py.4711.0a1b2c3d.partial", b"from")
        assert read_method(store, name).files == {"blur.py": CODE.format(title="A").encode()}


def test_a_file_beside_it_comes_first(tmp_path: Path) -> None:
    plan, kept = keep(tmp_path)
    (kept.parent / "blur.py").write_text(CODE.format(title="B"))
    assert plan_study(read_study(kept), None, "cpu").trainables != plan.trainables
