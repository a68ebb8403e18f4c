"""Folders, names and tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from tests.data.cases.case import Case
from tests.data.made_images import dot, make_folder, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}
TABLE = {"reader": "table", "path": "parts.csv"}


def images(**folders: int) -> Callable[[Path], None]:
    """Make so many images ``i0.png``, ``i1.png`` … in each folder, ``__`` for a slash; in masks, masks."""

    def make(root: Path) -> None:
        for place, (folder, count) in enumerate(folders.items()):
            for number in range(count):
                masks = not {"masks", "mask"}.isdisjoint(folder.lower().split("__"))
                path = root / folder.replace("__", "/") / f"i{number}.png"
                write(path, dot() if masks else noise(1000 * place + number))

    return make


def own(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make ``good/``, ``defect/`` and ``masks/``, then change something."""

    def make(root: Path) -> None:
        make_folder(root)
        change(root)

    return make


def renamed(pattern: str, change: Callable[[Path], str]) -> Callable[[Path], None]:
    """Rename the files of ``make_folder`` that fit a pattern."""

    def rename(root: Path) -> None:
        for path in sorted(root.glob(pattern)):
            target = path.with_name(change(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    return own(rename)


def table(text: str, encoding: str = "utf-8", names: tuple[str, ...] = ()) -> Callable[[Path], None]:
    """Images ``a.png`` to ``f.png`` and those of ``names``, the mask ``m.png``, and a table of this text."""

    def make(root: Path) -> None:
        for number, name in enumerate((*"abcdef", *names)):
            write(root / f"{name.removesuffix('.png')}.png", noise(number))
        write(root / "m.png", dot())
        (root / "parts.csv").write_bytes(text.replace("ROOT", str(root)).encode(encoding))

    return make


def _beside(root: Path) -> None:
    for path in sorted((root / "masks").iterdir()):
        path.rename(root / "defect" / f"{path.stem}_mask.png")
    (root / "masks").rmdir()


def _good_beside(root: Path) -> None:
    for path in sorted((root / "good").iterdir()):
        write(path.with_name(f"{path.stem}_mask.png"), dot(value=0))


def _masks_as(suffix: str, save: Callable[[Path], object]) -> Callable[[Path], None]:
    """Save all masks as files of another format."""

    def change(root: Path) -> None:
        for path in sorted((root / "masks").iterdir()):
            path.unlink()
            save(path.with_suffix(suffix))

    return change


def _jpeg_with_png(root: Path) -> None:
    make_folder(root, masks=False)
    for number, path in enumerate(sorted((root / "defect").iterdir())):
        path.unlink()
        write(path.with_suffix(".jpg"), noise(number + 50))
        write(path, dot())


def _link(root: Path) -> None:
    (root / "away").mkdir()
    write(root / "away" / "x.png", noise(7))
    make_folder(root / "line")
    os.symlink(root / "away", root / "line" / "good" / "more", target_is_directory=True)


ROWS = "a.png,0\nb.png,0\nc.png,0\nd.png,1\ne.png,1\nf.png,1\nm.png,0\n"
HIDDEN: Mapping[str, bytes] = {"Thumbs.db": b"-", ".DS_Store": b"-", "readme.txt": b"about"}

CASES = (
    Case(
        "`good/`, `defect/` and `masks/`",
        make_folder,
        FOLDER,
        "read",
        ("14 images of 14 items: 6 defective (6 with mask), 8 normal",),
    ),
    Case(
        "`OK/`, `NG/` and `Mask/`",
        images(OK=6, NG=6, Mask=6),
        None,
        "read",
        ("6 normal and 6 defective images, 6 of them with a mask",),
    ),
    Case(
        "`good/` beside `Good/`, by `assay init`",
        images(good=6, Good=3, defect=6, masks=6),
        None,
        "warned",
        ("6 normal and 6 defective images", "3 files are not read: Good/*.png"),
    ),
    Case(
        "`OK/` and `Ng/` where the study says `ok` and `ng`",
        images(OK=6, Ng=6),
        {"reader": "folder", "options": {"good": "ok", "defect": "ng"}},
        "warned",
        ("6 defective (0 with mask), 6 normal",),
    ),
    Case(
        "`train/OK`, `train/NG`, `test/ok`, `test/ng`",
        images(train__OK=4, train__NG=4, test__ok=4, test__ng=4),
        None,
        "warned",
        ("8 normal and 8 defective images",),
    ),
    Case(
        "a third part, `validation/` or `val/`",
        images(train__good=3, train__defect=3, val__good=2, val__defect=2, test__good=2, test__defect=2),
        {"reader": "folder", "splits": "published"},
        "warned",
        ("validation: 4, 2 defective",),
    ),
    Case(
        "sub-folders of `good/`, which are batches",
        images(good__monday=4, good__tuesday=4, defect=6, masks=6),
        FOLDER,
        "read",
        ("6 defective (6 with mask), 8 normal",),
    ),
    Case(
        "folders of batches, each with `good/` and `defect/`",
        images(
            line1__good=4, line1__defect=4, line1__masks=4, line2__good=4, line2__defect=4, line2__masks=4
        ),
        None,
        "read",
        ("8 normal and 8 defective images, 8 of them with a mask",),
    ),
    Case(
        "classes below `defect/`, with batches in them",
        images(good=6, defect__hole__monday=3, defect__scratch=3, masks__hole__monday=3, masks__scratch=3),
        FOLDER,
        "read",
        ("hole: 3",),
    ),
    Case(
        "a folder for each class beside `ok/`",
        images(ok=6, scratch=4, hole=4),
        None,
        "warned",
        ("6 normal and 8 defective images", 'defect: "*"'),
    ),
    Case(
        "classes below `defect/`, all masks in `masks/`",
        own(
            lambda root: (
                (root / "defect" / "hole").mkdir(),
                (root / "defect/d0.png").rename(root / "defect/hole/d0.png"),
            )
        ),
        FOLDER,
        "read",
        ("6 defective (6 with mask)",),
    ),
    Case(
        "masks called `d0_GT.png`, without a setting",
        renamed("masks/*", lambda path: f"{path.stem}_GT.png"),
        FOLDER,
        "refused",
        (
            "masks holds 6 masks, and no image has a name that fits: expected masks/d0.png for "
            "defect/d0.png, found masks/d0_GT.png. Set mask_suffix: _GT in data.options.",
        ),
    ),
    Case(
        "masks called `gt_d0.png`, seen by `assay init`",
        renamed("masks/*", lambda path: f"gt_{path.name}"),
        None,
        "read",
        ("6 defective images, 6 of them with a mask", 'mask_prefix: "gt_"'),
    ),
    Case(
        "masks called `label7.png` beside images `d0.png`",
        renamed("masks/*", lambda path: f"label{9 - int(path.stem[1:])}.png"),
        FOLDER,
        "refused",
        ("Rename the masks like their images, or name both in a table (reader table).",),
    ),
    Case(
        "`mask_suffix` that no mask has",
        make_folder,
        {"reader": "folder", "options": {"mask_suffix": "_seg"}},
        "refused",
        ("expected masks/d0_seg.png for defect/d0.png, found masks/d0.png",),
    ),
    Case(
        "masks beside their images, and a suffix that none has",
        own(_beside),
        {"reader": "folder", "options": {"masks": "defect", "mask_suffix": "_gt"}},
        "refused",
        ("defect holds no mask beside its images: expected defect/d0_gt.png for defect/d0.png",),
    ),
    Case(
        "a folder of masks that is not there",
        make_folder,
        {"reader": "folder", "options": {"masks": "gt"}},
        "refused",
        ("has no folder 'gt', which a setting of masks names",),
    ),
    Case(
        "masks called `D0.PNG` of images `d0.png`",
        renamed("masks/*", lambda path: path.name.upper()),
        FOLDER,
        "read",
        ("6 defective (6 with mask)",),
    ),
    Case(
        "masks beside their images, `d0_mask.png`, seen by `assay init`",
        own(_beside),
        None,
        "read",
        ("6 defective images, 6 of them with a mask", 'masks: "defect"', 'mask_suffix: "_mask"'),
    ),
    Case(
        "masks beside their images, `d0_mask.png`, without a setting",
        own(_beside),
        FOLDER,
        "refused",
        ("Set masks: defect, mask_suffix: _mask in data.options, or move the masks into a folder masks",),
    ),
    Case(
        "masks beside all images, empty ones of good images, seen by `assay init`",
        own(lambda root: (_beside(root), _good_beside(root))),
        None,
        "read",
        ("8 normal and 6 defective images, 6 of them with a mask",),
    ),
    Case(
        "masks beside good images alone",
        lambda root: (make_folder(root, masks=False), _good_beside(root)),
        FOLDER,
        "refused",
        ("good: g0_mask.png looks like the mask of another image there, as do 8 files in all. Remove them",),
    ),
    Case(
        "`d0.jpg` with its mask `d0.png` in one folder",
        _jpeg_with_png,
        None,
        "read",
        ("6 of them with a mask",),
    ),
    Case(
        "masks saved as JPEG in `masks/`",
        own(_masks_as(".jpg", lambda path: write(path, dot()))),
        FOLDER,
        "refused",
        ("masks holds 6 masks, of which none is read: a JPEG has values nobody drew.", "Save masks as PNG"),
    ),
    Case(
        "masks saved as GIF in `masks/`",
        own(_masks_as(".gif", lambda path: Image.fromarray(dot()).save(path))),
        FOLDER,
        "refused",
        ("masks holds 6 masks, of which none is read: gif is no format of masks (png, bmp, tif, tiff).",),
    ),
    Case(
        "a mask without an image",
        own(lambda root: write(root / "masks" / "gone.png", dot())),
        FOLDER,
        "warned",
        ("1 file is not read: masks/gone.png: masks without an image of their name",),
    ),
    Case(
        "two masks of one image, PNG and BMP",
        own(lambda root: write(root / "masks" / "d0.bmp", dot())),
        FOLDER,
        "warned",
        ("1 file is not read: masks/d0.bmp: another mask of the same image is read.",),
    ),
    Case(
        "an empty mask of a good image",
        own(lambda root: write(root / "masks" / "g0.png", dot(value=0))),
        FOLDER,
        "read",
        ("6 defective (6 with mask), 8 normal",),
    ),
    Case(
        "a mask of a good image that shows a defect",
        own(lambda root: write(root / "masks" / "g0.png", dot())),
        FOLDER,
        "refused",
        ("good/g0.png is labelled normal, and masks/g0.png shows 9 defect pixels. Correct one of them.",),
    ),
    Case(
        "an image and its copy in another format",
        own(lambda root: write(root / "good" / "g0.bmp", noise(70))),
        FOLDER,
        "refused",
        ("duplicate id good/g0: 2 images have it; expected one. Rename or remove the others.",),
    ),
    Case(
        "photos in a format that is not read",
        own(lambda root: (root / "good" / "x.heic").write_bytes(b"a photo")),
        FOLDER,
        "warned",
        ("1 file is not read: good/x.heic: heic is no format that is read",),
    ),
    Case(
        "a folder of images beside `good/` and `defect/`",
        own(lambda root: [write(root / "unsure" / f"u{n}.png", noise(90 + n)) for n in range(5)]),
        None,
        "warned",
        (
            "5 files are not read: unsure/*.png (unsure/u0.png …): not in one of the folders good, defect, "
            "masks.",
        ),
    ),
    Case(
        "an archive among the images",
        own(lambda root: (root / "good" / "more.zip").write_bytes(b"PK")),
        FOLDER,
        "warned",
        ("1 file is not read: good/more.zip: an archive within a data set is not unpacked. Unpack it.",),
    ),
    Case(
        "files of the system, hidden files, a readme",
        own(lambda root: [(root / "good" / name).write_bytes(data) for name, data in HIDDEN.items()]),
        FOLDER,
        "read",
        ("14 images",),
    ),
    Case(
        "a link to a folder",
        _link,
        {"reader": "folder", "path": "line"},
        "refused",
        ("leaves the data root",),
    ),
    Case(
        "folders whose names say nothing",
        images(pictures=4, more=4),
        None,
        "refused",
        ("has no layout that assay init knows",),
    ),
    Case(
        "a CSV with a misspelt column",
        table("image,lable\na.png,1\n"),
        TABLE,
        "refused",
        ("columns missing: label; unknown: lable",),
    ),
    Case(
        "a CSV with semicolons and capitals",
        table("Image;Label;Mask\na.png;OK;\nb.png;ok;\nc.png;OK;\nd.png;NG;m.png\ne.png;ng;\nf.png;NG;\n"),
        None,
        "warned",
        ("3 normal and 3 defective images, 1 of them with a mask",),
    ),
    Case(
        "a CSV with tabs in UTF-16",
        table("image\tlabel\n" + ROWS.replace(",", "\t"), "utf-16"),
        TABLE,
        "warned",
        ("7 images of 7 items: 3 defective (0 with mask), 4 normal",),
    ),
    Case(
        "a CSV in Latin-1 with umlauts in names",
        table("image,label,defect_class\na.png,0,\nLötstelle.png,1,Lücke\n", "latin-1", ("Lötstelle",)),
        TABLE,
        "warned",
        ("Lücke: 1",),
    ),
    Case(
        "a CSV with backslashes in its paths",
        own(lambda root: (root / "parts.csv").write_text("image,label\ngood\\g0.png,0\ndefect\\d0.png,1\n")),
        TABLE,
        "warned",
        ("2 images of 2 items",),
    ),
    Case(
        "a CSV with absolute paths below its folder",
        table("image,label\n" + "".join(f"ROOT/{row}\n" for row in ROWS.split())),
        TABLE,
        "warned",
        ("7 images of 7 items",),
    ),
    Case(
        "a CSV with absolute paths of the Windows machine that wrote it",
        table("image,label\n" + "".join(f"D:\\data\\root\\{row}\n" for row in ROWS.split())),
        TABLE,
        "warned",
        ("7 images of 7 items",),
    ),
    Case(
        "a CSV with absolute paths of elsewhere",
        table("image,label\n/elsewhere/a.png,1\n"),
        TABLE,
        "refused",
        ("/elsewhere/a.png leaves the data root",),
    ),
    Case(
        "images that a CSV does not name",
        table("image,label\na.png,0\nb.png,1\n"),
        TABLE,
        "warned",
        ("5 files are not read: *.png (c.png …): no row of parts.csv names it. Add a row.",),
    ),
    Case(
        "a CSV that names files that are not there",
        table("image,label\na.png,0\nz.png,1\n"),
        TABLE,
        "refused",
        ("z.png: the file is missing",),
    ),
)
