"""ELPV: solar cells in electroluminescence, with image labels of four grades and without masks.

Layout: the package ``elpv-dataset``, read where it is installed: ``labels.csv`` has ``images/cell0001.png``,
the probability of a defect and the type of the cell (``mono`` or ``poly``) in each row; 2,624 grey images of
300 × 300 pixels. Neither data root nor ``data.path`` is needed.

Rules: probability 0 is normal (1,508 cells) and 1 is defective (715, class ``defective``). The doubtful ones
are classes of their own, ``possible`` (1/3, 295) and ``probable`` (2/3, 106), and are left out unless
``data.classes`` names them: ``classes: [defective, probable]``. With ``data.others: normal`` those that it
does not name count as normal. ``cells: mono`` or ``poly`` in the options keeps one type. Every image is an
item of its own: which of the 44 modules a cell is of is not said, so cells of a module may be divided. The
makers publish no split.

Licence: CC BY-NC-SA 4.0. Cite: Buerhop-Lutz et al. 2018, doi:10.4229/35thEUPVSEC20182018-5CV.3.15; Deitsch
et al. 2019, doi:10.1016/j.solener.2019.02.067.
"""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import Entry, Expected, Listing, Reader, options_of
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["READER"]

_PACKAGE = "elpv-dataset"
# Third parts of certainty that a cell is defective → its class; 0 is normal.
_CLASSES = {1: "possible", 2: "probable", 3: "defective"}
_CERTAIN = ("defective",)  # the classes that are read without `data.classes`
_GRADES = (0, 1, 2, 3)
_ROUNDING = 0.01  # thirds are written as decimals
_ROW = re.compile(r"(?P<image>images/\w+\.png)\s+(?P<probability>[01]\.\d+)\s+(?P<cells>mono|poly)")
_EXPECTED = Expected({"all": (715, 1508)}, "the makers' labels, probabilities 1 and 0")


class ElpvOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader elpv."""

    cells: Literal["mono", "poly"] | None = Field(
        None, description="Type of solar cell to keep, mono- or polycrystalline; default: both."
    )


def read_elpv(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index the installed package: ``images/cell0001.png`` by its row of ``labels.csv``."""
    options = options_of(ElpvOptions, spec)
    if spec.path is not None:
        raise InputError(
            f"reader {READER.name} reads the installed package {_PACKAGE}, found data.path {spec.path!r}. "
            "Leave it out; reader table reads images and labels from elsewhere."
        )
    root = _folder_of_package()
    chosen = _CERTAIN if spec.classes is None else spec.classes
    entries: list[Entry] = []
    left_out: Counter[str] = Counter()
    for image, thirds, cells in _read_rows(root / "labels.csv"):
        if options.cells not in (None, cells):
            continue
        grade = _CLASSES.get(thirds)
        shown = grade if grade in chosen else None
        if grade is not None and shown is None and spec.others != "normal":
            left_out[grade] += 1
            continue
        sample = Path(image).stem
        entries.append(Entry(sample, image, shown is not None, None, shown, sample))
    remark = ", ".join(f"{count} {grade}" for grade, count in sorted(left_out.items()))
    return Listing(
        root,
        tuple(entries),
        mask_above=0,
        missing_mask_way_out="ELPV has image labels alone",
        classes=tuple(_CLASSES.values()),
        others=("leave_out", "normal", "ignore"),  # a label is of the whole image: ignored, it is left out
        expected=_EXPECTED if spec.classes is None and options.cells is None else None,
        remarks=(f"doubtful cells left out: {remark}",) if remark and spec.classes is None else (),
    )


def _folder_of_package() -> Path:
    """The folder of images and labels, found without importing the package."""
    package = find_spec(_PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise InputError(
            f"reader {READER.name} reads the package {_PACKAGE} (solar cells, 91 MB, {READER.licence}), and "
            f"it is not installed: run `pip install {_PACKAGE}`."
        )
    return Path(package.origin).parent / "data"


def _read_rows(path: Path) -> list[tuple[str, int, str]]:
    """File of an image, thirds of certainty that it is defective, and type of the cell."""
    again = f"Install it again: `pip install --force-reinstall {_PACKAGE}`."
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} of the package {_PACKAGE} cannot be read ({error}). {again}") from error
    rows: list[tuple[str, int, str]] = []
    for number, line in enumerate(lines, start=1):
        row = _ROW.fullmatch(line.strip())
        certainty = 3 * float(row["probability"]) if row else -1
        thirds = next((grade for grade in _GRADES if abs(certainty - grade) < _ROUNDING), None)
        if row is None or thirds is None:
            raise InputError(
                f"{path}, row {number}: expected images/cell0001.png, a probability of 0, 1/3, 2/3 or 1, and "
                f"mono or poly, found {line.strip()!r}. {again}"
            )
        rows.append((row["image"], thirds, row["cells"]))
    return rows


READER = Reader(
    name="elpv",
    title="ELPV: solar cells in electroluminescence, 2624 images with labels of four grades, no masks",
    licence="CC BY-NC-SA 4.0",
    citation="Buerhop-Lutz et al., EU PVSEC 2018, doi:10.4229/35thEUPVSEC20182018-5CV.3.15; "
    "Deitsch et al., Solar Energy 185, 2019, doi:10.1016/j.solener.2019.02.067",
    Options=ElpvOptions,
    read=read_elpv,
    needs_root=False,
    package=_PACKAGE,
)
