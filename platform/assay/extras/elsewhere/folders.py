"""The folder that goes out and comes back: which images a repeat may see, and where its answers lie."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.engine.worker.trial import TrialData
from assay.production.folder import write_inside
from assay.study import Plan, SearchPlan, Trial
from trainables.data.samples import ImageSet
from trainables.data.stored import png_of
from trainables.errors import InputError
from trainables.plugins.catalogue import find_trainable
from trainables.program.exchange import write_data

__all__ = ["STUDY_FILE", "Place", "blind_names", "places_of", "read_places", "refuse_others", "write_split"]

STUDY_FILE = "study.yaml"
_TRIALS_FILE = "trials.csv"
_COLUMNS = ("cell", "seed", "fold", "trial", "data", "answers")


@dataclass(frozen=True)
class Place:
    """A trial, and the folders of its data and of its answers below the split's."""

    trial: Trial
    data: str
    answers: str

    @property
    def row(self) -> tuple[str, ...]:
        """Line of the trial in the table of trials."""
        trial = self.trial
        fold = "" if trial.fold is None else str(trial.fold)
        return (trial.cell, str(trial.seed), fold, trial.id, self.data, self.answers)


def refuse_others(plan: Plan) -> None:
    """See that a loop of one's own can train a plan.

    Raises:
        InputError: If a method of assay trains some of it, it is a search, or images are cut into tiles.
    """
    name, others = plan.study.study, [one for one in plan.trainables if find_trainable(one).trained_here]
    if others:
        raise InputError(
            f"predictions of your own loop are those of `trainable: elsewhere`, found {', '.join(others)} in "
            f"{name}. Name `elsewhere` in the study, or train it with `assay run`."
        )
    if isinstance(plan, SearchPlan):
        raise InputError(
            f"a search draws its points while it trains, found `search` in {name}. Write the points as "
            "levels."
        )
    if any(trial.data.tiles is not None for trial in plan.trials):
        raise InputError(
            f"predictions of your own loop are of whole images, found `data.tiles` in {name}. Leave it out, "
            "and cut images in your loop."
        )


def places_of(plan: Plan) -> list[Place]:
    """Every trial with its folders: trials that may see the same have the same data."""
    # Trials that may see the same, by all that decides it.
    alike: dict[tuple[str, ...], list[Trial]] = {}
    for trial in plan.trials:
        sees = (
            str(trial.seed),
            str(trial.fold),
            trial.data.model_dump_json(),
            trial.supervision.model_dump_json(),
            str(trial.config["image_size"]),
            str(trial.config["channels"]),
            str(trial.config["images"]),
        )
        alike.setdefault(sees, []).append(trial)

    # They are named by their repeat, and by the levels that they share and others have not.
    factors = list(plan.study.factors)
    names: dict[str, str] = {}
    for trials in alike.values():
        repeat = _repeat(trials[0])
        others = [t for t in plan.trials if _repeat(t) == repeat]
        telling = [
            f"{factor}={trials[0].levels[factor]}"
            for factor in factors
            if factor in trials[0].levels
            and len({trial.levels.get(factor) for trial in trials}) == 1
            and len({trial.levels.get(factor) for trial in others}) > 1
        ]
        name = "/".join([*telling, repeat]) if len(others) > len(trials) else repeat
        names |= {trial.id: f"data/{name}" for trial in trials}
    return [
        Place(trial, names[trial.id], f"answers/{trial.cell.replace(' ', '/')}/{_repeat(trial)}")
        for trial in plan.trials
    ]


def _repeat(trial: Trial) -> str:
    return f"seed_{trial.seed}" if trial.fold is None else f"seed_{trial.seed}_fold_{trial.fold}"


def blind_names(images: ImageSet) -> list[str]:
    """Names of images that say nothing of them: an id may hold the name of a folder of defects."""
    return [hashlib.sha256(sample.encode()).hexdigest()[:12] for sample in images.ids]


def write_split(
    folder: Path,
    plan: Plan,
    data_of: Callable[[Trial], TrialData],
    say: Callable[[str], None],
) -> list[Place]:
    """Write study, table of trials and data of a plan into a new folder; returns the trials' places."""
    places = places_of(plan)
    written: set[str] = set()
    for place in places:
        if place.data in written:
            continue
        say(f"writing {place.data}")
        written.add(place.data)
        data = data_of(place.trial)
        target = folder / place.data
        target.mkdir(parents=True)
        write_data(target, data.training(), leave_out=False)
        evaluation = data.evaluation()

        # These images get no labels, and names that say nothing: from `defect_12.png` a loop could learn what
        # it is to find.
        for part, images in (("calibration", evaluation.calibration), ("test", evaluation.test)):
            if images is None:
                continue
            for name, sample in zip(blind_names(images), images.ids, strict=True):
                write_inside(target / part / "images" / f"{name}.png", png_of(images.given[sample]))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([_COLUMNS, *(place.row for place in places)])
    write_inside(folder / _TRIALS_FILE, table.getvalue().encode())
    write_inside(folder / STUDY_FILE, plan.study.source.text.encode())
    return places


def read_places(folder: Path, plan: Plan) -> list[Place]:
    """The trials of a plan, held against the table of the split.

    Raises:
        InputError: If the table is none, or has other trials: study or data are not those of the split.
    """
    path = folder / _TRIALS_FILE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [tuple(row) for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"a split has the table {_TRIALS_FILE}, which cannot be read in {folder}: {error}. Write it "
            "anew with `assay data split`."
        ) from error
    places = places_of(plan)

    # The table that went out has to be what the plan says now. With other data, or another study, answers
    # would be held against the wrong images.
    planned = [place.row for place in places]
    odd = next(_differences(rows[1:], planned), None) if rows[:1] == [_COLUMNS] else "another header"
    if odd is not None:
        raise InputError(
            f"{path} names the trials that {STUDY_FILE} and the data have now, found {odd}. Use the data "
            "of the split, or write it anew with `assay data split`."
        )
    return places


def _differences(found: Sequence[tuple[str, ...]], planned: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield from (f"the line {','.join(row)}" for row in found if row not in planned)
    yield from (f"no line {','.join(row)}" for row in planned if row not in found)
