"""Who trains, who validates, who tests, and whose mask may be read.

A split depends on the data, the seed and the fold, never on the cell: supervision only takes masks away
(or, for ``none``, the defective images of the training part). Parts are drawn by physical item; items
that share an identical image count as one. Draws place each item by the hash of its name: file order
changes nothing.

`positives: N` keeps the first N defective training images of one random order, and `mixed: M` the masks of
the first M of the same order: both are nested, and masks belong to images that are kept. `normals: N` keeps
the first N normal ones, nested as well.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from trainables.data.inspect.duplicates import duplicate_advice
from trainables.data.inspect.findings import ImageRow, summarise
from trainables.data.manifest import Manifest
from trainables.data.seeds import seed_for, shuffled
from trainables.data.spec import DataSpec, HoldOut, MaskDetail, Supervision, Tiles
from trainables.errors import InputError

__all__ = ["Split", "items_of_rows", "lacks_normal", "make_split", "split_warnings"]


@dataclass(frozen=True)
class Split:
    """The samples of one repeat, in the manifest's order."""

    train: tuple[str, ...]
    validation: tuple[str, ...]  # () with `validation: none`
    test: tuple[str, ...]
    masks: tuple[str, ...]  # defective training samples whose mask may be read
    mask_detail: MaskDetail = "fine"  # of the masks of training and validation; "fine" where none is read
    tiles: Tiles | None = None  # that images are cut into
    calibration: tuple[str, ...] = ()  # read by nothing but the image threshold

    @cached_property
    def hash(self) -> str:
        """sha256 over all lists, the detail of masks where it is coarse, and what else the study asks for."""
        content = asdict(self) | {"tiles": self.tiles and self.tiles.model_dump()}
        if self.tiles is None:
            del content["tiles"]
        if self.mask_detail == "fine":
            del content["mask_detail"]
        if not self.calibration:
            del content["calibration"]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def make_split(
    manifest: Manifest, spec: DataSpec, supervision: Supervision, seed: int, fold: int | None
) -> Split:
    """The split of one repeat.

    Args:
        manifest: Of the data.
        spec: How they are divided.
        supervision: Labels that training may read.
        seed: Of the repeat.
        fold: A published fold, or None. With ``splits: per_seed`` the seed whose test images are held out:
            None, the repeat's own.

    Raises:
        InputError: If fold and splits do not fit together, or a part lacks defective images, normal images
            or masks that the supervision cannot do without.
    """
    # Labels of images say nothing of their tiles.
    if spec.tiles is not None and supervision.kind != "none" and not supervision.reads_masks:
        raise InputError(
            f"data.tiles needs masks or normal images to learn from, found supervision: {supervision}: a "
            "tile of a defective image may show the defect or not, and its image's label does not say. Use "
            "supervision: full, {mixed: N} or none, or leave data.tiles out."
        )

    # In this order: test first, then validation, then calibration, so what is asked for later never moves a
    # test image.
    pool, published, test = _partition(manifest, spec, seed, fold)
    if spec.validation is None:
        train, validation = pool, []
    elif published:
        train, validation = pool, published
    else:
        train, validation = _hold_out(pool, spec.validation, seed_for(seed, fold, "validation"))
    calibration: list[ImageRow] = []
    if spec.calibration is not None:
        train, calibration = _hold_out(train, spec.calibration, seed_for(seed, fold, "calibration"))
    # Parts are drawn before images go, so that test and validation keep their items.
    for name, values in (spec.train_where or {}).items():
        value_of = manifest.property(name)
        if unknown := sorted(set(values) - set(value_of.values())):
            raise InputError(
                f"data.train_where.{name}: no image of the data set has {', '.join(unknown)}; there are "
                f"{', '.join(sorted(set(value_of.values())))}"
            )
        train, validation, calibration = (
            [row for row in part if value_of[row.sample] in values]
            for part in (train, validation, calibration)
        )
    _require_labels(spec, supervision, train=train, validation=validation, test=test)

    # What supervision takes away comes last: all cells of a study share the parts before it.
    if supervision.kind == "none":
        train = [row for row in train if not row.label]
    else:
        # Masks are drawn from the same order, so those of few images are among those of many.
        by_masks = seed_for(seed, fold, "masks")
        train = _limit_images(train, True, spec.positives, "positives", by_masks)
    train = _limit_images(train, False, spec.normals, "normals", seed_for(seed, fold, "normals"))
    masks = _choose_masks(
        manifest, spec, supervision, train=train, validation=validation, seed=seed, fold=fold
    )
    return Split(
        train=tuple(row.sample for row in train),
        validation=tuple(row.sample for row in validation),
        test=tuple(row.sample for row in test),
        masks=tuple(row.sample for row in train if row.sample in masks),
        mask_detail=spec.mask_detail if supervision.reads_masks else "fine",
        tiles=spec.tiles,
        calibration=tuple(row.sample for row in calibration),
    )


