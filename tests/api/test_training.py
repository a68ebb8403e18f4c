"""``assay.plan``, ``run``, ``data`` and ``train``: what the commands do, without a command."""

from __future__ import annotations

import doctest
import inspect
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.api.opened_storage import OpenedStorage, OpenedStudy
from assay.study import Plan
from tests.api.tiny import TINY
from trainables.data import make_split, open_manifest
from trainables.evaluation.heatmaps import read_probe

SEARCH = {
    **{key: TINY[key] for key in TINY.keys() - {"factors", "design", "comparisons"}},
    "search": {"points": 1, "objective": {"max": "validation.image_ap"}},
    "space": {"config.lr": {"float": [0.01, 0.1]}},
}


@pytest.fixture(scope="module")
def plan(cache_root: Path) -> Plan:
    return assay.plan(TINY, cache=cache_root)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> OpenedStudy:
    storage = tmp_path_factory.mktemp("study") / "assay-storage"
    return assay.run(TINY, storage=storage, cache=cache_root, local=True, processes=0)


def test_a_run_trains_the_trials_of_the_plan(study: OpenedStudy, plan: Plan) -> None:
    trials = study.trials()
    assert list(trials.index) == [trial.id for trial in plan.trials]
    assert set(trials["status"]) == {"finished"}


EXAMPLES = {
    "assay": assay,
    **{
        f"assay.{name}": getattr(assay, name) for name in ("open", "plan", "run", "data", "train", "LocalRun")
    },
    **{
        f"{kind.__name__}.{name}": member
        for kind in (OpenedStorage, OpenedStudy)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    },
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_public_function_runs(
    name: str, study: OpenedStudy, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Path(study.results.store.uri)
    monkeypatch.chdir(storage.parent)
    monkeypatch.setenv("ASSAY_CACHE", str(cache_root))
    Path("tiny.yaml").write_text(json.dumps(TINY), encoding="utf-8")  # JSON is YAML
    text = inspect.getdoc(EXAMPLES[name]) or ""
    names = {"assay": assay, "study": study, "LocalRun": assay.LocalRun}
    example = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert example.examples
    shown: list[str] = []
    doctest.DocTestRunner().run(example, out=shown.append)
    assert not shown, "".join(shown)


def test_a_second_run_trains_nothing(study: OpenedStudy, cache_root: Path) -> None:
    said: list[str] = []
    again = assay.run(
        TINY, storage=study.results.store.uri, cache=cache_root, local=True, processes=0, say=said.append
    )
    assert again.trials().equals(study.trials())
    assert not any("to train" in text for text in said)


def test_the_storage_keeps_a_study_file_that_means_the_same(study: OpenedStudy, tmp_path: Path) -> None:
    store = study.results.store
    file = tmp_path / "tiny.yaml"
    file.write_bytes(store.read_bytes(f"{store.study('tiny')}/study.yaml"))
    assert assay.plan(file, with_data=False) == assay.plan(TINY, with_data=False)


def test_a_trial_trained_in_this_process_has_the_bits_of_a_run(
    study: OpenedStudy, plan: Plan, cache_root: Path
) -> None:
    trained = assay.train(plan.trials[1], cache=cache_root, probes=3)
    id_ = trained.record.id
    assert trained.record.result == study.results.records[id_].result
    assert trained.predictions is not None
    assert trained.predictions.equals(study.predictions(id_))
    assert trained.curve is not None
    assert list(trained.curve["loss"]) == list(study.curve(id_)["loss"])
    assert trained.maps == study.maps(id_)


def test_the_model_of_a_trained_trial_predicts_its_scores(plan: Plan, cache_root: Path) -> None:
    import torch

    from trainables.data.tensors import images_to_tensor

    trained = assay.train(plan.trials[0], cache=cache_root, probes=3)
    assert trained.model is not None
    assert trained.maps is not None
    assert read_probe(trained.maps.to_pylist()[0]).image.ndim == 3
    data = assay.data(plan.trials[0], cache=cache_root)
    batch = images_to_tensor([data.train.images[data.train.ids[0]]], torch.device("cpu"))
    with torch.no_grad():
        assert 0 <= float(trained.model.predict(batch).score[0]) <= 1


def test_a_method_gets_no_test_image_and_no_mask_that_its_supervision_forbids(cache_root: Path) -> None:
    trial = assay.plan({**TINY, "supervision": {"mixed": 3}}, cache=cache_root).trials[0]
    data = assay.data(trial, cache=cache_root)
    split = make_split(open_manifest(trial.data, None, cache_root), trial.data, trial.supervision, 0, None)
    assert data.validation is not None
    assert not {*data.train.ids, *data.validation.ids} & set(split.test)
    assert len(data.train.masks) == 3


def test_fit_with_a_local_run_is_the_training_of_the_trial(
    plan: Plan, study: OpenedStudy, cache_root: Path
) -> None:
    from trainables.segdec import TRAINABLE

    trial, run = plan.trials[0], assay.LocalRun(seed=plan.trials[0].seed)
    config = TRAINABLE.Config.model_validate(trial.config)
    TRAINABLE.fit(config, assay.data(trial, cache=cache_root), run)
    assert np.array_equal([row["loss"] for row in run.history], study.curve(trial.id)["loss"])


def test_a_method_in_a_file_of_this_folder_is_trained_and_one_that_raises_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_root: Path
) -> None:
    broken = "from dataclasses import replace\nfrom trainables.segdec import TRAINABLE as SEGDEC\n\n"
    broken += "def fit(config, data, run):\n    raise ValueError(f'{len(data.train)} images are too few')\n\n"
    (tmp_path / "broken.py").write_text(f"{broken}TRAINABLE = replace(SEGDEC, name='broken', fit=fit)\n")
    monkeypatch.chdir(tmp_path)
    trial = assay.plan({**TINY, "trainable": "./broken.py:TRAINABLE"}, cache=cache_root).trials[0]
    trained = assay.train(trial, cache=cache_root)
    assert trained.record.status == "failed"
    assert "images are too few" in str(trained.record.reason)
    assert (trained.curve, trained.model) == (None, None)


OWN = """
from assay_toy import method
from dataclasses import replace
from pathlib import Path


class Mine:
    def __init__(self, predictor):
        self.predictor = predictor

    def to(self, device):
        return self

    def predict(self, images):
        {predict}
        return self.predictor.predict(images)

    def save(self, folder):
        {save}
        self.predictor.save(folder)


def fit(config, data, run):
    {fit}
    return Mine(method.TRAINABLE.fit(config, data, run))


def load(folder):
    {load}
    return method.TRAINABLE.load(folder)


TRAINABLE = replace(method.TRAINABLE, name="own", fit=fit, load=load)
"""
OWN_STUDY = {
    "study": "own",
    "trainable": "./own.py:TRAINABLE",
    "data": TINY["data"],
    "supervision": "weak",
    "config": {"image_size": [32, 32], "epochs": 1},
    "repeats": {"seeds": [0]},
}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_root: Path) -> Callable[[str, str], Any]:
    """Train a toy in this process, with a line of its own in one of its functions."""

    def train(hook: str, line: str) -> Any:
        lines = {"fit": "pass", "predict": "pass", "save": "pass", "load": "pass", hook: line}
        (tmp_path / "own.py").write_text(OWN.format(**lines))
        monkeypatch.chdir(tmp_path)
        return assay.train(assay.plan(OWN_STUDY, cache=cache_root).trials[0], cache=cache_root)

    return train


