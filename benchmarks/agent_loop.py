"""An agent's loop "keep it if it is better", where nothing is better: false keeps with and without assay.

    python -m benchmarks.agent_loop

An agent tries 37 changes, one after the other, and keeps what its rule calls better than what it has. Scores
are normal, sd .02 over seeds. In the world without effects every keep is false. In the other one change of
the 37, at a random place, is better by .03. Fresh seeds each time; levels and p are those of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from assay.analysis.ledger import tries_of
from assay.statistics.paired import exact_p
from assay.storage.registration import Registered

AGENTS, TRIES, SD, GAIN = 1000, 37, 0.02, 0.03
Means = NDArray[np.float64]  # true mean of each change, beside that of the base, 0
Kept = list[int]  # indices of the changes that were kept
Rule = Callable[[Means, np.random.Generator], Kept]


def levels(studies: int) -> list[float]:
    """Levels of so many studies of an agent, each registered once with seeds of its own."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    entry = Registered.model_construct(ended=0, points=0, client="agent")  # no more of it is read
    entries = {
        f"{k:02d}": [entry.model_copy(update={"at": begun + timedelta(hours=k), "seeds": (k,)})]
        for k in range(studies)
    }
    tries = tries_of(entries)
    assert tries is not None, "an agent asked"
    return list(tries.levels.values())


def greater_mean(seeds: int) -> Rule:
    """Keep what scores higher than the best so far, whose score stays the one that it was kept for."""

    def keep(true: Means, draw: np.random.Generator) -> Kept:
        best, kept, mean = draw.normal(0, SD, seeds).mean(), list[int](), 0.0
        for index, gain in enumerate(true):
            score = max(mean, gain) + draw.normal(0, SD, seeds).mean()
            if score > best:
                best, mean = score, max(mean, gain)
                kept.append(index)
        return kept

    return keep


def tested(seeds: int, level: Callable[[int], float]) -> Rule:
    """Keep what is better in a paired study of its own, with p at most the level of the k-th study."""

    def keep(true: Means, draw: np.random.Generator) -> Kept:
        difference = draw.normal(0, SD * 2**0.5, (len(true), seeds)) + true[:, None]
        return [i for i, d in enumerate(difference) if d.mean() > 0 and exact_p(d) <= level(i)]

    return keep


def explored_then_confirmed(seeds: int) -> Rule:
    """Try all with 2 seeds in one study, and confirm the best alone in a second one with fresh seeds."""
    confirming = levels(2)[1]

    def keep(true: Means, draw: np.random.Generator) -> Kept:
        best = int((true + draw.normal(0, SD / 2**0.5, len(true))).argmax())
        difference = true[best] + draw.normal(0, SD * 2**0.5, seeds)
        return [best] if difference.mean() > 0 and exact_p(difference) <= confirming else []

    return keep


def main() -> None:
    """Print the table of docs/agents.md."""
    of_study = levels(TRIES)
    rules: dict[str, Rule] = {
        "one run each, keep the higher score": greater_mean(1),
        "mean of 3 seeds, keep the higher one": greater_mean(3),
        "a study each with 10 seeds, keep what its page calls `shown`": tested(10, lambda study: 0.05),
        "a study each with 10 seeds, keep what stands under `keep`": tested(10, of_study.__getitem__),
        "all 37 with 2 seeds, then the best alone with 10: `keep`": explored_then_confirmed(10),
        "the same with 20": explored_then_confirmed(20),
    }
    titles = "| the agent's rule | false keeps | agents with any | one change pays: kept |"
    print(f"{titles}\n|---|---:|---:|---:|")  # noqa: T201
    for name, rule in rules.items():
        draw = np.random.default_rng(37)
        false = [len(rule(np.zeros(TRIES), draw)) for _ in range(AGENTS)]
        kept = 0
        for _ in range(AGENTS):
            place = int(draw.integers(TRIES))
            kept += place in rule(np.where(np.arange(TRIES) == place, GAIN, 0.0), draw)
        any_false = 100 * np.mean(np.array(false) > 0)
        print(f"| {name} | {np.mean(false):.2f} | {any_false:.1f} % | {100 * kept / AGENTS:.0f} % |")  # noqa: T201


if __name__ == "__main__":
    main()
