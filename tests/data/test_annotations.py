"""Annotations of labelling tools are read as they are drawn, to the pixel, or refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trainables.data.annotations import (
    AnnotationError,
    ImageAnnotation,
    Polygon,
    Shape,
    detect_format,
    outlines,
    parse_annotations,
    rasterise,
)
from trainables.data.annotations import cvat as cvat_files
from trainables.data.annotations.coco import annotation_of, unpack_counts
from trainables.data.annotations.label_studio import unlabelled, unpack_bits
from trainables.data.annotations.labelme import file_of

HEIGHT, WIDTH = 6, 8
SQUARE = np.zeros((HEIGHT, WIDTH), np.uint8)
SQUARE[1:4, 2:5] = 1
CORNERS = [[2.0, 1.0], [5.0, 1.0], [5.0, 4.0], [2.0, 4.0]]


def labelme(*shapes: dict[str, Any]) -> bytes:
    head = {"version": "5.5.0", "flags": {}, "imagePath": "..\\photos\\a.png", "imageData": None}
    size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    return json.dumps({**head, **size, "shapes": list(shapes)}).encode()


def labelme_shape(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    shape = {"label": "scratch", "points": points, "group_id": None, "description": "", "flags": {}}
    return {**shape, "shape_type": kind, **more}


def coco(**annotation: Any) -> bytes:
    content = {
        "info": {"year": 2026},
        "licenses": [],
        "images": [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH, "license": 0}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "iscrowd": 0, "area": 9.0, **annotation}],
        "categories": [{"id": 3, "name": "scratch", "supercategory": ""}],
    }
    return json.dumps(content).encode()


def label_studio(*results: dict[str, Any], **task: Any) -> bytes:
    annotation = {"id": 5, "completed_by": 1, "result": list(results), "was_cancelled": False}
    head = {"id": 1, "data": {"image": "/data/upload/3/e97d4735-a.png"}, "predictions": [], "drafts": []}
    return json.dumps([{**head, "annotations": [{**annotation, "ground_truth": False}], **task}]).encode()


def result(kind: str, **value: Any) -> dict[str, Any]:
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    named = {"value": {**value, kind: ["scratch"]}, "type": kind}
    return {"id": "djbpw94CXj", "from_name": "label", "to_name": "image", "origin": "manual", **size, **named}


def cvat(*shapes: str, name: str = "a.png") -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><id>4</id>'
        "<mode>annotation</mode></task><dumped>2026-01-02 11:38:28.799808+03:00</dumped></meta>"
        f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</image>'
        "</annotations>"
    ).encode()


def percent(points: list[list[float]]) -> list[list[float]]:
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]


def brush(mask: NDArray[np.uint8]) -> list[int]:
    """A brush as Label Studio packs it: runs of four channels, in 3, 4, 8 or 16 bits."""
    channels = (mask * 255).repeat(4).tolist()
    bits = f"{len(channels):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    while channels:
        length = next((i for i, value in enumerate(channels) if value != channels[0]), len(channels))
        choice = next(i for i, width in enumerate((3, 4, 8, 16)) if length <= 1 << width)
        bits += f"1{choice:02b}{length - 1:0{(3, 4, 8, 16)[choice]}b}{channels[0]:08b}"
        channels = channels[length:]
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def png(window: NDArray[np.uint8]) -> str:
    return base64.b64encode(cv2.imencode(".png", window)[1].tobytes()).decode()


FLAT = [value for point in CORNERS for value in point]
DOWN_COLUMNS = [13, 3, 3, 3, 3, 3, 20]  # of the square, six pixels a column
FORMS = {
    "LabelMe polygon": labelme(labelme_shape("polygon", CORNERS)),
    "LabelMe rectangle, drawn from below": labelme(labelme_shape("rectangle", [[5.0, 4.0], [2.0, 1.0]])),
    "LabelMe mask": labelme(
        labelme_shape("mask", [[2.0, 1.0], [4.0, 3.0]], mask=png(np.full((3, 3), 255, np.uint8)))
    ),
    "COCO polygon": coco(segmentation=[FLAT], bbox=[2.0, 1.0, 3.0, 3.0]),
    "COCO run lengths": coco(segmentation={"size": [HEIGHT, WIDTH], "counts": DOWN_COLUMNS}),
    "COCO packed run lengths": coco(segmentation={"size": [HEIGHT, WIDTH], "counts": "=33000a0"}),
    "COCO box": coco(segmentation=[], bbox=[2.0, 1.0, 3.0, 3.0]),
    "Label Studio polygon": label_studio(result("polygonlabels", points=percent(CORNERS), closed=True)),
    "Label Studio rectangle": label_studio(
        result("rectanglelabels", x=25.0, y=100 / 6, width=37.5, height=50.0, rotation=0)
    ),
    "Label Studio rectangle turned by 90°": label_studio(
        result("rectanglelabels", x=62.5, y=100 / 6, width=37.5, height=50.0, rotation=90)
    ),
    "Label Studio brush": label_studio(result("brushlabels", format="rle", rle=brush(SQUARE))),
    "Label Studio labels beside a polygon": label_studio(
        {**result("polygon", points=percent(CORNERS)), "value": {"points": percent(CORNERS)}},
        {**result("labels"), "value": {"points": percent(CORNERS), "labels": ["scratch"]}},
    ),
    "CVAT polygon": cvat(
        '<polygon label="scratch" source="manual" occluded="0" points="2.00,1.00;5.00,1.00;5.00,4.00;'
        '2.00,4.00" z_order="0"><attribute name="depth">1</attribute></polygon>'
    ),
    "CVAT box": cvat('<box label="scratch" xtl="2.0" ytl="1.0" xbr="5.0" ybr="4.0" occluded="0"></box>'),
    "CVAT box turned by 90°": cvat(
        *(
            f'<box label="scratch" xtl="{left}.0" ytl="2.0" xbr="{left + 3}.0" ybr="3.0" rotation="90.00"/>'
            for left in (1, 2, 3)
        )
    ),
    "CVAT mask": cvat(
        '<mask label="scratch" source="semi-auto" occluded="0" rle="0, 9" left="2" top="1" width="3" '
        'height="3" z_order="0"></mask>'
    ),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_a_square_is_the_same_mask_in_every_form(data: bytes) -> None:
    (image,) = parse_annotations(data)
    assert image.classes == ("scratch",)
    assert not image.without_area
    assert image.names[-1].rpartition("/")[2] == "a.png"
    assert image.size in (None, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(rasterise(image.shapes, HEIGHT, WIDTH), SQUARE)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["LabelMe polygon", "COCO polygon", "Label Studio polygon"])
def test_json_is_read_in_every_encoding_that_editors_write(form: str, encoding: str) -> None:
    data = FORMS[form].decode().encode(encoding)
    (image,) = parse_annotations(data)
    np.testing.assert_array_equal(rasterise(image.shapes, HEIGHT, WIDTH), SQUARE)
    assert "Label Studio" not in form or not unlabelled(data)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_xml_is_read_in_every_encoding_that_editors_write(encoding: str, declared: bool) -> None:
    text = FORMS["CVAT mask"].decode().partition("?>")[2].lstrip()
    name = "utf-8" if encoding == "utf-8-sig" else "utf-16"
    data = (f'<?xml version="1.0" encoding="{name}"?>{text}' if declared else text).encode(encoding)
    (image,) = parse_annotations(data)
    np.testing.assert_array_equal(rasterise(image.shapes, HEIGHT, WIDTH), SQUARE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_xml_that_declares_a_document_type_is_refused_in_every_encoding(encoding: str) -> None:
    data = "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>&b;</annotations>".encode(encoding)
    with pytest.raises(AnnotationError, match="found <!DOCTYPE"):
        list(cvat_files.parse(data))


@pytest.mark.parametrize(
    ("data", "center", "kind"),
    [
        (labelme(labelme_shape("circle", [[4.0, 3.0], [4.0, 5.0]])), (3, 4), "circle"),
        (cvat('<ellipse label="scratch" cx="4" cy="3" rx="2" ry="2"/>'), (3, 4), "ellipse"),
        (label_studio(result("ellipselabels", x=50, y=50, radiusX=25, radiusY=100 / 3)), (3, 4), "ellipse"),
    ],
)
def test_a_circle_covers_the_pixels_whose_centre_it_holds(
    data: bytes, center: tuple[int, int], kind: str
) -> None:
    (image,) = parse_annotations(data)
    rows, columns = np.indices((HEIGHT, WIDTH)) + 0.5
    expected = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 < 4
    np.testing.assert_array_equal(rasterise(image.shapes, HEIGHT, WIDTH), expected)
    assert image.shapes[0].kind == kind


@settings(deadline=None, max_examples=60)
@given(arrays(np.uint8, (7, 9), elements=st.integers(0, 1)))
def test_outlines_of_a_mask_make_the_same_mask(mask: NDArray[np.uint8]) -> None:
    shapes = tuple(Shape("defect", polygon) for polygon in outlines(mask))
    np.testing.assert_array_equal(rasterise(shapes, 7, 9), mask)
    written = json.dumps(file_of(ImageAnnotation("a.png", (7, 9), shapes))).encode()
    (read,) = parse_annotations(written)
    np.testing.assert_array_equal(rasterise(read.shapes, 7, 9), mask)


@settings(deadline=None, max_examples=40)
@given(arrays(np.uint8, (5, 6), elements=st.integers(0, 1)))
def test_a_brush_is_read_as_it_is_packed(mask: NDArray[np.uint8]) -> None:
    data = label_studio({**result("brushlabels", rle=brush(mask)), "original_height": 5, "original_width": 6})
    (image,) = parse_annotations(data)
    np.testing.assert_array_equal(rasterise(image.shapes, 5, 6), mask)


def test_a_brush_with_lists_of_single_values_is_that_of_label_studios_own_test() -> None:
    packed = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]
    assert unpack_bits(bytes(packed)).tolist() == [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, *[4] * 8]


def test_a_predicted_outline_is_a_coco_annotation_of_its_area() -> None:
    (polygon,) = outlines(SQUARE)
    annotation = annotation_of(polygon, number=1, image=7, score=0.9)
    assert annotation["area"] == pytest.approx((3 - 1 / 3) ** 2, abs=0.01)  # a sixth within the edges
    (image,) = parse_annotations(coco(segmentation=annotation["segmentation"]))
    np.testing.assert_array_equal(rasterise(image.shapes, HEIGHT, WIDTH), SQUARE)


@pytest.mark.parametrize("counts", [[13, 3, 3, 3, 3, 3, 20], [0, 100_000, 31, 16, 15, 99_999]])
def test_packed_run_lengths_are_those_that_were_packed(counts: list[int]) -> None:
    text = ""
    for at, count in enumerate(counts):
        value, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += chr(bits + 48 + 32 * more)
    assert unpack_counts(text) == counts


@pytest.mark.parametrize(
    "points", [((0.0, 2.2), (8.0, 2.2), (8.0, 2.3), (0.0, 2.3)), ((3.1, 1.1), (3.2, 1.1), (3.2, 1.2))]
)
def test_a_shape_thinner_than_a_pixel_is_not_lost(points: tuple[tuple[float, float], ...]) -> None:
    mask = rasterise([Shape("crack", Polygon(points))], HEIGHT, WIDTH)
    assert mask.any()
    assert mask.sum() <= WIDTH


def test_a_shape_that_leaves_the_image_is_cut_off() -> None:
    (image,) = parse_annotations(
        labelme(labelme_shape("polygon", [[-9.0, -9.0], [4.0, -9.0], [4.0, 99.0], [-9.0, 99.0]]))
    )
    mask = rasterise(image.shapes, HEIGHT, WIDTH)
    assert mask[:, :4].all()
    assert not mask[:, 4:].any()


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (labelme(labelme_shape("line", CORNERS[:2]), labelme_shape("point", CORNERS[:1])), ("line", "point")),
        (cvat('<polyline label="scratch" points="1,1;2,2"/>', '<tag label="bad"/>'), ("polyline", "tag")),
        (label_studio(result("keypointlabels", x=1, y=1, width=1)), ("keypoint",)),
        (coco(), ("annotation",)),
    ],
)
def test_shapes_without_area_are_named(data: bytes, kinds: tuple[str, ...]) -> None:
    (image,) = parse_annotations(data)
    assert (image.shapes, image.without_area) == ((), kinds)


@pytest.mark.parametrize(
    ("data", "drawn"),
    [
        (labelme(labelme_shape("linestrip", CORNERS[:2])), True),
        (cvat('<polyline label="scratch" points="1,1;2,2"/>'), True),
        (cvat('<tag label="bad"/>'), False),
        (label_studio(result("vectorlabels", vertices=[])), True),
        (label_studio(result("choices")), False),
        (label_studio(result("textarea", text=["looks good"])), False),
        (label_studio(result("choices"), result("keypointlabels", x=1, y=1, width=1)), True),
    ],
)
def test_a_line_is_drawn_on_an_image_and_what_is_said_of_all_of_it_is_not(data: bytes, drawn: bool) -> None:
    (image,) = parse_annotations(data)
    assert image.is_drawn_on is drawn


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/upload/3/e97d4735-part_01.png", "part_01.png"),
        ("/data/local-files/?d=batch%201/part_01.png", "batch 1/part_01.png"),
        ("s3://bucket/batch/part_01.png", "batch/part_01.png"),
    ],
)
def test_a_task_names_the_image_that_was_uploaded(path: str, name: str) -> None:
    (image,) = parse_annotations(label_studio(data={"image": path}))
    assert image.names[-1] == name


@pytest.mark.parametrize("annotations", [[], [{"result": [], "was_cancelled": True}]])
def test_a_task_that_nobody_finished_says_nothing_of_its_image(annotations: list[dict[str, Any]]) -> None:
    data = label_studio(annotations=annotations)
    assert not list(parse_annotations(data))
    assert unlabelled(data) == ("a.png",)


def test_of_several_annotations_the_ground_truth_counts() -> None:
    others = [
        {"result": [], "ground_truth": False},
        {"result": [result("polygonlabels", points=percent(CORNERS))]},
    ]
    with pytest.raises(AnnotationError, match=r"task 1 has 2 annotations, 0 of them ground truth"):
        list(parse_annotations(label_studio(annotations=others)))
    (image,) = parse_annotations(label_studio(annotations=[others[0], {**others[1], "ground_truth": True}]))
    assert len(image.shapes) == 1


WRONG = {
    "no format": (b'{"a": 1}', "expected a file of LabelMe, COCO, Label Studio, CVAT"),
    "JSON-MIN": (b'[{"image": "a.png", "label": []}]', "expected a file of"),
    "LabelMe without image": (b'{"shapes": [], "imagePath": ""}', "imagePath"),
    "polygon of two corners": (labelme(labelme_shape("polygon", CORNERS[:2])), "has 2 points, expected 3"),
    "mask that is no PNG": (labelme(labelme_shape("mask", CORNERS[:2], mask="abcd")), "is no PNG"),
    "mask in other letters": (labelme(labelme_shape("mask", CORNERS[:2], mask="ü")), "is no PNG"),
    "NaN": (labelme(labelme_shape("polygon", [[float("nan"), 0.0], *CORNERS])), "finite number"),
    "unknown category": (coco(category_id=9, segmentation=[FLAT]), "category 9; expected ids"),
    "odd polygon": (coco(segmentation=[FLAT[:-1]]), "has 7 numbers, expected 6 or more"),
    "packed counts cut off": (coco(segmentation={"size": [6, 8], "counts": "=33a"}), "end within a number"),
    "run lengths of another size": (
        coco(segmentation={"size": [3, 4], "counts": [6, 6]}),
        "size of their image; a.png and its run lengths have 8 × 6, 4 × 3",
    ),
    "brush cut off": (label_studio(result("brushlabels", rle=brush(SQUARE)[:-2])), "they end too early"),
    "brush of another image": (label_studio(result("brushlabels", rle=brush(SQUARE[1:]))), "8 × 6 × 4 bytes"),
    "turned image": (
        label_studio({**result("polygonlabels", points=percent(CORNERS)), "image_rotation": 90}),
        "image_rotation 90",
    ),
    "task of a text": (label_studio(data={"text": "hello"}), "task 1 names no image"),
    "task of half an address": (label_studio(data={"image": "http://[a/b.png"}), "task 1 names no image"),
    "image without pixels": (cvat().replace(b'width="8"', b'width="-8"'), "1 pixel or more, found -8 × 6 of"),
    "video": (b"<annotations><track id='0'/></annotations>", "found tracks of a video"),
    "cut XML": (cvat()[:-9], "no XML: unclosed token in line 2, column "),
    "CVAT number": (cvat('<box label="a" xtl="left" ytl="1" xbr="5" ybr="4"/>'), "is a number, found 'left'"),
    "CVAT label": (cvat('<box xtl="1" ytl="1" xbr="5" ybr="4"/>'), "<box> has label"),
}


@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_refused_with_a_way_out(data: bytes, message: str) -> None:
    with pytest.raises(AnnotationError, match=message) as refusal:
        list(parse_annotations(data))
    assert str(refusal.value).rpartition(". ")[2].split()[0] in ("Export", "Save", "Draw", "Label")


def test_run_lengths_of_another_size_are_refused() -> None:
    data = coco(segmentation={"size": [HEIGHT, WIDTH], "counts": [13, 3]})
    with pytest.raises(AnnotationError, match="add up to 16 pixels, expected 48"):
        list(parse_annotations(data))


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"<svg></svg>", b"[]", b"3"])
def test_other_files_have_no_format(data: bytes) -> None:
    assert detect_format(data) is None
