"""Large images in tiles: nothing of an image is lost or seen twice, and labels are those of the masks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from assay.study import parse_study, plan_study
from assay.study.file.starter import starter_study
from tests.data.cases.tiles import make_line_scans
from tests.data.made_images import noise, open_folder, write
from trainables.contract import Prediction
from trainables.data import (
    DataSpec,
    Manifest,
    Supervision,
    load_evaluation,
    load_training,
    make_split,
    open_images,
    open_manifest,
)
from trainables.data.inspect.survey import survey_images
from trainables.data.spec import Tiles
from trainables.data.tiles import TileShape
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.scorer import TiledScorer
from trainables.supervised import TRAINABLE as SUPERVISED
from trainables.supervised.network import SegmentingUNet, build
from trainables.supervised.predictor import SupervisedPredictor

TILES = Tiles(height=48, width=64, overlap=16)
FULL = Supervision(kind="full")
SPEC = DataSpec(reader="folder", splits="per_seed", tiles=TILES)
CPU = torch.device("cpu")
SIZES = [(48, 64), (49, 64), (96, 64), (100, 230), (30, 200), (20, 40), (7, 9)]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Images of 100 × 230 pixels, one narrower than a tile; defects of 8 × 8 pixels at the lower right."""
    root = tmp_path / "root"
    mask = np.zeros((100, 230), np.uint8)
    mask[88:96, 216:224] = 255
    for index in range(6):
        write(root / "good" / f"g{index}.png", noise(index, 40 if index == 0 else 100, 230))
        write(root / "defect" / f"d{index}.png", noise(100 + index, 100, 230))
        write(root / "masks" / f"d{index}.png", mask)
    return open_folder(root, tmp_path / "cache")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 1, 16, 24])
def test_cores_cover_each_pixel_once_and_keep_half_the_overlap_from_inner_edges(
    size: tuple[int, int], overlap: int
) -> None:
    shape = TileShape(Tiles(height=48, width=64, overlap=overlap), 48, 64)
    covered = np.zeros(size, np.int64)
    for place in shape.places(size):
        covered[place.core] += 1
        for window, core, length in zip(place.window, place.core, size, strict=True):
            assert core.start == 0 or core.start - window.start >= overlap // 2
            assert core.stop == length or window.stop - core.stop >= overlap // 2
    assert (covered == 1).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1, 0.5, 0.37])
def test_what_is_cut_is_put_together_again(size: tuple[int, int], scale: float) -> None:
    shape = TileShape(TILES, round(48 * scale), round(64 * scale))
    image = shape.shrink(noise(0, *size)[:, :, None])
    joined = np.zeros_like(image)
    for place, tile in shape.cut(image):
        assert tile.shape == (shape.height, shape.width, 1)
        joined[place.core] = tile[place.inner]
    assert (joined == image).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_tile_and_its_mask_show_the_same_place(size: tuple[int, int]) -> None:
    shape = TileShape(TILES, 48, 64)
    pixels = noise(1, *size)
    for place, tile in shape.cut(pixels[:, :, None]):
        assert (shape.mask_of(place, pixels) == tile[..., 0]).all()


def test_a_tile_of_a_defective_image_is_defective_where_its_mask_is(
    manifest: Manifest, tmp_path: Path
) -> None:
    split = make_split(manifest, SPEC, FULL, 0, None)
    train = load_training(
        manifest, split, FULL, open_images(manifest, (48, 64), 1, tmp_path, tiles=TILES)
    ).train
    assert set(train.items) == {manifest.by_sample[sample].group for sample in split.train}
    defective = [i for i, label in zip(train.ids, train.labels, strict=True) if label]
    # The defect lies in the last tile of an image, and in no other: windows end before it, or hold it all.
    assert defective == [f"{sample}@2,4" for sample in split.masks]
    assert all(train.masks[sample].sum() == 64 for sample in defective)
    assert all(train[train.ids.index(sample)].image.shape == (48, 64, 1) for sample in defective)


def test_tiles_of_defective_images_whose_mask_is_withheld_teach_nothing(
    manifest: Manifest, tmp_path: Path
) -> None:
    one = Supervision(kind="mixed", masks=1)
    split = make_split(manifest, SPEC, one, 0, None)
    data = load_training(manifest, split, one, open_images(manifest, (24, 32), 1, tmp_path, tiles=TILES))
    assert data.validation is not None
    shown = {sample.split("@")[0] for part in (data.train, data.validation) for sample in part.ids}
    assert {sample for sample in shown if sample.startswith("defect")} == set(split.masks)


