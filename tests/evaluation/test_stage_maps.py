"""Stages of a model: maps against masks and baseline maps beside them, in bounded memory; pictures of the
probes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.evaluate_scenes import CPU, Brightness, make_set
from trainables.contract import Prediction, ShowsStages, StageMaps
from trainables.data.samples import EvaluationData, ImageSet
from trainables.errors import InputError
from trainables.evaluation.evaluate import Evaluation, evaluate
from trainables.evaluation.metrics import METRICS, CountMetric, CurveMetric, PixelScores
from trainables.evaluation.stage_maps import STAGE_MAPS_SCHEMA

TEST = make_set("test", 30, seed=1, masks=True)
BASELINES = ["random", "centre prior", "blur residual", "cam × blur residual"]


@dataclass
class Clock:
    """One that a prediction moves by a second, and its stages by a hundred."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now


@dataclass
class Stages(Brightness):
    """The square of the brightness, the middle of the photo, and the brightness itself."""

    first: str = "cam"
    broken: float | None = None
    clock: Clock = field(default_factory=Clock)
    shape: tuple[int, ...] | None = None

    def predict(self, images: Tensor) -> Prediction:
        self.clock.now += 1.0
        return super().predict(images)

    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        assert not torch.is_grad_enabled()
        prediction = self.predict(images)
        self.clock.now += 100.0
        heatmap = prediction.heatmap
        first = heatmap**2 if self.broken is None else torch.full_like(heatmap, self.broken)
        crop = images[:, :, 6:18, 10:30] if self.shape is None else torch.zeros(self.shape)
        return StageMaps(prediction, {self.first: first, "crop": crop, "final": heatmap})


def judge(model: Brightness, test: ImageSet = TEST, *, batch: int = 7, seed: int = 0) -> Evaluation:
    return evaluate(model, EvaluationData(None, test), device=CPU, batch=batch, probes=6, seed=seed)


def scores(judged: Evaluation, of: str) -> dict[str, dict[str, float]]:
    return {one.stage: one.metrics for one in judged.stages if one.of == of}


def test_maps_come_in_the_order_of_the_chain_and_baseline_maps_after_them() -> None:
    judged = judge(Stages())
    assert [(one.of, one.stage) for one in judged.stages] == [
        ("test", "cam"),
        ("test", "final"),
        *(("floor", name) for name in BASELINES),
    ]


def test_a_stage_has_every_metric_that_reads_masks_decided_at_a_half() -> None:
    final = scores(judge(Stages()), "test")["final"]
    pixels = PixelScores()
    for i, sample in enumerate(TEST.ids):
        heatmap = TEST.images[sample][:, :, 0] / np.float32(255)
        truth = TEST.masks[sample][::2, ::2] > 0 if TEST.labels[i] else np.zeros((24, 40), bool)
        pixels.add(heatmap, truth)
    binned = {name for name, metric in METRICS.items() if isinstance(metric, (CountMetric, CurveMetric))}
    assert final.keys() == binned
    exact = pixels.metrics(0.5)
    assert final == pytest.approx({name: exact[name] for name in binned}, abs=2e-3)


def test_pixels_that_the_evaluation_ignores_count_in_no_stage_and_no_baseline_map() -> None:
    dark = {sample: (TEST.images[sample][..., 0] < 120).astype(np.uint8) for sample in TEST.masks}
    judged, whole = judge(Stages(), replace(TEST, ignored=dark)), judge(Stages())
    auroc = scores(judged, "test")["final"]["pixel_auroc"]
    assert auroc == pytest.approx(judged.metrics["pixel_auroc"], abs=2e-3)
    assert auroc < whole.metrics["pixel_auroc"] - 0.01
    residual = [scores(each, "floor")["blur residual"]["pixel_auroc"] for each in (judged, whole)]
    assert residual[0] < residual[1] - 0.005


def test_what_predict_answers_is_not_moved_by_its_stages() -> None:
    plain, staged = judge(Brightness()), judge(Stages())
    assert staged.metrics == plain.metrics
    assert staged.predictions.equals(plain.predictions)
    assert (plain.stages, plain.stage_maps) == ((), None)
    assert isinstance(Stages(), ShowsStages)
    assert not isinstance(Brightness(), ShowsStages)


@pytest.mark.parametrize("batch", [1, 16, 64])
def test_stages_and_baseline_maps_do_not_depend_on_the_batch(batch: int) -> None:
    one, other = judge(Stages()), judge(Stages(), batch=batch)
    for found, expected in zip(other.stages, one.stages, strict=True):
        assert found.metrics == pytest.approx(expected.metrics, abs=1e-6), (found.of, found.stage)
    assert one.stage_maps is not None
    assert one.stage_maps.equals(other.stage_maps)


