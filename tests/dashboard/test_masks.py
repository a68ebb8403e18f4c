"""The Masks page before it reaches a browser: which images, in which order, and which bytes."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from assay.report.masks import payload as masks
from assay.report.masks.payload import (
    Display,
    MaskColumn,
    Pair,
    arrange,
    cell_column,
    have_common_defects,
    page_payload,
    stage_columns,
)
from assay_dashboard import components
from trainables.evaluation.heatmaps import Probe, maps_table, read_probe
from trainables.evaluation.stage_maps import STAGE_MAPS_SCHEMA

GRID = Path(masks.__file__).parent
SCRIPTS = sorted([*GRID.glob("*.js"), *Path(components.__file__).parent.glob("*.js")])
SIZE = (40, 60)

# Machado, Oliveira and Fernandes 2009, severity 1.0: what linear RGB becomes.
MACHADO = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def truth_of(boxes: int) -> NDArray[np.bool_]:
    """A square for each defect, none touching."""
    truth = np.zeros(SIZE, dtype=bool)
    for k in range(boxes):
        truth[4:10, 4 + 12 * k : 4 + 12 * k + 6 + k] = True
    return truth


def probe(
    sample: str, seen: str, *, kind: str | None = "hole", score: float = 0.5, size: tuple[int, int] = SIZE
) -> Probe:
    """An image whose k-th defect scores 0.9 where the k-th letter of ``seen`` is an x, else 0.2."""
    truth = truth_of(len(seen))
    heatmap = np.full(SIZE, 0.1, np.float32)
    _, numbers = cv2.connectedComponents(truth.astype(np.uint8))
    for k, letter in enumerate(seen):
        heatmap[numbers == k + 1] = 0.9 if letter == "x" else 0.2
    photo = np.full((*size, 1), 90, np.uint8)
    heatmap = cv2.resize(heatmap, size[::-1], interpolation=cv2.INTER_NEAREST)
    truth = cv2.resize(truth.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return Probe(sample, bool(seen), kind if seen else None, score, photo, heatmap.astype(np.float32), truth)


def column(name: str, *probes: Probe) -> MaskColumn:
    return replace(
        cell_column(name, maps_table(list(probes), 0.5)), note="validation IoU", image_threshold=0.5
    )


def unpack(payload: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(payload[:4], "little")
    return json.loads(payload[4 : 4 + length]), payload[4 + length :]


# Order and choice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SIZE, (80, 120)], ids=["masks of one size", "masks of two sizes"])
@pytest.mark.parametrize(
    ("show", "level", "expected"),
    [
        ("A finds, B misses", 128, ["swapped"]),
        ("B finds, A misses", 128, ["less", "swapped"]),
        ("B finds, A misses", 20, []),
        ("no variant finds", 128, ["less"]),
        ("no variant finds", 20, []),
    ],
)
def test_defects_that_one_finds_and_the_other_misses_are_told_defect_by_defect(
    show: str, level: int, expected: list[str], size: tuple[int, int]
) -> None:
    by_a = {"both": "xx", "swapped": "xo", "less": "oo", "fine": ""}
    by_b = {"both": "xx", "swapped": "ox", "less": "xo", "fine": ""}
    a = column("a", *(probe(name, seen) for name, seen in by_a.items()))
    b = column("b", *(probe(name, seen, size=size) for name, seen in by_b.items()))
    assert arrange([a, b], show=show, pair=Pair(a, b), level=level) == expected


def test_false_alarms_of_b_are_the_normal_images_whose_score_reaches_its_threshold() -> None:
    of_b = {"good": ("", 0.49), "rejected": ("", 0.5), "defective": ("x", 0.9)}
    a = column("a", *(probe(name, seen, score=0.9) for name, (seen, _) in of_b.items()))
    b = column("b", *(probe(name, seen, score=score) for name, (seen, score) in of_b.items()))
    assert arrange([a, b], show="false alarms of B", pair=Pair(a, b)) == ["rejected"]


def smaller_probe(*, without_first: bool = False) -> Probe:
    """The probe `one` in another size, both defects missed; its mask has both of them, or the second."""
    made = probe("one", "oo", size=(20, 30))
    assert made.truth is not None
    return replace(made, truth=made.truth & (np.arange(30) >= 7)) if without_first else made


@pytest.mark.parametrize(("seen", "expected"), [("ox", ["one"]), ("xo", [])])
def test_a_defect_that_only_one_mask_has_is_nobodys_miss(seen: str, expected: list[str]) -> None:
    pair = Pair(column("a", probe("one", seen)), column("b", smaller_probe(without_first=True)))
    assert arrange(pair, show="A finds, B misses", pair=pair) == expected
    assert have_common_defects(pair)


@pytest.mark.parametrize(
    "other",
    [replace(smaller_probe(), truth=None), probe("two", "xx")],
    ids=["its mask is unknown", "another image"],
)
def test_without_a_mask_of_the_same_image_no_defect_is_common(other: Probe) -> None:
    assert not have_common_defects(Pair(column("a", probe("one", "xo")), column("b", other)))


@pytest.mark.parametrize("level", [1, 60, 128, 200, 255])
def test_the_choice_of_missed_defects_follows_numpy_at_every_threshold(level: int) -> None:
    rng = np.random.default_rng(0)
    cells = [column(name, *(noisy(f"{k:02d}", rng) for k in range(12))) for name in "ab"]
    found = [
        {
            sample: [read_probe_peaks(row, number) >= level for number in (1, 2, 3)]
            for sample, row in cell.rows.items()
        }
        for cell in cells
    ]
    expected = [
        s for s in sorted(found[0]) if any(a and not b for a, b in zip(found[0][s], found[1][s], strict=True))
    ]
    assert arrange(cells, show="A finds, B misses", pair=Pair(*cells), level=level) == expected


def noisy(sample: str, rng: np.random.Generator) -> Probe:
    """Three defects, each of a highest score by chance."""
    one = probe(sample, "xxx")
    heatmap = rng.random(SIZE, dtype=np.float32) ** 40
    return replace(one, heatmap=heatmap)


def read_probe_peaks(row: Any, number: int) -> int:
    """Highest level inside a defect, from the kept map: these are kept at full size."""
    picture = read_probe(row)
    assert picture.defects is not None
    return int(picture.levels[picture.defects == number].max())


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("sample", ["crack", "dent", "none"]),
        ("score", ["none", "dent", "crack"]),  # 0.8, 0.6, 0.3
        ("loss", ["none", "crack", "dent"]),  # a normal image at 0.8, a defective one at 0.3, one at 0.6
        ("size", ["crack", "dent", "none"]),
        ("class", ["dent", "crack", "none"]),  # gap, hole, normal last
        ("disagreement", ["crack", "dent", "none"]),
    ],
)
def test_images_are_sorted_by(sort: masks.Sort, expected: list[str]) -> None:
    a = column(
        "a",
        probe("crack", "xx", score=0.3),
        probe("dent", "x", kind="gap", score=0.6),
        probe("none", "", score=0.8),
    )
    b = column(
        "b",
        probe("crack", "oo", score=0.3),
        probe("dent", "o", kind="gap", score=0.6),
        probe("none", "", score=0.8),
    )
    assert arrange([a, b], sort=sort, pair=Pair(a, b)) == expected


def test_maps_of_two_sizes_disagree_where_their_pictures_do() -> None:
    a = column("a", probe("alike", "x"), probe("other", "x"))
    b = column("b", probe("alike", "x", size=(80, 120)), probe("other", "o", size=(80, 120)))
    assert arrange([a, b], sort="disagreement", pair=Pair(a, b)) == ["other", "alike"]


@pytest.mark.parametrize(
    ("show", "kind", "expected"),
    [
        (None, None, ["b", "d", "n"]),
        ("defective", None, ["b", "d"]),
        ("normal", None, ["n"]),
        (None, "gap", ["d"]),
        ("A finds, B misses", None, ["b", "d", "n"]),  # one column: there is no A and B
    ],
)
def test_images_are_chosen_by(show: str | None, kind: str | None, expected: list[str]) -> None:
    cell = column("a", probe("b", "x"), probe("d", "x", kind="gap"), probe("n", ""))
    assert arrange([cell], show=show, defect_class=kind) == expected
    assert masks.defect_classes([cell]) == ["gap", "hole"]


def test_an_image_that_only_some_cells_kept_has_its_row() -> None:
    a, b = column("a", probe("one", "x")), column("b", probe("two", "x"))
    assert arrange([a, b]) == ["one", "two"]
    header, _ = unpack(page_payload(["one"], [a, b]))
    assert [cell is None for cell in header["rows"][0]["cells"]] == [False, True]


# Bytes ----------------------------------------------------------------------------------------------------


def test_a_payload_holds_what_the_record_keeps_and_only_this_page() -> None:
    cell = column("a", *(probe(f"{k}", "xo") for k in range(9)))
    header, body = unpack(page_payload(["3", "1"], [cell], view=Display(77, True)))
    assert [row["sample"] for row in header["rows"]] == ["3", "1"]
    assert header["view"] == {
        "level": 77,
        "difference": True,
        "picture": "decision",
        "shows_targets": False,
        "image": 128,
        "alarms": "",
        "restored": 0,
    }
    row, packed = cell.rows["3"], header["rows"][0]["cells"][0]
    for name, kept in {
        "photo": row["thumbnail"],
        "levels": row["heatmap"],
        "truth": row["truth"],
        "peaks": row["peaks"],
        "counts": row["positives"] + row["negatives"],
    }.items():
        start, length = packed[name]
        assert body[start : start + length] == kept, name


def test_equal_pictures_are_sent_once() -> None:
    cells = [column(name, probe("one", "xx")) for name in "abcdef"]
    header, body = unpack(page_payload(["one"], cells))
    assert len({tuple(cell["photo"]) for cell in header["rows"][0]["cells"]}) == 1
    assert len(body) < 2 * len(unpack(page_payload(["one"], cells[:1]))[1])


def test_totals_are_those_of_all_images_of_the_cell() -> None:
    cell = column("a", *(probe(f"{k}", "xo") for k in range(9)))
    header, body = unpack(page_payload(["3"], [cell]))
    start, length = header["columns"][0]["totals"]
    positives, negatives, peaks = np.frombuffer(body[start : start + length], "<f8").reshape(3, 256)
    rows = list(cell.rows.values())
    assert np.array_equal(positives, sum(np.frombuffer(row["positives"], "<i4") for row in rows))
    assert np.array_equal(negatives, sum(np.frombuffer(row["negatives"], "<i4") for row in rows))
    assert (peaks[128:].sum(), peaks.sum()) == (9, 18)  # one of two defects in each image is found


def test_the_key_changes_with_what_is_shown_and_not_with_how() -> None:
    a, b = column("a", probe("one", "x")), column("b", probe("one", "o"))
    keys = [
        unpack(page_payload(["one"], columns, base=base, view=view))[0]["key"]
        for columns, base, view in [
            ([a], None, None),
            ([a], None, Display(200, True)),
            ([b], None, None),
            ([a, b], None, None),
            ([a, b], a, None),
        ]
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_a_mask_that_is_unknown_has_no_counts() -> None:
    one = probe("one", "x")
    header, _ = unpack(page_payload(["one"], [column("a", replace(one, truth=None))]))
    cell = header["rows"][0]["cells"][0]
    assert (cell["counts"], cell["peaks"], cell["truth"], header["columns"][0]["totals"]) == (None,) * 4


# Stages ---------------------------------------------------------------------------------------------------


def lineage(*rows: tuple[str, int, str, str, NDArray[np.uint8]]) -> pa.Table:
    names = ("sample", "order", "stage", "kind")
    table = [
        dict(zip(names, row[:4], strict=True), png=cv2.imencode(".png", row[4])[1].tobytes()) for row in rows
    ]
    return pa.Table.from_pylist(table, schema=STAGE_MAPS_SCHEMA)


def test_stages_come_before_the_cell_in_the_order_of_the_chain() -> None:
    ramp = np.linspace(0, 255, SIZE[0] * SIZE[1]).astype(np.uint8).reshape(SIZE)
    crop = np.full((16, 12, 3), 200, np.uint8)
    cell = column("a", probe("one", "x"))
    columns = stage_columns(
        cell,
        lineage(
            ("one", 1, "crop", "picture", crop),
            ("one", 0, "cam", "map", ramp),
            ("gone", 0, "cam", "map", ramp),
        ),
        {"cam": "IoU 0.2"},
    )
    assert [(c.name, c.note) for c in columns] == [("cam", "IoU 0.2"), ("crop", ""), ("a", "validation IoU")]
    cam, picture, _ = (c.rows["one"] for c in columns)
    levels = np.frombuffer(zlib.decompress(cam["heatmap"]), np.uint8).reshape(SIZE)
    assert np.array_equal(levels, ramp)
    assert columns[0].scale == (0.0, 0.5, 1.0)
    assert cam["truth"] == cell.rows["one"]["truth"]
    assert (picture["heatmap"], picture["truth"], picture["height"], picture["width"]) == (None, None, 16, 12)
    assert list(columns[0].rows) == ["one"]
    page_payload(["one"], columns)  # numbers of a stage are not known: nothing is made up


# Colours --------------------------------------------------------------------------------------------------


def lab(rgb: list[int], matrix: Any) -> NDArray[np.float32]:
    """L*a*b* of an sRGB colour as somebody with this colour vision sees it."""
    srgb = np.array(rgb) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    back = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(back.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_RGB2LAB)[0, 0]


@pytest.mark.parametrize("vision", MACHADO)
def test_colours_of_the_difference_can_be_told_apart_with_any_colour_vision(vision: str) -> None:
    text = (GRID / "mask_pixels.js").read_text(encoding="utf-8")
    found = {
        name: json.loads(rgb) for name, rgb in re.findall(r"^  (\w+): (\[[\d, ]+\])", text, re.MULTILINE)
    }
    shown = {
        name: lab(found[name], MACHADO[vision]) for name in ("gained", "lost", "added", "removed", "truth")
    }
    grey = {"metal": lab([100, 100, 100], MACHADO[vision])}
    for (one, a), (other, b) in combinations((shown | grey).items(), 2):
        assert np.linalg.norm(a - b) >= 20, (vision, one, other)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_never_make_markup_of_text(script: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text("utf-8")
    )
