"""Annotations say what they say: every field that moves, turns or takes away pixels is read, or refused.

Expected masks come from the rule itself, pixel centre by pixel centre, or from turning photos with Pillow,
and never from the code under test. Each is asked of reader annotated and of `assay data import`.
"""

from __future__ import annotations

import functools
import json
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.data.made_images import noise, write
from tests.data.test_annotations import brush, label_studio, png, result
from trainables.data import DataSpec, open_manifest
from trainables.data.annotations import AnnotationError, parse_annotations
from trainables.data.annotations.to_masks import MASKS, import_annotations
from trainables.data.files.sources import decode_indices, decode_mask, decode_stored
from trainables.errors import InputError

HEIGHT, WIDTH = 48, 64
SPEC = DataSpec.model_validate({"reader": "annotated", "splits": "per_seed"})
Mask = NDArray[np.uint8]


# Files of the tools ----------------------------------------------------------------------------------------


def labelme(*shapes: Mapping[str, Any], **more: Any) -> bytes:
    head = {"version": "5.5.0", "flags": {}, "imagePath": "a.png", "imageData": None}
    return json.dumps({**head, "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": shapes, **more}).encode()


def shape(kind: str, points: Any, label: str = "scratch", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def coco(*annotations: Mapping[str, Any], **more: Any) -> bytes:
    drawn = [
        {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, **annotation}
        for number, annotation in enumerate(annotations, start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [
            {"id": 1, "name": "scratch"},
            {"id": 2, "name": "hole"},
            {"id": 3, "name": "background"},
        ],
        "annotations": drawn,
    }
    return json.dumps({**content, **more}).encode()


def cvat(*shapes: str) -> bytes:
    image = f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</image>'
    return f"<annotations><version>1.1</version>{image}</annotations>".encode()


def studio(*results: Mapping[str, Any]) -> bytes:
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    return label_studio(
        *[{**each, **size} for each in results], data={"image": "/data/upload/1/0123abcd-a.png"}
    )


def in_percent(points: Any) -> list[list[float]]:
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]


# Masks by rule ---------------------------------------------------------------------------------------------

Y, X = np.indices((HEIGHT, WIDTH)) + 0.5


def box(left: float, top: float, right: float, bottom: float) -> NDArray[np.bool_]:
    return (left < X) & (right > X) & (top < Y) & (bottom > Y)


def turned_box(x: float, y: float, width: float, height: float, degrees: float) -> NDArray[np.bool_]:
    """Clockwise about the centre (x, y), as y leads down."""
    turn = math.radians(degrees)
    along = (X - x) * math.cos(turn) + (Y - y) * math.sin(turn)
    across = -(X - x) * math.sin(turn) + (Y - y) * math.cos(turn)
    return (abs(along) < width / 2) & (abs(across) < height / 2)


def masks_of(data: bytes, root: Path, *, photo: NDArray[np.uint8] | None = None) -> tuple[Mask, Mask]:
    """The mask of ``a.png`` by reader annotated, and by an import."""
    suffix = ".xml" if data.startswith(b"<") else ".json"
    write(root / "photos" / "a.png", noise(0, HEIGHT, WIDTH) if photo is None else photo)
    return read_both(data, root, suffix)


def read_both(data: bytes, root: Path, suffix: str = ".json") -> tuple[Mask, Mask]:
    photos, (image,) = root / "photos", list((root / "photos").iterdir())
    (root / f"export{suffix}").write_bytes(data)
    import_annotations(root / f"export{suffix}", photos)
    imported = cv2.imread(str(photos / MASKS / f"{image.name}.png"), cv2.IMREAD_UNCHANGED)
    assert imported is not None
    (root / "read").mkdir()
    (root / "read" / image.name).write_bytes(image.read_bytes())
    (root / "read" / f"export{suffix}").write_bytes(data)
    manifest = open_manifest(SPEC, root / "read", root / "cache")
    (row,) = manifest.rows
    assert manifest.mask_root is not None
    assert row.mask is not None
    return decode_stored((manifest.mask_root / row.mask).read_bytes()), np.asarray(imported, np.uint8)


def assert_masks(data: bytes, expected: NDArray[np.bool_], root: Path) -> None:
    read, imported = masks_of(data, root)
    np.testing.assert_array_equal(read > 0, expected)
    np.testing.assert_array_equal(imported > 0, expected)


BOX = [[5, 5], [45, 5], [45, 40], [5, 40]]
HOLE = [[15, 15], [35, 15], [35, 30], [15, 30]]
FLAT, FLAT_HOLE = [functools.reduce(operator.iadd, points, []) for points in (BOX, HOLE)]
XML_BOX = '<box label="{}" xtl="{}" ytl="{}" xbr="{}" ybr="{}" occluded="1" {}/>'


def xml(label: str, corners: tuple[float, ...], more: str = "") -> str:
    return XML_BOX.format(label, *corners, more)


# Turned shapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 135, 200.5, 315, -20])
@pytest.mark.parametrize("tool", ["COCO", "CVAT", "Label Studio"])
def test_a_box_is_turned_as_its_tool_turns_it(tool: str, degrees: float, tmp_path: Path) -> None:
    x, y, width, height = 32.2, 21.3, 25, 7
    left, top = x - width / 2, y - height / 2
    if tool == "COCO":
        turned = {"occluded": False, "rotation": degrees}
        data = coco(
            {"bbox": [left, top, width, height], "segmentation": [], "area": 175, "attributes": turned}
        )
    elif tool == "CVAT":
        data = cvat(xml("scratch", (left, top, left + width, top + height), f'rotation="{degrees}"'))
    else:  # about the corner, which is stated as it lies after the turn
        turn = math.radians(degrees)
        corner_x = x - width / 2 * math.cos(turn) + height / 2 * math.sin(turn)
        corner_y = y - width / 2 * math.sin(turn) - height / 2 * math.cos(turn)
        value = {"x": 100 * corner_x / WIDTH, "y": 100 * corner_y / HEIGHT, "rotation": degrees}
        value |= {"width": 100 * width / WIDTH, "height": 100 * height / HEIGHT}
        data = studio(result("rectanglelabels", **value))
    assert_masks(data, turned_box(x, y, width, height, degrees), tmp_path)


def test_an_ellipse_of_cvat_is_turned_clockwise_about_its_centre(tmp_path: Path) -> None:
    turn = math.radians(30)
    read, imported = masks_of(
        cvat('<ellipse label="scratch" cx="32" cy="24" rx="20" ry="5" rotation="30"/>'), tmp_path
    )
    along, across = (X - 32) * math.cos(turn) + (Y - 24) * math.sin(turn), (Y - 24) * math.cos(turn)
    across -= (X - 32) * math.sin(turn)
    radius = np.hypot(along / 20, across / 5)
    for mask in (read, imported):
        assert (mask[radius < 0.99] > 0).all()  # its many corners lie on the ellipse
        assert not mask[radius > 1].any()


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"attributes": {"rotation": "left"}}, "attributes.rotation of annotations.0 .* found 'left'"),
        ({"attributes": {"rotation": [1]}}, "attributes.rotation of annotations.0"),
        ({"rotation": 30}, "rotation of annotations.0 is 30, and no standard says"),
        ({"angle": 0.7}, "angle of annotations.0 is 0.7"),
        ({"bbox": [10, 10, 20, 20, 0.5]}, "bbox"),
    ],
)
def test_a_turn_whose_meaning_is_unknown_is_refused(annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        list(parse_annotations(coco({"bbox": [10, 10, 20, 20], **annotation})))


QUAD = [[10.1, 10.2], [40.3, 20.1], [38.2, 26.3], [8.1, 16.4]]


@pytest.mark.parametrize("kind", ["rotation", "oriented_rectangle", "quadrilateral", "rectangle", "polygon"])
def test_four_corners_of_labelme_are_these_corners(kind: str, tmp_path: Path) -> None:
    turned = np.array(QUAD, float)
    sides = [(turned[(at + 1) % 4] - turned[at], turned[at]) for at in range(4)]
    inside = np.all([side[0] * (Y - y) - side[1] * (X - x) > 0 for side, (x, y) in sides], axis=0)
    assert_masks(labelme(shape(kind, QUAD, direction=0.3)), inside, tmp_path)


# Words for what is no defect -------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["_background_", "background", "Background", "__background__"])
@pytest.mark.parametrize("tool", ["LabelMe", "COCO", "CVAT", "Label Studio"])
def test_background_takes_away_what_lies_below_it(tool: str, word: str, tmp_path: Path) -> None:
    data = {
        "LabelMe": lambda: labelme(shape("polygon", BOX), shape("polygon", HOLE, word)),
        "COCO": lambda: coco(
            {"segmentation": [FLAT]},
            {"segmentation": [FLAT_HOLE], "category_id": 3},
            categories=[{"id": 1, "name": "scratch"}, {"id": 3, "name": word}],
        ),
        "CVAT": lambda: cvat(xml("scratch", (5, 5, 45, 40)), xml(word, (15, 15, 35, 30))),
        "Label Studio": lambda: studio(
            {**result("polygonlabels", points=in_percent(BOX)), "id": "1"},
            {**result("polygonlabels", points=in_percent(HOLE)), "id": "2"}
            | {"value": {"points": in_percent(HOLE), "polygonlabels": [word]}},
        ),
    }[tool]()
    assert_masks(data, box(5, 5, 45, 40) & ~box(15, 15, 35, 30), tmp_path)


def test_a_defect_drawn_on_background_stays(tmp_path: Path) -> None:
    drawn = [
        shape("polygon", BOX, "_background_"),
        shape("polygon", BOX),
        shape("polygon", HOLE, "_background_"),
        shape("rectangle", [[20, 20], [30, 25]]),
    ]
    expected = box(5, 5, 45, 40) & ~box(15, 15, 35, 30) | box(20, 20, 30, 25)
    assert_masks(labelme(*drawn), expected, tmp_path)


@pytest.mark.parametrize("order", [("0", "1"), ("-2", "-1"), ("3", "10")])
@pytest.mark.parametrize("swapped", [False, True])
def test_z_order_of_cvat_says_what_lies_below(order: tuple[str, str], swapped: bool, tmp_path: Path) -> None:
    shapes = [
        xml("scratch", (5, 5, 45, 40), f'z_order="{order[0]}"'),
        xml("background", (15, 15, 35, 30), f'z_order="{order[1]}"'),
    ]
    data = cvat(*(reversed(shapes) if swapped else shapes))
    assert_masks(data, box(5, 5, 45, 40) & ~box(15, 15, 35, 30), tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        labelme(shape("polygon", BOX, "_background_")),
        labelme(shape("point", [[3, 3]], "_background_")),
        cvat(xml("background", (5, 5, 45, 40))),
        coco({"segmentation": [FLAT], "category_id": 3}),
        coco({"segmentation": [], "category_id": 3}),
    ],
)
def test_background_alone_is_no_defect(data: bytes) -> None:
    (image,) = parse_annotations(data)
    assert (image.shapes, image.classes, image.is_drawn_on) == ((), (), False)


