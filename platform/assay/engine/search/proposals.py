"""The proposals of a search: what Optuna would try next, and which parameters mattered.

Point i of a cell is drawn by a sampler seeded with (search seed, cell, i), on the values of earlier batches;
those of its own batch count as running. So what is drawn does not depend on which trial ends first, and a
search that was killed goes on as if nothing had happened: nothing of Optuna's is kept, it is rebuilt from
points and records for every proposal. A pruner gives that up: whom it stops depends on who came first.

Trade-off: samplers are those that learn from trials alone. CMA-ES, NSGA-II and quasi-random sequences keep a
state in attributes of Optuna's study, and would start anew with every point.

The only module that imports optuna.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, Self, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from assay.storage.search_points import EvaluatedPoint
from assay.study import SearchPlan
from assay.study.search.space import draw, grid
from assay.study.search.spec import Choice, FloatRange, Parameter, Scalar, Search

__all__ = ["Observation", "Values", "importance", "propose"]

Values = Mapping[str, Scalar]
_FEWEST = 4  # points below which a share of variance is noise
_STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Observation(NamedTuple):
    """A point as Optuna is told of it."""

    values: Values
    status: str  # finished, pruned, failed; anything else is still running
    value: float | None = None
    steps: tuple[float, ...] = ()  # mean over the first repeat, the first two … as a pruner saw it
    several: tuple[float, ...] = ()  # the value of each of several objectives

    @classmethod
    def of(cls, evaluated: EvaluatedPoint) -> Self:
        """Observe what the records say of a point."""
        repeats = evaluated.repeats
        means = (sum(repeats[:n]) / n for n in range(1, len(repeats) + 1))
        point, values = evaluated.point, evaluated.values
        if len(values) > 1:
            return cls(point.values, evaluated.status, evaluated.value, several=values)
        return cls(point.values, evaluated.status, evaluated.value, tuple(means))


def propose(
    search: Search, space: Mapping[str, Parameter], cell: str, observations: Sequence[Observation], index: int
) -> dict[str, Scalar]:
    """The values of point ``index``, given the points before it. The same question has the same answer."""
    if search.sampler == "grid":
        return next(islice(grid(space), index, None))
    if len(search.objectives) > 1:  # Optuna compares steps by one objective alone
        observations = [observation._replace(steps=()) for observation in observations]

    # A fresh study each time, filled with the points so far: Optuna keeps no state, so that a run which was
    # interrupted draws what it would have drawn.
    with _quiet():
        study = optuna.create_study(
            directions=["maximize" if objective.sign == 1 else "minimize" for objective in search.objectives],
            sampler=_sampler(search, _seed(search, cell, index)),
        )
        study.add_trials([_frozen(observation, space) for observation in observations])
        trial = study.ask()
        return draw(space, lambda path, parameter: _suggest(trial, path, parameter))


def _sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    match search.sampler:
        case "tpe":
            # group: parameters that are always drawn together are modelled together, also under a condition
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case _:
            return optuna.samplers.RandomSampler(seed=seed)


def _seed(search: Search, cell: str, index: int) -> int:
    digest = hashlib.sha256(f"{search.seed} {index} {cell}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _frozen(observation: Observation, space: Mapping[str, Parameter]) -> optuna.trial.FrozenTrial:
    state = _STATES.get(observation.status, TrialState.RUNNING)
    complete = state == TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state,
        value=observation.value if complete and not observation.several else None,
        values=observation.several if complete and observation.several else None,
        params=dict(observation.values),
        distributions={path: _distribution(space[path]) for path in observation.values},
        intermediate_values=dict(enumerate(observation.steps)),
    )


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.choice)
    if isinstance(parameter, FloatRange):
        return FloatDistribution(*parameter.bounds, log=parameter.log)
    return IntDistribution(*parameter.bounds, log=parameter.log)


def _suggest(trial: optuna.Trial, path: str, parameter: Parameter) -> Scalar:
    if isinstance(parameter, Choice):
        return cast(Scalar, trial.suggest_categorical(path, parameter.choice))
    if isinstance(parameter, FloatRange):
        return trial.suggest_float(path, *parameter.bounds, log=parameter.log)
    return trial.suggest_int(path, *parameter.bounds, log=parameter.log)


@contextmanager
def _quiet() -> Generator[None]:
    """Silence Optuna, which logs each trial and calls ``group`` experimental: both are none of the user's."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def importance(plan: SearchPlan, points: Sequence[EvaluatedPoint]) -> dict[str, float]:
    """The share of each parameter in the (first) objective's variance (fANOVA), largest first; together 1.

    Only parameters that every point has are weighed against each other; a conditional one is absent. Empty
    where too few points, or all with one value, say nothing.
    """
    search, space = plan.search, plan.study.space
    observations = [
        Observation(point.point.values, point.status, point.value)
        for point in points
        if point.value is not None
    ]
    shared = [path for path in space if observations and all(path in past.values for past in observations)]
    if len(observations) < _FEWEST or not shared or len({past.value for past in observations}) < 2:
        return {}
    with _quiet():
        study = optuna.create_study(direction="maximize" if search.objective.sign == 1 else "minimize")
        study.add_trials([_frozen(observation, space) for observation in observations])
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, params=shared))
