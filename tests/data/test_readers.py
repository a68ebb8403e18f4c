from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.data.made_images import dot, make_folder, noise, open_folder, write
from tests.data.published_trees import KSDD_FOLDS, write_lists
from trainables.data import READERS, DataSpec, Supervision, make_split, open_manifest
from trainables.data.inspect.layouts import find_layout
from trainables.data.readers.base import images_below
from trainables.errors import InputError


def test_folder_pairs_masks_by_name_and_labels_by_folder(tmp_path: Path) -> None:
    manifest = open_folder(make_folder(tmp_path / "root"), tmp_path / "cache")
    assert manifest.by_sample["defect/d0"].mask == "masks/d0.png"
    assert manifest.by_sample["defect/d0"].label
    assert not manifest.by_sample["good/g0"].label
    assert manifest.findings == ()


def test_folder_takes_classes_and_a_split_from_its_folders(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write(tmp_path / part / "good" / "a.png", noise(ord(part[1])))
        for number, name in enumerate(("scratch", "hole")):
            write(tmp_path / part / "defect" / name / "b.jpg", noise(ord(part[1]) + number + 1))
            write(tmp_path / part / "masks" / name / "b.png", dot())
    spec = DataSpec(reader="folder", validation=None)
    manifest = open_manifest(spec, tmp_path, tmp_path / "cache")
    row = manifest.by_sample["test/defect/hole/b"]
    assert (row.split, row.defect_class, row.mask) == ("test", "hole", "test/masks/hole/b.png")
    only = open_manifest(spec.model_copy(update={"classes": ("hole",)}), tmp_path, tmp_path / "cache")
    assert {row.defect_class for row in only.rows} == {"hole", None}
    assert sum(not row.label for row in only.rows) == 2


def test_masks_of_normal_images_lie_beside_them_where_those_of_defects_do(tmp_path: Path) -> None:
    for folder in ("train/good", "test/good", "test/defect"):
        for number in range(2):
            image = write(tmp_path / folder / f"{folder[-3]}{number}.png", noise(len(folder) + 100 * number))
            shown = dot() if image.parent.name == "defect" else 0 * dot()
            write(image.with_name(f"{image.stem}_mask.png"), shown)
    write(tmp_path / "test" / "good" / "o0_mask.bmp", 0 * dot())
    options = {"masks": "defect", "mask_suffix": "_mask"}
    spec = DataSpec(reader="folder", validation=None, options=options)
    manifest = open_manifest(spec, tmp_path, tmp_path / "cache")
    assert sorted(manifest.by_sample) == [
        *(f"test/defect/e{number}" for number in range(2)),
        *(f"{part}/good/o{number}" for part in ("test", "train") for number in range(2)),
    ]
    (unread,) = manifest.findings
    assert "test/good/o0_mask.bmp: another mask of the same image is read" in unread.text
    write(tmp_path / "train" / "good" / "o1_mask.png", dot())
    with pytest.raises(InputError, match=r"good/o1.png is labelled normal, and .*o1_mask.png shows 9 defect"):
        open_manifest(spec, tmp_path, tmp_path / "cache")


def test_masks_among_images_of_class_folders_are_refused_with_ways_out_that_work(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root", defect=0)
    for name in ("scratch", "hole"):
        write(root / name / "a.png", noise(50 + len(name)))
        write(root / name / "a_mask.png", dot())
    way_out = (
        r'Set masks: "\*", mask_suffix: _mask in data.options, or move the masks into a folder masks '
        r"\(and set mask_suffix: _mask\)."
    )
    with pytest.raises(InputError, match=f"a_mask.png looks like the mask of .*[.] {way_out}"):
        open_folder(root, tmp_path / "cache", options={"defect": "*"})
    options = {"defect": "*", "masks": "*", "mask_suffix": "_mask"}
    beside = open_folder(root, tmp_path / "cache", options=options)
    assert (len(beside.rows), beside.by_sample["hole/a"].mask) == (10, "hole/a_mask.png")
    for name in ("scratch", "hole"):
        (root / "masks" / name).mkdir(parents=True)
        (root / name / "a_mask.png").rename(root / "masks" / name / "a_mask.png")
    manifest = open_folder(root, tmp_path / "cache", options={"defect": "*", "mask_suffix": "_mask"})
    assert manifest.by_sample["hole/a"].mask == "masks/hole/a_mask.png"


def test_unknown_class_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown class rust.*has: defect"):
        open_folder(make_folder(tmp_path / "root"), tmp_path / "cache", classes=("rust",))


@pytest.mark.parametrize("name", sorted(name for name in READERS if READERS[name].needs_root))
def test_reader_of_files_says_when_its_data_are_not_there(name: str, tmp_path: Path) -> None:
    spec = DataSpec(reader=name, path=None if name != "table" else "absent.csv")
    with pytest.raises(InputError, match="--data ROOT"):
        open_manifest(spec, None, tmp_path)
    with pytest.raises(InputError, match=r"expected|not below"):
        open_manifest(spec, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (DataSpec(reader="cifar"), r"no reader 'cifar'; known here: annotated, dagm, elpv, folder"),
        (
            DataSpec(reader="synthetic", options={"colour": 1}),
            r"reader synthetic: data\.options\.colour: unknown setting \(known here: difficulty, images",
        ),
    ],
    ids=["reader", "setting"],
)
def test_unknown_reader_and_setting_are_refused(spec: DataSpec, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        open_manifest(spec, None, tmp_path)


def table_spec(path: Path, lines: list[str]) -> DataSpec:
    path.write_text("\n".join(lines), encoding="utf-8")
    return DataSpec(reader="table", path=path.name, splits="per_seed")


@pytest.mark.parametrize(
    ("column", "good", "bad"), [("split", "train", "test"), ("fold", "0", "2")], ids=["split", "fold"]
)
def test_table_reads_every_column(column: str, good: str, bad: str, tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(0))
    write(tmp_path / "b.png", noise(1))
    write(tmp_path / "m.png", dot())
    spec = table_spec(
        tmp_path / "parts.csv",
        [
            f"image,label,mask,defect_class,group,{column}",
            f"a.png,good,,,007,{good}",
            f"b.png,1,m.png,hole,008,{bad}",
        ],
    )
    one, two = open_manifest(spec, tmp_path, tmp_path / "cache").rows
    assert (one.label, one.group, str(getattr(one, column)), one.mask) == (False, "007", good, None)
    assert (two.label, two.defect_class, two.group, two.mask) == (True, "hole", "008", "m.png")
    assert str(getattr(two, column)) == bad


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_table_has_the_line_ends_of_any_system(line_end: str, tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(0))
    write(tmp_path / "b.png", noise(1))
    path = tmp_path / "parts.csv"
    path.write_bytes(line_end.join(["image,label", "a.png,0", "b.png,1", ""]).encode())
    spec = find_layout(tmp_path, tmp_path / "cache")
    assert (spec.reader, spec.path) == ("table", "parts.csv")
    assert [row.label for row in open_manifest(spec, tmp_path, tmp_path / "cache").rows] == [False, True]


def test_an_endless_line_is_no_table(tmp_path: Path) -> None:
    (make_folder(tmp_path / "root") / "old.csv").write_text("x" * 200_000)
    assert find_layout(tmp_path / "root", tmp_path / "cache").reader == "folder"
    with pytest.raises(InputError, match=r"old\.csv cannot be read as a table"):
        open_manifest(DataSpec(reader="table", path="old.csv"), tmp_path / "root", tmp_path / "cache")


def test_a_folder_with_the_name_of_a_table_is_none(tmp_path: Path) -> None:
    (make_folder(tmp_path / "root") / "old.csv").mkdir()
    assert find_layout(tmp_path / "root", tmp_path / "cache").reader == "folder"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["a.png,0,train,0", "b.png,1,test,1"], "2 rows with split and 2 with fold. Empty one of the two"),
        (["a.png,0,test,", "b.png,1,train,1"], "2 rows with split and 1 with fold"),
        (["a.png,0,,0", "b.png,1,,"], r"found 1 of 2, row 2 \(b\.png\) is empty"),
    ],
    ids=["both", "both in part", "fold in part"],
)
@pytest.mark.parametrize("splits", ["published", "per_seed"])
def test_table_that_leaves_open_where_an_image_belongs_is_refused(
    rows: list[str], told: str, splits: str, tmp_path: Path
) -> None:
    spec = table_spec(tmp_path / "parts.csv", ["image,label,split,fold", *rows])
    with pytest.raises(InputError, match=told):
        open_manifest(spec.model_copy(update={"splits": splits}), tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("split", ("train", "test"), r"a\.png in train, b\.png in test"),
        ("split", ("train", "validation"), r"a\.png in train, b\.png in validation"),
        ("fold", ("0", "1"), r"a\.png in test of fold 0, b\.png in test of fold 1"),
    ],
)
def test_item_divided_by_a_published_part_is_refused(
    column: str, values: tuple[str, str], told: str, tmp_path: Path
) -> None:
    for number, name in enumerate("abc"):
        write(tmp_path / f"{name}.png", noise(number))
    lines = [f"image,label,group,{column}", f"a.png,0,007,{values[0]}", f"b.png,1,007,{values[1]}"]
    spec = table_spec(tmp_path / "parts.csv", [*lines, f"c.png,1,008,{values[0]}"])
    with pytest.raises(InputError, match=f"item 007 is divided between published parts: {told}") as refused:
        open_manifest(spec, tmp_path, tmp_path / "cache")
    assert "008" not in str(refused.value)


