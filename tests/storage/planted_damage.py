"""Ways to damage a file of a storage, and what `assay check` says of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from assay.storage.files.checksum import with_checksum, without_checksum
from assay.storage.files.files import json_bytes

__all__ = [
    "OWN",
    "PLANTED",
    "STAGED",
    "Planted",
    "cut",
    "deleted",
    "emptied",
    "flipped",
    "with_new_checksum",
]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -max(4, path.stat().st_size // 3)])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


def flipped(path: Path) -> None:
    """One byte in the middle is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def replaced(before: str, after: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    return edit


def swapped(path: Path) -> None:
    """It changes places with the same file of its neighbour."""
    folder = next(above for above in path.parents if above.name in {"trials", "stages", "studies"})
    others = sorted(o for o in folder.rglob(path.name) if o != path and o.read_bytes() != path.read_bytes())
    data = path.read_bytes()
    path.write_bytes(others[0].read_bytes())
    others[0].write_bytes(data)


def with_new_checksum(part: str, value: object) -> Callable[[Path], None]:
    """Edited by somebody who knows of the checksum."""

    def edit(path: Path) -> None:
        *above, last = part.split(".")
        whole = json.loads(without_checksum(path.read_bytes()).content)
        place = whole
        for name in above:
            place = place[name]
        place[last] = value
        path.write_bytes(with_checksum(json_bytes(whole)))

    return edit


def other_rows(path: Path) -> None:
    """A table without its last row, written by somebody's script."""
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)


def a_file_now(path: Path) -> None:
    """A file lies where the folder belongs, and the folder lies elsewhere."""
    path.rename(path.parents[1] / "moved away")
    path.write_bytes(b"x")


class Planted(NamedTuple):
    """A damage, and what is said of it."""

    file: str  # pattern of its path; the first that fits
    damage: Callable[[Path], None]
    text: str
    stays: bool = False  # nothing makes it again
    missed: bool = False  # it is named until a run has made it again


STAGED, OWN = "trials/[staged]", "trials/[own]"
PLANTED = [
    Planted(f"{STAGED}/record.json", cut, "not a record"),
    Planted(f"{STAGED}/record.json", replaced('"epochs": 3', '"epochs": 4'), "its checksum is another"),
    Planted(f"{STAGED}/record.json", with_new_checksum("trial.seed", 5), "seed is 5, planned is 0"),
    Planted(STAGED, a_file_now, "cannot be read (Not a directory)"),
    Planted("stages/*", a_file_now, "cannot be read"),
    Planted("methods/*", a_file_now, "is not the code that its name says", missed=True),
    Planted(f"{STAGED}/*/curve.parquet", flipped, "sha256 differs"),
    Planted(f"{STAGED}/*/curve.parquet", deleted, "is gone"),
    Planted(f"{STAGED}/*/predictions.parquet", swapped, "sha256 differs"),
    Planted(f"{STAGED}/*/maps.parquet", emptied, "is empty"),
    Planted(f"{OWN}/*/model/model.safetensors", flipped, "sha256 differs"),
    Planted("stages/*/done.json", cut, "cannot be read"),
    Planted(
        "stages/*/done.json", replaced('"seconds": ', '"seconds": 1'), "was changed since it was written"
    ),
    Planted("stages/*/done.json", swapped, "is that of stage"),
    Planted("stages/*/0*/*.safetensors", flipped, "sha256 differs"),
    Planted(
        "methods/*/blur.py", replaced("Blur", "Blurred"), "is not the code that its name says", missed=True
    ),
    Planted("methods/*/blur.py", deleted, "is not the code that its name says", missed=True),
    Planted("studies/staged/plan.parquet", cut, "cannot be read", missed=True),
    Planted("studies/staged/plan.parquet", emptied, "cannot be read", missed=True),
    Planted("studies/staged/plan.parquet", other_rows, "was changed since it was written", missed=True),
    Planted("studies/staged/plan.parquet", swapped, "is the plan of study", missed=True),
    Planted("studies/staged/plan.parquet", deleted, "is gone", stays=True),
    Planted("studies/hunt/search.jsonl", cut, "cannot be read"),
    Planted("studies/hunt/search.jsonl", emptied, "is empty"),
    Planted("studies/hunt/search.jsonl", replaced('"index":1', '"index":7'), "was changed since"),
    Planted("studies/staged/looks.json", replaced("  [\n   0,\n   1\n  ]", "  2"), "looks.json", stays=True),
    Planted("studies/staged/looks.json", cut, "cannot be read", stays=True),
    Planted("studies/staged/registered.json", replaced("image_ap", "pixel_ap"), "changed since", stays=True),
    Planted("studies/staged/registered.json", cut, "cannot be read", stays=True),
    Planted("studies/staged/summary.parquet", flipped, "summary.parquet"),
]
