"""The data side of a plan: manifests, folds and splits, each looked up once however many cells share it.

A cell has one search, or one for each fold, each split of its own, or each seed of the search. A search sees
the validation and training images of its repeats. On prescribed folds these are test images of other folds,
and with ``splits: per_seed`` they are among the test images of fresh seeds. So a *nested* search stays on one
fold, or on the split of one seed, and its winner is trained again and tested there. On a split of its own the
repeat of a winner names the seed of that split as its fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from assay.study.file.schema import Study
from assay.study.file.source import StudyProblem, refuse
from assay.study.names import from_to
from assay.study.planning.cells import Cell, Trial, make_trial
from assay.study.planning.identity import CellIdentity, canonical_json
from assay.study.search.spec import Search
from assay.study.settings.settings import AnyTrainable, Settings
from trainables.contract import TrainableConfig
from trainables.data.spec import DataSpec
from trainables.data.threshold import Escapes, FalseAlarms, threshold_text
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.data.manifest import Manifest
    from trainables.data.splits import Split

__all__ = [
    "UNKNOWN",
    "DataPlan",
    "ManifestSummary",
    "Repeat",
    "choosing_parts",
    "plan_data",
    "reads_validation",
    "repeat_name",
    "repeats_per_point",
    "trials_on",
]

UNKNOWN = "unknown"  # hash of the manifest in a plan without data


class ManifestSummary(BaseModel):
    """Facts of a plan about a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    hash: str
    reader: str
    images: int
    defective: int
    with_mask: int
    folds: tuple[int, ...]
    tiles: int = 0  # that its images are cut into; 0: none is cut
    pixels: str  # how values become grey levels: `8 bits`


class Repeat(NamedTuple):
    """One training of a cell."""

    seed: int
    fold: int | None
    split: str  # hash, naming the mask subset


def repeat_name(seed: int, fold: int | None) -> str:
    """``seed 0``, ``seed 0 fold 2``."""
    return f"seed {seed}" if fold is None else f"seed {seed} fold {fold}"