def with_ignored(photos: Path, drawn: Path, word: str) -> None:
    """Photos ``a`` to ``d``: a defect with ignored pixels on it, these alone, nothing, and a defect."""
    drawn.mkdir(exist_ok=True)
    shapes = {
        "a": [shape("polygon", BOX), shape("polygon", HOLE, word)],
        "b": [shape("polygon", HOLE, word)],
        "c": [],
        "d": [shape("polygon", HOLE)],
    }
    for number, (name, on_it) in enumerate(shapes.items()):
        write(photos / f"{name}.png", noise(number, HEIGHT, WIDTH))
        (drawn / f"{name}.json").write_bytes(labelme(*on_it, imagePath=f"{name}.png"))


@pytest.mark.parametrize("word", ["__ignore__", "_ignore_", "ignore", "Ignored"])
def test_ignored_pixels_are_neither_defect_nor_background(word: str, tmp_path: Path) -> None:
    with_ignored(tmp_path / "parts", tmp_path / "parts", word)
    manifest = open_manifest(SPEC, tmp_path / "parts", tmp_path / "cache")
    assert [(row.sample, row.label, row.defect_class) for row in manifest.rows] == [
        ("a", True, "scratch"),
        ("c", False, None),
        ("d", True, "scratch"),
    ]
    assert any("1 image with ignored pixels and no defect left out" in f.text for f in manifest.findings)
    assert (manifest.indices, manifest.ignored, manifest.classes) == ((1,), (2,), ("scratch",))
    row = manifest.by_sample["a"]
    assert not manifest.can_teach(row)
    assert manifest.can_teach(manifest.by_sample["d"])
    assert manifest.mask_root is not None
    assert row.mask is not None
    data = (manifest.mask_root / row.mask).read_bytes()
    np.testing.assert_array_equal(decode_indices(data) == 2, box(15, 15, 35, 30))
    defect = box(5, 5, 45, 40) & ~box(15, 15, 35, 30)
    np.testing.assert_array_equal(decode_mask(data, 0, (1,)) > 0, defect)


