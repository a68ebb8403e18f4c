"""Methods in files of the user's: `trainable: ./blur.py:TRAINABLE`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from assay.study import Plan, Study, plan_study, read_study
from assay.study.file.writing import study_of_point
from assay.study.search.points import make_point
from assay.study.settings.methods import method_files
from trainables.errors import InputError
from trainables.plugins.catalogue import find_trainable

BLUR = """\
from dataclasses import replace

from assay_toy import method

TRAINABLE = replace(method.TRAINABLE, name="blur")
NUMBER = 7
"""
STUDY = """\
study: own
trainable: {trainable}
data: {{reader: synthetic}}
supervision: weak
repeats: {{seeds: [0, 1]}}
"""
LEVELS = """\
study: own
data: {reader: synthetic}
supervision: weak
config: {image_size: [32, 32]}
factors:
  method:
    toy: {trainable: toy}
    blur: {trainable: "./blur.py:TRAINABLE"}
    sharp: {}
design:
  rows:
    - {method: [toy, blur]}
    - {method: sharp, override: {trainable: "./sharp.py:TRAINABLE"}}
"""


def write_study(folder: Path, trainable: str = "./blur.py:TRAINABLE", code: str = BLUR) -> Study:
    folder.mkdir(exist_ok=True)
    (folder / "blur.py").write_text(code)
    (folder / "own.yaml").write_text(STUDY.format(trainable=trainable))
    return read_study(folder / "own.yaml")


def plan_of(study: Study) -> Plan:
    return plan_study(study, None, "cpu")


def ids_of(plan: Plan) -> list[str]:
    return [trial.id for trial in plan.trials]


def test_a_files_method_is_called_by_its_name_and_its_sha256(tmp_path: Path) -> None:
    plan = plan_of(write_study(tmp_path))
    digest = hashlib.sha256((tmp_path / "blur.py").read_bytes()).hexdigest()
    assert plan.trainables == (f"blur@{digest[:16]}",)


def test_an_edit_of_the_file_makes_other_trials(tmp_path: Path) -> None:
    before = plan_of(write_study(tmp_path))
    after = plan_of(write_study(tmp_path, code=BLUR + "# another learning rate\n"))
    assert set(ids_of(before)).isdisjoint(ids_of(after))


def test_a_file_that_is_moved_unchanged_is_the_same_method(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_study(here)
    (here / "methods").mkdir()
    (here / "blur.py").rename(here / "methods" / "soft.py")
    (here / "own.yaml").write_text(STUDY.format(trainable="methods/soft.py:TRAINABLE"))
    assert ids_of(plan_of(read_study(here / "own.yaml"))) == ids_of(plan_of(write_study(there)))


def test_a_process_may_hold_two_versions_of_a_file(tmp_path: Path) -> None:
    (first,) = plan_of(write_study(tmp_path)).trainables
    (second,) = plan_of(write_study(tmp_path, code=BLUR.replace('"blur")', '"blur", title="B")'))).trainables
    assert (find_trainable(first).title, find_trainable(second).title) == ("A toy of the tests", "B")


def test_levels_and_rows_name_files_too(tmp_path: Path) -> None:
    (tmp_path / "blur.py").write_text(BLUR)
    (tmp_path / "sharp.py").write_text(BLUR.replace('"blur"', '"sharp"'))
    (tmp_path / "own.yaml").write_text(LEVELS)
    study = read_study(tmp_path / "own.yaml")
    assert [name.partition("@")[0] for name in plan_of(study).trainables] == ["toy", "blur", "sharp"]
    assert sorted(method_files(study)) == ["blur.py", "sharp.py"]


def test_a_folder_is_a_method_of_several_files_whose_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    folder = tmp_path / "blur"
    folder.mkdir()
    files = {
        "__init__.py": "from .parts import NAME\n" + BLUR.replace('"blur"', "NAME"),
        "parts.py": "NAME = 'part'\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "notes.txt").write_text("no code")
    (tmp_path / "own.yaml").write_text(STUDY.format(trainable="./blur:TRAINABLE"))
    study = read_study(tmp_path / "own.yaml")
    lines = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items())
    digest = hashlib.sha256(lines.encode()).hexdigest()
    assert plan_of(study).trainables == (f"part@{digest[:16]}",)
    assert sorted(method_files(study)) == ["blur/__init__.py", "blur/parts.py"]


@pytest.mark.parametrize(
    ("trainable", "code", "message"),
    [
        ("./gone.py:TRAINABLE", BLUR, "found neither at .*/gone.py"),
        ("./blur.py", BLUR, r"named like `./blur.py:TRAINABLE`, found `./blur.py`"),
        ("../blur.py:TRAINABLE", BLUR, r"in the folder of its study or below it, found `../blur.py`"),
        ("/tmp/blur.py:TRAINABLE", BLUR, r"in the folder of its study or below it, found `/tmp/blur.py`"),
        ("./blur.py:OTHER", BLUR, "there is no `OTHER` in blur.py: it has TRAINABLE"),
        ("./blur.py:NUMBER", BLUR, "`NUMBER` of blur.py is a int, expected a trainables.contract.Trainable"),
        ("./blur.py:TRAINABLE", BLUR + "\nlearn()\n", "blur.py:8: NameError: name 'learn' is not defined"),
        ("./blur.py:TRAINABLE", "import sys\nsys.exit(5)\n", "imported: blur.py:2: SystemExit: 5"),
        ("./blur.py:TRAINABLE", "def fit(:\n", "blur.py:1: SyntaxError: invalid syntax"),
        ("./blur.py:TRAINABLE", "import other_file\n", "blur.py:1: ModuleNotFoundError.* is a folder with"),
        ("./blur.py:TRAINABLE", BLUR.replace('"blur"', '"My Blur"'), "signs a-z 0-9 _ -, found 'My Blur'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_studys_line(
    trainable: str, code: str, message: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path, trainable, code)
    with pytest.raises(InputError, match=rf"own.yaml:2:\d+: trainable: .*{message}"):
        plan_of(study)


@pytest.mark.parametrize(
    ("code", "other"),
    [
        (BLUR + 'OTHER = replace(TRAINABLE, title="Another")\n', "OTHER"),
        ("from assay_toy.method import TRAINABLE as TOY\n" + BLUR.replace('"blur"', '"toy"'), "TOY"),
    ],
    ids=["of the file", "imported"],
)
def test_a_file_with_two_methods_of_one_name_is_refused(code: str, other: str, tmp_path: Path) -> None:
    message = f"by its name, and `TRAINABLE` and `{other}` of blur.py are both called (blur|toy). Give"
    with pytest.raises(InputError, match=message):
        plan_of(write_study(tmp_path, code=code))


def test_a_file_may_hold_methods_of_several_names_and_one_under_two(tmp_path: Path) -> None:
    code = BLUR + 'SAME = TRAINABLE\nOTHER = replace(TRAINABLE, name="other")\n'
    (name,) = plan_of(write_study(tmp_path, "./blur.py:OTHER", code)).trainables
    assert name.startswith("other@")
    assert plan_of(write_study(tmp_path, "./blur.py:SAME", code)).trainables[0].startswith("blur@")


FAILING = """\
from dataclasses import replace

