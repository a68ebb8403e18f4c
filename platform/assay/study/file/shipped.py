"""Studies that come with assay, found by name wherever it is installed.

In the repository they lie in ``studies/``, in the wheel inside the package. A file of the user's own always
wins over a shipped study of the same name.

>>> found = find_study(Path("quickstart"))
>>> study = read_study(found.path)
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from trainables.errors import InputError

__all__ = ["FoundStudy", "copy_study", "find_study", "shipped_studies"]

SUFFIXES = (".yaml", ".yml")
_NAMED = 3  # shipped studies in a message


class FoundStudy(NamedTuple):
    """A study's file, and a remark where the user may have meant another one."""

    path: Path
    remark: str = ""


@cache
def shipped_studies() -> Mapping[str, Path]:
    """Name → file of every study that comes with assay; none in the code that a cluster was sent."""
    package = Path(__file__).parents[2]
    folders = (package / "studies", package.parents[1] / "studies")  # of the wheel, of the repository
    folder = next((folder for folder in folders if folder.is_dir()), None)
    files = sorted(folder.rglob("*.yaml")) if folder is not None else []
    return MappingProxyType({path.stem: path for path in files})


def find_study(text: Path) -> FoundStudy:
    """The file that a user means: its path, its name in this folder, or the name of a shipped study.

    Raises:
        InputError: If there is no such file and no shipped study of that name.
    """
    shipped = shipped_studies()
    if text.is_file() or len(text.parts) > 1 or text.suffix in SUFFIXES:
        return FoundStudy(_existing(text))

    # A file in this folder wins over a shipped study of the same name, and the user is told which of the two
    # is taken.
    file = next((path for suffix in SUFFIXES if (path := Path(f"{text}{suffix}")).is_file()), None)
    if file is not None:
        remark = f"taking {file} of this folder, not the study {text} that comes with assay"
        return FoundStudy(file, remark if text.name in shipped else "")
    if text.name in shipped:
        return FoundStudy(shipped[text.name], f"taking the study {text} that comes with assay")
    raise InputError(
        f"there is no file {text}.yaml in this folder, and no study {text} comes with assay"
        f"{_nearest_few(text.name)}"
    )


def copy_study(name: str, folder: Path) -> Path:
    """Copy a shipped study into ``folder``, which is made where it is missing; a file there stays.

    Raises:
        InputError: If no shipped study has this name, or the file exists or cannot be written.
    """
    shipped = shipped_studies()
    if name not in shipped:
        raise InputError(f"no study {name} comes with assay{_nearest_few(name)}")
    path = folder / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(shipped[name].read_bytes())
    except FileExistsError as error:
        raise InputError(
            f"{path} exists already and is not replaced. Name another folder, or remove it."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Name another folder.") from error
    return path


def _nearest_few(name: str) -> str:
    """End of a sentence that refuses a name: the shipped ones that are nearest."""
    near = get_close_matches(name, shipped_studies(), n=_NAMED, cutoff=0.4)
    nearest = f". The nearest: {', '.join(near)}" if near else ""
    return f"{nearest}. `assay studies` lists those that do."


def _existing(path: Path) -> Path:
    """Return ``path`` as it is; a missing one is left to the reader, unless its name is a known one."""
    if not path.exists() and path.stem in shipped_studies():
        raise InputError(
            f"{path}: there is no such file. A study of this name comes with assay: write {path.stem} for "
            f"{path}, or `assay studies copy {path.stem}` first."
        )
    return path