def test_weak_supervision_of_tiles_is_refused(manifest: Manifest) -> None:
    with pytest.raises(
        InputError, match=r"data\.tiles needs masks or normal images .*found supervision: weak"
    ):
        make_split(manifest, SPEC, Supervision(kind="weak"), 0, None)


@pytest.mark.parametrize(
    ("overlap", "accepted"), [(0, True), (24, True), (25, False)], ids=["none", "half", "more than half"]
)
def test_tiles_share_half_a_side_at_most(overlap: int, accepted: bool) -> None:
    written = {"height": 48, "width": 64, "overlap": overlap}
    if accepted:
        assert Tiles.model_validate(written).overlap == overlap
    else:
        with pytest.raises(ValueError, match="at most half a side, found overlap: 25"):
            Tiles.model_validate(written)


def test_the_study_that_init_proposes_for_line_scan_images_is_planned_with_its_tiles(tmp_path: Path) -> None:
    make_line_scans(tmp_path)
    survey = survey_images(tmp_path, tmp_path / "cache")
    study = parse_study(starter_study(survey, "scans"), "scans.yaml")
    plan = plan_study(study, lambda spec: open_manifest(spec, tmp_path, tmp_path / "cache"), "cpu")
    # 12 images of 3,000 pixels: tiles begin every 448 pixels, and the seventh ends at the edge.
    assert [data.tiles for data in plan.manifests.values()] == [12 * 7]
    assert all(trial.data.tiles == Tiles(height=512, width=512, overlap=64) for trial in plan.trials)


def test_tiles_enter_identities_only_where_they_are_set(manifest: Manifest) -> None:
    without = SPEC.model_copy(update={"tiles": None})
    assert "tiles" not in without.identity
    assert "tiles" not in without.model_dump(mode="json")
    assert SPEC.identity["tiles"] == {"height": 48, "width": 64, "overlap": 16}
    hashes = [make_split(manifest, spec, FULL, 0, None).hash for spec in (SPEC, without)]
    assert hashes[0] != hashes[1]


class _Brightness:
    """Says of each pixel how bright it is, and of an image its brightest pixel."""

    def predict(self, images: torch.Tensor) -> Prediction:
        return Prediction(images.amax(dim=(1, 2, 3)).double(), images[:, 0])


@pytest.mark.parametrize("input_size", [(48, 64), (24, 32)])
def test_images_are_evaluated_whole_and_score_as_their_worst_tile(
    manifest: Manifest, tmp_path: Path, input_size: tuple[int, int]
) -> None:
    split = make_split(manifest, SPEC, FULL, 0, None)
    images = open_images(manifest, input_size, 1, tmp_path, tiles=TILES)
    data = load_evaluation(manifest, split, FULL, images)
    report = evaluate(_Brightness(), data, device=CPU, batch=4, probes=9, seed=0)  # type: ignore[arg-type]
    assert report.predictions["sample"].to_pylist() == list(split.test)
    for row, shown in zip(report.predictions.to_pylist(), report.maps.to_pylist(), strict=True):
        stored = cv2.imread(
            str(manifest.root / manifest.by_sample[row["sample"]].image), cv2.IMREAD_GRAYSCALE
        )
        scale = input_size[0] / 48
        size = (round(stored.shape[1] * scale), round(stored.shape[0] * scale))
        seen = cv2.resize(stored, size, interpolation=cv2.INTER_LINEAR)
        assert row["score"] == pytest.approx(seen.max() / 255)
        assert row["tp"] + row["fp"] + row["fn"] + row["tn"] == seen.size
        assert (shown["full_height"], shown["full_width"]) == seen.shape