@pytest.mark.parametrize("first", ["scratch", "hole"])
def test_classes_that_are_not_chosen_are_ignored_where_that_is_asked(first: str, tmp_path: Path) -> None:
    shapes = [shape("polygon", BOX, "scratch"), shape("polygon", HOLE, "hole")]
    write(tmp_path / "a.png", noise(0, HEIGHT, WIDTH))
    (tmp_path / "a.json").write_bytes(labelme(*sorted(shapes, key=lambda each: each["label"] != first)))
    spec = SPEC.model_copy(update={"classes": ("hole",), "others": "ignore"})
    manifest = open_manifest(spec, tmp_path, tmp_path / "cache")
    (row,) = manifest.rows
    assert (row.defect_class, row.shows_others, manifest.ignored) == ("hole", True, (2,))
    assert manifest.mask_root is not None
    assert row.mask is not None
    values = decode_indices((manifest.mask_root / row.mask).read_bytes())
    np.testing.assert_array_equal(values == 1, box(15, 15, 35, 30))  # chosen classes lie above the others
    np.testing.assert_array_equal(values == 2, box(5, 5, 45, 40) & ~box(15, 15, 35, 30))


def test_a_class_that_ignored_pixels_would_hide_is_refused(tmp_path: Path) -> None:
    shapes = [shape("polygon", HOLE, "hole"), shape("polygon", BOX), shape("point", [[1, 1]], "_background_")]
    write(tmp_path / "a.png", noise(0, HEIGHT, WIDTH))
    (tmp_path / "a.json").write_bytes(labelme(*shapes, shape("rectangle", [[50, 5], [60, 9]], "__ignore__")))
    with pytest.raises(InputError, match=r"a.png: hole has no pixel of its own, below later shapes"):
        open_manifest(SPEC, tmp_path, tmp_path / "cache")


def test_an_import_of_ignored_pixels_is_read_as_it_says(tmp_path: Path) -> None:
    photos, drawn = tmp_path / "photos", tmp_path / "drawn"
    with_ignored(photos, drawn, "__ignore__")
    imported = import_annotations(drawn, photos)
    assert (imported.classes, imported.ignored) == ({1: "scratch", 2: "__ignore__"}, ("__ignore__",))
    spec = DataSpec.model_validate(
        {
            "reader": "table",
            "path": "imported.csv",
            "splits": "per_seed",
            "classes": ["scratch"],
            "others": "ignore",
            "options": {"mask_classes": imported.classes},
        }
    )
    manifest = open_manifest(spec, photos, tmp_path / "cache")
    # What shows ignored pixels alone is left out: nobody says that it is normal.
    assert [(row.sample, row.label) for row in manifest.rows] == [
        ("a.png", True),
        ("c.png", False),
        ("d.png", True),
    ]
    assert manifest.ignored == (2,)
    mask = cv2.imread(str(photos / MASKS / "a.png.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask == 2, box(15, 15, 35, 30))
    np.testing.assert_array_equal(mask == 1, box(5, 5, 45, 40) & ~box(15, 15, 35, 30))


# Several labels of one region ------------------------------------------------------------------------------


def region(kind: str, **value: Any) -> dict[str, Any]:
    return {"id": "r", "type": kind, "value": value}


RECTANGLE = {
    "x": 100 * 5 / WIDTH,
    "y": 100 * 5 / HEIGHT,
    "width": 100 * 40 / WIDTH,
    "height": 100 * 35 / HEIGHT,
}
POINTS = {"points": in_percent(BOX)}
REGIONS = {
    "two labels": ([region("polygonlabels", **POINTS, polygonlabels=["hole", "scratch"])], "hole+scratch"),
    "two controls": (
        [
            region("rectanglelabels", **RECTANGLE, rectanglelabels=["scratch"]),
            region("rectanglelabels", **RECTANGLE, rectanglelabels=["deep"]),
        ],
        "deep+scratch",
    ),
    "a rectangle and labels": (
        [region("rectangle", **RECTANGLE), region("labels", **RECTANGLE, labels=["hole", "scratch"])],
        "hole+scratch",
    ),
    "labels alone": ([region("labels", **RECTANGLE, labels=["hole"])], "hole"),
    "a shape without a label": ([region("rectangle", **RECTANGLE)], "defect"),
    "a shape that is named by a choice": (
        [region("rectangle", **RECTANGLE), region("choices", **RECTANGLE, choices=["hole"])],
        "hole",
    ),
    "a taxonomy": (
        [region("polygon", **POINTS), region("taxonomy", **POINTS, taxonomy=[["surface", "hole"]])],
        "hole",
    ),
}


@pytest.mark.parametrize(("results", "classes"), REGIONS.values(), ids=REGIONS)
def test_all_labels_of_a_region_are_its_classes(results: Any, classes: str, tmp_path: Path) -> None:
    (image,) = parse_annotations(studio(*results))
    assert ("+".join(image.classes), image.without_area, image.doubts) == (classes, (), ())
    write(tmp_path / "a.png", noise(0, HEIGHT, WIDTH))
    (tmp_path / "export.json").write_bytes(studio(*results))
    (row,) = open_manifest(SPEC, tmp_path, tmp_path / "cache").rows
    assert row.defect_class == classes


def test_a_choice_of_a_labelled_region_is_told(tmp_path: Path) -> None:
    results = [
        region("polygonlabels", **POINTS, polygonlabels=["hole"]),
        region("choices", **POINTS, choices=["deep"]),
    ]
    (image,) = parse_annotations(studio(*results))
    assert image.classes == ("hole",)
    assert [doubt.example for doubt in image.doubts] == ["deep of task 1"]
    assert not image.without_area


def test_a_brush_with_a_choice_keeps_its_pixels(tmp_path: Path) -> None:
    mask = box(5, 5, 45, 40)
    packed = {"format": "rle", "rle": brush(mask.astype(np.uint8))}
    data = studio(
        region("brushlabels", **packed, brushlabels=["hole"]), region("choices", **packed, choices=["deep"])
    )
    assert_masks(data, mask, tmp_path)


def test_a_class_that_an_import_would_lose_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(0, HEIGHT, WIDTH))
    (tmp_path / "e.json").write_bytes(studio(*REGIONS["two labels"][0]))
    with pytest.raises(InputError, match=r"a.png: hole has no pixel of its own"):
        import_annotations(tmp_path / "e.json", tmp_path)


def test_classes_that_overlap_are_told_by_an_import(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(0, HEIGHT, WIDTH))
    data = coco({"segmentation": [FLAT]}, {"segmentation": [FLAT_HOLE], "category_id": 2})
    (tmp_path / "e.json").write_bytes(data)
    imported = import_annotations(tmp_path / "e.json", tmp_path)
    assert any("several classes lie over each other in 1 image, such as a.png" in r for r in imported.remarks)


# Shapes that are not known ---------------------------------------------------------------------------------

CLOSED = {"vertices": [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 9, "y": 9}], "closed": True}
UNKNOWN = {
    "LabelMe ellipse": (labelme(shape("ellipse", BOX)), "'scratch' is of type 'ellipse'; expected polygon"),
    "LabelMe cuboid": (labelme(shape("cuboid", BOX * 2)), "is of type 'cuboid'"),
    "LabelMe rectangle of three": (labelme(shape("rectangle", BOX[:3])), "has 3 points, expected 2 or 4"),
    "LabelMe rotation of two": (labelme(shape("rotation", BOX[:2])), "has 2 points, expected 4"),
    "LabelMe mask of another size": (
        labelme(shape("mask", [[5, 5], [8, 8]], mask=png(np.ones((9, 4), np.uint8)))),
        "has 4 × 9 pixels, and 4 × 4 between its points",
    ),
    "CVAT": (cvat('<spline label="scratch" points="1,1;2,2"/>'), "found <spline> of a.png"),
    "Label Studio bitmask": (
        studio(region("bitmasklabels", imageDataURL="data:", bitmasklabels=["hole"])),
        "a bitmask of task 1 is not read",
    ),
    "Label Studio vector": (
        studio(region("vectorlabels", **CLOSED)),
        "a closed vector of task 1 is not read",
    ),
}