@pytest.mark.parametrize(
    ("hook", "line", "reason"),
    [
        ("fit", "open('/nowhere/weights.bin')", "FileNotFoundError: [Errno 2] No such file or directory"),
        ("fit", "raise SystemExit(3)", "the method ended its process (sys.exit, code 3)"),
        ("fit", "raise MemoryError('no room')", "out of memory, own.py:24: MemoryError: no room"),
        ("save", "raise OSError('no')", "OSError: no"),
        ("predict", "raise OSError('no')", "OSError: no"),
    ],
)
def test_whatever_a_method_raises_here_is_a_record(
    hook: str, line: str, reason: str, trained: Callable[[str, str], Any]
) -> None:
    record = trained(hook, line).record
    assert record.status == "failed"
    assert record.reason.startswith(reason)
    assert "own.py" in record.error


def test_a_trial_whose_model_cannot_be_loaded_keeps_its_record_and_tables(
    trained: Callable[[str, str], Any],
) -> None:
    with pytest.warns(UserWarning, match=r"own@.* cannot load .* `load`: own.py:29: ValueError: no config"):
        ended = trained("load", "raise ValueError('no config')")
    assert ended.record.status == "finished"
    assert (ended.model, len(ended.curve)) == (None, 1)
    assert len(ended.predictions)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: assay.run(TINY, processes=2), "`processes` goes with `local=True`, found processes=2"),
        (
            lambda: assay.run(TINY, local=True, processes=-1),
            "`processes` is a number of .*, 0 or more, found -1",
        ),
        (lambda: assay.run(TINY, local=True, cpus=0), "`cpus` is a number of cores, 1 or more, found 0"),
        (lambda: assay.run(TINY, cpus="2"), "`cpus` is a number of cores, 1 or more, found '2'"),  # type: ignore[arg-type]
        (lambda: assay.run(TINY, hours=-1), "assay.run: hours: should be greater than 0, found -1"),
        (lambda: assay.run(TINY, hours=math.nan), "assay.run: hours: should be a finite number, found nan"),
        (lambda: assay.run(SEARCH, hours=2), "a search has a budget of its own, .* found hours=2"),
        (lambda: assay.plan("quickstrat"), "The nearest: quickstart"),
        (lambda: assay.plan({**TINY, "trainable": "segdek"}, with_data=False), "segdec"),
        (lambda: assay.open("./nowhere").study("tiny"), "nowhere"),
        (lambda: assay.open(".").study("tiny/"), "a study's name has .* found 'tiny/'"),
        (lambda: assay.run(TINY, storage=""), "a storage is a folder or a URI .* found ''"),
        (lambda: assay.run(TINY, storage=None), "a storage is a folder or a URI .* found None"),  # type: ignore[arg-type]
        (lambda: assay.open("\0"), "a storage is a folder or a URI"),
        (lambda: assay.open(None), "a storage is a folder or a URI .* found None"),  # type: ignore[arg-type]
        (
            lambda: assay.open("./nowhere").studies(),
            "no study was run into .*/nowhere yet, which is no folder",
        ),
        (lambda: assay.open("x" * 300).studies(), "no study was run into .*/xxx"),
        (lambda: assay.open("file://nowhere"), "has three slashes, .* found file://nowhere"),
        (lambda: assay.open("file:/nowhere"), "has three slashes, .* found file:/nowhere"),
        (lambda: assay.run(TINY, storage=f"{__file__}/below"), "storage is a folder, found the file"),
        (lambda: assay.plan(TINY, cache=""), "`cache` is the path of a folder, found ''"),
        (lambda: assay.plan(TINY, data=""), "`data` is the path of a folder, found ''"),
        (lambda: assay.data(None), "a trial is one of .* found a NoneType"),  # type: ignore[arg-type]
        (lambda: assay.train(TINY), "a trial is one of .* found a dict"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_an_input_error_that_names_it(call: Any, message: str) -> None:
    with pytest.raises(assay.InputError, match=message):
        call()


@pytest.mark.parametrize("place", [__file__, "/proc/no-folder-here"])
def test_a_cache_that_cannot_be_made_is_named(place: str) -> None:
    with pytest.raises(assay.StorageError, match=rf"the folder {place}/.* cannot be made .*the cache"):
        assay.plan(TINY, cache=place)


def test_the_tilde_of_nobodys_home_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert assay.open("~nobody-here").store.local_path == tmp_path / "~nobody-here"
    assay.plan(TINY, data="~nobody-here", cache="~nobody-here/cache")
    assert (tmp_path / "~nobody-here" / "cache").is_dir()


def test_a_storage_that_leads_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(assay.InputError, match="loop is a link that leads to itself"):
        assay.open(tmp_path / "loop")


def test_a_storage_that_cannot_be_made_is_named(cache_root: Path) -> None:
    with pytest.raises(assay.StorageError, match="the storage /proc/no-folder-here cannot be made"):
        assay.run(TINY, storage="/proc/no-folder-here", cache=cache_root)


def test_an_empty_variable_for_the_cache_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assay.plan(TINY)
    assert (tmp_path / ".cache" / "assay" / "synthetic").is_dir()


def test_probes_are_a_number(plan: Plan, cache_root: Path) -> None:
    with pytest.raises(assay.InputError, match="`probes` is a number of test images, 0 or more, found 'x'"):
        assay.train(plan.trials[0], cache=cache_root, probes="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [assay.data, assay.train])
def test_a_trial_of_a_plan_without_data_is_refused_as_such(function: Any, cache_root: Path) -> None:
    trial = assay.plan(TINY, cache=cache_root, with_data=False).trials[0]
    with pytest.raises(assay.InputError, match=r"a plan that opened none \(with_data=False\)"):
        function(trial, cache=cache_root)


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'runn'"):
        assay.runn  # type: ignore[attr-defined]  # noqa: B018
