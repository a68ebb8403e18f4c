"""Bundles that were changed: by a disk, or by somebody who makes the hashes fit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.extras.bundle import METADATA
from assay.extras.bundle.archive import archive_bytes
from assay.storage.files.checksum import with_checksum, without_checksum

PHOTO = b"\x89PNG of a test image"


def path_like(files: Mapping[str, bytes], pattern: str) -> str:
    """The first path that matches a pattern as a whole."""
    return next(path for path in sorted(files) if re.fullmatch(pattern, path))


def flipped(content: bytes) -> bytes:
    """The content with one bit of its middle byte turned over."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def forged(files: Mapping[str, bytes], path: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """The files with one changed, and its hash in the description made to fit."""
    content = change(files[path])
    assert content != files[path], "a change changes something"
    crate = json.loads(files[METADATA])
    for entity in crate["@graph"]:
        if entity.get("name") == path:
            entity |= {"sha256": hashlib.sha256(content).hexdigest(), "contentSize": str(len(content))}
    return {
        **files,
        path: content,
        METADATA: json.dumps(crate, indent=1, ensure_ascii=False).encode(),
    }


def resealed(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    """Replace something inside of a file that has a checksum, and make that fit, too."""

    def change(content: bytes) -> bytes:
        return with_checksum(without_checksum(content).content.replace(before, after))

    return change


def packed(folder: Path, files: Mapping[str, bytes]) -> Path:
    """An archive of these files."""
    path = folder / "small.zip"
    path.write_bytes(archive_bytes(files))
    return path
