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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.files.atomic import exclusive, new_file
from trainables.data.files.sources import decode_image, resize_image
from trainables.data.inspect.findings import ImageRow
from trainables.data.manifest import Manifest
from trainables.data.spec import Tiles
from trainables.data.stored import read_image
from trainables.data.tiles import TileShape, tile_id

__all__ = ["ArrowImages", "open_images"]

_LAYOUT = 2  # raised when the same images give other bytes
_BATCH_BYTES = 16 << 20  # pixels held in memory while building
_LARGE_BYTES = 128 << 20  # pixels of decoded images that are held while they are cut
_KEY = b"assay.images"
_MAP_FIXED = 0x10  # sys/mman.h: at this address, in the place of what is mapped there

_Row = TypeVar("_Row")


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
            # Views of the mapped file, a block for each batch: nothing is read until an image is looked at.
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
        # Runs of images that go are overlaid with empty pages; which images go is a row of marks for each
        # block.
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
    *,
    tiles: Tiles | None = None,
) -> ArrowImages:
    """All images of ``manifest`` at ``image_size`` (height, width), from the cache; built if need be.

    With ``tiles`` these are their tiles (:func:`trainables.data.tiles.tile_id`).

    Args:
        manifest: The data set.
        image_size: Height and width, pixels. Images are resized bilinearly; their aspect is not kept.
        channels: 1 grey or 3 BGR.
        cache: Folder on this machine.
        progress: Called with images done and images in all while the file is built.
        tiles: That images are cut into; each fills ``image_size``.

    Raises:
        InputError: If an image changed since the manifest was read, or became unreadable.
    """
    shape = (*image_size, channels)
    # Whoever comes first builds the file under a lock; the others wait and then find it.
    content = _Content(manifest, shape, TileShape(tiles, *image_size) if tiles is not None else None)
    path = cache / "images" / f"{content.key}.arrow"
    images = _open(path, content)
    if images is None:
        with exclusive(path):
            images = _open(path, content)
            if images is None:
                with new_file(path) as unfinished:
                    _build(unfinished, content, progress)
                images = ArrowImages(path, shape)
    return images


def _forget(address: int, size: int) -> None:
    """Lay empty pages over the whole pages of a mapping."""
    start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
    if end <= start:
        return
    # Python's own mmap cannot map at a given address.
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
    arguments = (ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.PROT_READ, flags, -1, 0)
    if kernel.mmap(*arguments) != start:
        number = ctypes.get_errno()
        raise OSError(number, f"images cannot be taken out of this process: {os.strerror(number)}")


@dataclass(frozen=True)
class _Content:
    """All that decides the content of a file. The white point is in the manifest's hash."""

    manifest: Manifest
    shape: tuple[int, int, int]
    tiles: TileShape | None

    @cached_property
    def key(self) -> str:
        parts: list[object] = [_LAYOUT, self.manifest.hash, *self.shape]
        if self.tiles is not None:
            parts.append(self.tiles.tiles.model_dump())
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    @property
    def count(self) -> int:
        """Number of images or tiles."""
        rows, tiles = self.manifest.rows, self.tiles
        return len(rows) if tiles is None else sum(tiles.count(row.height, row.width) for row in rows)

    @property
    def rows_at_once(self) -> int:
        """Images in hand while building: tiles are views of theirs, which may be large."""
        height, width, channels = self.shape
        if self.tiles is None:
            return max(_BATCH_BYTES // (height * width * channels), 1)
        return max(_LARGE_BYTES // max(row.height * row.width * channels for row in self.manifest.rows), 1)

    def samples(self, row: ImageRow) -> list[tuple[str, NDArray[np.uint8]]]:
        """An image at the network's input size, or its tiles, by id."""
        height, width, channels = self.shape
        image = read_image(self.manifest, row, channels, decode_image)
        if self.tiles is None:
            return [(row.sample, resize_image(image, (height, width)))]
        cut = self.tiles.cut(self.tiles.shrink(image))
        return [(tile_id(row.sample, place.row, place.column), tile) for place, tile in cut]


def _open(path: Path, content: _Content) -> ArrowImages | None:
    try:
        images = ArrowImages(path, content.shape)
    except (FileNotFoundError, pa.ArrowInvalid, OSError, KeyError):
        return None
    return images if images.key == content.key and len(images) == content.count else None


def _build(path: Path, content: _Content, progress: Callable[[int, int], None] | None) -> None:
    pixels = int(np.prod(content.shape))
    schema = pa.schema(
        [pa.field("sample", pa.string()), pa.field("pixels", pa.binary(pixels))],
        metadata={_KEY: content.key.encode()},
    )
    every, done = content.manifest.rows, 0
    with (
        ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool,  # OpenCV releases the GIL
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        # Decoded in threads, written batch by batch: memory holds some images, however large the set is.
        for rows in _batches(every, content.rows_at_once):
            samples = [sample for of_image in pool.map(content.samples, rows) for sample in of_image]
            for batch in _batches(samples, max(_BATCH_BYTES // pixels, 1)):
                block = pa.py_buffer(np.concatenate([image.reshape(-1) for _, image in batch]))
                names = pa.array([name for name, _ in batch], pa.string())
                column = pa.Array.from_buffers(pa.binary(pixels), len(batch), [None, block])
                writer.write_batch(pa.record_batch([names, column], schema=schema))
            done += len(rows)
            if progress is not None:
                progress(done, len(every))


def _batches(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
