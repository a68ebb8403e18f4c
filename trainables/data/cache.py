"""Decoded images at network size in one Arrow file that all trials of a node map into memory.

The first to ask builds it, in batches of bounded size; others wait, then map the same pages. An image
is a read-only view of the file: no copy, no decoding. The file's name is a hash of all that decides its
content; a file that is cut short or is not what its name says is built again.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.atomic import exclusive, new_file
from trainables.data.formats import BrokenImageError
from trainables.data.inspection import ImageRow
from trainables.data.manifest import Manifest
from trainables.data.sources import decode_image, read_bytes, resize_image
from trainables.errors import InputError

__all__ = ["ArrowImages", "open_images"]

_LAYOUT = 1  # raised when the same images give other bytes
_BATCH_BYTES = 16 << 20  # pixels held in memory while building
_KEY = b"assay.images"
_MAP_FIXED = 0x10  # sys/mman.h: at this address, in the place of what is mapped there


class ArrowImages:
    """Images by sample id: read-only views (H × W × C, uint8) of a memory-mapped Arrow file."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        """Map ``path``.

        Raises:
            pa.ArrowInvalid: If it is not a whole Arrow file of images of this shape.
        """
        self.path = path
        self.shape = shape
        # Closed at once, the file stays mapped: its images need no open file.
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            self.key = (reader.schema.metadata or {}).get(_KEY, b"").decode()
            batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        self._pixels: list[NDArray[np.uint8]] = []
        self._place: dict[str, tuple[int, int]] = {}
        for number, batch in enumerate(batches):
            pixels = np.frombuffer(batch.column("pixels").buffers()[1], np.uint8)
            if pixels.size < batch.num_rows * int(np.prod(shape)):
                raise pa.ArrowInvalid(f"{pixels.size} bytes are fewer pixels than {batch.num_rows} rows have")
            self._pixels.append(pixels[: batch.num_rows * int(np.prod(shape))].reshape(-1, *shape))
            names = batch.column("sample").to_pylist()
            self._place.update({str(name): (number, index) for index, name in enumerate(names)})

    def __getitem__(self, sample_id: str, /) -> NDArray[np.uint8]:
        number, index = self._place[sample_id]
        return self._pixels[number][index]

    def __len__(self) -> int:
        return len(self._place)

    def only(self, samples: Iterable[str]) -> Self:
        """Forget all images but ``samples``: their pages leave this process, for good.

        What a page holds beside an image that stays, less than 4 KiB of its neighbour, stays with it.

        Raises:
            OSError: If the kernel refuses, which it does from some 60,000 separate runs of images on.
        """
        stays = {sample: self._place[sample] for sample in samples}
        kept = [np.zeros(len(pixels), dtype=np.bool_) for pixels in self._pixels]
        for number, index in stays.values():
            kept[number][index] = True
        for pixels, marks in zip(self._pixels, kept, strict=True):
            edges = np.flatnonzero(np.diff(np.concatenate([[True], marks, [True]]).astype(np.int8)))
            size = pixels.nbytes // max(1, len(pixels))
            for first, end in edges.reshape(-1, 2).tolist():
                _forget(pixels.ctypes.data + first * size, (end - first) * size)
        self._place = stays
        return self


def open_images(
    manifest: Manifest,
    image_size: tuple[int, int],
    channels: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> ArrowImages:
    """All images of ``manifest`` at ``image_size`` (height, width), from the cache; built if need be.

    Args:
        manifest: The data set.
        image_size: Height and width, pixels. Images are resized bilinearly; their aspect is not kept.
        channels: 1 grey or 3 BGR.
        cache: Folder on this machine.
        progress: Called with images done and images in all while the file is built.

    Raises:
        InputError: If an image changed since the manifest was read, or became unreadable.
    """
    shape = (*image_size, channels)
    key = hashlib.sha256(json.dumps([_LAYOUT, manifest.hash, *shape]).encode()).hexdigest()[:32]
    path = cache / "images" / f"{key}.arrow"
    images = _open(path, shape, key, len(manifest.rows))
    if images is None:
        with exclusive(path):
            images = _open(path, shape, key, len(manifest.rows))
            if images is None:
                with new_file(path) as unfinished:
                    _build(unfinished, manifest, shape, key, progress)
                images = ArrowImages(path, shape)
    return images


def _forget(address: int, size: int) -> None:
    """Lay empty pages over the whole pages of a mapping."""
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if end <= start:
        return
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
    arguments = (ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.PROT_READ, flags, -1, 0)
    if kernel.mmap(*arguments) != start:
        number = ctypes.get_errno()
        raise OSError(number, f"images cannot be taken out of this process: {os.strerror(number)}")


def _open(path: Path, shape: tuple[int, int, int], key: str, count: int) -> ArrowImages | None:
    try:
        images = ArrowImages(path, shape)
    except (FileNotFoundError, pa.ArrowInvalid, OSError, KeyError):
        return None
    return images if images.key == key and len(images) == count else None


def _build(
    path: Path,
    manifest: Manifest,
    shape: tuple[int, int, int],
    key: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    pixels = int(np.prod(shape))
    schema = pa.schema(
        [pa.field("sample", pa.string()), pa.field("pixels", pa.binary(pixels))],
        metadata={_KEY: key.encode()},
    )
    done = 0
    with (
        ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool,  # OpenCV releases the GIL
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for rows in _batches(manifest.rows, max(_BATCH_BYTES // pixels, 1)):
            images = list(pool.map(partial(_decode, manifest, shape), rows))
            block = pa.py_buffer(np.concatenate([image.reshape(-1) for image in images]))
            column = pa.Array.from_buffers(pa.binary(pixels), len(rows), [None, block])
            writer.write_batch(
                pa.record_batch([pa.array([row.sample for row in rows], pa.string()), column], schema=schema)
            )
            done += len(rows)
            if progress is not None:
                progress(done, len(manifest.rows))


def _batches(rows: Sequence[ImageRow], size: int) -> Iterator[Sequence[ImageRow]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _decode(manifest: Manifest, shape: tuple[int, int, int], row: ImageRow) -> NDArray[np.uint8]:
    height, width, channels = shape
    try:
        data = read_bytes(manifest.root, row.image)
        if hashlib.sha256(data).hexdigest() != row.image_hash:
            raise InputError(
                f"{row.image} changed since the data were read: its sha256 is not {row.image_hash[:12]}…. "
                "Plan the study again."
            )
        image = decode_image(data, channels)
    except BrokenImageError as error:
        raise InputError(f"{row.image}: {error}. Unpack or copy it again.") from error
    return resize_image(image, (height, width))
