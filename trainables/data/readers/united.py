"""Several masks of one image, such as one for each defect, united into one in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from trainables.data.atomic import made_once
from trainables.data.formats import BrokenImageError
from trainables.data.masks import RUNS_SUFFIX, encode_runs
from trainables.data.sources import decode_mask, read_bytes
from trainables.errors import InputError

__all__ = ["united_masks"]


def united_masks(
    root: Path, masks: Mapping[str, Sequence[PurePosixPath]], mask_above: int, cache: Path
) -> Path:
    """A folder with one mask for each image, called like it but for its ending; made once.

    Args:
        root: Folder that all paths start at.
        masks: Files of masks by image.
        mask_above: A pixel of one of them shows a defect when its value is greater.
        cache: Folder on this machine.

    Raises:
        InputError: If a file cannot be read, or masks of one image differ in size.
    """
    state = [
        (image, [(str(file), *_stamp(root / file)) for file in files])
        for image, files in sorted(masks.items())
    ]
    key = hashlib.sha256(repr((str(root), mask_above, state)).encode()).hexdigest()[:16]

    def fill(folder: Path) -> None:
        for image, files in masks.items():
            united = _decoded(root, files[0], mask_above)
            for file in files[1:]:
                mask = _decoded(root, file, mask_above)
                if mask.shape != united.shape:
                    raise InputError(
                        f"{root}: masks of one image have one size, found {file} with "
                        f"{mask.shape[1]} × {mask.shape[0]} pixels and {files[0]} with "
                        f"{united.shape[1]} × {united.shape[0]}. Correct one."
                    )
                united |= mask
            flat = np.concatenate([[0], united.T.ravel(), [0]]).astype(np.int8)  # down each column
            edges = np.flatnonzero(np.diff(flat)).reshape(-1, 2)
            runs = [(int(first) + 1, int(end - first)) for first, end in edges]
            target = folder / PurePosixPath(image).with_suffix(RUNS_SUFFIX)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode_runs(*united.shape, runs))

    return made_once(cache / "united" / key, fill)


def _decoded(root: Path, file: PurePosixPath, mask_above: int) -> np.ndarray:
    try:
        return decode_mask(read_bytes(root, str(file)), mask_above)
    except BrokenImageError as error:
        raise InputError(f"{file}: {error.advice}.") from error


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # reading says which
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
