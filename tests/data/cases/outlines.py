"""Outlines of labelling tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.data.cases.advice import turn
from tests.data.cases.case import Case
from tests.data.made_images import noise, write

__all__ = ["CASES"]

ANNOTATED = {"reader": "annotated"}
SQUARE = [[4, 3], [7, 3], [7, 6], [4, 6]]


def labelme(image: str, *shapes: tuple[str, str, Any]) -> str:
    drawn = [{"label": label, "shape_type": kind, "points": points} for label, kind, points in shapes]
    return json.dumps({"imagePath": image, "imageHeight": 12, "imageWidth": 16, "shapes": drawn})


def coco(images: Sequence[str], drawn: dict[str, str]) -> str:
    """A file in which the images in ``drawn`` show a square of a class."""
    names = sorted(set(drawn.values()))
    return json.dumps(
        {
            "images": [
                {"id": n, "file_name": name, "height": 12, "width": 16} for n, name in enumerate(images)
            ],
            "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
            "annotations": [
                {
                    "id": n,
                    "image_id": images.index(name),
                    "category_id": names.index(defect_class),
                    "segmentation": [[coordinate for point in SQUARE for coordinate in point]],
                    "bbox": [4, 3, 3, 3],
                }
                for n, (name, defect_class) in enumerate(drawn.items())
            ],
        }
    )


def choices(images: Sequence[str], choice: str) -> str:
    """An export of Label Studio in which somebody chose a word for each image, and drew nothing."""
    result = [{"id": "x", "type": "choices", "value": {"choices": [choice]}}]
    return json.dumps(
        [
            {"id": n, "data": {"image": name}, "annotations": [{"result": result}]}
            for n, name in enumerate(images)
        ]
    )


def labelled(
    *, folders: tuple[str, str] = ("", ""), kind: str = "polygon", path: str = "{}", normal: bool = True
) -> Callable[[Path], None]:
    """Make images ``g0.png`` … and ``d0.png`` …, each ``dN`` with a LabelMe file that shows a square."""

    def make(root: Path) -> None:
        for number in range(4):
            image = write(root / folders[0] / f"g{number}.png", noise(number))
            if normal:
                image.with_suffix(".json").write_text(labelme(image.name))
            image = write(root / folders[1] / f"d{number}.png", noise(50 + number))
            text = labelme(path.format(image.name), ("scratch", kind, SQUARE))
            image.with_suffix(".json").write_text(text)

    return make


def exported(text: str, names: Sequence[str] = ("a", "b", "c", "d", "e", "f")) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for number, name in enumerate(names):
            write(root / "images" / f"{name}.png", noise(number))
        (root / "annotations").mkdir()
        (root / "annotations" / "instances_default.json").write_text(text)

    return make


def coco_of(*drawn: dict[str, Any], **more: Any) -> str:
    """A file of six images, of which the first shows what ``drawn`` says of it."""
    images = [{"id": n, "file_name": name, "height": 12, "width": 16} for n, name in enumerate(NAMES)]
    annotations = [{"id": n, "image_id": 0, "category_id": 1, **each} for n, each in enumerate(drawn)]
    categories = [{"id": 1, "name": "scratch"}, {"id": 2, "name": "hole"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories, **more})


def outlined(**more: Any) -> dict[str, Any]:
    """An annotation of a square of 3 × 3 pixels."""
    flat = [coordinate for point in SQUARE for coordinate in point]
    return {"segmentation": [flat], "bbox": [4, 3, 3, 3], "area": 9, **more}


def tasks(*drawn: dict[str, Any], names: Sequence[str] = ()) -> str:
    """An export of Label Studio; each shape has a task, and is of the image that ``names`` has for it."""
    size = {"original_width": 16, "original_height": 12}
    listed = [{**size, "id": "r", **each} for each in drawn]
    paths = names or [f"/data/upload/1/0123abcd-{name}" for name in NAMES]
    return json.dumps(
        [
            {"id": n, "data": {"image": path}, "annotations": [{"result": listed if n == 0 else []}]}
            for n, path in enumerate(paths)
        ]
    )


def polygon(*labels: str) -> dict[str, Any]:
    """A result of Label Studio: the square, with labels."""
    points = [[100 * x / 16, 100 * y / 12] for x, y in SQUARE]
    return {"type": "polygonlabels", "value": {"points": points, "polygonlabels": list(labels)}}


def beside(*shapes: tuple[str, str, Any]) -> Callable[[Path], object]:
    """Make the images of :func:`labelled`, the first defective one of which shows ``shapes``."""
    return lambda root: (
        labelled()(root),
        (root / "d0.json").write_text(labelme("d0.png", *shapes)),
    )


def with_file(name: str, text: str, *, alone: bool = False) -> Callable[[Path], None]:
    """Make images of which only defective ones have a LabelMe file, or none, and a file of another tool."""

    def make(root: Path) -> None:
        labelled(normal=False)(root)
        for path in root.glob("*.json") if alone else ():
            path.unlink()
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)

    return make


def turned(orientation: int, height: int, width: int) -> Callable[[Path], None]:
    """Make photos with an EXIF orientation, and LabelMe files of an outline on what LabelMe shows."""

    def make(root: Path) -> None:
        labelled()(root)
        for number in range(4):
            (root / f"d{number}.png").unlink()
            turn(write(root / f"d{number}.jpg", noise(60 + number)), orientation)
            drawn = {"label": "scratch", "shape_type": "polygon", "points": SQUARE}
            content = {"imagePath": f"d{number}.jpg", "imageHeight": height, "imageWidth": width}
            (root / f"d{number}.json").write_text(json.dumps({**content, "shapes": [drawn]}))

    return make


VOC = "<annotation><filename>g0.png</filename><object><name>pit</name><bndbox/></object></annotation>"
CVAT = (
    '<annotations><image name="{}" width="16" height="12">'
    '<box label="scratch" xtl="2" ytl="2" xbr="12" ybr="10" z_order="0"/>'
    '<polygon label="background" points="4,3;7,3;7,6;4,6" z_order="1"/></image></annotations>'
)


def cut(root: Path, name: str) -> None:
    """Keep half of a file."""
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])


NAMES = [f"{name}.png" for name in "abcdef"]
DRAWN = {"a.png": "hole", "b.png": "hole", "c.png": "scratch"}

CASES = (
    Case(
        "LabelMe files beside `good/` and `defect/` images",
        labelled(folders=("good", "defect"), normal=False),
        None,
        "read",
        ("4 normal and 4 defective images, 4 of them with a mask",),
    ),
    Case(
        "a LabelMe file for each image of one folder",
        labelled(),
        ANNOTATED,
        "read",
        ("8 images of 8 items: 4 defective (4 with mask), 4 normal",),
    ),
    Case(
        "LabelMe files for defects alone",
        labelled(normal=False),
        ANNOTATED,
        "warned",
        ("4 of 8 images: named by no annotation and counted as normal, such as g0.png.",),
    ),
    Case(
        "LabelMe files for defects alone, and `unannotated: left_out`",
        labelled(normal=False, folders=("a", "a")),
        {**ANNOTATED, "options": {"unannotated": "left_out"}},
        "warned",
        ("4 of 8 images: named by no annotation and left out",),
    ),
    Case(
        "LabelMe files with the path of the Windows machine that wrote them",
        labelled(path="..\\\\pictures\\\\{}"),
        ANNOTATED,
        "read",
        ("4 defective (4 with mask)",),
    ),
    Case(
        "LabelMe files with lines, which mark no pixels",
        labelled(kind="linestrip"),
        ANNOTATED,
        "warned",
        (
            "shapes without an area are not read: 4 × linestrip, such as in d0.json. Draw polygons.",
            "4 defective (0 with mask), 4 normal",
        ),
    ),
    Case(
        "a Label Studio file with choices about whole images",
        lambda root: (exported(choices(NAMES, "OK"))(root), write(root / "ng" / "x.png", noise(9))),
        ANNOTATED,
        "warned",
        (
            "shapes without an area are not read: 6 × choices, such as in",
            "7 images of 7 items: 1 defective (0 with mask), 6 normal",
        ),
    ),
    Case(
        "LabelMe files, and reader `folder`",
        labelled(folders=("good", "defect")),
        {"reader": "folder"},
        "warned",
        ("no image or mask. Reader annotated reads files of LabelMe, COCO, Label Studio and CVAT.",),
    ),
    Case(
        "a damaged LabelMe file",
        lambda root: (
            labelled()(root),
            (root / "d0.json").write_text('{"shapes": 3, "imagePath": "d0.png"}'),
        ),
        ANNOTATED,
        "refused",
        ("d0.json: no LabelMe file: shapes: should be a list",),
    ),
    Case(
        "LabelMe files of which one is truncated",
        lambda root: (labelled()(root), cut(root, "d0.json")),
        ANNOTATED,
        "refused",
        ("if one is an annotation, its defects would be lost: d0.json: no whole JSON in its",),
    ),
    Case(
        "JSON files of settings, and hidden ones, beside LabelMe files",
        lambda root: (
            labelled()(root),
            (root / "settings.json").write_text("[]"),
            (root / ".editor").mkdir(),
            (root / ".editor" / "settings.json").write_text("// no JSON"),
        ),
        ANNOTATED,
        "warned",
        ("1 file is not read: settings.json", "4 defective (4 with mask)"),
    ),
    Case(
        "a COCO file that contradicts the folders `good/` and `defect/`",
        lambda root: (
            labelled(folders=("good", "defect"), normal=False)(root),
            [path.unlink() for path in root.rglob("*.json")],
            (root / "all.json").write_text(coco(["g0.png", "g1.png", "d0.png"], {"g0.png": "hole"})),
        ),
        ANNOTATED,
        "warned",
        (
            "1 image in folders of normal images defective, by what is drawn: good/g0.png. Remove the shapes",
            "1 image in folders of defective images normal, annotated without a shape: defect/d0.png.",
        ),
    ),
    Case(
        "contact sheets that `assay init` left among the images",
        lambda root: (
            labelled()(root),
            [write(root / f"{study}contact_sheet.png", noise(99)) for study in ("", "parts.")],
        ),
        ANNOTATED,
        "read",
        ("8 images of 8 items: 4 defective (4 with mask), 4 normal",),
    ),
    Case(
        "a COCO file of all images",
        exported(coco(NAMES, DRAWN)),
        None,
        "read",
        ("3 normal and 3 defective images, 3 of them with a mask",),
    ),
    Case(
        "a COCO file that writes `ü` as `u` and two dots",
        exported(
            coco([f"u\u0308{name}" for name in NAMES], {f"u\u0308{name}": DRAWN[name] for name in DRAWN}),
            [f"\u00fc{name}" for name in "abcdef"],
        ),
        ANNOTATED,
        "read",
        ("6 images of 6 items: 3 defective (3 with mask), 3 normal",),
    ),
    Case(
        "a COCO file that has an image twice",
        exported(coco([*NAMES, "a.png"], DRAWN)),
        ANNOTATED,
        "refused",
        (
            "is annotated twice, found 1 shape in annotations/instances_default.json",
            "Remove one of the two in",
        ),
    ),
    Case(
        "a COCO file, and one of its classes",
        exported(coco(NAMES, DRAWN)),
        {**ANNOTATED, "classes": ["hole"]},
        "read",
        ("5 images of 5 items: 2 defective (2 with mask), 3 normal",),
    ),
    Case(
        "a COCO file, one of its classes, and the others normal",
        exported(coco(NAMES, DRAWN)),
        {**ANNOTATED, "classes": ["hole"], "others": "normal"},
        "read",
        ("6 images of 6 items: 2 defective (2 with mask), 4 normal",),
    ),
    Case(
        "a COCO file, one of its classes, and the others to be ignored",
        exported(coco(NAMES, DRAWN)),
        {**ANNOTATED, "classes": ["hole"], "others": "ignore"},
        "read",
        ("5 images of 5 items: 2 defective (2 with mask), 3 normal",),
    ),
    Case(
        "a COCO file that names images that are not there",
        exported(coco([*NAMES, "gone.png"], DRAWN)),
        ANNOTATED,
        "warned",
        ("annotations are not read where their image is not there: 1, such as gone.png",),
    ),
    Case(
        "a COCO file that names an image of another folder",
        lambda root: (
            exported(coco(["a.png", "line2/c.png"], {"a.png": "hole", "line2/c.png": "hole"}), "ab")(root),
            write(root / "line1" / "c.png", noise(7)),
        ),
        ANNOTATED,
        "warned",
        (
            "annotations are not read where their image is not there: 1, such as line2/c.png",
            "3 images of 3 items: 1 defective (1 with mask), 2 normal",
        ),
    ),
    Case(
        "a COCO file of images in a folder that was renamed",
        exported(coco([f"photos/{name}" for name in NAMES], {"photos/a.png": "hole"})),
        ANNOTATED,
        "warned",
        (
            "and are read by file name: 6, such as photos/a.png as images/a.png.",
            "6 images of 6 items: 1 defective (1 with mask), 5 normal",
        ),
    ),
    Case(
        "a COCO file of images in a renamed folder, where two have one of their names",
        lambda root: (
            exported(coco([f"photos/{name}" for name in NAMES], {"photos/a.png": "hole"}))(root),
            write(root / "line2" / "a.png", noise(7)),
        ),
        ANNOTATED,
        "refused",
        ("instances_default.json: photos/a.png may be images/a.png or line2/a.png. Name its folder too",),
    ),
    Case(
        "a COCO file of images that are in no folder that it states, though one is there",
        lambda root: (
            exported(coco(["line2/a.png"], {"line2/a.png": "hole"}))(root),
            write(root / "line2" / "g.png", noise(7)),
        ),
        ANNOTATED,
        "refused",
        ("found line2/a.png. Add these images, or correct their folders in the annotations.",),
    ),
    Case(
        "a LabelMe file that was left where its image lay",
        lambda root: (
            labelled(folders=("good", "defect"), normal=False)(root),
            (root / "defect" / "g1.json").write_text(labelme("g1.png", ("hole", "polygon", SQUARE))),
        ),
        ANNOTATED,
        "warned",
        ("is not there: 1, such as g1.png in defect/g1.json.", "4 defective (4 with mask), 4 normal"),
    ),
    Case(
        "a COCO file that names an image without its folder, where two have one of that name",
        lambda root: (exported(coco(NAMES, DRAWN))(root), write(root / "line2" / "a.png", noise(7))),
        ANNOTATED,
        "refused",
        ("instances_default.json: a.png may be images/a.png or line2/a.png. Name its folder too",),
    ),
    Case(
        "a COCO file of other images",
        exported(coco(["x.png"], {"x.png": "hole"})),
        ANNOTATED,
        "refused",
        ("no annotation names an image that is there: expected one of images/a.png",),
    ),
    Case(
        "a COCO file of an image of another size",
        exported(coco(NAMES, DRAWN).replace('"height": 12', '"height": 24')),
        ANNOTATED,
        "refused",
        ("the mask of images/a.png is 16 × 24 pixels, its image images/a.png 16 × 12; expected the same",),
    ),
    Case(
        "a LabelMe polygon outside its image",
        lambda root: (
            labelled()(root),
            (root / "d0.json").write_text(
                labelme("d0.png", ("hole", "polygon", [[40, 30], [70, 30], [70, 60]]))
            ),
        ),
        ANNOTATED,
        "refused",
        ("d0.json: d0.png: what is drawn marks none of its 16 × 12 pixels: it lies outside, or is empty.",),
    ),
    Case(
        "an outline around nearly all of its image",
        lambda root: (
            labelled()(root),
            (root / "d0.json").write_text(labelme("d0.png", ("hole", "rectangle", [[0, 0], [16, 10]]))),
        ),
        ANNOTATED,
        "warned",
        ("1 mask covers over half of the image (up to 83.3 %): d0. Look at them",),
    ),
    Case(
        "a COCO file of CVAT with a box that is turned by 45°",
        exported(coco_of({"bbox": [4, 4, 8, 4], "segmentation": [], "attributes": {"rotation": 45.0}})),
        ANNOTATED,
        "read",
        ("1 defective (1 with mask), 5 normal", "scratch  1      28 "),
    ),
    Case(
        "a COCO file with a box that is turned by a word",
        exported(coco_of({"bbox": [4, 4, 8, 4], "attributes": {"rotation": "left"}})),
        ANNOTATED,
        "refused",
        ("attributes.rotation of annotations.0 turns its bbox by degrees, found 'left'. Export polygons",),
    ),
    Case(
        "a COCO file whose `bbox` lies elsewhere than its outline",
        exported(coco_of(outlined(bbox=[10, 3, 3, 3]))),
        ANNOTATED,
        "refused",
        ("bbox (10, 3) to (13, 6), segmentation (4, 3) to (7, 6) in a.png. Was one of them scaled or cut?",),
    ),
    Case(
        "a COCO file with outlines, and `bbox` as two corners",
        exported(
            coco_of(outlined(segmentation=[[9, 7, 15, 7, 15, 11, 9, 11]], bbox=[9, 7, 15, 11], area=24))
        ),
        ANNOTATED,
        "warned",
        ("bbox is x, y, x, y and not x, y, width, height, and the segmentation is read: 1, such as",),
    ),
    Case(
        "a COCO file with boxes alone, as two corners",
        exported(coco_of({"bbox": [9, 7, 15, 11]})),
        ANNOTATED,
        "refused",
        ("(9, 7) to (24, 18), in an image of 16 × 12. As x, y, x, y it would fit. Write width and height",),
    ),
    Case(
        "a COCO file with boxes in shares of the image",
        exported(coco_of({"bbox": [0.25, 0.25, 0.2, 0.3]})),
        ANNOTATED,
        "refused",
        ("bbox of annotations.0 is in pixels, found 0.25, 0.25, 0.2, 0.3. Export in pixels, not in shares",),
    ),
    Case(
        "a COCO file with an area that is neither the outline's nor the box's",
        exported(coco_of(outlined(area=900))),
        ANNOTATED,
        "warned",
        ("annotations.0: area 900, of the segmentation 9, of bbox 9.", "scratch  1      9 "),
    ),
    Case(
        "a COCO file with ids in quotes in one list, and without in another",
        exported(coco_of(outlined(image_id="0", category_id="1"))),
        ANNOTATED,
        "read",
        ("1 defective (1 with mask), 5 normal",),
    ),
    Case(
        "a COCO file with ids that quotes alone tell apart",
        exported(coco_of(images=[{"id": 1, "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}])),
        ANNOTATED,
        "refused",
        ('images have ids of their own, found 1 of a.png and "1" of b.png. Export the file again.',),
    ),
    Case(
        "a COCO file with an annotation without outline or box",
        exported(coco_of({"segmentation": [[]]})),
        ANNOTATED,
        "warned",
        ("shapes without an area are not read: 1 × annotation", "1 defective (0 with mask), 5 normal"),
    ),
    Case(
        "a COCO file with two classes of one outline",
        exported(coco_of(outlined(), outlined(category_id=2))),
        ANNOTATED,
        "read",
        ("hole+scratch: 1",),
    ),
    Case(
        "a LabelMe file with `_background_` over a defect",
        beside(("scratch", "rectangle", [[2, 2], [12, 10]]), ("_background_", "polygon", SQUARE)),
        ANNOTATED,
        "read",
        ("4 defective (4 with mask), 4 normal", "9 (9–71)"),
    ),
    Case(
        "a LabelMe file with `_background_` alone",
        beside(("_background_", "polygon", SQUARE)),
        ANNOTATED,
        "read",
        ("3 defective (3 with mask), 5 normal",),
    ),
    Case(
        "a LabelMe file with `__ignore__` on a defect",
        beside(("scratch", "rectangle", [[2, 2], [12, 10]]), ("__ignore__", "polygon", SQUARE)),
        ANNOTATED,
        "read",
        ("8 images of 8 items: 4 defective (4 with mask), 4 normal", "9 (9–71)", "0 1 2"),
    ),
    Case(
        "a LabelMe file with `__ignore__` alone",
        beside(("__ignore__", "polygon", SQUARE)),
        ANNOTATED,
        "warned",
        ("1 image with ignored pixels and no defect left out, for nobody says that they are normal",),
    ),
    Case(
        "a CVAT file with the label `background` above a box",
        lambda root: (
            labelled()(root),
            (root / "d0.json").unlink(),
            (root / "x.xml").write_text(CVAT.format("d0.png")),
        ),
        ANNOTATED,
        "read",
        ("4 defective (4 with mask), 4 normal", "9 (9–71)"),
    ),
    Case(
        "LabelMe files with the shape `rotation`, and a rectangle of four points",
        lambda root: (
            labelled(kind="rotation")(root),
            (root / "d0.json").write_text(labelme("d0.png", ("scratch", "rectangle", SQUARE))),
        ),
        ANNOTATED,
        "read",
        ("4 defective (4 with mask), 4 normal", "scratch  4      9 "),
    ),
    Case(
        "a LabelMe file with a shape of a type that is not known",
        beside(("scratch", "cuboid", SQUARE)),
        ANNOTATED,
        "refused",
        ("d0.json: the shape 'scratch' is of type 'cuboid'; expected polygon, ai_polygon, rectangle",),
    ),
    Case(
        "LabelMe files of photos that EXIF turns by a quarter",
        turned(6, 16, 12),
        ANNOTATED,
        "warned",
        ("4 images with an EXIF orientation", "4 defective (4 with mask), 4 normal", "scratch  4      9 "),
    ),
    Case(
        "LabelMe files of photos that EXIF turns upside down",
        turned(3, 12, 16),
        ANNOTATED,
        "refused",
        ("EXIF orientation 3 of the photo turns it in some tools, and the annotations state 16 × 12 pixels",),
    ),
    Case(
        "a Label Studio file of uploaded images",
        exported(tasks(polygon("scratch"))),
        ANNOTATED,
        "read",
        ("6 images of 6 items: 1 defective (1 with mask), 5 normal",),
    ),
    Case(
        "a Label Studio file with two labels of one region",
        exported(tasks(polygon("hole", "scratch"))),
        ANNOTATED,
        "read",
        ("hole+scratch: 1",),
    ),
    Case(
        "a Label Studio file of an upload that may be two images",
        lambda root: (
            exported(tasks(polygon("scratch")))(root),
            write(root / "line2" / "a.png", noise(70)),
        ),
        ANNOTATED,
        "refused",
        ("/data/upload/1/0123abcd-a.png, which is a.png, may be images/a.png or line2/a.png.",),
    ),
    Case(
        "a Label Studio file of uploads that are not there",
        exported(tasks(polygon("scratch"), names=["/data/upload/1/x.png"])),
        ANNOTATED,
        "refused",
        ("no annotation names an image that is there: expected one of", "/data/upload/1/x.png (or x.png)"),
    ),
    Case(
        "a Label Studio file with a region of an unknown control",
        exported(tasks({"type": "bitmasklabels", "value": {"bitmasklabels": ["scratch"]}})),
        ANNOTATED,
        "refused",
        ("a bitmask of task 0 is not read", "Draw with Brush, Polygon, Rectangle or Ellipse"),
    ),
    Case(
        "label files of YOLO beside LabelMe files",
        with_file("labels/g0.txt", "0 0.5 0.5 0.2 0.2\n"),
        ANNOTATED,
        "refused",
        ("labels/g0.txt: a label file of YOLO, which is not read. Export as COCO from the tool that it",),
    ),
    Case(
        "label files of YOLO alone",
        with_file("labels/g0.txt", "0 0.5 0.5 0.2 0.2\n", alone=True),
        ANNOTATED,
        "refused",
        ("found 1 file, such as labels/g0.txt: a label file of YOLO, which is not read.",),
    ),
    Case(
        "files of Pascal VOC beside LabelMe files",
        with_file("g0.xml", VOC),
        ANNOTATED,
        "refused",
        ("g0.xml: an annotation of Pascal VOC, which is not read. Export as COCO or CVAT for images 1.1",),
    ),
    Case(
        "files of Pascal VOC beside LabelMe files, and `unannotated: normal`",
        with_file("g0.xml", VOC),
        {**ANNOTATED, "options": {"unannotated": "normal"}},
        "warned",
        ("1 file is not read: g0.xml: an annotation of Pascal VOC",),
    ),
    Case(
        "a project of the VGG Image Annotator",
        with_file("via.json", '{"_via_img_metadata": {}}', alone=True),
        ANNOTATED,
        "refused",
        ("via.json: a project of the VGG Image Annotator, which is not read. Export as COCO",),
    ),
    Case(
        "a JSON file with outlines in a form that is not known",
        with_file("g0.json", '{"defects": [{"polygon": [[1, 2], [3, 4], [5, 6]]}]}'),
        ANNOTATED,
        "refused",
        ("g0.json: a JSON file of outlines or boxes in a form that is not known, which is not read.",),
    ),
    Case(
        "`images/` and `labels/` of YOLO, by `assay init`",
        lambda root: (
            exported("")(root),
            (root / "annotations" / "instances_default.json").unlink(),
            write(root / "images" / "x.png", noise(9)),
            (root / "labels").mkdir(),
            (root / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n"),
        ),
        None,
        "refused",
        ("found 1 file of labelling tools, such as labels/a.txt: a label file of YOLO, which is not read.",),
    ),
    Case(
        "`good/` and `defect/`, and files of Pascal VOC, by `assay init`",
        lambda root: (
            labelled(folders=("good", "defect"), normal=False)(root),
            [path.unlink() for path in root.rglob("*.json")],
            (root / "defect" / "d0.xml").write_text(VOC),
        ),
        None,
        "warned",
        ("1 file is not read: defect/d0.xml: an annotation of Pascal VOC, which is not read.",),
    ),
)
