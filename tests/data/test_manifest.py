from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from tests.data.made_images import PER_SEED, dot, make_folder, noise, open_folder, write
from trainables.data import DataSpec, check_data
from trainables.data.splits import split_warnings
from trainables.errors import InputError


def test_hash_covers_content_and_no_path_of_this_machine(tmp_path: Path) -> None:
    here = open_folder(make_folder(tmp_path / "here"), tmp_path / "cache")
    there = open_folder(make_folder(tmp_path / "elsewhere" / "there"), tmp_path / "other")
    assert here.hash == there.hash
    write(tmp_path / "here" / "good" / "g0.png", noise(99))
    assert open_folder(tmp_path / "here", tmp_path / "cache").hash != here.hash


def test_second_opening_reads_no_file(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root")
    before = open_folder(root, tmp_path / "cache")
    path = root / "good" / "g0.png"
    state = path.stat()
    path.write_bytes(bytes(state.st_size))  # no image any more, but of the same size and time
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert open_folder(root, tmp_path / "cache").hash == before.hash
    os.utime(path)
    with pytest.raises(InputError, match=r"good/g0\.png: expected a JPEG, PNG, BMP, TIFF or WebP"):
        open_folder(root, tmp_path / "cache")


def test_damaged_cache_of_the_inspection_is_made_again(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root")
    before = open_folder(root, tmp_path / "cache").hash
    for stored in (tmp_path / "cache" / "inspected").glob("*.json"):
        stored.write_text(stored.read_text()[:100])
    assert open_folder(root, tmp_path / "cache").hash == before


def damaged_folder(root: Path) -> Path:
    make_folder(root)
    write(root / "good" / "g0.jpg", noise(50, 60, 60))
    (root / "good" / "g0.png").unlink()
    jpeg = root / "good" / "g0.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:-20])
    write(root / "masks" / "d1.png", dot(height=13))
    (root / "defect" / "d2.png").write_bytes(b"")
    os.symlink("/etc/hostname", root / "good" / "away.png")
    (root / "masks" / "d3.png").write_bytes((root / "masks" / "d3.png").read_bytes()[:-15])
    return root


FAULTS = [
    "good/g0.jpg: the JPEG is truncated",
    "masks/d1.png is 16 × 13 pixels, its image defect/d1.png 16 × 12",
    "defect/d2.png: expected a JPEG, PNG, BMP, TIFF or WebP image, found an empty file",
    "good/away.png leaves the data root",
    "masks/d3.png: the PNG is truncated",
]


def test_every_faulty_file_is_named_with_found_and_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 faults in the data below") as refused:
        open_folder(damaged_folder(tmp_path / "root"), tmp_path / "cache")
    for fault in FAULTS:
        assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("content", "way_out"),
    [
        (b"GIF89a", "start with 47494638. Save it as one of these, or copy it again"),
        (
            b"BM" + struct.pack("<8x4I2HI", 54, 40, 20_000, 20_000, 1, 8, 1),
            "in all. Cut it into smaller images",
        ),
        (b"\x89PNG\r\n\x1a\n", "ends within its header, at byte 8. Unpack or copy it again"),
    ],
    ids=["another format", "too large", "damaged"],
)
def test_each_faulty_file_has_the_way_out_of_its_fault(content: bytes, way_out: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root")
    (root / "good" / "g0.png").write_bytes(content)
    (fault,) = check_data(PER_SEED, root, tmp_path / "cache").faults
    assert fault.endswith(f"{way_out}.")


def test_check_reports_faults_and_counts_what_is_usable(tmp_path: Path) -> None:
    root = damaged_folder(tmp_path / "root")
    (root / "masks" / "d4.png").unlink()
    write(root / "masks" / "d5.png", dot(value=0))
    shutil.copy(root / "good" / "g5.png", root / "good" / "copy.png")
    report = check_data(PER_SEED, root, tmp_path / "cache")
    assert not report.usable
    assert len(report.faults) == 5
    assert report.by_class == {"normal": 8, "defect": 3}
    assert (report.images, report.defective, report.with_mask) == (11, 3, 1)
    assert report.by_size == {"16 × 12": 11}
    page = str(report)
    for part in (
        *FAULTS,
        "d4.png has no mask",
        "d5.png",
        "copy and good/g5: 1 image is there more than once, byte for byte",
    ):
        assert part in page


def test_a_mask_that_became_a_link_to_no_file_is_told_also_after_an_earlier_look(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root")
    (root / "masks" / "d1.png").unlink()
    open_folder(root, tmp_path / "cache")  # without the mask
    os.symlink("nowhere.png", root / "masks" / "d1.png")
    with pytest.raises(InputError, match=r"masks/d1\.png is a link to a file that is missing"):
        open_folder(root, tmp_path / "cache")


def test_identical_images_are_a_finding_that_names_them(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root")
    shutil.copy(root / "defect" / "d0.png", root / "defect" / "again.png")
    manifest = open_folder(root, tmp_path / "cache")
    (finding,) = (finding for finding in manifest.findings if finding.kind == "duplicate")
    assert finding.samples == ("defect/again", "defect/d0")
    assert split_warnings(manifest, PER_SEED) == (
        "defect/again.png has no mask: expected masks/again.png. "
        "Add it; only supervision: full needs every mask.",
    )


NOTHING: list[str] = []


@pytest.mark.parametrize(
    ("column", "parts", "faults", "warnings"),
    [
        ("split", {"a0": "train", "a1": "test", "b0": "train", "b1": "test"}, NOTHING, NOTHING),
        (
            "split",
            {"a0": "train", "a1": "train", "b0": "train", "b1": "test"},
            NOTHING,
            ["test: no normal image among 1; image scores have nothing to separate"],
        ),
        (
            "split",
            {"a0": "test", "a1": "test", "b0": "train", "b1": "test"},
            NOTHING,
            ["train: no normal image among 1; only a method that learns from masks alone"],
        ),
        (
            "split",
            {"a0": "train", "a1": "test", "b0": "test", "b1": "test"},
            NOTHING,
            ["train: no defective image among 1; it serves `supervision: none` alone"],
        ),
        (
            "split",
            {"a0": "train", "a1": "test", "b0": "train", "b1": "train"},
            ["test: no defective image among 1; nothing could be measured"],
            NOTHING,
        ),
        (
            "split",
            {"a0": "train", "a1": "validation", "a2": "test", "b0": "train", "b1": "test"},
            NOTHING,
            ["validation: no defective image among 1; it serves `supervision: none` alone"],
        ),
        ("split", {"a0": "train", "b0": "train"}, ["test: no image"], NOTHING),
        ("split", {"a0": "test", "b0": "test"}, ["train: no image"], NOTHING),
        ("fold", {"a0": "0", "a1": "1", "b0": "0", "b1": "1"}, NOTHING, NOTHING),
        (
            "fold",
            {"a0": "0", "a1": "1", "b0": "0", "b1": "0"},
            ["test of fold 1: no defective image among 1"],
            ["training of fold 0: no defective image among 1; it serves `supervision: none` alone"],
        ),
    ],
)
def test_check_names_each_published_part_without_defective_or_normal_images(
    column: str, parts: dict[str, str], faults: list[str], warnings: list[str], tmp_path: Path
) -> None:
    for number, name in enumerate(parts):
        write(tmp_path / f"{name}.png", noise(number))
    lines = [f"{name}.png,{int(name[0] == 'b')},{part}" for name, part in parts.items()]
    (tmp_path / "parts.csv").write_text("\n".join([f"image,label,{column}", *lines]))
    spec = DataSpec(reader="table", path="parts.csv")
    report = check_data(spec, tmp_path, tmp_path / "cache")
    told = [text for text in report.findings if text.startswith("published part")]
    for found, expected in ((report.faults, faults), (told, warnings)):
        assert len(found) == len(expected)
        for text, start in zip(found, expected, strict=True):
            assert text.startswith(f"published part {start}")
    divided_anew = check_data(spec.model_copy(update={"splits": "per_seed"}), tmp_path, tmp_path / "cache")
    assert divided_anew.usable
    assert not any(text.startswith("published part") for text in divided_anew.findings)


def test_check_of_sound_data_has_nothing_to_remark(tmp_path: Path) -> None:
    spec = PER_SEED.model_copy(
        update={"reader": "synthetic", "options": {"images": 8, "positives": 4, "items": 4}}
    )
    report = check_data(spec, None, tmp_path)
    assert report.usable
    assert str(report).endswith("Nothing to remark.")


@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_name_that_no_disk_holds_is_a_fault_of_its_row(column: str, tmp_path: Path) -> None:
    name = "x" * 300 + ".png"
    write(tmp_path / "a.png", noise(0))
    row = {"image": f"{name},1,", "mask": f"a.png,1,{name}"}[column]
    (tmp_path / "parts.csv").write_text(f"image,label,mask\n{row}\n")
    spec = DataSpec(reader="table", path="parts.csv", splits="per_seed")
    (fault,) = check_data(spec, tmp_path, tmp_path / "cache").faults
    assert fault.startswith(name)
    assert "File name too long" in fault