@pytest.mark.parametrize(("data", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_shape_that_is_not_known_is_refused_and_not_lost(data: bytes, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        list(parse_annotations(data))


WINDOW = np.zeros((10, 20), np.uint8)
WINDOW[2:8, 3:15] = 255


@pytest.mark.parametrize("points", [[[5, 6], [24, 15]], [[24, 15], [5, 6]], [[5.2, 5.8], [24.1, 15.3]]])
def test_a_mask_of_labelme_lies_at_its_upper_left_corner(points: Any, tmp_path: Path) -> None:
    assert_masks(labelme(shape("mask", points, mask=png(WINDOW))), box(8, 8, 20, 14), tmp_path)


def test_a_mask_of_labelme_may_be_of_the_whole_image(tmp_path: Path) -> None:
    whole = (box(8, 8, 20, 14) * 255).astype(np.uint8)
    assert_masks(labelme(shape("mask", [[8, 8], [19, 13]], mask=png(whole))), box(8, 8, 20, 14), tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        labelme(shape("polygon", BOX), shape("linestrip", HOLE)),
        labelme(shape("polygon", BOX), shape("point", HOLE[:1])),
        cvat(xml("scratch", (5, 5, 45, 40)), '<polyline label="scratch" points="1,1;2,2"/>'),
        coco({"segmentation": [FLAT]}, {"segmentation": []}),
    ],
)
def test_a_line_beside_an_area_is_not_called_background(data: bytes, tmp_path: Path) -> None:
    suffix = ".xml" if data.startswith(b"<") else ".json"
    write(tmp_path / "a.png", noise(0, HEIGHT, WIDTH))
    (tmp_path / f"a{suffix}").write_bytes(data)
    manifest = open_manifest(SPEC, tmp_path, tmp_path / "cache")
    assert [(row.label, row.mask) for row in manifest.rows] == [(True, None)]
    assert any("so that it is unknown: a.png" in finding.text for finding in manifest.findings)
    imported = import_annotations(tmp_path / f"a{suffix}", tmp_path)
    assert imported.masks == 0
    assert any("without a mask, such as a.png" in remark for remark in imported.remarks)


def test_a_tag_or_a_choice_beside_an_area_leaves_the_mask(tmp_path: Path) -> None:
    data = cvat(xml("scratch", (5, 5, 45, 40)), '<tag label="bad"/>')
    assert_masks(data, box(5, 5, 45, 40), tmp_path)


def test_several_polygons_of_a_group_are_one_defect(tmp_path: Path) -> None:
    data = labelme(shape("polygon", BOX, group_id=1), shape("rectangle", [[50, 5], [60, 9]], group_id=1))
    assert_masks(data, box(5, 5, 45, 40) | box(50, 5, 60, 9), tmp_path)


def test_a_flag_of_labelme_speaks_of_the_whole_image() -> None:
    (image,) = parse_annotations(labelme(flags={"blurred": True, "dark": False}))
    assert (image.without_area, image.is_drawn_on) == (("flag",), False)


def test_a_shape_of_cvat_that_has_left_the_picture_is_not_there(tmp_path: Path) -> None:
    left = xml("scratch", (50, 5, 60, 9), 'outside="1"')
    assert_masks(cvat(xml("scratch", (5, 5, 45, 40), 'outside="0"'), left), box(5, 5, 45, 40), tmp_path)


def test_a_skeleton_of_cvat_with_points_inside_marks_no_pixels() -> None:
    inner = '<points label="1" points="1,1" outside="0"/>'
    (image,) = parse_annotations(cvat(f'<skeleton label="s" z_order="0">{inner}</skeleton>'))
    assert (image.shapes, image.without_area) == ((), ("skeleton",))


# Numbers of COCO that contradict each other ----------------------------------------------------------------


def drawn(**more: Any) -> dict[str, Any]:
    return {"segmentation": [FLAT], "bbox": [5, 5, 40, 35], "area": 1400, **more}


TOLERATED = {
    "a mask and its box": {
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": [485, 5, 43, 5, 2534]},
        "bbox": [10, 5, 2, 5],
        "area": 10,
    },
    "a mask over whole columns": {
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": [490, 96, 2486]},
        "bbox": [10, 0, 3, 48],
        "area": 96,
    },
    "a turn by a half": drawn(attributes={"rotation": 180}),
    "at the corner of the image": {
        "segmentation": [[0, 0, 9, 0, 9, 7, 0, 7]],
        "bbox": [0, 0, 9, 7],
        "area": 63,
    },
    "rounded": drawn(bbox=[4, 4, 42, 37]),
    "cut to whole pixels": drawn(bbox=[5, 5, 39, 34]),
    "area of the box": drawn(area=40 * 35),
    "area with an outline's pixels": drawn(area=1476),
    "no area": drawn(area=0),
    "no box": drawn(bbox=[0, 0, 0, 0]),
    "an empty box": drawn(bbox=[]),
    "box of the larger of two parts": drawn(segmentation=[FLAT, [50, 5, 55, 5, 55, 10, 50, 10]]),
    "an empty part": drawn(segmentation=[FLAT, []]),
    "a crowd": drawn(iscrowd=1),
    "a turned box and its outline": {
        "segmentation": [[22, 7, 27, 12, 12, 27, 7, 22]],
        "bbox": [6.5, 13, 21, 7],
        "attributes": {"rotation": 135},
    },
}


@pytest.mark.parametrize("annotation", TOLERATED.values(), ids=TOLERATED)
def test_numbers_that_tools_write_differently_are_no_contradiction(annotation: dict[str, Any]) -> None:
    (image,) = parse_annotations(coco(annotation))
    assert image.shapes
    assert not image.doubts


DOUBTED = {
    "corners": (drawn(bbox=[5, 5, 45, 40], area=0), "bbox 5, 5, 45, 40, segmentation (5, 5) to (45, 40)"),
    "corners, rounded": (drawn(bbox=[4, 5, 46, 40], area=0), "bbox 4, 5, 46, 40, segmentation"),
    "far corners": (
        {"segmentation": [[40, 30, 60, 30, 60, 45, 40, 45]], "bbox": [40, 30, 60, 45]},
        "bbox 40, 30, 60, 45, segmentation (40, 30) to (60, 45)",
    ),
    "shares": (drawn(bbox=[0.078, 0.104, 0.625, 0.729]), "bbox 0.078, 0.104, 0.625, 0.729"),
    "a small area": (drawn(area=12), "area 12, of the segmentation 1400, of bbox 1400"),
    "a large area": (drawn(area=5600), "area 5600, of the segmentation 1400, of bbox 1400"),
    "an area in shares": (drawn(area=0.45), "area 0.45, of the segmentation 1400"),
}


@pytest.mark.parametrize(("annotation", "example"), DOUBTED.values(), ids=DOUBTED)
def test_a_contradiction_that_leaves_the_segmentation_is_told_with_both_numbers(
    annotation: dict[str, Any], example: str
) -> None:
    (image,) = parse_annotations(coco(annotation))
    assert image.shapes
    assert [example in doubt.example for doubt in image.doubts] == [True]


CONTRADICTED = {
    "elsewhere": (
        drawn(bbox=[50, 5, 10, 10], area=0),
        r"bbox \(50, 5\) to \(60, 15\), segmentation \(5, 5\) to",
    ),
    "scaled": (drawn(bbox=[10, 10, 80, 70], area=0), "of different places or sizes"),
    "segmentation in shares": (
        drawn(segmentation=[[0.1, 0.1, 0.7, 0.1, 0.7, 0.8]]),
        "coordinates are pixels, and all of a polygon of annotations.0 lie between 0 and 1",
    ),
    "an upright outline of a turned box": (
        drawn(attributes={"rotation": 45}),
        r"rotation of annotations.0 is 45, and its outline is the upright box \(5, 5\) to \(45, 40\)",
    ),
    "a mask elsewhere": (
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [485, 5, 43, 5, 2534]}, "bbox": [40, 5, 2, 5]},
        r"bbox \(40, 5\) to \(42, 10\), segmentation \(10, 5\) to \(12, 10\)",
    ),
    "box in shares": ({"bbox": [0.1, 0.1, 0.6, 0.7]}, "bbox of annotations.0 is in pixels, found 0.1, 0.1"),
    "lone corners that leave the image": (
        {"bbox": [40, 30, 60, 45]},
        r"\(40, 30\) to \(100, 75\), in an image of 64 × 48. As x, y, x, y it would fit",
    ),
    "lone corners by their area": ({"bbox": [10, 10, 30, 25], "area": 300}, "750 pixels, and an area of 300"),
    "negative": ({"bbox": [30, 30, -10, -10]}, "-10 × -10"),
    "unknown image": (drawn(image_id=9), r"image 9, category 1; expected ids of the lists images \(1\)"),
    "unknown category": (drawn(category_id="7"), r'category "7"; expected .* categories \(1, 2, 3\)'),
}


