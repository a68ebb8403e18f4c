"""What program a record came from: package versions, a hash over the source, the commit."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import assay
import trainables

__all__ = ["SourceVersion", "source_version"]

_PACKAGES = ("torch", "ray", "numpy", "opencv-contrib-python-headless", "scikit-learn", "pyarrow")


class SourceVersion(NamedTuple):
    """Recorded, not hashed into ids: an edit does not invalidate results, a raised revision does."""

    packages: tuple[tuple[str, str], ...]
    source: str  # sha256 over the program's Python files
    commit: str  # empty outside a checkout


@cache
def source_version() -> SourceVersion:
    """The program that is running; looked up once per process."""
    roots = [Path(module.__file__ or "").parent for module in (assay, trainables)]
    digest = hashlib.sha256()
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    packages = {"python": platform.python_version(), "assay": assay.__version__}
    packages |= {name: version(name) for name in _PACKAGES}
    return SourceVersion(tuple(packages.items()), digest.hexdigest(), _commit(roots[1].parent))


def _commit(checkout: Path) -> str:
    if not (checkout / ".git").exists():
        return ""
    answer = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