def test_table_needs_image_and_label_only_and_may_be_parquet(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(0))
    write(tmp_path / "b.png", noise(1))
    pyarrow.parquet.write_table(
        pa.table({"image": ["a.png", "b.png"], "label": [False, True]}), tmp_path / "parts.parquet"
    )
    spec = DataSpec(reader="table", path="parts.parquet", splits="per_seed")
    manifest = open_manifest(spec, tmp_path, tmp_path / "cache")
    assert [row.label for row in manifest.rows] == [False, True]
    assert [row.group for row in manifest.rows] == ["a.png", "b.png"]


def test_table_tells_all_faulty_rows_at_once(tmp_path: Path) -> None:
    spec = table_spec(
        tmp_path / "parts.csv",
        ["image,label,fold", "a.png,maybe,", ",1,", "b.png,1,-1", "c.png,0,", "c.png,0,", "d.png,0,x"],
    )
    with pytest.raises(InputError) as refused:
        open_manifest(spec, tmp_path, tmp_path / "cache")
    for part in ("row 1, label", "row 2, image", "row 3, fold", "row 5: c.png is a duplicate", "row 6, fold"):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "cannot be read as a table"),
        ("image,label", "names no images: expected a row for each, found the header alone"),
        ("image,label\n", "no images"),
        ("image,label\na.png,2\n", r"1 fault\. Mend .*\nrow 1, label: expected 0/1, .* or ok/ng, found '2'$"),
        ("image,label,image\na,1,b\n", "occurs twice"),
        ('image,label\n"a\0.png",1\n', "zero byte"),
        ("\n".join(["image,label", *(f"{i}.png,maybe" for i in range(50))]), r"50 faults[\s\S]*and 30 more"),
    ],
    ids=[
        "empty",
        "header",
        "no row",
        "label",
        "column twice",
        "zero byte",
        "fifty faults, twenty listed",
    ],
)
def test_table_that_is_no_list_of_images_is_refused(content: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        open_manifest(table_spec(tmp_path / "parts.csv", [content]), tmp_path, tmp_path / "cache")


def test_pipe_among_the_images_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root")
    os.mkfifo(root / "good" / "pipe.png")
    with pytest.raises(InputError, match="expected a plain file"):
        open_folder(root, tmp_path / "cache")


def make_mtd(root: Path) -> Path:
    """Tile 10 of two exposures, tile 30 of one, and a crack without a drawn pixel."""
    for number, (folder, name, mask) in enumerate(
        [
            ("MT_Free", "exp1_num_10", dot(value=0)),
            ("MT_Free", "exp2_num_20", dot(value=0)),
            ("MT_Free", "exp2_num_30", dot(value=0)),
            ("MT_Crack", "exp1_num_5", dot()),
            ("MT_Crack", "exp1_num_6", dot(value=100)),
        ]
    ):
        write(root / "MTD" / folder / "Imgs" / f"{name}.jpg", noise(number))
        write(root / "MTD" / folder / "Imgs" / f"{name}.png", mask)
    return root


def test_run_of_rising_exposures_is_one_tile(tmp_path: Path) -> None:
    spec = DataSpec(reader="mtd", splits="per_seed")
    manifest = open_manifest(spec, make_mtd(tmp_path), tmp_path / "cache")
    groups = {row.sample: row.group for row in manifest.rows}
    assert groups["MT_Free/exp1_num_10"] == groups["MT_Free/exp2_num_20"] != groups["MT_Free/exp2_num_30"]
    assert groups["MT_Crack/exp1_num_5"] != groups["MT_Crack/exp1_num_6"]


def test_defective_image_with_an_empty_mask_stays_defective_and_its_mask_unknown(tmp_path: Path) -> None:
    spec = DataSpec(reader="mtd", splits="per_seed")
    manifest = open_manifest(spec, make_mtd(tmp_path), tmp_path / "cache")
    row = manifest.by_sample["MT_Crack/exp1_num_6"]
    assert row.label
    assert row.mask is None
    assert [finding.kind for finding in manifest.findings] == ["empty_mask"]
    assert "exp1_num_6.jpg" in manifest.findings[0].text


def make_kolektor(root: Path) -> Path:
    for item in (1, 2):
        for part in (0, 1):
            stem = root / f"kos0{item}" / f"Part{part}"
            write(stem.with_suffix(".jpg"), noise(10 * item + part))
            label = dot() if part else np.zeros_like(dot())
            write(stem.with_name(f"{stem.name}_label.bmp"), label)
    return root


def make_kolektor_51(root: Path) -> Path:
    write(root / "kos51" / "Part0.jpg", noise(0))
    write(root / "kos51" / "Part0_label.bmp", dot())
    return make_kolektor(root)


def test_kolektor_label_is_any_non_zero_pixel(tmp_path: Path) -> None:
    spec = DataSpec(reader="kolektorsdd", splits="per_seed")
    manifest = open_manifest(spec, make_kolektor(tmp_path), tmp_path / "cache")
    assert {row.sample: row.label for row in manifest.rows} == {
        "kos01/Part0": False,
        "kos01/Part1": True,
        "kos02/Part0": False,
        "kos02/Part1": True,
    }
    assert {row.group for row in manifest.rows} == {"kos01", "kos02"}


@pytest.mark.parametrize(
    ("reader", "make", "told"),
    [
        ("mtd", make_mtd, "use `splits: per_seed`"),
        ("kolektorsdd", make_kolektor_51, r"kos01 to kos50, found kos51 as well\. .*splits: per_seed"),
    ],
    ids=["no split was published", "an item that it does not have"],
)
def test_published_split_that_is_not_there_is_refused_with_the_way_out(
    reader: str, make: Callable[[Path], Path], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        open_manifest(DataSpec(reader=reader), make(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize(
    ("item", "fold"), [("kos01", 1), ("kos02", 0), ("kos05", 2), ("kos38", 0), ("kos39", 1), ("kos50", 2)]
)
def test_kolektor_knows_the_published_fold_of_each_item(item: str, fold: int, tmp_path: Path) -> None:
    for part, label in ((0, np.zeros_like(dot())), (1, dot())):
        write(tmp_path / item / f"Part{part}.jpg", noise(part))
        write(tmp_path / item / f"Part{part}_label.bmp", label)
    manifest = open_manifest(DataSpec(reader="kolektorsdd"), tmp_path, tmp_path / "cache")
    assert manifest.folds == (fold,)


def kolektor_with_lists(root: Path, items: int, masks: int) -> Path:
    """Two items, and the authors' lists for this many training items and masks of the first of them."""
    make_kolektor(root)
    train = [[(item, item == "kos02")] for item in ("kos01", "kos02", "kos02")]
    test = [[(item, True) for item in items] for items in KSDD_FOLDS]
    write_lists(root, f"KSDD/split_{items}_{masks}", train, test)
    return root


def test_kolektor_masks_are_those_of_the_authors_lists(tmp_path: Path) -> None:
    root = kolektor_with_lists(tmp_path / "data", 33, 5)
    spec = DataSpec(reader="kolektorsdd", masks="published", validation=None)
    manifest = open_manifest(spec, root, tmp_path / "cache")
    split = make_split(manifest, spec, Supervision(kind="mixed", masks=5), 0, 1)
    assert (split.train, split.masks) == (("kos02/Part0", "kos02/Part1"), ("kos02/Part1",))


NO_LIST = r"train_items: 5 items .*expected splits/KSDD/split_5_\*\.pyb below"


def test_kolektor_smaller_training_sets_are_those_of_the_authors_lists(tmp_path: Path) -> None:
    spec = DataSpec(reader="kolektorsdd", validation=None, options={"train_items": 5})
    root = make_kolektor(tmp_path / "data")
    with pytest.raises(InputError, match=NO_LIST):
        open_manifest(spec, root, tmp_path / "cache")
    manifest = open_manifest(spec, kolektor_with_lists(root, 5, 5), tmp_path / "cache")
    assert manifest.published.train == {0: {"kos01"}, 1: {"kos02"}, 2: {"kos02"}}


def test_kolektor_with_all_masks_needs_no_list(tmp_path: Path) -> None:
    spec = DataSpec(reader="kolektorsdd", masks="published", validation=None)
    manifest = open_manifest(spec, make_kolektor(tmp_path / "data"), tmp_path / "cache")
    assert make_split(manifest, spec, Supervision(kind="mixed", masks=33), 0, 1).masks == ("kos02/Part1",)
    with pytest.raises(InputError, match=r"for 33 items, read from splits/KSDD/split_33_.*; found mixed: 5"):
        make_split(manifest, spec, Supervision(kind="mixed", masks=5), 0, 1)


def test_kolektor_lists_of_other_folds_are_refused(tmp_path: Path) -> None:
    root = make_kolektor(tmp_path / "data")
    write_lists(root, "KSDD/split_33_5", [[], [], []], [[("kos01", True)], [("kos02", True)], []])
    with pytest.raises(
        InputError, match=r"split_33_5\.pyb: the test parts are not the three published folds"
    ):
        open_manifest(DataSpec(reader="kolektorsdd"), root, tmp_path / "cache")
    assert open_manifest(DataSpec(reader="kolektorsdd", splits="per_seed"), root, tmp_path / "cache").rows


def test_kolektor_image_of_circulating_copies_is_left_out(tmp_path: Path) -> None:
    root = make_kolektor(tmp_path)
    for part in (6, 7):
        write(root / "kos21" / f"Part{part}.jpg", noise(90 + part))
        write(root / "kos21" / f"Part{part}_label.bmp", np.zeros_like(dot()))
    spec = DataSpec(reader="kolektorsdd", splits="per_seed")
    manifest = open_manifest(spec, root, tmp_path / "cache")
    assert [row.sample for row in manifest.rows if row.group == "kos21"] == ["kos21/Part6"]


def test_kolektor_without_a_label_file_is_refused(tmp_path: Path) -> None:
    root = make_kolektor(tmp_path)
    (root / "kos01" / "Part0_label.bmp").unlink()
    with pytest.raises(InputError, match=r"kos01/Part0\.jpg has no mask: expected kos01/Part0_label\.bmp"):
        open_manifest(DataSpec(reader="kolektorsdd", splits="per_seed"), root, tmp_path / "cache")


@pytest.mark.parametrize("name", [b"good/g\xff.png", b"defect/kl\xe4sse/d.png"])
def test_a_name_that_is_no_utf_8_is_refused_and_shown_escaped(name: bytes, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    file = write(tmp_path / "a.png", noise(99))
    target = root / os.fsdecode(name)
    target.parent.mkdir(exist_ok=True)
    file.rename(target)
    shown = name.decode("utf-8", "backslashreplace")
    with pytest.raises(InputError, match=re.escape(f"text in UTF-8, found {shown}. Rename it")):
        open_folder(root, tmp_path / "cache")


def test_a_passed_over_file_whose_name_is_no_utf_8_is_told(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    (root / os.fsdecode(b"good/g\xff.heic")).touch()
    (finding,) = open_folder(root, tmp_path / "cache").findings
    assert r"good/g\xff.heic" in finding.text


def test_links_that_lead_to_each_other_are_followed_once(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    for name, other in (("a", "b"), ("b", "a")):
        write(root / "good" / name / f"{name}.png", noise(ord(name)))
        os.symlink(f"../{other}", root / "good" / name / "more", target_is_directory=True)
    listed = [path for path in images_below(root / "good") if path.name == "a.png"]
    assert [path.as_posix() for path in listed] == ["a/a.png", "b/more/a.png"]
