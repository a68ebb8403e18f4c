"""MTD, Magnetic Tile Defects: five defect classes and defect-free tiles.

Layout: ``MTD/MT_<Class>/Imgs/expE_num_N.jpg`` with a mask of the same name, ``.png``; 1344 images, 392
defective. The root holds the folder ``MTD`` (or ``MTD.zip``), or is it.

Rules: the folder is the label. A mask pixel is a defect above 127 (edges are soft). Four MT_Uneven
images have an empty mask: they stay defective, their mask counts as unknown (it would teach "no defect
anywhere"). A tile was photographed up to six times, brightness rising: within a class, sorted by N, a
run of rising E is one tile, and a tile is never divided. The makers publish no split. E is the property
``exposure`` of an image, for `train_where` and `test_under`.

Licence: none stated; the makers welcome any use and ask to be cited: Huang, Qiu, Guo, Wang, Yuan,
"Surface Defect Saliency of Magnetic Tile", IEEE CASE 2018, doi:10.1109/COASE.2018.8560423.
"""

from __future__ import annotations

import re
from pathlib import Path

from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import Entry, Expected, Listing, NoOptions, Reader, images_in, options_of
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["READER"]

_CLASSES = {
    "MT_Blowhole": "blowhole",
    "MT_Break": "break",
    "MT_Crack": "crack",
    "MT_Fray": "fray",
    "MT_Free": None,
    "MT_Uneven": "uneven",
}


def read_mtd(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index MTD: ``MT_Crack/Imgs/exp1_num_4727.jpg`` with ``exp1_num_4727.png``."""
    options_of(NoOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    expected = "MTD: expected a folder MTD, or folders MT_Free, MT_Crack … with Imgs inside"
    root = folders.find(start, _holds_classes, "MTD", expected=expected)

    # A class may be left out of a copy of the set; counts are compared with the makers' in `assay data
    # check`.
    entries = tuple(
        entry
        for folder, defect_class in _CLASSES.items()
        if (root / folder / "Imgs").is_dir()
        for entry in _list_class(root / folder / "Imgs", folder, defect_class)
    )
    return Listing(
        root,
        entries,
        mask_above=127,
        unsplit="The makers of MTD publish no split: use `splits: per_seed`, which divides it by tile.",
        expected=Expected({"all": (392, 952)}, "the makers' files"),
    )


def exposure_of(image: str) -> str:
    """The exposure in the path of an image: ``4`` of ``MT_Crack/Imgs/exp4_num_2.jpg``; 1 is the darkest."""
    return Path(image).name.removeprefix("exp").partition("_")[0]


def _holds_classes(folder: Path) -> bool:
    return any((folder / name / "Imgs").is_dir() for name in _CLASSES)


def _list_class(images: Path, folder: str, defect_class: str | None) -> list[Entry]:
    # The name holds exposure and number; without both, tiles cannot be told apart.
    shots: list[tuple[int, int, Path]] = []
    for path in images_in(images, (".jpg",)):
        name = re.fullmatch(r"exp(\d+)_num_(\d+)", path.stem)
        if name is None:
            raise InputError(
                f"{path} is not named as MTD names its images: expected expE_num_N.jpg. Remove it."
            )
        shots.append((int(name[2]), int(name[1]), path))
    entries: list[Entry] = []

    # A rise of exposure is the next photo of the same tile, a fall begins another one: dividing a tile
    # would test on what was trained on.
    tile, exposure_before = "", -1
    for number, exposure, path in sorted(shots):
        if not tile or exposure <= exposure_before:
            tile = f"{folder}/{number}"
        exposure_before = exposure
        entries.append(
            Entry(
                sample=f"{folder}/{path.stem}",
                image=f"{folder}/Imgs/{path.name}",
                label=defect_class is not None,
                mask=f"{folder}/Imgs/{path.stem}.png",
                defect_class=defect_class,
                group=tile,
            )
        )
    return entries


READER = Reader(
    name="mtd",
    title="MTD: magnetic tiles with five defect classes, 1344 images, 392 defective",
    licence="none stated; any use welcome, citation asked for",
    citation="Huang, Qiu, Guo, Wang, Yuan, IEEE CASE 2018, doi:10.1109/COASE.2018.8560423",
    Options=NoOptions,
    read=read_mtd,
    recognised=True,
    properties={"exposure": exposure_of},
)