@pytest.mark.parametrize(("annotation", "message"), CONTRADICTED.values(), ids=CONTRADICTED)
def test_a_contradiction_that_moves_a_defect_is_refused(annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        list(parse_annotations(coco(annotation)))


def test_boxes_by_corners_are_refused_where_one_has_no_segmentation() -> None:
    far = {"segmentation": [[40, 30, 60, 30, 60, 45, 40, 45]], "bbox": [40, 30, 60, 45]}
    with pytest.raises(
        AnnotationError, match=r"annotations.0 is x, y, x, y by its .* annotations.1 has a bbox"
    ):
        list(parse_annotations(coco(far, {"bbox": [2, 2, 20, 20]})))


@pytest.mark.parametrize("segmentation", [[], [[]], None])
def test_an_annotation_without_a_shape_is_told_and_makes_its_image_defective(segmentation: Any) -> None:
    (image,) = parse_annotations(coco({"segmentation": segmentation}))
    assert (image.shapes, image.without_area, image.is_drawn_on) == ((), ("annotation",), True)


@pytest.mark.parametrize("segmentation", [[], [[]], None])
def test_a_box_is_read_where_the_segmentation_is_empty(segmentation: Any, tmp_path: Path) -> None:
    data = coco({"segmentation": segmentation, "bbox": [5, 5, 40, 35]})
    assert_masks(data, box(5, 5, 45, 40), tmp_path)


@pytest.mark.parametrize(("image", "annotation"), [("1", 1), (1, "1"), ("a7", "a7")])
def test_ids_in_quotes_are_those_without(image: Any, annotation: Any) -> None:
    images = [{"id": image, "file_name": "a.png"}]
    (read,) = parse_annotations(coco(drawn(image_id=annotation, category_id="1"), images=images))
    assert read.classes == ("scratch",)


def test_ids_that_quotes_alone_tell_apart_are_refused_as_they_stand() -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}]
    with pytest.raises(AnnotationError, match=r'found 1 of a.png and "1" of b.png'):
        list(parse_annotations(coco(images=images)))
    twice = [{"id": 1, "name": "scratch"}, {"id": 1, "name": "hole"}]
    with pytest.raises(AnnotationError, match="found 1 of scratch and 1 of hole"):
        list(parse_annotations(coco(categories=twice)))


