"""The images of a study that are worth a mask next, as a list for a labelling tool.

A rule (:mod:`trainables.next_images`) picks among the defective training images of a trial that have no mask.
The models that it asks are those that trials of one cell kept. Images of validation and test are left alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from assay.production.model import load_model, model_files
from assay.storage import Record, Store
from assay.study import Trial
from assay.study.names import counted
from trainables.data import Manifest, Split, make_split, open_images, open_manifest, seed_for
from trainables.data.seeds import shuffled
from trainables.data.spec import ChoiceRule
from trainables.errors import InputError
from trainables.model_scorer import ModelScorer
from trainables.next_images import NextImage, draw_maps, next_images
from trainables.pilot import PILOTS

__all__ = ["LabelList", "list_bytes", "list_to_label", "records_for", "refuse_list_file"]


class LabelList(NamedTuple):
    """Images to draw masks of, best first, and what they were picked from."""

    rule: ChoiceRule
    images: tuple[NextImage, ...]
    manifest: Manifest
    candidates: int  # defective training images without a mask
    trials: tuple[str, ...]  # whose models were asked


def records_for(rule: ChoiceRule, cell: str | None, records: Sequence[Record]) -> list[Record]:
    """Finished trials of one cell, with as many models as the rule asks; the first one's split is taken.

    Args:
        rule: By which images are picked.
        cell: Name; None: the only cell that has what the rule asks.
        records: Of a study.

    Raises:
        InputError: If no cell or several have it.
    """
    needed = len(PILOTS[rule])
    cells: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.trial["seed"], record.trial["fold"] or 0)):
        if record.status == "finished" and (not needed or model_files(record)):
            cells.setdefault(record.trial["cell"], []).append(record)
    able = {name: of_cell[: max(1, needed)] for name, of_cell in cells.items() if len(of_cell) >= needed}
    if cell is None and len(able) == 1:
        return next(iter(able.values()))
    if cell in able:
        return able[cell]
    models = f", with {counted(needed, 'kept model')} (`keep: {{models: all}}`)" if needed else ""
    cells_that_can = f"{counted(len(able), 'such cell')}: {', '.join(able)}" if able else "no such cell"
    ways = ["name one with --from"] if able else []
    if needed:
        ways.append("take another rule: `coverage` asks no model")
    way_out = ", or ".join(ways) or "run the study"
    raise InputError(
        f"--by {rule} goes by finished trials of one cell{models}: found {cells_that_can}. "
        f"{way_out[0].upper()}{way_out[1:]}."
    )


def list_to_label(
    rule: ChoiceRule,
    count: int,
    records: Sequence[Record],
    store: Store,
    *,
    data: Path | None,
    cache: Path,
) -> LabelList:
    """Let a rule pick ``count`` images, or as many as there are.

    Args:
        rule: By which images are picked.
        count: Images to pick.
        records: Those of :func:`records_for`.
        store: Has their models.
        data: Root of the data.
        cache: Folder of decoded images.

    Raises:
        InputError: If the data are not those of the trials, are cut into tiles, or all masks are there.
    """
    trial = Trial.model_validate(records[0].trial)
    if trial.data.tiles is not None:
        raise InputError(f"a rule picks whole images, found data.tiles in {trial.cell}. Label tiles by hand.")
    manifest = open_manifest(trial.data, data, cache)
    if manifest.hash != trial.manifest:
        raise InputError(
            f"the data are not those of trial {trial.id}: manifest {manifest.hash[:12]}, trained on "
            f"{trial.manifest[:12]}. Name the root of the same files with --data, or run the study on these."
        )
    split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
    candidates, known = _without_mask(manifest, split)
    if not candidates:
        raise InputError(
            f"all {len(known)} defective training images of trial {trial.id} have a mask: there is none to "
            "label. Add images without one to the data, and run the study on them."
        )
    if rule == "random":
        order = shuffled(candidates, seed_for(trial.seed, trial.fold, "masks"))[:count]
        picked = [NextImage(sample, 0.0) for sample in order]
    else:
        height, width = trial.config["image_size"]
        images = open_images(manifest, (height, width), trial.config["channels"], cache)
        models = [load_model(store, record) for record in records[: len(PILOTS[rule])]]
        first = [draw_maps(ModelScorer(m.predictor, m.device), candidates, images) for m in models]
        picked = next_images(rule, count, candidates, known=known, images=images, first=first)
    trials = tuple(record.id for record in records[: len(PILOTS[rule])])
    return LabelList(rule, tuple(picked), manifest, len(candidates), trials)


def refuse_list_file(path: Path) -> None:
    """Refuse a file for :func:`list_bytes`, before models are asked for what it is to hold.

    Raises:
        InputError: If the file exists, or its name ends otherwise.
    """
    if path.suffix not in (".csv", ".json") or path.exists():
        raise InputError(f"--output names a new file that ends with .csv or .json, found {path}.")


def list_bytes(labels: LabelList, suffix: str) -> bytes:
    """Content of a file: ``.csv``, a row for each image, or ``.json``, a COCO file without annotations."""
    rows = [labels.manifest.by_sample[image.sample] for image in labels.images]
    text = io.StringIO(newline="")
    if suffix == ".csv":
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("image", "rank", labels.rule))
        values = ("" if labels.rule == "random" else f"{image.value:.6g}" for image in labels.images)
        table.writerows(zip((row.image for row in rows), range(1, len(rows) + 1), values, strict=True))
    else:
        images = [
            {"id": rank, "file_name": row.image, "height": row.height, "width": row.width}
            for rank, row in enumerate(rows, 1)
        ]
        categories = [{"id": 1, "name": "defect"}]
        json.dump({"images": images, "annotations": [], "categories": categories}, text, ensure_ascii=False)
    return text.getvalue().encode()


def _without_mask(manifest: Manifest, split: Split) -> tuple[list[str], list[str]]:
    """Defective training samples without a mask, and with one."""
    rows = [row for row in map(manifest.by_sample.__getitem__, split.train) if row.label]
    return (
        [row.sample for row in rows if row.mask is None],
        [row.sample for row in rows if row.mask is not None],
    )