from assay_toy import method


def hook(*arguments):
    {body}


TRAINABLE = replace(method.TRAINABLE, name="blur", {hook}=hook)
"""


@pytest.mark.parametrize(
    ("hook", "body", "message"),
    [
        ("footnotes", "raise RuntimeError('no\\n  net')", "blur.py:7: RuntimeError: no net"),
        ("footnotes", "yield 1 / 0", "blur.py:7: ZeroDivisionError: division by zero"),
        ("footnotes", "raise SystemExit(0)", "blur.py:7: SystemExit: 0"),
        (
            "footnotes",
            "raise type('Mute', (RuntimeError,), {'__str__': None})",
            "blur.py:7: Mute: its text cannot be read .*",
        ),
        ("footnotes", "return None", "blur.py:6: it returns a sequence of texts, found None"),
        ("objections", "raise KeyError('a')", "blur.py:7: KeyError: 'a'"),
        ("objections", "return ['no']", "blur.py:6: it returns a sequence of Objection.*, found \\('no',\\)"),
        ("parameters", "return 'many'", "blur.py:6: it returns a whole number from 0, found 'many'"),
        ("parameters", "return -5", "blur.py:6: it returns a whole number from 0, found -5"),
        ("parameters", "return 10**400", "blur.py:6: it returns a whole number from 0, found 1000.*000"),
    ],
)
def test_a_hook_that_fails_is_named_with_its_line(hook: str, body: str, message: str, tmp_path: Path) -> None:
    study = write_study(tmp_path, code=FAILING.format(hook=hook, body=body))
    with pytest.raises(InputError, match=f"the method's code fails in `{hook}`: {message}$"):
        plan_of(study)


@pytest.mark.parametrize(
    "values",
    ["stride='4'", "stride=2.5", "stride=0", "stride=4, window=-1", "dilation=-1", "first=float('nan')"],
)
def test_a_grid_that_is_none_is_refused_with_the_line_of_its_hook(values: str, tmp_path: Path) -> None:
    body = f"from trainables.contract import Grid; return Grid({values})"
    (name,) = plan_of(write_study(tmp_path, code=FAILING.format(hook="grid", body=body))).trainables
    method = find_trainable(name)
    message = r"in `grid`: blur.py:6: it returns a Grid of whole .*, found Grid\(stride=.*, first=.*\)$"
    with pytest.raises(InputError, match=message):
        method.grid(method.Config())


def test_a_grid_may_be_of_numbers_of_numpy(tmp_path: Path) -> None:
    numbers = "numpy.int64(4), first=numpy.float32(1)"
    body = f"import numpy; from trainables.contract import Grid; return Grid({numbers})"
    (name,) = plan_of(write_study(tmp_path, code=FAILING.format(hook="grid", body=body))).trainables
    method = find_trainable(name)
    assert method.grid(method.Config()) is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("open('/nowhere/config.json')", "blur.py:7: FileNotFoundError: .*'/nowhere/config.json'"),
        ("return None", "blur.py:6: it returns a predictor, found None"),
    ],
)
def test_a_load_that_fails_is_named_with_its_line(body: str, message: str, tmp_path: Path) -> None:
    (name,) = plan_of(write_study(tmp_path, code=FAILING.format(hook="load", body=body))).trainables
    with pytest.raises(InputError, match=f"the method's code fails in `load`: {message}$"):
        find_trainable(name).load(tmp_path)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("Config=dict", "`Config` is a class that extends .*TrainableConfig, found <class 'dict'>"),
        ("revision='a'", "`revision` is a whole number from 1, found 'a'"),
        ("revision=0", "`revision` is a whole number from 1, found 0"),
        ("supervisions='weak'", "`supervisions` is a set of none, weak, mixed, full, found 'weak'"),
        ("fit=None", r"`fit` is called as fit\(config, data, run\), found None"),
        ("fit=lambda config: None", r"`fit` is called as fit\(config, data, run\), found <lambda>\(config\)"),
        ("footnotes=()", r"`footnotes` is a function, found \(\)"),
        ("presets={'fast': {'nosuch': 1}}", r"the preset fast sets fields of `Config`, found \['nosuch'\]"),
    ],
)
def test_a_trainable_that_breaks_the_contract_is_refused_when_it_is_loaded(
    field: str, message: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path, code=BLUR.replace('name="blur"', f'name="blur", {field}'))
    with pytest.raises(InputError, match=f"own.yaml:2:1: trainable: in a Trainable {message}$"):
        plan_of(study)


FORWARD = """\
from __future__ import annotations