def lacks_normal(manifest: Manifest, split: Split) -> bool:
    """True where no training image is normal: only few methods can do without."""
    return all(manifest.by_sample[sample].label for sample in split.train)


def split_warnings(manifest: Manifest, spec: DataSpec) -> tuple[str, ...]:
    """Footnotes of a table of results on these data: the findings that its splits leave standing."""
    texts: list[str] = []
    for finding in manifest.findings:
        if finding.kind not in ("duplicate", "near_copy"):
            texts.append(finding.text)
        elif spec.splits == "published" or (finding.kind == "near_copy" and spec.splits == "per_seed"):
            texts.append(duplicate_advice(finding, manifest.by_sample))
    return tuple(texts)


def _partition(
    manifest: Manifest, spec: DataSpec, seed: int, fold: int | None
) -> tuple[list[ImageRow], list[ImageRow], list[ImageRow]]:
    """Training part, the makers' validation part (mostly none), and test part."""
    rows = list(manifest.rows)
    validation: list[ImageRow] = []
    if spec.splits == "per_seed":
        drawn_by = seed if fold is None else fold
        # A fold stands for the seed that draws the test part, so several trainings can share one.
        train, test = _hold_out(rows, spec.test, seed_for(drawn_by, None, "test"))
        return train, [], test
    if manifest.folds:
        if fold not in manifest.folds:
            raise InputError(
                f"{manifest.reader} has the published folds {', '.join(map(str, manifest.folds))}; "
                f"found fold {fold}. List some of them in repeats.folds."
            )
        allowed = manifest.published.train[fold] if manifest.published.train is not None else None
        train = [row for row in rows if row.fold != fold and (allowed is None or row.group in allowed)]
        test = [row for row in rows if row.fold == fold]
    else:
        if fold is not None:
            raise InputError(
                f"{manifest.reader} has one published split and no folds; found fold {fold}. "
                "Leave repeats.folds out."
            )
        train = [row for row in rows if row.split == "train"]
        validation = [row for row in rows if row.split == "validation"]
        test = [row for row in rows if row.split == "test"]

    # Copies go from training and never from test, which stays the published one.
    if spec.splits == "deduplicated":
        validation = _without_copies(validation, test)
        train = _without_copies(train, [*test, *validation])
    return train, validation, test


def _without_copies(rows: Iterable[ImageRow], others: Iterable[ImageRow]) -> list[ImageRow]:
    """The rows of which no copy is among the others."""
    keys = {key for row in others for key in _copy_keys(row)}
    return [row for row in rows if keys.isdisjoint(_copy_keys(row))]


def _copy_keys(row: ImageRow) -> list[str]:
    """Names that an image shares with its copies."""
    return [f"bytes {row.image_hash}", *([] if row.copy_of is None else [f"copy of {row.copy_of}"])]


