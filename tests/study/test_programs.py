"""Methods without Python in studies: `trainable: ./bright.yaml`, the block inline, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from assay.study import read_study
from assay.study.settings.methods import method_files
from tests.program.made_program import DESCRIPTION, STUDY, plan_of, write_program
from trainables.errors import InputError
from trainables.plugins.catalogue import find_trainable
from trainables.plugins.method_files import MethodSource, load_source, loaded_source

INLINE = STUDY.replace(
    "trainable: ./bright.yaml\n",
    "trainable:\n  method: bright\n" + "".join(f"  {line}\n" for line in DESCRIPTION.splitlines()),
)


def ids_of(study: Path) -> list[str]:
    return [trial.id for trial in plan_of(study).trials]


def refusal(folder: Path, description: str = DESCRIPTION, study: str = STUDY) -> str:
    """The message with which a plan refuses a program."""
    file = write_program(folder, description=description, study=study)
    with (folder / "large").open("wb") as large:
        large.truncate(20_000_000)
    with pytest.raises(InputError) as refused:
        plan_of(file)
    return str(refused.value)


def test_a_program_is_called_by_its_files_name_and_a_hash(tmp_path: Path) -> None:
    (name,) = plan_of(write_program(tmp_path)).trainables
    assert name.startswith("bright@")
    assert loaded_source(name).hash == name.partition("@")[2]


def test_the_block_inline_is_the_same_method_as_its_file(tmp_path: Path) -> None:
    by_file = ids_of(write_program(tmp_path / "file"))
    assert ids_of(write_program(tmp_path / "inline", study=INLINE)) == by_file


def test_a_level_may_have_a_block_of_its_own(tmp_path: Path) -> None:
    blocks = {"method": "other", "files": ["train.py", "predict.py"]}
    blocks |= {
        key: json.loads(line.partition(": ")[2])
        for line in DESCRIPTION.splitlines()
        for key in ("train", "predict")
        if line.startswith(f"{key}:")
    }
    blocks["train"] = blocks["train"].replace(" {settings}", "")
    levels = f"a: {{trainable: ./bright.yaml}}, b: {{trainable: {json.dumps(blocks)}}}"
    factors = f"factors: {{m: {{{levels}}}}}\ndesign: {{full: all}}\n"
    plan = plan_of(write_program(tmp_path, study=STUDY.replace("trainable: ./bright.yaml\n", "") + factors))
    assert [name.partition("@")[0] for name in plan.trainables] == ["bright", "other"]


@pytest.mark.parametrize("file", ["train.py", "predict.py"])
def test_an_edit_of_a_file_makes_other_trials(tmp_path: Path, file: str) -> None:
    study = write_program(tmp_path)
    before = ids_of(study)
    (tmp_path / file).write_text((tmp_path / file).read_text() + "# changed\n")
    assert set(before).isdisjoint(ids_of(study))


def test_remarks_order_and_place_make_no_other_trials(tmp_path: Path) -> None:
    before = ids_of(write_program(tmp_path / "here"))
    lines = DESCRIPTION.replace("[train.py, predict.py]", "[predict.py, '*.py']")
    study = write_program(tmp_path / "there", description=f"# mine\n{lines}\nscores: bounded\n")
    assert ids_of(study) == before


def test_files_of_folders_and_patterns_belong_to_it(tmp_path: Path) -> None:
    conf = tmp_path / "conf" / "model"
    conf.mkdir(parents=True)
    (conf / "small.yaml").write_text("width: 8\n")
    (tmp_path / "conf" / "top.yaml").write_text("lr: 1\n")
    (conf / ".hidden").write_text("")
    study = write_program(tmp_path, description=DESCRIPTION.replace("predict.py]", "predict.py, conf]"))
    assert sorted(method_files(read_study(study))) == [
        "bright.yaml",
        "conf/model/small.yaml",
        "conf/top.yaml",
        "predict.py",
        "train.py",
    ]
    assert "bright/files/conf/model/small.yaml" in loaded_source(plan_of(study).trainables[0]).files


def test_settings_are_those_of_any_method(tmp_path: Path) -> None:
    plan = plan_of(write_program(tmp_path))
    Config = find_trainable(plan.trainables[0]).Config
    assert Config.model_fields["gain"].description == "how bright is defective"
    assert plan.trials[0].config["gain"] == 0.9


def test_a_value_that_a_setting_may_not_have_is_refused_at_its_line(tmp_path: Path) -> None:
    study = STUDY.replace("config: {image_size: [32, 32]}", "config: {image_size: [32, 32], gain: 2}")
    assert "own.yaml:4:32: config.gain: should be less than or equal to 1, found 2" in refusal(
        tmp_path, study=study
    )


def test_labels_that_it_cannot_learn_from_are_refused(tmp_path: Path) -> None:
    assert " trains with supervision full, mixed; found weak" in refusal(
        tmp_path, study=STUDY + "supervision: weak\n"
    )


@pytest.mark.parametrize(
    ("supervision", "part"),
    [("full", None), ("{mixed: 2}", "validation"), ("{mixed: 0}", "training and validation")],
)
def test_a_plan_says_where_leaving_out_leaves_no_defect(
    tmp_path: Path, supervision: str, part: str | None
) -> None:
    study = STUDY + f"supervision: {supervision}\n"
    warnings = plan_of(write_program(tmp_path, study=study)).warnings
    assert [f"bright is shown no defective image in {part} under" in each for each in warnings] == (
        [] if part is None else [True]
    )
    labels = write_program(
        tmp_path / "labels", description=f"{DESCRIPTION}without_mask: label_only\n", study=study
    )
    assert not plan_of(labels).warnings


def test_it_is_trained_by_one_worker(tmp_path: Path) -> None:
    assert "a program is trained by one worker, found workers: 2" in refusal(
        tmp_path, study=STUDY + "resources: {workers: 2}\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{out} --seed",
            "{outs} --seed",
            r"bright.yaml:2:1: train: unknown placeholder `{outs}` in .* did you mean `out`?",
        ),
        ("--images {images}", "", r"bright.yaml:3:1: predict: `predict` says where {images} is"),
        ("{seed} {settings}", "{seed}", r"bright.yaml:5:3: settings.gain: a setting reaches the program by"),
        (
            "--seed {seed} {settings}",
            "--seed {seed} x{settings}",
            "{settings} is a word of its own, found 'x{settings}'",
        ),
        (
            "default: 0.9",
            "default: 9",
            r"bright.yaml:5:25: settings.gain.default: the default is a number from 0 to 1, found 9",
        ),
        ("default: 0.9", "default: high", r"the default is a number from 0 to 1, found high"),
        ("float: [0, 1], default: 0.9", "choice: [a, b], default: c", r"the default is one of a, b, found c"),
        (
            "float: [0, 1], default: 0.9",
            'flag: "--on", default: 1',
            r"the default of a flag is true or false, found 1",
        ),
        (
            "float: [0, 1], default: 0.9",
            "int: [0, 4], default: 1.5",
            r"the default is a whole number from 0 to 4, found 1.5",
        ),
        (
            "float: [0, 1], default",
            "float: [1, 0], default",
            r"the least value comes first, found \[1.0, 0.0\]",
        ),
        (
            "float: [0, 1], default",
            "int: [0, 1], float: [0, 1], default",
            r"one of choice, float, int and flag, found float, int",
        ),
        (
            "  gain:",
            "  image_size:",
            r"bright.yaml:5:3: settings.image_size: a setting has a name that means nothing else",
        ),
        ("  gain:", "  Gain:", r"Gain"),
        (
            "predict.py]",
            "predict.py, nets.py]",
            r"bright.yaml:1:31: files\[2\]: `nets.py` names a file, found none",
        ),
        (
            "predict.py]",
            "../predict.py]",
            r"files lie beside the method's file or below it, found `../predict.py`",
        ),
        (
            "[train.py, predict.py]",
            "[predict.py]",
            r"bright.yaml:2:1: train: .* train.py lies beside it and is not among",
        ),
        ("{python} train.py", "{python} fit.py", r"fit.py is neither there nor among `files`"),
        (
            "{python} train.py",
            "train.py",
            r"a program among `files` is started as `./train.py`, found `train.py`",
        ),
        (
            "{python} train.py",
            "no-such-program-here",
            r"no-such-program-here is a program of this machine, found none",
        ),
        ('train: "{python}', "train: \"{python} 'x", r"a command is words with quotes in pairs"),
        (
            "files:",
            "python: ~/no/such/python\nfiles:",
            r"bright.yaml:1:1: python: .* found none at ~/no/such/python",
        ),
        ("files:", "python: ./venv/bin/python\nfiles:", r"`python` is a whole path"),
        ("predict.py]", "predict.py, large]", r"at most 16,000,000 bytes, found more with large. Leave data"),
        (
            "files:",
            "python: /bin/cat\nfiles:",
            r"`python` is a Python interpreter that starts, found /bin/cat",
        ),
        (
            "files:",
            "keep: [model.txt]\nfiles:",
            r"bright.yaml:1:8: keep\[0\]: what is kept lies in {out}, found 'model.txt'",
        ),
        (
            "files:",
            "log: {csv: log.csv}\nfiles:",
            r"bright.yaml:1:7: log.csv: the log lies in {out}, found 'log.csv'",
        ),
        ("files:", "log: {epoch: step}\nfiles:", r"a log is one file, csv or jsonl, found none"),
        (
            "files:",
            "resume: --resume\nfiles:",
            r"bright.yaml:1:1: resume: `resume` names the folder {checkpoint}",
        ),
        (
            "files:",
            "learns_from: [boxes]\nfiles:",
            r"bright.yaml:1:15: learns_from\[0\]: should be|bright.yaml:1:15",
        ),
        (
            "files:",
            "trains: x\nfiles:",
            r"bright.yaml:1:1: trains: unknown key `trains`; did you mean `train`?",
        ),
        ("train: ", "training: ", r"the key `train` is missing"),
    ],
)
def test_a_description_is_refused_with_the_rule_the_place_and_the_value(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in DESCRIPTION

    text = refusal(tmp_path, DESCRIPTION.replace(old, new, 1))
    plain = message.replace("{", r"\{").replace("}", r"\}")
    assert re.search(plain, text), text


@pytest.mark.parametrize("python", ["", f"python: {sys.executable}\n"], ids=["assay's", "its own"])
def test_a_package_that_its_interpreter_has_not_is_found_by_the_plan(tmp_path: Path, python: str) -> None:
    study = write_program(
        tmp_path, "import json, numpy\nimport no_such_package", description=python + DESCRIPTION
    )
    where = f" in {sys.executable}" if python else ""
    line = 2 if python else 1
    with pytest.raises(InputError) as refused:
        plan_of(study)
    assert (
        f"bright.yaml:{line}:1: files: what a program imports is among `files` or installed, found none for "
        f"`no_such_package` (train.py:11){where}. Install what is missing on every machine that trains"
    ) in str(refused.value)


def test_a_module_that_was_forgotten_in_files_is_named(tmp_path: Path) -> None:
    study = write_program(tmp_path, "import my_losses")
    (tmp_path / "my_losses.py").write_text("")
    with pytest.raises(InputError, match=r"my_losses\.py lies beside it: add it to `files`"):
        plan_of(study)


def test_a_file_that_is_no_python_is_named_with_its_line(tmp_path: Path) -> None:
    study = write_program(tmp_path, "print 'an older Python'")
    with pytest.raises(InputError, match=r"files: the code cannot be read: train\.py:10"):
        plan_of(study)
    other = write_program(
        tmp_path / "other", "print 'an older Python'", description=f"python: {sys.executable}\n{DESCRIPTION}"
    )
    assert plan_of(other).trials, "its own interpreter may be another version of Python"


def test_a_mistake_in_an_inline_block_has_the_studys_line(tmp_path: Path) -> None:
    text = refusal(tmp_path, study=INLINE.replace("{seed}", "{sed}"))
    assert "own.yaml:5:3: trainable.train: unknown placeholder `{sed}`" in text


@pytest.mark.parametrize("name", ["./gone.yaml", "../bright.yaml", "/tmp/bright.yaml"])
def test_a_file_that_is_not_there_or_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    text = refusal(tmp_path / "inside", study=STUDY.replace("./bright.yaml", name))
    assert "own.yaml:2:1: trainable: " in text


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    study = write_program(
        tmp_path / "inside", description=DESCRIPTION.replace("predict.py]", "predict.py, link]")
    )
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="files lie below the method's folder, found link: a link out of it"):
        plan_of(study)


def test_packages_of_an_interpreter_of_its_own_are_part_of_the_hash(tmp_path: Path) -> None:
    own = f"python: {sys.executable}\n{DESCRIPTION}"
    (name,) = plan_of(write_program(tmp_path / "own", description=own)).trainables
    (plain,) = plan_of(write_program(tmp_path / "plain")).trainables
    assert name != plain
    assert json.loads(loaded_source(name).files["bright/program.json"])["packages"]["numpy"]


def test_a_copy_of_the_files_is_the_same_method(tmp_path: Path) -> None:
    (name,) = plan_of(write_program(tmp_path / "study")).trainables
    for path, data in loaded_source(name).files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    shutil.rmtree(tmp_path / "study")
    copy = MethodSource.read(tmp_path / "bright")
    assert copy == loaded_source(name)
    assert load_source(name, copy).name == name
