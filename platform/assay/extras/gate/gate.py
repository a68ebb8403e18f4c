"""A gate from its question to its verdict: both sides are trained look by look, until all is said.

The first seed is trained alone. Where it ends in the same bits, the change has no effect on results, and
nothing more is trained.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from assay.analysis.results.reading import read_results
from assay.analysis.results.results import StudyResults
from assay.engine.versions import source_version
from assay.extras.gate.revisions import Revision, checked_out, find_revision, find_root
from assay.extras.gate.verdict import (
    SURE_SEEDS,
    CellVerdict,
    GateVerdict,
    decide_gate,
    interim_looks_of,
    same_bits,
)
from assay.storage import Store
from assay.study import Study, read_study
from assay.study.file.from_objects import study_yaml
from assay.study.planning.identity import short_hash
from assay.study.settings.methods import file_references
from trainables.errors import InputError

__all__ = ["Gate", "open_gate"]

_SIDE = Path(__file__).with_name("side.py")
_MESSAGE_CHARACTERS = 1000
_ORDERLY_SECONDS = 5.0  # for an interrupted training; the command itself is ended after eight


@dataclass(frozen=True)
class Gate:
    """The question whether a study gets worse from one revision to another."""

    study: Study
    root: Path  # of the repository
    file: Path  # of the study, in the repository
    base: Revision
    head: Revision
    paths: tuple[str, ...]  # folders of the repository that Python imports from

    def verdict(
        self, storage: str, options: dict[str, str | int | None], say: Callable[[str], None]
    ) -> GateVerdict:
        """Train both sides, as far as it takes.

        Args:
            storage: Where their trainings are kept.
            options: Of :func:`assay.run`.
            say: Is called with a line on what is done.

        Raises:
            InputError: If the study cannot be trained with the code of one side.
        """
        if self.base.code == self.head.code:
            return _unchanged("The code is the same.", 0)
        with ExitStack() as stack:
            codes = [stack.enter_context(checked_out(self.root, side)) for side in (self.base, self.head)]

            def trained(number: int) -> list[StudyResults]:
                """Both sides with their first so many seeds."""
                say(f"training {number} of {len(self.study.repeats.seeds)} seeds on both sides")
                return [
                    self._train(side, code, number, storage, options)
                    for side, code in zip((self.base, self.head), codes, strict=True)
                ]

            # Most changes touch nothing that trains. One seed that ends in the same bits proves it, and saves
            # all the others.
            if same_bits(*trained(1)):
                return _unchanged("The first seed ends in the same weights and scores, bit for bit.", 1)
            *looks, last = interim_looks_of(self.study)
            for number in looks:
                verdict = decide_gate(self.study, *trained(number))
                if verdict.over or verdict.decision == "worse":
                    return verdict
            return decide_gate(self.study, *trained(last))

    def _train(
        self, side: Revision, code: Path, number: int, storage: str, options: dict[str, str | int | None]
    ) -> StudyResults:
        """The first seeds of a side; what its code and these versions of libraries trained before stays."""
        # Trainings are kept under the code and the libraries that made them: the next gate finds those of its
        # base there.
        versions = source_version().packages
        place = f"{storage.rstrip('/')}/gate/{short_hash(f'{side.code} {versions}')}"
        repeats = self.study.repeats.model_copy(
            update={"seeds": self.study.repeats.seeds[:number], "decide": ()}
        )
        study = self.study.model_copy(update={"repeats": repeats})
        file = code / self.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(study_yaml(study), encoding="utf-8")
        imported = [*(str(code / path) for path in self.paths), os.environ.get("PYTHONPATH", "")]
        question = {"study": str(file), "code": str(code), "options": {"storage": place, **options}}

        # This process has imported a code of its own already, so that each side trains in another one.
        ended, said = _run(
            [sys.executable, "-P", str(_SIDE), json.dumps(question)],
            cwd=code,
            environment={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, imported))},
        )
        if ended:
            raise InputError(
                f"the study {study.study} cannot be trained with the code of {side.name} "
                f"({side.commit[:8]}): {' '.join(said.split())[-_MESSAGE_CHARACTERS:]}"
            )
        return read_results(Store.open(place), study.study)


def open_gate(file: Path, repository: Path, base: str, head: str, paths: Sequence[str]) -> Gate:
    """Read the study and look up both revisions.

    Raises:
        InputError: If the study is none that a gate can answer, or a revision is not there.
    """
    study, root = read_study(file), find_root(repository)
    seeds = len(study.repeats.seeds)
    if study.search is not None or study.resolve is None or seeds < SURE_SEEDS:
        lacks = f"{seeds} seeds, resolve {study.resolve}{', a search' if study.search else ''}"
        raise InputError(
            f"a gate needs a study with `resolve`, {SURE_SEEDS} seeds or more and no search, found {lacks} "
            f"in {file}. Add what is missing: of the seeds it trains no more than it takes."
        )
    path = file.resolve()
    place = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    methods = [(place.parent / name.rpartition(":")[0]).as_posix() for name in file_references(study)]
    sides = [find_revision(root, name, [*paths, *methods]) for name in (base, head)]
    return Gate(study, root, place, sides[0], sides[1], tuple(paths))


def _unchanged(why: str, seeds: int) -> GateVerdict:
    return GateVerdict((CellVerdict("all cells", "not worse", why),), seeds)


def _run(command: list[str], *, cwd: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and standard error of a process, which ends before this one where that is interrupted."""
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = process.communicate()[1]
        except BaseException:
            # The process is interrupted as by Ctrl-C, so that finished trials are kept, and killed only if it
            # does not go.
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ORDERLY_SECONDS)
            process.kill()  # what it started ends with it
            raise
        return process.returncode, said
