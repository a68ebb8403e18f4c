"""Extras: what some users need and the core does without, a folder each, and those of other packages.

A folder holds the extra's code, its page (``README.md``) and its tests, and says in its ``__init__.py`` what
it adds::

    EXTRA = Extra(
        name="slurm",
        summary="Studies as jobs of Slurm.",
        commands={"assay slurm quickstart --storage /shared/assay": "assay.extras.slurm.command:slurm"},
    )

Another distribution ships one by an entry point, whose name is the extra's::

    [project.entry-points."assay.extras"]
    slack = "my_package.slack:EXTRA"

The core asks this registry and imports no extra, so that it works with none of them installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from trainables.errors import InputError
from trainables.registry import Registry

if TYPE_CHECKING:
    from assay.analysis.results.followed import StudyState

__all__ = ["EXTRAS", "Extra", "RunListener", "load"]


class RunListener(Protocol):
    """Follows a run of a study from entering to leaving a ``with`` block, and never makes the study wait."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def see(self, state: StudyState) -> None:
        """Take note of a state of the study; returns at once."""
        ...

    def interrupt(self) -> None:
        """Say that the run was interrupted: leaving the block then waits a moment at most."""
        ...

    @property
    def trouble(self) -> str | None:
        """A sentence about what went wrong, which the run prints at its end; asked after the block."""
        ...


@dataclass(frozen=True, kw_only=True)
class Extra:
    """The parts that an extra adds to assay; each is named as ``module:name`` and loaded when it is used.

    Attributes:
        name: Of the folder, and of what is installed with it: ``assay[name]``.
        summary: A sentence for lists of extras.
        commands: Functions of `assay …`, by an example that `--help` shows; its second word is the command
            (after `data` or `studies` the third).
        answers: Types of JSON answers by name, whose schemas `assay schema --of NAME` prints.
        listener: ``(store) -> RunListener | None``, which follows a run.
        score_tables: ``(text, names, file) -> ReadTable | None``, which reads a table of scores; None: of a
            layout that it does not know. The types are those of :mod:`assay.analysis.scores.score_table`.
        needs: Packages that are not among the core's own, as they are imported.
    """

    name: str
    summary: str
    commands: Mapping[str, str] = field(default_factory=dict[str, str])
    answers: Mapping[str, str] = field(default_factory=dict[str, str])
    listener: str = ""
    score_tables: str = ""
    needs: tuple[str, ...] = ()

    def require(self) -> None:
        """See that the packages are there that the extra needs.

        Raises:
            InputError: If one is missing.
        """
        missing = [package for package in self.needs if find_spec(package) is None]
        if missing:
            raise InputError(
                f"{self.name} is an extra of assay that needs {' and '.join(missing)}, which this "
                f"environment does not have. Install it: pip install 'assay[{self.name}]'"
            )


EXTRAS: Registry[Extra] = Registry(
    Extra, noun="extra", group="assay.extras", package="assay.extras", attribute="EXTRA", folders=True
)


def load(place: str) -> Callable[..., Any]:
    """The function or type that an extra names as ``module:name``.

    Raises:
        InputError: If there is none, or its module cannot be imported.
    """
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"an extra names its parts as module:name, and {place} cannot be loaded: {error}. Repair or "
            "uninstall its distribution."
        ) from error
