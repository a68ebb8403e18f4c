"""`assay gate` in a git repository of a method, with trainings."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from ruamel.yaml import YAML

from assay.extras.gate.writing import GateAnswer
from assay.faults import Interrupted
from tests.cli.small_study import Assay, Output
from tests.helpers.waiting import wait_for

GATE = Path(__file__).parents[1]
STUDY = """\
study: gate
question: Does this change make the spots worse?
trainable: ./spots.py:TRAINABLE
data:
  reader: synthetic
  options:
    {images: 80, positives: 40, items: 80, size: [32, 32], difficulty: 0.2, kinds: [pits], textures: [cast]}
supervision: full
repeats: {seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
metrics: {primary: pixel_ap}
resolve: 0.02
keep: {models: none, probes: 1}
"""
# Branch → file, and what is written there instead of what.
CHANGES = {
    "documents": ("README.md", "Spots.", "Spots!"),
    "faster": ("method/spots.py", "np.stack([train[i].image for i in batch])", "_images(train, batch)"),
    "mistake": ("method/spots.py", "LOSS_WEIGHT = 1.0", "LOSS_WEIGHT = 0.0"),
    "deaf": (
        "method/spots.py",
        "    rng = run.generator(STREAM)",
        "    _wait_for_nobody()\n    rng = run.generator(STREAM)",
    ),
}
IMAGES = """\n
def _images(train, batch):
    return np.stack([train.images[train.ids[i]] for i in batch])


def _wait_for_nobody():
    import os, signal, time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Path(os.environ["TELL"]).write_text(str(os.getpid()))
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a method, and a branch for each change of it."""
    root = tmp_path_factory.mktemp("repository")
    _git(root, "init", "-q", "-b", "main")
    (root / "method").mkdir()
    (root / "README.md").write_text("Spots.\n")
    (root / "method" / "gate.yaml").write_text(STUDY)
    (root / "method" / "spots.py").write_text((GATE / "tests" / "spots.py").read_text() + IMAGES)
    _git(root, "add", ".")
    _git(root, "commit", "-qm", "the method")
    for branch, (file, old, new) in CHANGES.items():
        _git(root, "checkout", "-q", "-b", branch, "main")
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))
        _git(root, "commit", "-qam", branch)
    _git(root, "checkout", "-q", "main")
    return root


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: the base is trained once."""
    return tmp_path_factory.mktemp("storage")


def _git(root: Path, *arguments: str) -> str:
    author = ("-c", "user.name=spots", "-c", "user.email=spots@example.org")
    command = ["git", "-C", str(root), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def gate(assay: Assay, repository: Path, storage: Path) -> Assay:
    """Call `assay gate` in the repository: study, branch and options."""

    def call(study: str, branch: str, *options: str | Path) -> Output:
        file = repository / "method" / "study.yaml"
        file.write_text(study)
        where = ("--repository", repository, "--path", "method", "--storage", storage, "--processes", "0")
        return assay("gate", file, "main", branch, *where, *options)

    return call


@pytest.mark.parametrize(
    ("branch", "decision", "seeds"),
    [("documents", "not worse", 0), ("faster", "not worse", 1), ("mistake", "worse", 6)],
)
def test_a_gate_trains_no_more_than_its_verdict_takes_and_a_full_disk_changes_nothing(  # noqa: PLR0917
    gate: Assay, storage: Path, tmp_path: Path, branch: str, decision: str, seeds: int
) -> None:
    junit = tmp_path / "new" / "gate.xml"
    answer = gate(STUDY, branch, "--json", "--output", "/dev/full", "--junit", junit)
    assert "warning: /dev/full cannot be written: No space left on device." in answer.err
    content = json.loads(answer.out)
    jsonschema.Draft202012Validator(GateAnswer.model_json_schema(mode="serialization")).validate(content)
    assert (content["decision"], content["seeds"]) == (decision, seeds)
    assert answer.code == (decision == "worse")
    assert ElementTree.parse(junit).getroot().get("failures") == str(answer.code)
    attempts = [len(list(trial.glob("attempts/*.json"))) for trial in storage.glob("gate/*/trials/*")]
    assert set(attempts) <= {1}


@pytest.mark.parametrize("option", ["--output", "--junit"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_trained(
    gate: Assay, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = gate(STUDY, "faster", option, tmp_path / "file" / "x", "--storage", tmp_path / "storage")
    assert (answer.code, answer.out) == (2, "")
    assert f"{tmp_path / 'file' / 'x'} cannot be written: Not a directory." in answer.err
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize(
    ("study", "branch", "message"),
    [
        (STUDY, "nobody", "found nobody: fatal: Needed a single revision. Fetch what is not there"),
        (STUDY.replace("resolve: 0.02", ""), "faster", "found 8 seeds, resolve None in"),
        (STUDY.replace(", 6, 7", "").replace(", 5", ""), "faster", "found 5 seeds, resolve 0.02 in"),
        (
            STUDY.replace("./spots.py:TRAINABLE", "segdec\nconfig: {preset: dagm, image_size: [64, 128]}"),
            "faster",
            "cannot be trained with the code of main (",
        ),
    ],
    ids=["no revision", "no resolve", "few seeds", "installed method"],
)
def test_a_gate_that_cannot_answer_says_why(
    gate: Assay, repository: Path, study: str, branch: str, message: str
) -> None:
    answer = gate(study, branch)
    assert answer.code == 2
    assert message in answer.err
    assert ("found the method segdec in " in answer.err) == ("segdec" in study)
    assert _git(repository, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize(
    ("option", "message", "way_out"),
    [
        ("--repository", "found {place}: fatal: not a git repository", "--repository FOLDER."),
        (
            "--path",
            "seen from its root, found method, {place}, method/spots.py: fatal: ",
            "Name folders inside it.",
        ),
    ],
)
def test_what_git_refuses_is_told_with_what_helps_there(
    gate: Assay, tmp_path: Path, option: str, message: str, way_out: str
) -> None:
    answer = gate(STUDY, "faster", option, tmp_path)
    said = " ".join(answer.err.split())
    assert answer.code == 2
    assert message.format(place=tmp_path) in said
    assert said.endswith(way_out)
    assert "Fetch" not in said


def test_a_repository_that_git_does_not_trust_is_not_said_to_be_none(
    gate: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # read by git itself
    said = " ".join(gate(STUDY, "faster").err.split())
    assert re.search(r"repository, found /\S+: fatal: detected dubious ownership .* Mend that, or", said)


def test_the_help_names_no_option_that_a_gate_lacks(assay: Assay) -> None:
    help_ = assay("gate", "--help").out
    assert "--processes" in help_
    assert "--local" not in help_


@pytest.mark.parametrize("option", ["--output", "--junit"])
def test_the_study_is_not_written_over_and_a_uri_is_no_file(
    assay: Assay, tmp_path: Path, option: str
) -> None:
    file, link = tmp_path / "read.yaml", tmp_path / "link.yaml"
    file.write_text("study: mine\n")
    link.symlink_to(file)
    for place in (file, link):
        ended = assay("gate", file, "main", "HEAD", option, place)
        assert (ended.code, file.read_text()) == (2, "study: mine\n")
        assert "what is read is not written over" in ended.err
    ended = assay("gate", file, "main", "HEAD", option, "s3://u:c4nary@b/x")
    assert ended.code == 2
    assert "it is a path on this machine, found the URI s3://***@b/x" in ended.err


def test_a_gate_that_cannot_answer_answers_why(assay: Assay, study_file: Path) -> None:
    ended = assay("gate", study_file, "main", "HEAD", "--json")
    assert ended.code == 2
    assert json.loads(ended.out)["schema"] == "assay/error/1"


def test_an_interrupted_gate_leaves_neither_a_training_nor_a_worktree(
    repository: Path, tmp_path: Path
) -> None:
    """Ctrl-C, while a training hears no signal."""
    study = repository / "method" / "gate.yaml"
    command = [sys.executable, "-m", "assay", "gate", study, "deaf", "main", "--repository", repository]
    pid_file = tmp_path / "pid"
    with subprocess.Popen(
        [*command, "--path", "method", "--storage", tmp_path, "--processes", "0"],
        env={**os.environ, "TELL": str(pid_file)},
    ) as process:
        wait_for(lambda: pid_file.exists() and pid_file.read_text() != "")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == Interrupted.exit_code
    assert not Path("/proc", pid_file.read_text()).exists()
    assert _git(repository, "worktree", "list").count("\n") == 1


def _filled(text: str, known: Mapping[str, str]) -> str:
    """A text with GitHub's expressions replaced by what they name."""
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda match: known[match[1]], text)


def _of_github(context: Mapping[str, str]) -> tuple[list[str], str, dict[str, str]]:
    """The action's shell, script and variables, with the inputs of ``context`` and its own defaults."""
    action = YAML(typ="safe").load(GATE / "ci" / "action.yml")
    (step,) = [step for step in action["runs"]["steps"] if "run" in step]
    known: dict[str, str] = {
        f"inputs.{name}": field.get("default") for name, field in action["inputs"].items()
    }
    known |= context
    variables = {name: _filled(text, known) for name, text in step["env"].items()}
    assert step["shell"] == "bash"
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail"], step["run"], variables


def _of_gitlab(variables: Mapping[str, str]) -> tuple[list[str], str, dict[str, str]]:
    """The job's shell, script and variables."""
    job = YAML(typ="safe").load(GATE / "ci" / "gitlab.yml")["assay-gate"]
    own = {name: str(value) for name, value in job["variables"].items()}
    return ["bash", "-eo", "pipefail"], "\n".join(job["script"]), {**own, **variables}


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_the_examples_for_ci_call_the_gate(repository: Path, tmp_path: Path, service: str) -> None:
    """Run as the service does; its own variables are the only ones that the example does not set."""
    main, study = _git(repository, "rev-parse", "main").strip(), "method/gate.yaml"
    verdict = tmp_path / "verdict"
    if service == "github":
        inputs = {"study": study, "base": main, "head": main, "path": "method src", "storage": str(tmp_path)}
        shell, script, variables = _of_github({f"inputs.{name}": value for name, value in inputs.items()})
        variables["GITHUB_STEP_SUMMARY"] = str(verdict)  # a file without an ending
    else:
        commits = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": main, "CI_COMMIT_SHA": main}
        shell, script, variables = _of_gitlab({**commits, "STUDY": study})
        verdict = repository / "gate.md"
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (tmp_path / "script").write_text(script)
    environment = {**os.environ, **variables}
    subprocess.run([*shell, tmp_path / "script"], cwd=repository, env=environment, check=True)
    assert verdict.read_text().startswith("**Not worse**")
    assert (repository / "assay-gate.xml").read_text().startswith("<?xml")
