"""Zip files of a data root, unpacked once into the cache.

An archive from elsewhere is not trusted: names that leave the folder, links, encrypted members, and
bombs (more bytes than the limit, or than its packed size explains) are refused before the first byte is
written.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from trainables.data.files.atomic import exclusive, new_folder
from trainables.errors import InputError, StorageError

__all__ = ["unpack"]

MAX_BYTES = 200 << 30  # 200 GiB: larger sets are better kept unpacked
MAX_RATIO = 250  # of the whole archive; a single empty mask packs 1:1000, whole image sets about 1:4
# Windows packs files above 2 GB by another one: 9, Deflate64.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)
_SMALL = 64 << 20  # below this an archive of any ratio is harmless


def unpack(archive: Path, cache: Path) -> Path:
    """The folder that holds ``archive`` unpacked; the second call, in any process, finds it ready.

    Raises:
        InputError: If the file is no zip, is damaged, is unsafe, is packed by a method that is not read, or
            does not fit on the disk.
    """
    # Name, size and time stand for the content: hashing gigabytes in each run would take longer than
    # reading them.
    state = archive.stat()
    key = hashlib.sha256(f"{archive.name}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache / "unpacked" / f"{archive.stem}-{key}"
    if folder.is_dir():
        return folder
    with exclusive(folder):
        if not folder.is_dir():
            try:
                with zipfile.ZipFile(archive) as opened:
                    _unpack(opened, archive, folder)
            except (*_DAMAGE, OSError) as error:
                if isinstance(error, StorageError) or getattr(error, "errno", None):
                    raise  # of the disk; bz2 names what is damaged by an OSError without a number
                raise InputError(
                    f"{archive} is not a whole zip file ({error}). Fetch it again, or unpack it yourself."
                ) from error
    return folder


def _unpack(opened: zipfile.ZipFile, archive: Path, folder: Path) -> None:
    members = [member for member in opened.infolist() if not member.is_dir()]
    _refuse_unsafe(members, archive)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Refused before the first byte, since a full disk would stop other trials too.
    needed = sum(member.file_size for member in members)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise InputError(
            f"{archive} unpacks to {needed / 1e9:.1f} GB, and {folder.parent} has {free / 1e9:.1f} GB free. "
            "Choose another cache folder."
        )
    with new_folder(folder) as partial:
        for member in members:
            target = partial / member.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            # zipfile stops at the size that the member states, so the sum above is the most it writes.
            with opened.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def _refuse_unsafe(members: list[zipfile.ZipInfo], archive: Path) -> None:
    seen: set[str] = set()
    folders = {above for member in members for above in PurePosixPath(member.filename).parents}
    for member in members:
        name = PurePosixPath(member.filename)
        mode = member.external_attr >> 16
        # From the dangerous to the merely unusable; the first that holds is told.
        reason = None
        if not name.parts or name.is_absolute() or ".." in name.parts or set("\\:") & set(member.filename):
            reason = "its name leaves the folder it is unpacked to"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            reason = "it is a link or a device; expected plain files"
        elif member.flag_bits & 0x1:
            reason = "it is encrypted"
        elif member.compress_type not in _METHODS:
            reason = f"it is packed by method {member.compress_type}; expected Deflate, the usual one"
        elif member.filename in seen:
            reason = "its name occurs twice"
        elif name in folders:
            reason = "its name is that of a folder, too"
        if reason:
            raise InputError(
                f"{archive} is not unpacked: {member.filename}: {reason}. Pack the plain files again."
            )
        seen.add(member.filename)
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if total > MAX_BYTES or (total > _SMALL and total > MAX_RATIO * max(packed, 1)):
        raise InputError(
            f"{archive} is not unpacked: its {packed} bytes state {total} bytes of content; at most "
            f"{MAX_BYTES} and {MAX_RATIO} times the packed size are accepted. "
            "If it is right, unpack it yourself."
        )
