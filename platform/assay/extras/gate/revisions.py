"""Two revisions of a git repository: what their code is, and each checked out into a folder of its own."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from trainables.errors import InputError

__all__ = ["Revision", "checked_out", "find_revision", "find_root"]


@dataclass(frozen=True)
class Revision:
    """A commit, and what of it decides how a study is trained."""

    name: str  # as the user typed it
    commit: str
    code: str  # hash of the files that Python imports


def find_root(folder: Path) -> Path:
    """The root of the git repository that a folder is in.

    Raises:
        InputError: If it is in none.
    """
    rule = f"a gate compares two revisions of a git repository, found {folder.resolve()}"
    way_out = "Mend that, or name its folder: --repository FOLDER."
    return Path(_git(folder, "rev-parse", "--show-toplevel", rule=rule, way_out=way_out))


def find_revision(root: Path, name: str, paths: Iterable[str]) -> Revision:
    """Look up a revision; ``paths``: files and folders of the repository that are its code.

    Raises:
        InputError: If the repository has none of that name.
    """
    rule = f"a gate compares two revisions of a git repository, found {name}"
    way_out = "Fetch what is not there (`git fetch`; in CI the whole history, not the last commit alone)."
    commit = f"{name}^{{commit}}"
    commit = _git(root, "rev-parse", "--verify", "--end-of-options", commit, rule=rule, way_out=way_out)

    # Git's hashes of these files stand for the code: to a gate, revisions that differ elsewhere are the same.
    rule = f"--path names folders of the repository, seen from its root, found {', '.join(paths)}"
    files = _git(root, "ls-tree", "-r", commit, "--", *paths, rule=rule, way_out="Name folders inside it.")
    if not files:
        raise InputError(
            f"--path names folders of the repository, found no file of {', '.join(paths)} in {name}. Name "
            "the folder that Python imports the method from."
        )
    return Revision(name, commit, hashlib.sha256(files.encode()).hexdigest()[:16])


@contextmanager
def checked_out(root: Path, revision: Revision) -> Generator[Path]:
    """Check a revision out into a folder that is there as long as this is entered."""
    with TemporaryDirectory(prefix="assay-gate-") as folder:
        place = Path(folder).resolve() / "code"
        rule = f"a gate checks out both revisions, and git cannot do so with {revision.name}"

        # A worktree shares the repository's objects, and leaves alone what the user has checked out.
        _git(root, "worktree", "add", "--detach", str(place), revision.commit, rule=rule)
        try:
            yield place
        finally:
            _git(root, "worktree", "remove", "--force", str(place), rule=rule)


def _git(folder: Path, *arguments: str, rule: str, way_out: str = "") -> str:
    """The answer of git; where it refuses, ``rule``, its own words and ``way_out`` are the message."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise InputError("a gate asks git for both revisions, found no git on this machine") from error
    if answer.returncode:
        said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        raise InputError(f"{rule}: {said.removesuffix('.')}. {way_out}".rstrip())
    return answer.stdout.strip()