# Photos that EXIF turns ------------------------------------------------------------------------------------


def turned_photo(path: Path, orientation: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.bool_]:
    """Write a dark photo with a bright defect, stored so that EXIF turns it; returns its stored defect."""
    stored = np.full(size, 40, np.uint8)
    stored[4:14, 20 : 50 if size[1] > 50 else 40] = 220
    stored[4:30, 20:26] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stored).save(path, exif=exif)
    return stored > 128


def seen_defect(path: Path) -> NDArray[np.bool_]:
    """The defect as a viewer shows it."""
    return np.array(ImageOps.exif_transpose(Image.open(path))) > 128


def drawn_on(seen: NDArray[np.bool_], tool: str) -> bytes:
    """An export of a tool in which the defect was outlined as it is seen."""
    height, width = seen.shape
    packed = seen.T.ravel().astype(np.int8)
    changes = np.flatnonzero(np.diff(packed, prepend=0))
    counts = np.diff(changes, prepend=0, append=packed.size).tolist()
    if tool == "COCO":
        images = [{"id": 1, "file_name": "a.png", "width": width, "height": height}]
        return coco({"segmentation": {"size": [height, width], "counts": counts}}, images=images)
    if tool == "LabelMe":
        whole = shape("mask", [[0, 0], [width - 1, height - 1]], mask=png(seen.astype(np.uint8) * 255))
        return labelme(whole, imageHeight=height, imageWidth=width)
    if tool == "CVAT":
        rows = seen.ravel().astype(np.int8)
        runs = np.diff(np.flatnonzero(np.diff(rows, prepend=0)), prepend=0, append=rows.size).tolist()
        mask = f'<mask label="scratch" rle="{", ".join(map(str, runs))}" left="0" top="0"'
        mask += f' width="{width}" height="{height}"/>'
        image = f'<image name="a.png" width="{width}" height="{height}">{mask}</image>'
        return f"<annotations>{image}</annotations>".encode()
    drawn = {**result("brushlabels", rle=brush(seen.astype(np.uint8))), "original_width": width}
    return label_studio({**drawn, "original_height": height}, data={"image": "a.png"})


TOOLS = ["COCO", "LabelMe", "CVAT", "Label Studio"]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_mask_of_a_turned_photo_lies_on_the_pixels_as_stored(
    tool: str, orientation: int, tmp_path: Path
) -> None:
    stored = turned_photo(tmp_path / "photos" / "a.png", orientation)
    data = drawn_on(seen_defect(tmp_path / "photos" / "a.png"), tool)
    for mask in read_both(data, tmp_path, ".xml" if tool == "CVAT" else ".json"):
        np.testing.assert_array_equal(mask > 0, stored)


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_mask_of_the_photo_as_stored_stays(tool: str, orientation: int, tmp_path: Path) -> None:
    stored = turned_photo(tmp_path / "photos" / "a.png", orientation)
    for mask in read_both(drawn_on(stored, tool), tmp_path, ".xml" if tool == "CVAT" else ".json"):
        np.testing.assert_array_equal(mask > 0, stored)


@pytest.mark.parametrize(
    ("orientation", "size"), [(2, (48, 64)), (3, (48, 64)), (4, (48, 64)), (6, (64, 64)), (8, (64, 64))]
)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_photo_whose_size_does_not_tell_if_it_was_turned_is_refused(
    tool: str, orientation: int, size: tuple[int, int], tmp_path: Path
) -> None:
    stored = turned_photo(tmp_path / "a.png", orientation, size)
    suffix = ".xml" if tool == "CVAT" else ".json"
    (tmp_path / f"e{suffix}").write_bytes(drawn_on(stored, tool))
    for look in (
        lambda: open_manifest(SPEC, tmp_path, tmp_path / "cache"),
        lambda: import_annotations(tmp_path / f"e{suffix}", tmp_path),
    ):
        with pytest.raises(
            InputError, match=rf"a.png: EXIF orientation {orientation} of the photo turns it in"
        ):
            look()


def test_the_size_that_label_studio_exports_to_coco_is_not_believed(tmp_path: Path) -> None:
    """It is that of the file, while outlines are of the photo as the browser turned it."""
    turned_photo(tmp_path / "a.png", 6)
    data = coco(drawn(), info={"contributor": "Label Studio", "version": "1.0"})
    (tmp_path / "e.json").write_bytes(data)
    with pytest.raises(InputError, match="EXIF orientation 6"):
        open_manifest(SPEC, tmp_path, tmp_path / "cache")


