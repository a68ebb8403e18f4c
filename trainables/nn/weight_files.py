"""Files with published weights: where they lie, and whether one is the one meant; without torch.

A study names a file relative to the folder ``ASSAY_WEIGHTS`` (an environment variable, as data roots are: a
study holds no paths of a machine) and says its sha256. Nothing is read of a file with another sha256.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath

from trainables.errors import InputError

__all__ = ["ROOT_VARIABLE", "check_name", "read_meant", "weights_path"]

ROOT_VARIABLE = "ASSAY_WEIGHTS"


def check_name(name: str) -> str:
    """``name`` if it is a relative path that cannot leave its root.

    Raises:
        ValueError: Otherwise.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ValueError(
            f"a file of weights is a path below the folder {ROOT_VARIABLE}, such as resnet18.pth; found "
            f"{name!r}"
        )
    return name


def weights_path(name: str, setting: str = "weights_file") -> Path:
    """Find the file ``name`` on this machine; ``setting`` names it in messages.

    Raises:
        InputError: If the folder is not declared, or the file is missing or lies outside of it.
    """
    declared = os.environ.get(ROOT_VARIABLE)
    if not declared:
        raise InputError(
            f"{setting}: {name} is looked for in the folder that the environment variable {ROOT_VARIABLE} "
            f"names, which is not set. Set it on every machine that trains, or leave {setting} out."
        )
    root = Path(declared).resolve()
    path = (root / name).resolve()  # through links, so that none leads out
    if not path.is_relative_to(root):
        raise InputError(f"{setting}: {name} leads out of {ROOT_VARIABLE}. Put the file itself there.")
    if not path.is_file():
        raise InputError(f"{setting}: there is no file {name} in {root} ({ROOT_VARIABLE}). Put it there.")
    return path


def read_meant(path: Path, sha256: str, setting: str = "weights_sha256") -> bytes:
    """The bytes of the file that a study means.

    Raises:
        InputError: If the file has another sha256.
    """
    # The sha256 is checked on the very bytes that are then read: the file might change in between.
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise InputError(
            f"{path.name} is not the file that the study means: its sha256 is {digest}, {setting} is "
            f"{sha256}. Fetch the file again, or correct {setting}."
        )
    return data
