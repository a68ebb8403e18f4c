"""Exports: what they say is what the trial's model says, whoever trained it, or there is no export."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import cv2
import mlflow.pyfunc
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from assay_toy.training import ToyPredictor
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.exports import EXPORTS
from assay.production.check import check_export, check_photos
from assay.production.export import export_model
from assay.production.model import card_of, load_model, trained_record, write_model
from assay.production.onnx_file import CARD_KEY, OPSET, load_onnx, write_onnx
from assay.storage import Record, Store
from tests.nn.test_module import Config, tiny_method
from tests.production.conftest import Exported, Trained
from trainables.contract import LocalRun, Prediction
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.errors import InputError
from trainables.plugins.method_imports import UNKNOWN_VERSION
from trainables.runtime.deployed import Card, DeployedModel, load_deployed

Train = Callable[[str], Trained]
Export = Callable[[str, str], Exported]

METHODS = ["segdec", "classifier", "unet", "f_anogan", "students", "memory_bank", "supersimple", "toy"]


def noise(count: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "classifier"])  # below, of bfloat16
def test_onnx_says_what_the_predictor_says_for_any_batch(name: str, trained: Train, exported: Export) -> None:
    model = load_model(*trained(name))
    session = onnxruntime.InferenceSession(exported(name, "onnx").folder / "model.onnx")
    for count in (1, 3, 40):  # 40: more than one pass of the predictor
        images = noise(count, *model.card.image_size, model.card.channels)
        score, decision, heatmap, mask = session.run(None, {"images": images})
        expected = model.decide(list(images))
        np.testing.assert_allclose(score, expected.score, atol=1e-5)
        np.testing.assert_allclose(heatmap, expected.heatmap, atol=1e-4)
        assert np.array_equal(decision, score >= model.card.thresholds.image)
        assert np.array_equal(mask, heatmap >= np.float32(model.card.thresholds.pixel))
        assert [part.dtype.name for part in (score, decision, heatmap, mask)] == [
            "float64", "bool", "float32", "bool",
        ]  # fmt: skip


@pytest.mark.parametrize("name", [*METHODS, "unet_in_tiles"])
def test_pyfunc_takes_images_of_any_size(name: str, trained: Train, exported: Export) -> None:
    model = load_model(*trained(name))
    loaded = mlflow.pyfunc.load_model(str(exported(name, "mlflow").folder))
    images = noise(3, 90, 70, model.card.channels)
    found = loaded.predict(images[..., 0] if model.card.channels == 1 else images)
    expected = model.decide([model.prepare(image) for image in images])
    for part in ("score", "decision", "heatmap"):
        assert np.array_equal(found[part], getattr(expected, part))
    assert found["mask"].shape == (3, 90, 70)


@pytest.mark.parametrize("form", ["onnx", "mlflow", "plain"])
def test_an_export_is_checked_on_the_studys_test_images(form: str, trained: Train, exported: Export) -> None:
    record = trained("segdec").record
    assert record.result is not None
    check = exported("segdec", form).check
    assert check.count == record.result.n_test
    assert max(check.score, check.heatmap) < 1e-4
    assert check.decisions == 0
    assert check.recorded is not None
    assert check.recorded < 1e-5
    assert "max difference of scores" in (exported("segdec", form).folder / "README.md").read_text()


def test_a_model_card_has_the_unit_of_every_metric(exported: Export) -> None:
    lines = (exported("segdec", "plain").folder / "README.md").read_text().splitlines()
    rows = dict(line.strip("| ").split(" | ", 1) for line in lines if line.startswith("| "))
    assert rows["metric"] == "value | unit"
    assert re.fullmatch(r"\d+ \| images", rows["fp"])
    assert re.fullmatch(r"0\.\d{4} \| 0–1", rows["image_auroc"])


def test_an_export_format_of_another_package_is_a_file_and_an_entry_point(exported: Export) -> None:
    assert sorted(EXPORTS) == ["files", "mlflow", "onnx", "plain"]
    folder = exported("toy", "plain").folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "card.json", "config.json", "model.safetensors",
    ]  # fmt: skip
    assert "Call `trainables.runtime.deployed.load_deployed`." in (folder / "README.md").read_text()


def test_without_its_data_an_export_is_checked_on_the_photos_that_the_trial_kept(
    trained: Train, cache_root: Path
) -> None:
    store, record = trained("segdec")
    elsewhere = {**record.trial, "data": {**record.trial["data"], "reader": "mtd"}}
    photos = check_photos(store, record.model_copy(update={"trial": elsewhere}), None, cache_root)
    model = load_model(store, record)
    check = check_export(lambda batch: model.decide([model.prepare(photo) for photo in batch]), model, photos)
    assert str(check).startswith("4 small photos that the trial kept: max difference of scores 0.0e+00")


def test_data_of_another_study_are_refused(trained: Train, cache_root: Path) -> None:
    store, record = trained("segdec")
    other = record.model_copy(update={"trial": {**record.trial, "manifest": "0" * 64}})
    with pytest.raises(InputError, match="the data are not those of trial"):
        check_photos(store, other, cache_root, cache_root)


def test_synthetic_images_of_another_version_are_not_the_trials(trained: Train, cache_root: Path) -> None:
    store, record = trained("segdec")
    other = record.model_copy(update={"trial": {**record.trial, "manifest": "0" * 64}})
    assert check_photos(store, other, None, cache_root).source == "small photos that the trial kept"


def test_an_export_that_says_something_else_is_refused_and_leaves_nothing(
    trained: Train, tmp_path: Path, cache_root: Path
) -> None:
    store, record = trained("chaotic_toy")  # multiplies a sum by 997: no two runtimes agree on it
    photos = check_photos(store, record, None, cache_root)
    with pytest.raises(
        InputError, match=r"differs from its model by 0\.001 at most, found .* scores [\d.]+e-0[12]"
    ):
        export_model(store, record, EXPORTS["onnx"], tmp_path / "model", photos)
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_nothing(trained: Train, tmp_path: Path, cache_root: Path) -> None:
    store, record = trained("toy")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="--output is a new or empty folder"):
        export_model(store, record, EXPORTS["onnx"], tmp_path, check_photos(store, record, None, cache_root))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_trained_in_bfloat16_is_exported_in_float32(exported: Export) -> None:
    folder, check = exported("classifier_bfloat16", "onnx")
    graph = onnx.load(folder / "model.onnx").graph
    assert onnx.TensorProto.BFLOAT16 not in {weight.data_type for weight in graph.initializer}
    assert check.passed
    assert check.recorded is not None
    assert check.recorded > 1e-6  # what was measured was measured in bfloat16, and the check says so


def test_onnx_carries_its_card(trained: Train, exported: Export) -> None:
    record = trained("segdec").record
    model = onnx.load(exported("segdec", "onnx").folder / "model.onnx")
    onnx.checker.check_model(model)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET]
    card = Card.model_validate_json({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    assert record.result is not None
    assert record.result.thresholds is not None
    assert (card.trial, card.study, card.image_size, card.channels) == (record.id, "segdec", (64, 128), 1)
    assert card.thresholds.model_dump() == record.result.thresholds.model_dump(exclude={"image_range"})
    assert card.versions["torch"] == record.environment.versions["torch"]


def of_format(number: int) -> Callable[[bytes], bytes]:
    """The model file as if it had another format."""

    def changed(data: bytes) -> bytes:
        model = onnx.load_from_string(data)
        (entry,) = (entry for entry in model.metadata_props if entry.key == CARD_KEY)
        entry.value = json.dumps({**json.loads(entry.value), "format": number})
        return model.SerializeToString()

    return changed


def without(key: str) -> Callable[[bytes], bytes]:
    """Damage to a model file: its card lacks ``key``, or is no JSON if that is empty."""

    def damaged(data: bytes) -> bytes:
        model = onnx.load_from_string(data)
        (entry,) = (entry for entry in model.metadata_props if entry.key == CARD_KEY)
        card = json.loads(entry.value)
        card.pop(key, None)
        entry.value = json.dumps(card) if key else entry.value[:20]
        return model.SerializeToString()

    return damaged


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:1000], "one that ONNX Runtime reads, found .*: InvalidProtobuf: "),
        (lambda data: b"", "one that ONNX Runtime reads, found .*: InvalidArgument: "),
        (without(""), "carries a card that cannot be read: Invalid JSON"),
        (without("thresholds"), "carries a card that cannot be read: thresholds: is missing"),
    ],
)
def test_a_damaged_onnx_file_is_refused(
    exported: Export, tmp_path: Path, damage: Callable[[bytes], bytes], told: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(damage((exported("toy", "onnx").folder / "model.onnx").read_bytes()))
    with pytest.raises(InputError, match=rf"{told}.*write it again with `assay export --to onnx`\.$"):
        load_onnx(path)


@pytest.mark.parametrize(("change", "found"), [(without("format"), "none"), (of_format(2), "format 2")])
def test_a_model_of_another_format_is_refused(
    exported: Export, tmp_path: Path, change: Callable[[bytes], bytes], found: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(change((exported("toy", "onnx").folder / "model.onnx").read_bytes()))
    with pytest.raises(InputError, match=f"found {found} stated in .*Use the version of assay that wrote it"):
        load_onnx(path)


def test_onnx_sees_a_tile_and_says_so(trained: Train) -> None:
    whole, in_tiles = (card_of(trained(name).record) for name in ("unet", "unet_in_tiles"))
    usage = EXPORTS["onnx"].usage(in_tiles)
    assert "The graph sees one tile" in usage
    assert "tiles of 32 × 40 pixels that\nshare 8" in usage
    assert "tile" not in EXPORTS["onnx"].usage(whole)
    assert in_tiles.tiles is not None
    assert (in_tiles.tiles.height, in_tiles.tiles.width, in_tiles.tiles.overlap) == (32, 40, 8)


def test_an_mlflow_model_holds_no_pickle(exported: Export) -> None:
    files = [path for path in exported("segdec", "mlflow").folder.rglob("*") if path.is_file()]
    code = {".py", ".typed"}
    assert {path.suffix for path in files} <= {*code, ".json", ".yaml", ".txt", ".md", ".safetensors", ""}
    assert not [path for path in files if path.read_bytes().startswith((b"\x80", b"PK"))]


ALONE = """
import sys, mlflow.pyfunc, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict(np.full((2, 50, 60), 99, np.uint8))["score"].tolist())
import trainables
assert trainables.__file__.startswith(sys.argv[1]), trainables.__file__
assert not {"assay", "ray", "optuna", "streamlit"} & set(sys.modules)
"""


def test_an_mlflow_model_loads_without_assay(trained: Train, exported: Export, tmp_path: Path) -> None:
    folder = exported("segdec", "mlflow").folder
    # -I: no PYTHONPATH and not this folder, so that the model's own code is found.
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(folder)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = load_model(*trained("segdec"))
    grey = model.prepare(np.full((50, 60, 1), 99, np.uint8))
    assert json.loads(done.stdout) == pytest.approx(model.decide([grey, grey]).score.tolist(), abs=1e-6)


def test_a_plugin_is_named_in_the_requirements(exported: Export) -> None:
    requirements = (exported("toy", "mlflow").folder / "requirements.txt").read_text().split()
    assert "assay-toy==0.1" in requirements
    assert any(line.startswith("torch==") for line in requirements)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 9, 9), np.float32), np.zeros((1, 9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)]
)
def test_a_pyfunc_refuses_what_is_no_batch_of_its_images(
    images: NDArray[np.generic], exported: Export
) -> None:
    model = mlflow.pyfunc.load_model(str(exported("toy", "mlflow").folder))
    with pytest.raises(MlflowException, match="does not match expected"):
        model.predict(images)


@pytest.mark.parametrize("form", ["onnx", "mlflow"])
def test_the_cards_example_runs_as_printed(
    form: str, exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported("unet", form).folder
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "this/folder")
    if form == "onnx":
        shutil.copy(folder / "model.onnx", "model.onnx")
    cv2.imwrite("photo.png", noise(1, 77, 91, 3)[0])
    names: dict[str, object] = {}
    exec("\n".join(code), names)
    answer = names["score"] if form == "onnx" else names["answer"]["score"]  # type: ignore[index]
    assert 0 <= answer[0] <= 1  # type: ignore[index]


class Untraceable:
    """Decides in Python: a trace would keep one of the two answers."""

    def predict(self, images: Tensor) -> Prediction:
        score = torch.ones(len(images)) if images.mean().item() > 0.5 else images.mean(dim=(1, 2, 3))
        return Prediction(score, images[:, 0])

    def save(self, folder: Path) -> None:
        """It is never saved."""

    def to(self, device: torch.device) -> Self:
        return self


def test_a_predictor_that_cannot_be_traced_is_refused(trained: Train, tmp_path: Path) -> None:
    model = DeployedModel(Untraceable(), card_of(trained("toy").record), torch.device("cpu"))
    with pytest.raises(InputError, match=r"cannot be written as ONNX: its predict must be traceable"):
        write_onnx(model, tmp_path / "model.onnx")


def test_an_mlflow_model_asks_for_what_its_method_imports(trained: Train, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    write_model(*trained("toy"), source)
    model = load_deployed(source, torch.device("cpu"))
    imports = {"psutil": "7.0", "loose": UNKNOWN_VERSION, "torch": "2.0"}
    card = model.card.model_copy(update={"imports": imports})
    EXPORTS["mlflow"].write(source, replace(model, card=card), tmp_path / "out")
    lines = (tmp_path / "out/requirements.txt").read_text().splitlines()
    assert "psutil==7.0" in lines
    assert [line for line in lines if line.startswith(("loose", "torch=="))] == [
        f"torch=={torch.__version__.partition('+')[0]}"
    ]


class CountsItsImages(Untraceable):
    """Keeps a running mean, as a batch normalisation in training mode does."""

    def __init__(self) -> None:
        self.mean = torch.zeros(1)

    def predict(self, images: Tensor) -> Prediction:
        self.mean += images.mean()
        return Prediction(images.mean(dim=(1, 2, 3)), images[:, 0])


def test_a_predictor_that_changes_itself_is_told_so_and_sent_to_no_other_format(
    trained: Train, tmp_path: Path
) -> None:
    model = DeployedModel(CountsItsImages(), card_of(trained("toy").record), torch.device("cpu"))
    with pytest.raises(InputError, match=r"its predict changes tensors that the model keeps") as refused:
        write_onnx(model, tmp_path / "model.onnx")
    assert "--to" not in str(refused.value)
    assert "buffer" not in str(refused.value)


def test_an_export_traces_networks_in_evaluation_mode(trained: Train, tmp_path: Path) -> None:
    card = card_of(trained("toy").record)

    class Network(Untraceable):
        def __init__(self) -> None:
            self.net = nn.Sequential(nn.LazyConv2d(1, 3, padding=1), nn.BatchNorm2d(1)).train()
            self.net(torch.rand(2, card.channels, *card.image_size))

        def predict(self, images: Tensor) -> Prediction:
            map_BHW = self.net(images)[:, 0].sigmoid()
            return Prediction(map_BHW.amax(dim=(1, 2)), map_BHW)

    model = DeployedModel(Network(), card, torch.device("cpu"))
    write_onnx(model, tmp_path / "model.onnx")
    photos = list(noise(3, *card.image_size, card.channels))
    written = load_onnx(tmp_path / "model.onnx")
    singly = [written.decide([photo]).score[0] for photo in photos]
    np.testing.assert_allclose(written.decide(photos).score, singly, atol=1e-6)


@pytest.mark.parametrize("halve", [False, True])
def test_onnx_says_what_a_module_says(halve: bool, trained: Train, tmp_path: Path) -> None:
    card = card_of(trained("toy").record)
    settings = {"image_size": card.image_size, "channels": card.channels, "epochs": 1, "checkpoint": "last"}
    config = Config.model_validate({**settings, "halve": halve, "top_share": 0.01, "precision": "float32"})
    images = noise(6, *card.image_size, card.channels)
    ids = tuple(map(str, range(len(images))))
    masks = dict.fromkeys(ids[:3], np.eye(*card.image_size, dtype=np.uint8))
    data = ImageSet(ids, np.arange(len(ids)) < 3, dict(zip(ids, images, strict=True)), masks)
    training = TrainingData(data, None, Supervision.model_validate("full"))
    model = DeployedModel(tiny_method().fit(config, training, LocalRun()), card, torch.device("cpu"))
    write_onnx(model, tmp_path / "model.onnx")
    written, expected = load_onnx(tmp_path / "model.onnx").decide(list(images)), model.decide(list(images))
    np.testing.assert_allclose(written.score, expected.score, atol=1e-6)
    np.testing.assert_allclose(written.heatmap, expected.heatmap, atol=1e-5)


@pytest.mark.parametrize("form", ["onnx", "mlflow"])
def test_a_model_whose_scores_depend_on_the_batch_is_not_exported(
    form: str, trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(self: ToyPredictor, images: Tensor) -> Prediction:
        return Prediction(images.mean(dim=(1, 2, 3)) / images.max(), images[:, 0])

    monkeypatch.setattr(ToyPredictor, "predict", predict)
    store, record = trained("toy")
    photos = check_photos(store, record, None, tmp_path / "cache")
    with pytest.raises(InputError, match="scores depend on what is in the batch"):
        export_model(store, record, EXPORTS[form], tmp_path / "out", photos)
    assert not (tmp_path / "out").exists()


BRIGHTNESS = """
from trainables.contract import Prediction