# Names of uploads ------------------------------------------------------------------------------------------

PATHS = {
    "an upload": ("/data/upload/1/0123abcd-x.png", "x.png"),
    "an upload that lies in a folder": ("/data/upload/1/0123abcd-x.png", "line1/x.png"),
    "an upload before such signs were written": ("/data/upload/1/x.png", "line1/x.png"),
    "an upload that was copied from the server": ("/data/upload/1/0123abcd-x.png", "media/0123abcd-x.png"),
    "an upload whose blanks were replaced": ("/data/upload/1/0123abcd-my_photo_2.png", "my photo (2).png"),
    "a name that begins like an upload": ("/data/upload/1/0123abcd-deadbeef-x.png", "deadbeef-x.png"),
    "a local file": ("/data/local-files/?d=photos/line1/x.png", "line1/x.png"),
    "a local file with escapes": ("/data/local-files/?d=line%201/%C3%BC.png", "line 1/ü.png"),
    "a local file with a plus": ("/data/local-files/?d=a+b.png", "a+b.png"),
    "a local file with a percent sign": ("/data/local-files/?d=a%2520b.png", "a%20b.png"),
    "a local file of Windows": ("/data/local-files/?d=C:%5Cphotos%5Cx.png", "photos/x.png"),
    "a cloud storage": ("s3://bucket/batch/x.png", "batch/x.png"),
    "a cloud storage with signs": ("gs://bucket/x#1.png", "x#1.png"),
    "a signed address": ("https://host/b/x%20y.png?X-Amz-Expires=60", "b/x y.png"),
    "an address of a cloud storage in base64": (
        "/tasks/3/resolve/?fileuri=czM6Ly9idWNrZXQvYmF0Y2gveC5wbmc=",
        "batch/x.png",
    ),
}


@pytest.mark.parametrize(("stated", "path"), PATHS.values(), ids=PATHS)
def test_an_address_of_label_studio_finds_its_image(stated: str, path: str, tmp_path: Path) -> None:
    write(tmp_path / path, noise(0, HEIGHT, WIDTH))
    write(tmp_path / "other.png", noise(1, HEIGHT, WIDTH))
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    data = label_studio(
        {**result("polygonlabels", points=in_percent(BOX[:3])), **size}, data={"image": stated}
    )
    (tmp_path / "e.json").write_bytes(data)
    manifest = open_manifest(SPEC, tmp_path, tmp_path / "cache")
    assert [row.image for row in manifest.rows if row.label] == [path]


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ("images/0123abcd-x.png", "line1/x.png"),
        ("images/0123abcd-x.png", "images/x.png"),
        ("images\\1\\0123abcd-x.png", "x.png"),
        ("/data/upload/1/0123abcd-my_part.png", "my part.png"),
        ("images/0123abcd-x.png", "images/0123abcd-x.png"),
    ],
)
def test_a_coco_file_of_label_studio_finds_the_image_that_was_uploaded(
    stated: str, path: str, tmp_path: Path
) -> None:
    write(tmp_path / path, noise(0, HEIGHT, WIDTH))
    write(tmp_path / "other.png", noise(1, HEIGHT, WIDTH))
    images = [{"id": 1, "file_name": stated, "width": WIDTH, "height": HEIGHT}]
    info = {"contributor": "Label Studio"}
    (tmp_path / "e.json").write_bytes(coco({"segmentation": [FLAT]}, images=images, info=info))
    manifest = open_manifest(SPEC, tmp_path, tmp_path / "cache")
    assert [row.image for row in manifest.rows if row.label] == [path]