{line}
from dataclasses import replace

from assay_toy import method


class Config(method.ToyConfig, frozen=True):
    mode: Literal["a", "b"] = "a"
    inner: Inner | None = None


class Inner(method.ToyConfig, frozen=True):
    pass


TRAINABLE = replace(method.TRAINABLE, name="blur", Config=Config)
"""


def test_a_config_whose_types_are_not_imported_is_refused_with_the_one_that_is_not(tmp_path: Path) -> None:
    message = (
        "trainable: in a Trainable the types in `Config` are .*, found `Literal` of Config, which is neither"
    )
    with pytest.raises(InputError, match=f"own.yaml:2:1: {message}$"):
        plan_of(write_study(tmp_path, code=FORWARD.format(line="")))


def test_a_type_may_be_written_below_the_config_that_names_it(tmp_path: Path) -> None:
    study = write_study(tmp_path, code=FORWARD.format(line="from typing import Literal"))
    assert len(plan_of(study).trials) == 2


def test_a_link_that_leads_out_of_the_studys_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text(BLUR)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "blur.py").symlink_to(tmp_path / "outside.py")
    (inside / "own.yaml").write_text(STUDY.format(trainable="./blur.py:TRAINABLE"))
    with pytest.raises(InputError, match="in the folder of its study or below it"):
        plan_of(read_study(inside / "own.yaml"))


def test_the_name_of_a_version_that_is_not_loaded_says_how_a_study_names_it() -> None:
    with pytest.raises(InputError, match=r"blur@0123.* is not loaded here.*`trainable: ./blur.py:TRAINABLE`"):
        find_trainable("blur@0123456789abcdef")


def test_the_best_point_of_a_search_names_the_file_and_the_version_that_was_searched(tmp_path: Path) -> None:
    write_study(tmp_path)
    text = STUDY.format(trainable="./blur.py:TRAINABLE")
    text += "search: {objective: {max: validation.image_ap}, sampler: random, points: 2}\n"
    text += "space: {config.lr: {float: [0.1, 0.2]}}\n"
    (tmp_path / "own.yaml").write_text(text)
    plan = plan_of(read_study(tmp_path / "own.yaml"))
    (searched,) = plan.searched
    method = find_trainable(searched.cell.trainable)
    values = {"config.lr": 0.15}
    point = make_point(plan.study, method, searched, "cpu", index=0, source="random", values=values)
    written = study_of_point(plan, searched, point, "best", "Why.")
    assert f'trainable: "./blur.py:TRAINABLE"  # {plan.trainables[0]}: the file lies beside' in written