def items_of_rows(rows: Iterable[ImageRow]) -> dict[str, list[ImageRow]]:
    """Rows by item; items that share an identical image are joined under the first one's name."""
    # Items that share an image byte for byte are one: trained on one and tested on the other, the image
    # would be seen twice.
    leader: dict[str, str] = {}

    def find(group: str) -> str:
        while leader.setdefault(group, group) != group:
            group = leader[group]
        return group

    first: dict[str, str] = {}
    listed = list(rows)
    for row in listed:
        first_item, other = sorted((find(row.group), find(first.setdefault(row.image_hash, row.group))))
        leader[other] = first_item
    items: defaultdict[str, list[ImageRow]] = defaultdict(list)
    for row in listed:
        items[find(row.group)].append(row)
    return items


def _hold_out(rows: Sequence[ImageRow], part: HoldOut, seed: int) -> tuple[list[ImageRow], list[ImageRow]]:
    """Divides rows into those that stay and those held out: a share of the items, drawn class by class.

    An item belongs to the rarest defect class that it shows, or to the normal ones; each class gives
    its share, rounded, and never its last item. A defect class of two items or more gives at least one;
    where all defect classes have a single item, one of them is held out.
    """
    # Drawn by item and by its rarest class, so that a rare class is in both parts where it can be.
    items = items_of_rows(rows)
    shows = {name: {row.defect_class for row in images if row.label} for name, images in items.items()}
    frequency = Counter(defect_class for classes in shows.values() for defect_class in classes)
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for name, classes in shows.items():
        rarest = min(classes, key=lambda each: (frequency[each], str(each)), default=None)
        strata[f"defect {rarest}" if classes else "normal"].append(name)
    held_out: set[str] = set()
    for stratum, names in strata.items():
        count = int(part.share * len(names) + 0.5)
        count = min(max(count, 1 if stratum != "normal" else 0), len(names) - 1)
        held_out.update(shuffled(names, seed)[:count])

    # Where every class has a single item each share rounds to none; one of them is held out nevertheless.
    defective = [name for name, classes in shows.items() if classes]
    if len(defective) > 1 and not held_out.intersection(defective):
        held_out.add(shuffled(defective, seed)[0])
    chosen = {row.sample for name in held_out for row in items[name]}
    return (
        [row for row in rows if row.sample not in chosen],
        [row for row in rows if row.sample in chosen],
    )


def _require_labels(
    spec: DataSpec,
    supervision: Supervision,
    *,
    train: Sequence[ImageRow],
    validation: Sequence[ImageRow],
    test: Sequence[ImageRow],
) -> None:
    """Refuse parts that the supervision cannot use: what cannot be learned, and what cannot be measured."""
    # What cannot be measured is refused before what cannot be learned.
    larger = "Draw another seed, or choose a larger share of items"
    if spec.splits != "per_seed":
        larger = "Use `splits: per_seed`, which divides defective images among all parts"
    if not any(row.label for row in test):
        raise _lacking("test", test, "defective", f"nothing could be measured. {larger}")
    if supervision.kind != "none":
        if not any(row.label for row in train):
            way_out = f"{larger}; supervision none does without"
            raise _lacking(
                "train", train, "defective", f"supervision {supervision} learns from them. {way_out}"
            )
        if spec.validation is not None and not any(row.label for row in validation):
            way_out = "Raise data.validation.share, or use data.validation: none"
            raise _lacking("validation", validation, "defective", f"thresholds need some. {way_out}")
    if supervision.kind in ("none", "weak") and all(row.label for row in train):
        what = "trains on them alone" if supervision.kind == "none" else "tells defective images from them"
        way_out = "Add some, or use supervision full or {mixed: N} with a method that learns from masks alone"
        raise _lacking("train", train, "normal", f"supervision {supervision} {what}. {way_out}")


def _lacking(part: str, rows: Sequence[ImageRow], what: str, why: str) -> InputError:
    return InputError(f"every part needs {what} images: {part} has none among {len(rows)} images, and {why}.")


def _limit_images(
    train: list[ImageRow], defective: bool, number: int | None, setting: str, seed: int
) -> list[ImageRow]:
    """The training part with the first ``number`` of its defective or normal images; None: all of them."""
    if number is None:
        return train
    samples = [row.sample for row in train if row.label == defective]
    if number > len(samples):
        raise InputError(
            f"data.{setting}: {number} {'defective' if defective else 'normal'} images to train on, and the "
            f"training part has {len(samples)}. Ask for fewer, or leave it out to take all."
        )
    kept = set(shuffled(samples, seed)[:number])
    return [row for row in train if row.label != defective or row.sample in kept]


