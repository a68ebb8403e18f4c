"""The evaluation: validation chooses, test reports, and everything left out is said."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor

from tests.evaluation.evaluate_scenes import CPU, Brightness, make_set, relabelled
from trainables.contract import Prediction
from trainables.data.samples import EvaluationData, ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.evaluation.evaluate import PREDICTIONS_SCHEMA, Evaluation, evaluate, image_scores
from trainables.evaluation.heatmaps import MAPS_SCHEMA
from trainables.evaluation.metrics import METRICS, best_f1_threshold

TEST = make_set("test", 30, seed=1, masks=True)
VALIDATION = make_set("val", 15, seed=2, masks=True)
WITHOUT_MASKS = replace(VALIDATION, masks={})


def judge(
    validation: ImageSet | None, test: ImageSet = TEST, *, batch: int = 4, probes: int = 6
) -> Evaluation:
    data = EvaluationData(validation, test)
    return evaluate(Brightness(), data, device=CPU, batch=batch, probes=probes, seed=0)


@pytest.mark.parametrize("batch", [1, 7])
def test_metrics_beside_prediction_are_those_after_it(batch: int) -> None:
    beside, after = judge(VALIDATION, batch=batch), judge(VALIDATION, batch=30)  # of 30, none has a next one
    for name in ("metrics", "validation", "thresholds", "undefined", "notes"):
        assert getattr(beside, name) == getattr(after, name), name
    for name in ("predictions", "regions", "maps"):
        assert getattr(beside, name).equals(getattr(after, name)), name


def test_a_model_that_diverges_late_ends_the_evaluation() -> None:
    class Late(Brightness):
        def predict(self, images: Tensor) -> Prediction:
            score, heatmap = super().predict(images)
            return Prediction(score / (len(self.seen) <= 10), heatmap)

    with pytest.raises(FloatingPointError, match="test0"):
        evaluate(Late(), EvaluationData(None, TEST), device=CPU, batch=2, probes=0, seed=0)


@pytest.mark.parametrize("validation", [VALIDATION, WITHOUT_MASKS, None])
def test_test_labels_and_masks_never_move_a_threshold(validation: ImageSet | None) -> None:
    shuffled = relabelled(TEST, np.random.default_rng(0).permutation(TEST.labels))
    expected = judge(validation).thresholds
    assert judge(validation, shuffled).thresholds == expected
    assert judge(validation, replace(TEST, masks={})).thresholds == expected


def test_thresholds_are_chosen_before_a_test_image_is_read() -> None:
    class Forbidden(dict[str, np.ndarray]):
        def __getitem__(self, sample: str) -> np.ndarray:
            raise PermissionError(sample)

    one_class = relabelled(VALIDATION, np.zeros(len(VALIDATION), dtype=bool))
    predictor = Brightness()
    data = EvaluationData(one_class, replace(TEST, images=Forbidden()))
    with pytest.raises(PermissionError, match="test000"):
        evaluate(predictor, data, device=CPU, batch=5, probes=0, seed=0)
    assert sum(predictor.seen) == len(VALIDATION)


@pytest.mark.parametrize(
    ("validation", "image", "pixel", "note"),
    [
        (VALIDATION, "validation F1", "validation IoU", None),
        (WITHOUT_MASKS, "validation F1", "validation F1 of heatmap maxima", "no mask read"),
        (
            replace(VALIDATION, masks={k: VALIDATION.masks[k] for k in ("val000", "val003", "val006")}),
            "validation F1",
            "validation IoU",
            "2 defective validation images have no mask",
        ),
        (
            replace(VALIDATION, masks={k: m for k, m in VALIDATION.masks.items() if k != "val000"}),
            "validation F1",
            "validation IoU",
            "pixel threshold: 1 defective validation image has no mask",
        ),
        (None, "fixed 0.5", "fixed 0.5", "no validation images"),
        (
            relabelled(WITHOUT_MASKS, np.zeros(15, dtype=bool)),
            "fixed 0.5",
            "fixed 0.5",
            "no defective image in validation, fixed at 0.5",
        ),
    ],
)
def test_every_threshold_names_its_source(
    validation: ImageSet | None, image: str, pixel: str, note: str | None
) -> None:
    judged = judge(validation)
    assert (judged.thresholds.image_source, judged.thresholds.pixel_source) == (image, pixel)
    assert (note is None and not judged.notes) or any(note in line for line in judged.notes if note)
    assert judged.thresholds.image == 0.5 or image != "fixed 0.5"


def test_all_metrics_are_there_when_the_data_define_them() -> None:
    judged = judge(VALIDATION)
    assert set(judged.metrics) == set(METRICS) - {"aupimo"}  # which needs more pixels
    assert set(judged.validation) == set(judged.metrics) - {"defects_found", "outlined_of_found"}


def test_a_weak_row_has_label_metrics_only_on_validation() -> None:
    names = {name for name, metric in METRICS.items() if metric.reads == "labels"}
    assert set(judge(WITHOUT_MASKS).validation) == names


def test_what_is_undefined_is_absent_with_its_reason() -> None:
    judged = judge(VALIDATION, replace(TEST, masks={}))
    masks = {name for name, metric in METRICS.items() if metric.reads == "masks"}
    assert not masks & judged.metrics.keys()
    assert judged.undefined == dict.fromkeys(sorted(masks), "no mask of a defective image to compare with")
    assert judged.notes == (
        "pixel AP, pixel AUROC, IoU, best IoU (oracle), IoU (defective), PRO, defects missed undefined on "
        "test: no mask of a defective image to compare with",
    )


@pytest.mark.parametrize(
    ("unknown", "images"),
    [(["test000"], "1 defective test image"), (["test000", "test003"], "2 defective test images")],
)
def test_defective_images_without_mask_are_left_out_of_pixel_metrics_and_counted(
    unknown: list[str], images: str
) -> None:
    partly = replace(TEST, masks={k: m for k, m in TEST.masks.items() if k not in unknown})
    judged = judge(VALIDATION, partly)
    assert f"pixel metrics leave out {images} without mask" in judged.notes
    assert judged.predictions["tp"].null_count == len(unknown)


def test_an_empty_mask_of_a_defective_image_counts_as_unknown() -> None:
    nothing = np.zeros((48, 80), dtype=np.uint8)
    judged = judge(VALIDATION, replace(TEST, masks={**TEST.masks, "test000": nothing}))
    assert judged.predictions["tp"].to_pylist()[0] is None


def test_without_masks_the_pixel_threshold_parts_heatmap_maxima() -> None:
    judged = judge(WITHOUT_MASKS)
    maxima = np.array([WITHOUT_MASKS.images[i].max() for i in WITHOUT_MASKS.ids]) / np.float32(255)
    assert judged.thresholds.pixel == best_f1_threshold(WITHOUT_MASKS.labels, maxima, np.float32)


def test_predictions_give_every_image_and_sum_up_to_the_metrics() -> None:
    judged = judge(VALIDATION)
    table = judged.predictions
    assert table.schema == PREDICTIONS_SCHEMA
    assert table["sample"].to_pylist() == list(TEST.ids)
    tp, fp, fn = (pc.sum(table[name]).as_py() for name in ("tp", "fp", "fn"))
    assert judged.metrics["pixel_iou"] == tp / (tp + fp + fn)
    wrong = pc.sum(pc.and_(table["decision"], pc.invert(table["label"]))).as_py()
    assert judged.metrics["fp"] == wrong


def test_pixel_counts_are_those_of_numpy() -> None:
    judged = judge(VALIDATION)
    row = judged.predictions.to_pylist()[3]
    decided = TEST.images["test003"][:, :, 0] / np.float32(255) >= np.float32(judged.thresholds.pixel)
    truth = TEST.masks["test003"][::2, ::2] > 0
    assert [row[name] for name in ("tp", "fp", "fn", "tn")] == [
        np.sum(decided & truth),
        np.sum(decided & ~truth),
        np.sum(~decided & truth),
        np.sum(~decided & ~truth),
    ]


def test_maps_hold_the_probes() -> None:
    judged = judge(VALIDATION, probes=6)
    assert judged.maps.schema == MAPS_SCHEMA
    assert judged.maps.num_rows == 6
    assert judged.seconds_per_image > 0


def test_images_become_floats_between_0_and_1_with_channels_first() -> None:
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    image[1, 2] = (0, 51, 255)
    tensor = images_to_tensor([image, image], CPU)
    assert tensor.shape == (2, 3, 2, 3)
    assert tensor.dtype == torch.float32
    assert tensor[1, :, 1, 2].tolist() == pytest.approx([0, 0.2, 1])


def test_image_scores_come_in_the_order_of_the_set() -> None:
    expected = [(TEST.images[i].max() / 255) ** 2 for i in TEST.ids]
    assert image_scores(Brightness(), TEST, CPU, batch=7) == pytest.approx(expected)


@dataclass
class Diverged(Brightness):
    """Gives ``score`` and ``heat`` whatever it sees."""

    score: float = 0.5
    heat: float = 0.5

    def predict(self, images: Tensor) -> Prediction:
        score, heatmap = super().predict(images)
        return Prediction(torch.full_like(score, self.score), torch.full_like(heatmap, self.heat))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["score", "heat"])
def test_a_model_whose_output_is_no_finite_number_has_diverged(where: str, wrong: float) -> None:
    what = {"score": "score", "heat": "heatmap"}[where]
    with pytest.raises(
        FloatingPointError, match=rf"^{what} of val000 is not within \[0, 1\], found {wrong:g}: the model"
    ):
        image_scores(Diverged(**{where: wrong}), VALIDATION, CPU, batch=4)


@pytest.mark.parametrize("wrong", [-0.5, 4.5])
@pytest.mark.parametrize("where", ["score", "heat"])
def test_a_predictor_that_does_not_bound_its_output_is_to_be_mended(where: str, wrong: float) -> None:
    what = {"score": "score", "heat": "heatmap"}[where]
    with pytest.raises(
        InputError, match=rf"^{what} of .* within \[0, 1\], found {wrong:g} for val000\. Mend .* `predict`\.$"
    ):
        image_scores(Diverged(**{where: wrong}), VALIDATION, CPU, batch=4)


@dataclass
class Odd(Brightness):
    """Answers ``answer`` of what it would answer otherwise."""

    answer: Callable[[Prediction], Any] = Prediction._make

    def predict(self, images: Tensor) -> Any:
        return self.answer(super().predict(images))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (tuple, r"`predict` returns .*Prediction\(score, heatmap\), found a tuple"),
        (lambda made: None, r"`predict` returns .*Prediction\(score, heatmap\), found None"),
        (lambda made: made._replace(score=made.score.tolist()), r"score .* of shape \(4,\) .* found a list"),
        (lambda made: made._replace(heatmap=made.heatmap.numpy()), "heatmap .* found a ndarray"),
        (lambda made: made._replace(score=made.score[:1]), r"score .* found one of shape \(1,\), float32"),
        (lambda made: made._replace(score=made.score + 0j), r"score .* found one of shape \(4,\), complex64"),
        (
            lambda made: made._replace(heatmap=made.heatmap[:, ::2]),
            r"heatmap .* of shape \(4, 24, 40\) for 4 images of 24 × 40 pixels, found one .*\(4, 12, 40\)",
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_refused_in_its_words(
    answer: Callable[[Prediction], Any], message: str
) -> None:
    with pytest.raises(InputError, match=rf"{message}.*\. Mend the method's `predict`\.$"):
        image_scores(Odd(answer=answer), VALIDATION, CPU, batch=4)


def test_an_output_that_carries_a_gradient_is_a_number_as_others() -> None:
    answer = Odd(answer=lambda made: Prediction(*(part.clone().requires_grad_() for part in made)))
    plain = image_scores(Brightness(), VALIDATION, CPU, batch=4)
    assert image_scores(answer, VALIDATION, CPU, batch=4).tolist() == plain.tolist()