def test_two_uploads_of_one_name_are_two_images(tmp_path: Path) -> None:
    write(tmp_path / "x.png", noise(0, HEIGHT, WIDTH))
    uploads = [f"/data/upload/1/{signs}-x.png" for signs in ("0123abcd", "ffffabcd")]
    tasks = [json.loads(label_studio(data={"image": path}))[0] for path in uploads]
    (tmp_path / "e.json").write_text(json.dumps(tasks))
    with pytest.raises(
        InputError, match=f"x.png is annotated twice, as {' and '.join(uploads)}, found 0 shapes"
    ):
        open_manifest(SPEC, tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("stated", "paths", "message"),
    [
        (
            "/data/upload/1/0123abcd-x.png",
            ("line1/x.png", "line2/x.png"),
            "/data/upload/1/0123abcd-x.png, which is x.png, may be line1/x.png or line2/x.png",
        ),
        (
            "/data/upload/1/0123abcd-x.png",
            ("x.png", "0123abcd-x.png"),
            "0123abcd-x.png may be 0123abcd-x.png or x.png",
        ),
        (
            "/data/upload/1/0123abcd-x.png",
            ("p/x.png", "p/0123abcd-x.png"),
            "0123abcd-x.png may be p/0123abcd-x.png or p/x.png",
        ),
        (
            "/data/upload/1/0123abcd-a_b.png",
            ("a b.png", "(a) b.png"),
            r"may be (a b.png or \(a\) b.png|\(a\) b.png or a b.png)",
        ),
        ("/data/upload/1/x.png", ("y.png",), r"found /data/upload/1/x.png \(or x.png\)"),
        ("/data/upload/1/0123abcd-x.png", ("y.png",), r"found /data/upload/1/0123abcd-x.png \(or x.png\)"),
    ],
)
def test_an_upload_that_may_be_two_images_or_none_is_refused_with_its_names(
    stated: str, paths: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    for number, path in enumerate(paths):
        write(tmp_path / path, noise(number, HEIGHT, WIDTH))
    (tmp_path / "e.json").write_bytes(label_studio(data={"image": stated}))
    with pytest.raises(InputError, match=message):
        open_manifest(SPEC, tmp_path, tmp_path / "cache")


# Files of other tools --------------------------------------------------------------------------------------

VOC = "<annotation><filename>b.png</filename><object><name>hole</name><bndbox/></object></annotation>"
FOREIGN: dict[str, tuple[str, str, str]] = {
    "YOLO boxes": ("labels/b.txt", "0 0.5 0.5 0.2 0.1\n1 0.25 0.5 0.1 0.1\n", "a label file of YOLO"),
    "YOLO outlines": ("b.txt", "0 0.1 0.1 0.2 0.1 0.2 0.3\n", "a label file of YOLO"),
    "YOLO results": ("b.txt", "0 0.5 0.5 0.2 1e-01 0.93", "a label file of YOLO"),
    "Pascal VOC": ("b.xml", VOC, "an annotation of Pascal VOC"),
    "Pascal VOC with a head": ("Annotations/b.xml", f'<?xml version="1.0"?>\n<!-- x -->{VOC}', "Pascal VOC"),
    "old LabelMe": (
        "b.xml",
        "<annotation><filename>b.png</filename><object><polygon><pt/></polygon></object></annotation>",
        "an XML file of the older LabelMe",
    ),
    "imglab": ("all.xml", "<dataset><images><image file='b.png'><box/></image></images></dataset>", "imglab"),
    "VIA project": ("via.json", '{"_via_settings": {}, "_via_img_metadata": {}}', "VGG Image Annotator"),
    "VIA annotations": (
        "via.json",
        '{"b.png12": {"filename": "b.png", "size": 12, "regions": []}}',
        "VGG Image Annotator",
    ),
    "VIA table": (
        "via.csv",
        "filename,file_size,region_count,region_id,region_shape_attributes,region_attributes\n",
        "a table of the VGG Image Annotator",
    ),
    "Supervisely": (
        "ann/b.png.json",
        '{"size": {"height": 1, "width": 1}, "tags": [], "objects": [{"classTitle": "hole"}]}',
        "an annotation of Supervisely",
    ),
    "HALCON": ("parts.hdict", "HSVF", "HALCON's Deep Learning Tool"),
    "JSON-MIN": (
        "min.json",
        '[{"image": "b.png", "id": 1, "label": [], "annotator": 1, "annotation_id": 2}]',
        "JSON-MIN",
    ),
    "CreateML": ("create.json", '[{"image": "b.png", "annotations": []}]', "a file of CreateML"),
    "Datumaro": ("default.json", '{"info": {}, "categories": {}, "items": []}', "a data set of Datumaro"),
    "Darwin": ("b.json", '{"version": "2.0", "item": {"name": "b.png"}, "annotations": []}', "V7 Darwin"),
    "SuperAnnotate": ("b.json", '{"metadata": {"name": "b.png"}, "instances": []}', "SuperAnnotate"),
    "lines of JSON": ("out.ndjson", '{"data_row": {"id": 1}}\n{"data_row": {"id": 2}}\n', "lines of JSON"),
    "table of boxes": ("train.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "a table of boxes"),
    "unknown outlines": (
        "b.json",
        '{"defects": [{"class": "hole", "polygon": [[1, 2], [3, 4], [5, 6]]}]}',
        "a JSON file of outlines or boxes in a form that is not known",
    ),
}


def parts(root: Path, files: Mapping[str, str]) -> Path:
    """Two photos, of which a LabelMe file shows a defect on the first."""
    for number, name in enumerate("ab"):
        write(root / f"{name}.png", noise(number, HEIGHT, WIDTH))
    (root / "a.json").write_bytes(labelme(shape("polygon", BOX)))
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(("name", "text", "title"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_tool_is_named_and_its_images_are_not_normal(
    name: str, text: str, title: str, tmp_path: Path
) -> None:
    root = parts(tmp_path / "parts", {name: text})
    with pytest.raises(InputError, match=rf"(?s){name}: .*{title}.*which is not read. Export .*b.png"):
        open_manifest(SPEC, root, tmp_path / "cache")
    (root / "a.json").unlink()
    with pytest.raises(InputError, match=rf"holds no annotations: .*{title}"):
        open_manifest(SPEC, root, tmp_path / "cache")


@pytest.mark.parametrize(("name", "text", "title"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_tool_is_named_by_an_import(
    name: str, text: str, title: str, tmp_path: Path
) -> None:
    root = parts(tmp_path / "parts", {name: text})
    remarks = import_annotations(root, root).remarks
    assert any(title in remark for remark in remarks), remarks
    with pytest.raises(InputError, match=title):
        import_annotations(root / name, root)


@pytest.mark.parametrize("unannotated", ["normal", "left_out"])
def test_a_file_of_another_tool_is_a_warning_where_the_study_says_what_other_images_are(
    unannotated: str, tmp_path: Path
) -> None:
    root = parts(tmp_path / "parts", {"b.xml": VOC})
    spec = SPEC.model_copy(update={"options": {"unannotated": unannotated}})
    findings = open_manifest(spec, root, tmp_path / "cache").findings
    assert any("b.xml: an annotation of Pascal VOC" in finding.text for finding in findings)


def test_a_long_label_file_is_told_by_its_start(tmp_path: Path) -> None:
    line = "0 " + " ".join(["0.123456"] * 2000) + "\n"
    root = parts(tmp_path / "parts", {"b.txt": line * 40})
    with pytest.raises(InputError, match=r"b.txt: a label file of YOLO"):
        open_manifest(SPEC, root, tmp_path / "cache")


def test_a_file_of_another_tool_beside_an_annotated_image_is_a_warning(tmp_path: Path) -> None:
    root = parts(tmp_path / "parts", {"a.xml": VOC, "classes.txt": "hole\n", "notes.txt": "0 defects\n"})
    assert len(open_manifest(SPEC, root, tmp_path / "cache").rows) == 2


HARMLESS = {
    "settings.json": '{"exposure": 3, "gain": [1, 2]}',
    "b.json": '{"camera": "left", "time": "2026-01-01"}',
    "b.txt": "exposure 12\ngain 3\n",
    "values.txt": "1 200 300 400 500\n",
    "list.csv": "image,label\nb.png,0\n",
    "layout.xml": "<svg></svg>",
    "config.yaml": "names: x\n",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_files_that_are_no_annotations_refuse_nothing(name: str, tmp_path: Path) -> None:
    root = parts(tmp_path / "parts", {name: HARMLESS[name]})
    assert [row.label for row in open_manifest(SPEC, root, tmp_path / "cache").rows] == [True, False]