def test_the_random_map_is_that_of_the_repeat_and_near_the_share_of_defect_pixels() -> None:
    first, again, other = (
        scores(judge(Stages(), seed=seed), "floor")["random"]["pixel_ap"] for seed in (0, 0, 1)
    )
    share = sum(int(mask[::2, ::2].sum()) for mask in TEST.masks.values()) / (30 * 24 * 40)
    assert first == again != other
    assert first == pytest.approx(share, rel=0.2)


@pytest.mark.parametrize("validation", [None, make_set("validation", 10, seed=2, masks=True)])
def test_seconds_are_those_of_a_prediction_without_its_stages(
    validation: ImageSet | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = Stages(), EvaluationData(validation, TEST)
    monkeypatch.setattr("trainables.evaluation.model_scorer.time", model.clock)
    judged = evaluate(model, data, device=CPU, batch=10, probes=0, seed=0)
    assert judged.seconds_per_image == pytest.approx(1 / 10)


def test_baseline_maps_read_no_weight_of_the_model() -> None:
    trained = scores(judge(Stages()), "floor")
    untrained = scores(judge(Stages(broken=0.5)), "floor")
    assert {name: trained[name] for name in BASELINES[:3]} == {
        name: untrained[name] for name in BASELINES[:3]
    }
    assert trained[BASELINES[3]] != untrained[BASELINES[3]], "the CAM's own baseline follows the CAM"


def test_a_chain_without_a_cam_has_no_baseline_of_one() -> None:
    assert list(scores(judge(Stages(first="attention")), "floor")) == BASELINES[:3]


def test_without_masks_stages_are_looked_at_but_not_judged() -> None:
    judged = judge(Stages(), replace(TEST, masks={}))
    assert judged.stages == ()
    assert judged.stage_maps is not None
    assert judged.stage_maps.num_rows == 6 * 3


def test_a_defective_image_without_mask_is_left_out() -> None:
    some = dict(list(TEST.masks.items())[:4])
    kept = [i for i, sample in enumerate(TEST.ids) if not TEST.labels[i] or sample in some]
    alone = ImageSet(tuple(TEST.ids[i] for i in kept), TEST.labels[kept], TEST.images, some)
    partly = replace(TEST, masks=some)
    assert scores(judge(Stages(), partly), "test") == scores(judge(Stages(), alone), "test")


def test_probes_leave_a_picture_of_every_stage() -> None:
    judged = judge(Stages())
    assert judged.stage_maps is not None
    assert judged.stage_maps.schema == STAGE_MAPS_SCHEMA
    rows = judged.stage_maps.to_pylist()
    assert {row["sample"] for row in rows} == set(judged.maps["sample"].to_pylist())
    stages = [(row["order"], row["stage"], row["kind"]) for row in rows[:3]]
    assert stages == [(0, "cam", "map"), (1, "crop", "picture"), (2, "final", "map")]
    photo = TEST.images[rows[0]["sample"]][:, :, 0]
    crop, final = (cv2.imdecode(np.frombuffer(rows[k]["png"], np.uint8), -1) for k in (1, 2))
    assert np.array_equal(crop, photo[6:18, 10:30])
    assert np.array_equal(final, photo), "255 is a score of 1"


def test_a_model_whose_stage_is_no_finite_number_has_diverged() -> None:
    with pytest.raises(FloatingPointError, match="stage cam of test000 is not within"):
        judge(Stages(broken=float("nan")))


@pytest.mark.parametrize("wrong", [-0.5, 1.5])
def test_a_stage_that_is_not_within_0_and_1_stops_the_evaluation(wrong: float) -> None:
    with pytest.raises(
        InputError, match=rf"^stage cam .*, found {wrong:g} for test000\. .*`predict_stages`\."
    ):
        judge(Stages(broken=wrong))


class Unbounded(Stages):
    """Scores beyond 1."""

    def predict(self, images: Tensor) -> Prediction:
        score, heatmap = super().predict(images)
        return Prediction(score + 4, heatmap)


def test_a_score_that_came_with_the_stages_is_to_be_mended_where_they_are_made() -> None:
    with pytest.raises(InputError, match=r"^score .* for test000\. Mend the method's `predict_stages`\.$"):
        judge(Unbounded())


@pytest.mark.parametrize("shape", [(7, 24, 39), (7, 2, 24, 40), (6, 1, 24, 40)])
def test_a_stage_is_a_map_or_a_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError, match="stage crop of shape"):
        judge(Stages(shape=shape))