@pytest.mark.parametrize(("overlap", "equal"), [(64, True), (4, False)], ids=["wide", "narrow"])
def test_a_unet_gives_the_same_heatmap_in_tiles_as_of_the_whole_image_if_it_sees_no_further_than_the_margin(
    overlap: int, equal: bool
) -> None:
    torch.manual_seed(0)
    settings = {"image_size": (128, 128), "model": "unet", "encoder": "plain", "base": 4, "levels": 2}
    config = SUPERVISED.Config.model_validate({**settings, "norm": "bn"}).resolved("cpu")
    network = build(config).eval()
    assert isinstance(network, SegmentingUNet)
    with torch.no_grad():
        network.unet.head.weight.mul_(500)  # scores from 0.1 to 0.9 instead of about 0.5
    model = ModelScorer(SupervisedPredictor(network, config), CPU)
    image = noise(0, 256, 384)[:, :, None]
    whole = model.score([image]).heatmaps[0]
    assert np.ptp(whole) > 0.3
    shape = TileShape(Tiles(height=128, width=128, overlap=overlap), 128, 128)
    in_tiles = TiledScorer(model, shape, batch=4).score([image]).heatmaps[0]
    assert (np.abs(whole - in_tiles).max() <= 1e-5) == equal


_WORK = """
import resource, sys
from pathlib import Path

import torch

from assay.production.photos import find_photos
from assay.production.predict import Pictures, predict
from assay.production.rows import RowWriter
from tests.data.test_tiles import CPU, FULL
from trainables.contract import LocalRun
from trainables.data import DataSpec, load_evaluation, load_training, make_split, open_images, open_manifest
from trainables.data.spec import Tiles
from trainables.runtime.deployed import Card, DeployedModel
from trainables.evaluation.scorer import Thresholds
from trainables.evaluation.evaluate import evaluate
from trainables.supervised import TRAINABLE

torch.set_num_threads(1)
tiles = Tiles(height=512, width=512, overlap=64)
spec = DataSpec(reader="table", path="images.csv", validation=None, tiles=tiles)
settings = {
    "image_size": (256, 256), "model": "unet", "encoder": "plain", "base": 4, "levels": 1, "epochs": 1,
    "batch_size": 2, "norm": "bn",
}
config = TRAINABLE.Config.model_validate(settings).resolved("cpu")
card = Card(
    trial="t", study="s", cell="c", trainable="supervised", revision=1, image_size=config.image_size,
    channels=1, precision="float32", metrics={}, versions={}, tiles=tiles,
    thresholds=Thresholds(image=0.5, image_source="", pixel=0.5, pixel_source=""),
)
peaks = []
for root in map(Path, sys.argv[1:]):
    manifest = open_manifest(spec, root, root / "cache")
    split = make_split(manifest, spec, FULL, 0, None)
    images = open_images(manifest, config.image_size, 1, root / "cache", tiles=tiles)
    predictor = TRAINABLE.fit(config, load_training(manifest, split, FULL, images), LocalRun())
    evaluation = load_evaluation(manifest, split, FULL, images)
    report = evaluate(predictor, evaluation, device=CPU, batch=16, probes=2, seed=0)
    assert "pixel_ap" in report.metrics
    with RowWriter(root / "rows.csv", "csv") as rows:
        photos, pictures = find_photos([str(root / "c.png")]), Pictures(root, overlays=True)
        done = predict(DeployedModel(predictor, card, CPU), photos, rows, pictures, print)
    assert done.done == 1 and not done.broken
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""


def _made(root: Path, size: tuple[int, int]) -> str:
    """A set with two defective images of ``size``, one of them a test."""
    rows = ["image,label,mask,split"]
    for index, name in enumerate("abcd"):
        defective, part = name in "ac", "train" if name in "ab" else "test"
        pixels = np.full(size if defective else (600, 600), 90 + index, np.uint8)
        mask = np.zeros_like(pixels)
        mask[300:330, 300:420] = pixels[300:330, 300:420] = 255
        write(root / f"{name}.png", pixels if defective else pixels // 2)
        if defective:
            write(root / f"{name}_mask.png", mask)
        rows.append(f"{name}.png,{int(defective)},{f'{name}_mask.png' if defective else ''},{part}")
    (root / "images.csv").write_text("\n".join(rows))
    return str(root)


def test_an_image_of_8000_by_4000_pixels_takes_less_than_half_a_gigabyte_more_than_a_small_one(
    tmp_path: Path,
) -> None:
    """Peaks of a process that trains, evaluates and predicts, after small images and after large ones."""
    roots = [_made(tmp_path / "small", (600, 600)), _made(tmp_path / "large", (4000, 8000))]
    command = [sys.executable, "-c", _WORK, *roots]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    small, large = map(int, output.split()[-2:])  # KiB
    assert large - small < 1 << 19
    overlay = cv2.imread(str(tmp_path / "large" / "overlays" / "c.png"))
    assert overlay.shape == (4000, 8000, 3)
