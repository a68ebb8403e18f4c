"""Every study that comes with assay says in its header what it needs, and plans with that alone."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay.study import Plan, plan_study, read_study
from tests.data.made_images import dot, noise, write
from tests.data.published_trees import KSDD_FOLDS, make_elpv_package, make_mvtec, write_lists
from trainables.data import DataSpec, Manifest, open_manifest
from trainables.data.readers import READERS
from trainables.data.readers.base import Reader
from trainables.errors import InputError

STUDIES = sorted((Path(__file__).parents[2] / "studies").rglob("*.yaml"))
REFUSED = "segdec_table4_as_published"  # on purpose
SOUND = [path for path in STUDIES if path.stem != REFUSED]
HOLDS = re.compile(r"PATH holds (.+?)(?:, too)?(?:\. |$)", re.MULTILINE)


# Data of each makers' layout, with as many images of a kind as the studies ask for ---------------------


class Images:
    """Tiny images that all differ."""

    def __init__(self) -> None:
        self.number = 0

    def put(self, image: Path, mask: Path | None = None, defective: bool = False) -> None:
        self.number += 1
        write(image, noise(self.number))
        if mask is not None:
            write(mask, dot(value=255 if defective else 0))


def make_ksdd(root: Path) -> None:
    images = Images()
    for item in sorted(item for items in KSDD_FOLDS for item in items):
        for part in range(3):
            stem = root / "KolektorSDD" / item / f"Part{part}"
            images.put(stem.with_suffix(".jpg"), stem.with_name(f"{stem.name}_label.bmp"), part == 0)


def make_ksdd_lists(root: Path) -> None:
    """As many masks of the training items of each fold as a file's name says, the first of them."""
    every = sorted(item for items in KSDD_FOLDS for item in items)
    test = [[(item, True) for item in items] for items in KSDD_FOLDS]
    for masks in (0, 5, 10, 15, 20, 33):
        train = [[item for item in every if item not in items] for items in KSDD_FOLDS]
        listed = [[(item, place < masks) for place, item in enumerate(items)] for items in train]
        write_lists(root, f"KSDD/split_33_{masks}", listed, test)


def make_ksdd2(root: Path) -> None:
    images = Images()
    for part, defective, normal in (("train", 246, 40), ("test", 20, 20)):
        for number in range(defective + normal):
            stem = root / "KolektorSDD2" / part / str(10000 + number)
            images.put(stem.with_suffix(".png"), stem.with_name(f"{stem.name}_GT.png"), number < defective)


def make_dagm(root: Path) -> None:
    images = Images()
    for number in range(1, 11):
        for part in ("Train", "Test"):
            folder = root / f"Class{number}" / part
            for place in range(1, 71):
                label = folder / "Label" / f"{place:04d}_label.PNG" if place <= 50 else None
                images.put(folder / f"{place:04d}.PNG", label, defective=True)


def make_mtd(root: Path) -> None:
    images = Images()
    for name in ("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"):
        for number in range(360 if name == "Free" else 60):
            exposure = 6 - number % 6  # a fall begins another tile
            stem = root / "MTD" / f"MT_{name}" / "Imgs" / f"exp{exposure}_num_{number}"
            images.put(stem.with_suffix(".jpg"), stem.with_suffix(".png"), name != "Free")


def make_severstal(root: Path) -> None:
    """Images with a defect of class 3 and normal ones, enough for the training sets of the studies."""
    images, lines = Images(), ["ImageId,ClassId,EncodedPixels"]
    for number in range(5_950):
        images.put(root / "train_images" / f"{number:04d}.jpg")
        lines += [f"{number:04d}.jpg,3,1 4"] if number < 4_450 else []
    (root / "train.csv").write_text("\n".join(lines), encoding="utf-8")


def make_steel_lists(root: Path) -> None:
    def names(*numbers: range) -> list[tuple[str, bool]]:
        return [(f"{number:04d}", True) for part in numbers for number in part]

    train, test = names(range(200), range(5_000, 5_040)), names(range(300, 400), range(5_040, 5_080))
    write_lists(root, "STEEL/split_3000_3000", train, test, names(range(500, 550), range(5_080, 5_100)))


def make_categories(root: Path) -> None:
    names = (
        "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor"
    )
    for number, name in enumerate((*names.split(), "wood", "zipper")):
        make_mvtec(root / "mvtec_anomaly_detection" / name, first=100 * number)


