"""The curve over masks: points at their true numbers of masks, and the same picture for the same records."""

from __future__ import annotations

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from assay.analysis.labels import MasksCurve, masks_curve
from assay.analysis.results.results import StudyResults
from assay.report.figures.masks_curve import draw_masks_curve
from assay.storage import Record
from assay.study import Plan, Trial
from tests.analysis.made_studies import make_plan, make_record

STUDY = """
study: masks
trainable: segdec
data: {reader: synthetic, splits: per_seed}
config: {preset: ksdd, image_size: [128, 64]}
factors:
  masks:
    all: {supervision: full}
    n15: {supervision: {mixed: 15}}
    n0: {supervision: weak, config: {balance: none}}
    n5: {supervision: {mixed: 5}}
design: {full: all}
published:
  source: Somebody 2021, for 5 $ and not $ more
  rows:
    - {at: {masks: n0}, values: {image_ap: 0.7}}
    - {at: {masks: all}, values: {image_ap: 1.0}}
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap, report: []}
"""
SIZES = "  images: {few: {data: {positives: 20}}, many: {data: {positives: 300}}}\n"
TWO_LINES = STUDY.replace("design:", f"{SIZES}design:")


def trained(trial: Trial) -> Record:
    """All masks are 40 for seed 0 and 44 for seed 1; of `images: many` 300 more."""
    some = {"weak": 0, "mixed": trial.supervision.masks or 0}
    masks = some.get(trial.supervision.kind, 40 + 4 * trial.seed + 300 * ("many" in trial.cell))
    record = make_record(trial, lambda t: {"image_ap": 0.8 + 0.002 * min(masks, 40) + 0.01 * t.seed})
    assert record.result is not None
    return record.model_copy(update={"result": record.result.model_copy(update={"n_masks": masks})})


def curve_of(plan: Plan) -> MasksCurve:
    curve = masks_curve(StudyResults(plan, {trial.id: trained(trial) for trial in plan.trials}))
    assert curve is not None
    return curve


def words(curve: MasksCurve) -> str:
    """The text of the picture: matplotlib notes each as a comment beside its letters."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.fromstring(draw_masks_curve(curve, "svg"), parser)
    return "\n".join((node.text or "").strip() for node in root.iter() if node.tag is ElementTree.Comment)


def test_points_lie_at_the_number_of_masks_and_all_where_the_records_count_them() -> None:
    (line,) = curve_of(make_plan(STUDY)).lines
    assert [(point.masks, point.counted) for point in line.points] == [
        (0, (0,)), (5, (5,)), (15, (15,)), (42, (40, 44)),
    ]  # fmt: skip
    assert [point.published for point in line.points] == [0.7, None, None, 1.0]
    assert line.points[1].values == pytest.approx((0.81, 0.82))


def test_cells_alike_in_all_but_masks_are_a_line() -> None:
    curve = curve_of(make_plan(TWO_LINES))
    assert [(line.name, line.points[-1].masks) for line in curve.lines] == [("few", 42), ("many", 342)]
    assert curve.others == ("images",)


def test_what_is_not_trained_yet_is_left_out_and_what_is_published_stays() -> None:
    plan = make_plan(STUDY)
    curve = masks_curve(StudyResults(plan, {t.id: trained(t) for t in plan.trials if t.cell == "n5"}))
    assert curve is not None
    points = {point.masks: point for point in curve.lines[0].points}  # nobody has counted all masks yet
    assert set(points) == {0, 5, 15}
    assert (points[0].values, points[0].published) == ((), 0.7)
    assert "one repeat" in words(curve)


FOUR = "[n0, n5, n15, all]"
TWO_FACTORS = STUDY.replace(
    "design:", "  more: {x: {}, y: {supervision: weak, config: {lr: 0.5}}}\ndesign:"
).replace("{full: all}", f"{{rows: [{{masks: n0, more: y}}, {{masks: {FOUR}, more: x}}]}}")


@pytest.mark.parametrize(
    "text",
    [
        STUDY.replace("{full: all}", "{rows: [{masks: [n0, all]}]}"),
        STUDY.replace("{mixed: 15}", "{mixed: 5}, config: {lr: 0.5}"),
        STUDY.replace("{mixed: 15}", "{mixed: 0}"),
        TWO_FACTORS,
        STUDY.replace("all: {", "all: {trainable: supervised, config: {preset: unet_small}, "),
    ],
    ids=["two numbers", "a number twice", "zero twice", "two factors set it", "it names methods"],
)
def test_a_study_that_no_number_of_masks_orders_has_no_curve(text: str) -> None:
    plan = make_plan(text)
    assert masks_curve(StudyResults(plan, {trial.id: trained(trial) for trial in plan.trials})) is None


def test_a_study_without_a_result_has_no_curve() -> None:
    assert masks_curve(StudyResults(make_plan(STUDY), {})) is None


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_records_give_the_same_bytes(form: str) -> None:
    one, two = (draw_masks_curve(curve_of(make_plan(TWO_LINES)), form) for _ in range(2))  # type: ignore[arg-type]
    assert one == two
    assert b"<dc:date>" not in one


@pytest.mark.parametrize(
    ("study", "parts"),
    [
        (
            STUDY,
            [
                "AP on test data (0–1)",
                "Training images with a mask (square-root scale)",
                "40–44",
                "(all)",
                "one repeat (2 seeds), spread sideways",
                "published, not reproduced here: Somebody 2021, for 5 $ and not $ more",
            ],
        ),
        (TWO_LINES, ["images", "few", "many", "last point of a line: all"]),
    ],
    ids=["axes, repeats and source", "lines that end at other numbers"],
)
def test_the_picture_names_what_it_shows(study: str, parts: list[str]) -> None:
    text = words(curve_of(make_plan(study)))
    assert [part for part in parts if part not in text] == []


def test_a_crowd_of_lines_is_drawn_under_its_mean() -> None:
    levels = ", ".join(f"p{n}: {{data: {{positives: {n}}}}}" for n in range(20, 30))
    curve = curve_of(make_plan(STUDY.replace("design:", f"  images: {{{levels}}}\ndesign:")))
    text = words(curve)
    assert "mean of the 10 lines" in text
    assert "each images: mean of the repeats" in text


def test_the_png_is_sharp_at_800_pixels_and_shows_both_colours() -> None:
    image = cv2.imdecode(np.frombuffer(draw_masks_curve(curve_of(make_plan(TWO_LINES)), "png"), np.uint8), 1)
    assert image is not None
    assert image.shape == (1000, 1600, 3)
    for colour in ((0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5)):  # blue and vermilion, as BGR
        assert (image == colour).all(axis=2).any()