def _choose_masks(
    manifest: Manifest,
    spec: DataSpec,
    supervision: Supervision,
    *,
    train: Sequence[ImageRow],
    validation: Sequence[ImageRow],
    seed: int,
    fold: int | None,
) -> frozenset[str]:
    """Defective training samples whose mask the supervision lets training read."""
    if not supervision.reads_masks:
        return frozenset()
    # Full supervision needs every mask, but for those that are known to be empty; some masks are drawn from
    # an order in which smaller numbers are nested.
    positives = [row for row in train if row.label]
    known = [row.sample for row in positives if row.mask is not None]
    if supervision.kind == "full":
        _require_masks(manifest, [*positives, *(row for row in validation if row.label)])
        return frozenset(known)
    usable = [row.sample for row in positives if manifest.can_teach(row)]
    wanted = supervision.masks or 0
    if spec.masks == "published":
        return _published_masks(manifest, spec, wanted, positives, fold)
    if wanted > len(usable):
        _require_masks(manifest, positives)
        unusable = len(known) - len(usable)
        without = f", without {unusable} that show a class left out by `others: ignore`" if unusable else ""
        raise InputError(
            f"`{{mixed: {wanted}}}` reads {wanted} masks, and the training part has {len(usable)}{without}. "
            "Ask for fewer, or use `full`."
        )
    return frozenset(shuffled(usable, seed_for(seed, fold, "masks"))[:wanted])


def _published_masks(
    manifest: Manifest, spec: DataSpec, wanted: int, positives: Sequence[ImageRow], fold: int | None
) -> frozenset[str]:
    published = manifest.published
    if not published.masks or spec.splits == "per_seed":
        place = f" (they are read from {published.file})" if published.file else ""
        raise InputError(
            f"data.masks: published needs the makers' lists; {manifest.reader} has none for "
            f"splits: {spec.splits}{place}. Use data.masks: nested."
        )
    items = published.masks.get((wanted, fold))
    if items is None:
        numbers = sorted({number for number, _ in published.masks})
        place = f", read from {published.file}" if published.file else ""
        raise InputError(
            f"data.masks: published has lists for {', '.join(map(str, numbers))} items{place}; found "
            f"mixed: {wanted}. Add its list, choose one of these, or use data.masks: nested."
        )

    # The makers' lists count items of the whole training part, so nothing else may be taken from it.
    takes_some = spec.validation is not None and not any(row.split == "validation" for row in manifest.rows)
    takes_some = takes_some or spec.calibration is not None
    if takes_some and wanted != published.all_masks:
        raise InputError(
            f"data.masks: published lists {wanted} items of the whole training part, and data.validation "
            "or data.calibration would take some away. Use data.validation: none without calibration, "
            "or data.masks: nested."
        )
    chosen = [row for row in positives if row.group in items]
    _require_masks(manifest, chosen)
    return frozenset(row.sample for row in chosen if row.mask is not None)


def _require_masks(manifest: Manifest, positives: Sequence[ImageRow]) -> None:
    """Refuse a mask that is missing; an empty one is known to be unknown."""
    excused = manifest.samples_with("empty_mask")
    lacking = [row for row in positives if row.mask is None and row.sample not in excused]
    if not lacking:
        return
    # The inspection knows where the mask should have been, which the row does not.
    expected = {
        sample: file
        for finding in manifest.findings
        if finding.kind == "missing_mask"
        for sample, file in zip(finding.samples, finding.files, strict=True)
    }
    first = lacking[0]
    more = f" ({summarise([row.image for row in lacking[1:]])} have none either)" if lacking[1:] else ""
    raise InputError(
        f"{first.image} has no mask: expected {expected.get(first.sample) or 'one'}{more}. "
        "Unpack or add it, or use supervision: weak."
    )
