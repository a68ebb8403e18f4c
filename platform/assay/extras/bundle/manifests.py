"""Data sets of a bundle: what a plan needs to know of images, without the images.

A file for each `data:` block, named by its hash. Measurements of masks are left out, since no split reads
them, and so are the folders of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.extras.bundle import MANIFESTS
from assay.storage.files.files import json_bytes
from assay.study import Plan
from assay.study.planning.identity import canonical_json, short_hash
from trainables.data.inspect.bits import Pixels
from trainables.data.inspect.findings import Finding, ImageRow
from trainables.data.manifest import COLUMNS, Manifest
from trainables.data.readers.base import PublishedSets
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["manifest_files", "manifest_opener", "read_manifest"]

OpenManifest = Callable[[DataSpec], Manifest]


def manifest_files(plan: Plan, open_manifest: OpenManifest) -> dict[str, bytes]:
    """Path → content of the file of each data set that the cells of a plan name.

    Raises:
        InputError: If the data are not at hand, or are others than those of the plan.
    """
    specs = {_path(cell.data): cell.data for cell in plan.designed}
    files: dict[str, bytes] = {}
    for path, spec in specs.items():
        manifest = open_manifest(spec)
        if manifest.hash not in plan.manifests:
            known = ", ".join(hash_[:12] for hash_ in plan.manifests)
            raise InputError(
                f"a bundle holds the data that the study was planned on, with the hash {known}, found "
                f"{manifest.hash[:12]} of reader {spec.reader}. Name the data as they were with --data, or "
                "run the study on them as they are now."
            )
        files[path] = _to_json(manifest)
    return files


def manifest_opener(files: Mapping[str, bytes]) -> OpenManifest:
    """Open the data sets of a bundle as a plan asks for them: by their `data:` block.

    The opener raises :class:`InputError` where the bundle does not hold one.
    """

    def opener(spec: DataSpec) -> Manifest:
        if _path(spec) not in files:
            raise InputError(f"the study needs the data {_path(spec)}, found none in the bundle.")
        return read_manifest(files[_path(spec)], _path(spec))

    return opener


def read_manifest(content: bytes, path: str) -> Manifest:
    """Read a data set that :func:`manifest_files` wrote; its paths lead nowhere.

    Raises:
        InputError: If it is no such file.
    """
    try:
        head = json.loads(content)
        rows = (dict(zip(head["columns"], row, strict=True)) for row in head["rows"])
        with_others = frozenset(head["shows_others"])
        published = head["published"]
        return Manifest(
            rows=tuple(
                ImageRow.model_validate({**row, "shows_others": row["sample"] in with_others}) for row in rows
            ),
            reader=head["reader"],
            root=Path(),
            mask_above=head["mask_above"],
            published=PublishedSets(
                masks={(n, fold): frozenset(items) for n, fold, items in published["masks"]},
                all_masks=published["all_masks"],
                train=None
                if published["train"] is None
                else {fold: frozenset(items) for fold, items in published["train"]},
                file=published["file"],
            ),
            findings=tuple(Finding.model_validate(finding) for finding in head["findings"]),
            indices=None if head["indices"] is None else tuple(head["indices"]),
            classes=tuple(head["classes"]),
            ignored=tuple(head["ignored"]),
            pixels=Pixels(**head["pixels"]),
        )
    except (KeyError, TypeError, ValueError) as error:  # of JSON and pydantic, too
        raise InputError(f"{path} of the bundle is no data set ({error}). Fetch the bundle again.") from None


def _to_json(manifest: Manifest) -> bytes:
    published, pixels = manifest.published, manifest.pixels
    masks = [(n, fold, sorted(items)) for (n, fold), items in published.masks.items()]
    train = None if published.train is None else [(f, sorted(i)) for f, i in sorted(published.train.items())]
    head: dict[str, Any] = {
        "hash": manifest.hash,
        "reader": manifest.reader,
        "mask_above": manifest.mask_above,
        "indices": manifest.indices,
        "classes": manifest.classes,
        "ignored": manifest.ignored,
        "pixels": {"samples": pixels.samples, "white": pixels.white, "peak": pixels.peak},
        "published": {
            "masks": sorted(masks, key=repr),
            "all_masks": published.all_masks,
            "train": train,
            "file": published.file,
        },
        "findings": [finding.model_dump(mode="json") for finding in manifest.findings],
        "shows_others": [row.sample for row in manifest.rows if manifest.ignored and row.shows_others],
        "columns": COLUMNS,
        "rows": [],
    }
    rows = [json.dumps(values, ensure_ascii=False) for values in manifest.listed]
    return json_bytes(head).replace(b'"rows": []', b'"rows": [\n' + ",\n".join(rows).encode() + b"\n ]")


def _path(spec: DataSpec) -> str:
    return f"{MANIFESTS}/{short_hash(canonical_json(spec.identity))}.json"