def zipped(make: Callable[[Path], None], name: str) -> Callable[[Path], None]:
    def make_zip(root: Path) -> None:
        make(root)
        shutil.make_archive(str(root / name), "zip", root, name)
        shutil.rmtree(root / name)

    return make_zip


# What a header says → reader, and what makes it: each alternative for itself.
PLACES: dict[str, tuple[str, tuple[Callable[[Path], None], ...]]] = {
    "KolektorSDD.zip or the folder KolektorSDD": (
        "kolektorsdd",
        (zipped(make_ksdd, "KolektorSDD"), make_ksdd),
    ),
    "KolektorSDD2.zip or the folder KolektorSDD2": (
        "kolektorsdd2",
        (zipped(make_ksdd2, "KolektorSDD2"), make_ksdd2),
    ),
    "the folder MTD or MTD.zip": ("mtd", (make_mtd, zipped(make_mtd, "MTD"))),
    "the folders Class1 to Class10": ("dagm", (make_dagm,)),
    "train.csv and the folder train_images": ("severstal", (make_severstal,)),
    "the folder mvtec_anomaly_detection": ("mvtec", (make_categories,)),
    "splits/KSDD": ("", (make_ksdd_lists,)),
    "splits/STEEL": ("", (make_steel_lists,)),
}


# What the headers say ------------------------------------------------------------------------------------


def needed(path: Path) -> tuple[str, ...]:
    """The places that a study's header says its data root holds."""
    return tuple(HOLDS.findall(path.read_text(encoding="utf-8").partition("\nstudy:")[0]))


def readers_of(path: Path) -> list[Reader]:
    """Those of the study's data, and of levels with data of their own."""
    study = read_study(path)
    levels = (level for factor in study.factors.values() for level in factor.values())
    own = (level.data["reader"] for level in levels if "reader" in level.data)
    return [READERS[name] for name in dict.fromkeys([study.data.reader, *own])]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, tuple[str, ...]], Plan]:
    """Plans a study on a data root that holds the first alternative of each place, and nothing else."""
    cache = tmp_path_factory.mktemp("cache")

    @functools.cache
    def root(places: tuple[str, ...]) -> Path | None:
        if not places:
            return None
        made = tmp_path_factory.mktemp("data")
        for place in places:
            PLACES[place][1][0](made)
        return made

    @functools.cache
    def opened(spec: str, places: tuple[str, ...]) -> Manifest:
        return open_manifest(DataSpec.model_validate_json(spec), root(places), cache)

    def plan(path: Path, places: tuple[str, ...]) -> Plan:
        return plan_study(read_study(path), lambda spec: opened(spec.model_dump_json(), places), "cpu")

    return plan


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package of ELPV, as `pip install` lays it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(make_elpv_package(tmp_path_factory.mktemp("packages"), certain=130, doubtful=5))
        yield


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
@pytest.mark.usefixtures("installed")
def test_a_study_plans_with_what_its_header_says(
    path: Path, planned: Callable[[Path, tuple[str, ...]], Plan]
) -> None:
    places, readers = needed(path), readers_of(path)
    assert {PLACES[place][0] for place in places} - {""} == {r.name for r in readers if r.needs_root}
    text = path.read_text(encoding="utf-8")
    assert all(reader.package is None or f"pip install {reader.package}" in text for reader in readers)
    assert planned(path, places).size


@pytest.mark.parametrize("place", [place for place, (_, makers) in PLACES.items() if len(makers) > 1])
def test_what_a_header_offers_instead_is_the_same_data(place: str, tmp_path: Path) -> None:
    reader, makers = PLACES[place]
    hashes: set[str] = set()
    for number, make in enumerate(makers):
        root = tmp_path / str(number)
        root.mkdir()
        make(root)
        hashes.add(open_manifest(DataSpec(reader=reader, splits="per_seed"), root, tmp_path / "cache").hash)
    assert len(hashes) == 1


WITH_LISTS = [path for path in SOUND if any(not PLACES[place][0] for place in needed(path))]


@pytest.mark.parametrize("path", WITH_LISTS, ids=lambda path: path.stem)
def test_lists_that_a_header_asks_for_are_needed(
    path: Path, planned: Callable[[Path, tuple[str, ...]], Plan]
) -> None:
    with pytest.raises(InputError, match=r"splits/\w+/split_\w+\*?\.pyb below the data root, of github\.com"):
        planned(path, needed(path)[:1])
