from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.made_images import make_folder
from trainables.data import DataSpec, open_manifest
from trainables.data.files.archives import unpack
from trainables.errors import InputError


def zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_archive_is_unpacked_once(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "set.zip", {"a/b.txt": b"content"})
    folder = unpack(archive, tmp_path / "cache")
    assert (folder / "a" / "b.txt").read_bytes() == b"content"
    (folder / "mark").touch()
    assert (unpack(archive, tmp_path / "cache") / "mark").exists()


def test_changed_archive_is_unpacked_anew(tmp_path: Path) -> None:
    first = unpack(zip_of(tmp_path / "set.zip", {"a.txt": b"1"}), tmp_path / "cache")
    second = unpack(zip_of(tmp_path / "set.zip", {"a.txt": b"22"}), tmp_path / "cache")
    assert first != second
    assert (second / "a.txt").read_bytes() == b"22"


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "C:\\evil.txt"])
def test_name_that_leaves_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "set.zip", {"good.txt": b"", name: b"evil"})
    with pytest.raises(InputError, match="leaves the folder"):
        unpack(archive, tmp_path / "cache")
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list(tmp_path.rglob("good.txt"))


def test_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(InputError, match="link: it is a link or a device"):
        unpack(tmp_path / "set.zip", tmp_path / "cache")


def test_name_of_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "set.zip", {"a": b"1", "a/b.txt": b"2"})
    with pytest.raises(InputError, match="a: its name is that of a folder, too"):
        unpack(archive, tmp_path / "cache")


def test_bomb_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "bomb.zip", {"zeros": bytes(65 << 20)})
    with pytest.raises(InputError, match="times the packed size"):
        unpack(archive, tmp_path / "cache")


def truncated(content: bytes) -> bytes:
    return content[:5000]


def with_a_byte_changed(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 0xFF]) + content[5001:]


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("damage", [truncated, with_a_byte_changed])
def test_damaged_archive_is_refused_and_leaves_nothing(
    damage: Callable[[bytes], bytes], method: int, tmp_path: Path
) -> None:
    archive = zip_of(tmp_path / "set.zip", {"a.bin": os.urandom(10_000)}, method)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(InputError, match="not a whole zip file"):
        unpack(archive, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("a.bin"))


def test_a_method_of_packing_that_is_not_read_is_named(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "set.zip", {"a.txt": b"content"})
    content = archive.read_bytes()
    for head, method_at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # of the member, of the directory
        at = content.index(head) + method_at
        content = content[:at] + b"\x09\0" + content[at + 2 :]
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"a.txt: it is packed by method 9; expected Deflate"):
        unpack(archive, tmp_path / "cache")


def test_study_may_name_a_zip(tmp_path: Path) -> None:
    make_folder(tmp_path / "parts")
    root = tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(root / "parts.zip", "w") as archive:
        for path in (tmp_path / "parts").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path))
    spec = DataSpec(reader="folder", path="parts.zip", splits="per_seed")
    assert len(open_manifest(spec, root, tmp_path / "cache").rows) == 14