class Brightness:
    def predict(self, images):
        return Prediction(images.mean(dim=(1, 2, 3)), images.mean(dim=1))
"""


def test_onnx_says_nothing_of_the_folder_that_its_code_lies_in(trained: Train, tmp_path: Path) -> None:
    files: list[bytes] = []
    for name in ("here", "there"):
        code = tmp_path / name / "brightness.py"
        code.parent.mkdir()
        code.write_text(BRIGHTNESS)
        predictor = runpy.run_path(str(code), run_name="brightness")["Brightness"]()
        write_onnx(
            DeployedModel(predictor, card_of(trained("toy").record), torch.device("cpu")),
            tmp_path / f"{name}.onnx",
        )
        files.append((tmp_path / f"{name}.onnx").read_bytes())
    assert files[0] == files[1]
    assert b"brightness.py" not in files[0]
    assert b"onnx_file.py" not in files[0]


def copy_of(trial: Trained, folder: Path) -> tuple[Store, Record]:
    """The trial in a storage of its own, to be spoiled."""
    store, (source, record) = Store(folder), trial
    for path in record.files:
        store.write_bytes(
            f"{store.trial(record.id)}/{path}", source.read_bytes(f"{store.trial(record.id)}/{path}")
        )
    store.write_record(record)
    return store, record


def test_a_model_that_was_not_kept_is_refused_with_the_trials_that_have_one(
    trained: Train, tmp_path: Path
) -> None:
    store, record = copy_of(trained("toy"), tmp_path)
    dropped = {path: digest for path, digest in record.files.items() if "/model/" not in path}
    store.write_record(record.model_copy(update={"id": "0" * 16, "files": dropped}))
    with pytest.raises(
        InputError, match=rf"was not kept .*Trials of toy with a model: {record.id} \(base, seed 0\)"
    ):
        trained_record(store, "0" * 16)
    store.delete_tree(store.trial(record.id))
    with pytest.raises(InputError, match=r"No trial of toy has a model: set `keep: \{models: all\}`"):
        trained_record(store, "0" * 16)


def test_a_model_that_is_not_the_recorded_one_is_refused(trained: Train, tmp_path: Path) -> None:
    store, record = copy_of(trained("toy"), tmp_path)
    store.write_bytes(f"{store.trial(record.id)}/{record.attempt}/model/model.safetensors", b"others")
    with pytest.raises(InputError, match=r"cannot be read: .*model\.safetensors is not the file"):
        load_model(store, record)


@pytest.mark.parametrize(
    ("status", "told"), [("diverged", "found diverged: NaN"), (None, "is not trained yet")]
)
def test_a_trial_without_a_result_has_no_model(
    status: str | None, told: str, trained: Train, tmp_path: Path
) -> None:
    store, record = Store(tmp_path), trained("toy").record
    if status is not None:
        store.write_record(record.model_copy(update={"status": status, "reason": "NaN", "result": None}))
    with pytest.raises(InputError, match=told):
        trained_record(store, record.id)


def test_a_trial_without_thresholds_decides_at_a_half(trained: Train) -> None:
    record = trained("toy").record
    assert record.result is not None
    bare = record.model_copy(update={"result": record.result.model_copy(update={"thresholds": None})})
    assert (card_of(bare).thresholds.image, card_of(bare).thresholds.pixel) == (0.5, 0.5)