@dataclass
class DataPlan:
    """Repeats (those of `replicate` last) and manifest of each cell, in the order of the cells."""

    repeats: list[tuple[Repeat, ...]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    manifests: dict[str, ManifestSummary] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def plan_data(
    study: Study, cells: Sequence[Settings], open_manifest: Callable[[DataSpec], Manifest] | None
) -> DataPlan:
    """Open every data set that the cells name, check the folds, and make every split.

    Raises:
        InputError: Naming each data set, fold or number of masks that cannot be had, and images that a
            trainable cannot do without.
    """
    return _DataPlanner(study, open_manifest).plan(cells)


class _DataPlanner:
    """Remembers manifests and splits by what they depend on; cells ask again and again."""

    def __init__(self, study: Study, open_manifest: Callable[[DataSpec], Manifest] | None) -> None:
        self.study = study
        self.open_manifest = open_manifest
        self.manifests: dict[str, Manifest | None] = {}
        self.repeats: dict[tuple[str, ...], tuple[Repeat, ...]] = {}
        self.problems: list[StudyProblem] = []
        self.result = DataPlan()

    def plan(self, cells: Sequence[Settings]) -> DataPlan:
        for cell in cells:
            key = canonical_json(cell.data.identity)
            if key not in self.manifests:
                self.manifests[key] = self._open(cell)
            manifest = self.manifests[key]

            # Cells share their repeats where all that a split depends on, and all that may refuse it, is the
            # same: a split is drawn once, not once for each cell.
            group = (
                key,
                str(cell.supervision),
                cell.trainable.needs_normal(cell.config) or "",
                str(reads_validation(self.study, cell.trainable, cell.config) or ""),
            )
            if group not in self.repeats:
                self.repeats[group] = tuple(self._repeats(cell, manifest, key))
            self.result.repeats.append(self.repeats[group])
            self.result.hashes.append(manifest.hash if manifest else UNKNOWN)
        on_folds = any(
            repeat.fold is not None
            for cell, repeats in zip(cells, self.result.repeats, strict=True)
            for repeat in repeats
            if cell.data.splits != "per_seed"  # there a nested search names splits so
        )
        if self.study.repeats.folds and not on_folds and not self.problems:
            named = ", ".join(dict.fromkeys(f"{cell.data.reader} ({cell.data.splits})" for cell in cells))
            message = (
                f"folds are published with the data, and `splits: per_seed` takes none, found {named}: leave "
                "`folds` out"
            )
            self.problems.append(StudyProblem(("repeats", "folds"), message))
        refuse(self.study.source, self.problems)
        return self.result

    def _open(self, cell: Settings) -> Manifest | None:
        if self.open_manifest is None:
            return None
        try:
            manifest = self.open_manifest(cell.data)
        except InputError as error:
            self.problems.append(StudyProblem(cell.place("data"), str(error)))
            return None
        from trainables.data.splits import split_warnings
        from trainables.data.tiles import TileShape

        self._refuse_unknown_properties(manifest)

        # The same images may be whole in one cell and cut into tiles in another: the number of tiles stays
        # with the data.
        before = self.result.manifests.get(manifest.hash)
        tiles = before.tiles if before is not None else 0
        if cell.data.tiles is not None:
            shape = TileShape(cell.data.tiles, *cell.config.image_size)
            tiles = sum(shape.count(row.height, row.width) for row in manifest.rows)
        images = len(manifest.rows)
        defective = sum(row.label for row in manifest.rows)
        if defective == images:
            self._refuse_rankings(images)
        self.result.manifests[manifest.hash] = ManifestSummary(
            hash=manifest.hash,
            reader=manifest.reader,
            images=images,
            defective=defective,
            with_mask=sum(row.mask is not None for row in manifest.rows),
            folds=tuple(manifest.folds),
            tiles=tiles,
            pixels=str(manifest.pixels),
        )
        warnings = split_warnings(manifest, cell.data)
        self.result.warnings += [text for text in warnings if text not in self.result.warnings]
        return manifest

    def _refuse_unknown_properties(self, manifest: Manifest) -> None:
        """Refuse conditions that no image of a data set is under."""
        for condition in self.study.conditions:
            if condition.kind != "where":
                continue
            place = ("test_under", "where", condition.by)
            try:
                known = set(manifest.property(condition.by).values())
            except InputError as error:
                self.problems.append(StudyProblem(place, str(error)))
                continue
            if unknown := sorted(set(condition.values) - known):
                message = (
                    f"no image of {manifest.reader} has {condition.by} {', '.join(unknown)}; there are "
                    f"{', '.join(sorted(known))}"
                )
                self.problems.append(StudyProblem(place, message))

    def _refuse_rankings(self, images: int) -> None:
        """Refuse to answer a question, or to search, by what data without normal images do not define."""
        from trainables.evaluation.metrics import METRICS, ImageMetric

        rankings = [(("metrics", "primary"), self.study.metrics.primary)]
        if self.study.search is not None:
            rankings += [(("search", "objective"), goal.metric) for goal in self.study.search.objectives]
        for place, name in rankings:
            metric = METRICS.get(name)
            if isinstance(metric, ImageMetric) and metric.needs_normal:
                message = (
                    f"{name} compares defective with normal images, and none of the {images} images "
                    "is normal. Use a metric that reads masks, such as pixel_iou or pixel_ap, or add normal "
                    "images"
                )
                self.problems.append(StudyProblem(place, message))

    def _repeats(self, cell: Settings, manifest: Manifest | None, key: str) -> Iterator[Repeat]:
        search, seeds = self.study.search, self.study.repeats.seeds
        fresh = self.study.replicate.seeds if self.study.replicate else ()
        folds = self._folds(cell, manifest)
        nested = search is not None and search.nested
        # A nested search on splits of their own: each winner is trained again on the split of its search.
        own_splits = nested and cell.data.splits == "per_seed"
        winners = zip(fresh, seeds, strict=bool(fresh)) if own_splits else product(fresh, folds)
        searched: list[Split] = []
        tested: list[Split] = []
        for number, (seed, fold) in enumerate((*product(seeds, folds), *winners)):
            if manifest is None:
                # Without data the block stands for the data: cells on other data keep ids of their own.
                yield Repeat(seed, fold, f"{UNKNOWN} {key}")
                continue
            split = self._split(cell, manifest, seed, fold)
            if split is None:
                return  # the same mistake would be found again in every other repeat
            (searched if number < len(seeds) * len(folds) else tested).append(split)
            yield Repeat(seed, fold, split.hash)
        warning = _overlap_warning(searched, tested) if tested and not nested else None
        if warning is not None and warning not in self.result.warnings:
            self.result.warnings.append(warning)

    def _folds(self, cell: Settings, manifest: Manifest | None) -> tuple[int | None, ...]:
        wanted, at = self.study.repeats.folds, ("repeats", "folds")
        if cell.data.splits == "per_seed":
            return (None,)
        if manifest is None:
            return wanted or (None,)
        published = ", ".join(map(str, manifest.folds))
        if not manifest.folds:  # of several data sets, some may have folds
            return (None,)
        if not wanted:
            message = f"{manifest.reader} publishes folds: name those to use, `folds: [{published}]`"
            self.problems.append(StudyProblem(at, message))
            return ()
        missing = [fold for fold in wanted if fold not in manifest.folds]
        if missing:
            names = ", ".join(map(str, missing))
            self.problems.append(
                StudyProblem(at, f"{manifest.reader} publishes the folds {published}, found {names}")
            )
            return ()
        return wanted

    def _split(self, cell: Settings, manifest: Manifest, seed: int, fold: int | None) -> Split | None:
        from trainables.data.splits import lacks_normal, make_split

        where = repeat_name(seed, fold)
        try:
            split = make_split(manifest, cell.data, cell.supervision, seed, fold)
        except InputError as error:
            place = cell.place("data" if cell.supervision.masks is None else "supervision")
            self.problems.append(StudyProblem(place, f"{where}: {error}"))
            return None

        # Methods that learn nothing without normal images say so, and are refused before anything trains.
        way_out = cell.trainable.needs_normal(cell.config)
        if way_out is not None and lacks_normal(manifest, split):
            message = (
                f"{where}: {cell.trainable.name} trains on defective and normal images, and none of the "
                f"{len(split.train)} training images is normal. {way_out}"
            )
            self.problems.append(StudyProblem(cell.place("data"), message))
            return None
        try:
            self._refuse_promise(cell, manifest, split)
        except InputError as error:
            self.problems.append(StudyProblem(cell.place("data"), f"{where}: {error}"))
            return None
        return split

    def _refuse_promise(self, cell: Settings, manifest: Manifest, split: Split) -> None:
        """Refuse a promise of the threshold that the parts of a split cannot keep.

        Raises:
            InputError: If there are too few, or something else has chosen by them.
        """
        from trainables.evaluation.operating_point import refuse_too_few

        promise = cell.data.threshold
        if not isinstance(promise, (FalseAlarms, Escapes)):
            return
        reader = reads_validation(self.study, cell.trainable, cell.config)
        if reader is not None and not split.calibration:
            raise InputError(
                f"a promise ({threshold_text(promise)}) needs parts that nothing else has read, and {reader} "
                "chooses by validation. Write data.calibration: {share: 0.3, by: item}, taken from training."
            )
        part, good, defective = choosing_parts(manifest, split)
        refuse_too_few(promise, good, defective, part)


def choosing_parts(manifest: Manifest, split: Split) -> tuple[str, int, int]:
    """The part of a split that chooses the threshold, and how many good and defective items it has."""
    # A promise is about items, since the images of one are not independent. An item is defective if one of
    # its images is.
    defective: dict[str, bool] = {}
    for row in (manifest.by_sample[sample] for sample in split.calibration or split.validation):
        defective[row.group] = defective.get(row.group, False) or row.label
    bad = sum(defective.values())
    return "calibration" if split.calibration else "validation", len(defective) - bad, bad


def reads_validation(study: Study, trainable: AnyTrainable, config: TrainableConfig) -> str | None:
    """Name what chooses by validation images beside the threshold; None: nothing does."""
    if study.search is not None:
        return "the search"
    return trainable.name if trainable.reads_validation(config) else None


def _overlap_warning(searched: Sequence[Split], tested: Sequence[Split]) -> str | None:
    """Count the test images that a search has seen; None where it saw none of them."""
    validated = {sample for split in searched for sample in split.validation}
    trained = {sample for split in searched for sample in split.train}
    tests = [set(split.test) for split in tested]
    if all(test.isdisjoint(validated | trained) for test in tests):
        return None
    images = from_to(len(test) for test in tests)
    validation, training = (from_to(len(test & part) for test in tests) for part in (validated, trained))
    return (
        f"Of the {images} test images of a winner, {validation} validated points of the search and "
        f"{training} trained them, which flatters the winner. `search: {{nested: true}}` searches each fold "
        "or split by itself."
    )


def trials_on(
    cell: Cell, hashed: Mapping[str, Any], manifest: str, repeats: Iterable[Repeat]
) -> Iterator[Trial]:
    """The trial of a cell on each of some repeats; ``hashed``: the settings that decide ids."""
    writer = CellIdentity(
        trainable=cell.trainable,
        revision=cell.revision,
        config=hashed,
        manifest=manifest,
        supervision=cell.supervision.model_dump(mode="json"),
        threshold=cell.data.model_dump(mode="json").get("threshold", "f1"),
    )
    for seed, fold, split in repeats:
        id_ = writer.trial_id(split=split, seed=seed, fold=fold)
        shown = split if manifest != UNKNOWN else UNKNOWN
        yield make_trial(cell, id=id_, seed=seed, fold=fold, manifest=manifest, split=shown)


def repeats_per_point(study: Study, search: Search) -> int:
    """Count the trainings of a point, from the study alone: a data set may have no folds."""
    seeds, folds = len(study.repeats.seeds), max(1, len(study.repeats.folds))
    if not search.nested:
        return seeds * folds
    return 1 if study.data.splits == "per_seed" else seeds
