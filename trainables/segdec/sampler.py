"""The images that an epoch shows: every defective one, and as many normal ones, the least seen first.

The sampler's state is small and plain, so a checkpoint holds it. Its random numbers come from the epoch's
own generator, so a resumed training draws what an undisturbed one would.

Source: Božič et al. 2020, arXiv:2007.07676 ("frequency of use"), and the behaviour of the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.errors import InputError
from trainables.nn.batches.sampling import Generators
from trainables.segdec.config import SegDecConfig

__all__ = ["SegDecSampler", "draw_negatives"]

_Indices = NDArray[np.int64]


def draw_negatives(
    uses: NDArray[np.int64], count: int, how: Literal["frequency", "permutation"], rng: np.random.Generator
) -> _Indices:
    """Draw ``count`` normal images (positions in ``uses``), as evenly used as can be.

    With N images used ``uses`` times so far: ``q = 1 − uses / max uses``, ``q ← q − median q + 1``, and
    probabilities ``∝ q^(4 ln N)``, without replacement: in effect a round through all normal images. At
    first, and with ``permutation`` always, the draw is uniform.

    If there are fewer than ``count`` normal images, whole rounds of all of them come first. (The released
    code cannot do this and fails.)
    """
    rounds, rest = divmod(count, len(uses))
    share = np.ones(len(uses))
    if how == "frequency" and uses.any():
        # While more than half of the images are unused the median of the shares is 1, so the images used
        # most get the probability 0; later a less used image is preferred by a huge factor.
        share = 1 - uses / uses.max()
        share = (share - np.median(share) + 1) ** (4 * np.log(len(uses)))
    # Smallest exponential(1) / weight first is weighted drawing without replacement (Efraimidis and
    # Spirakis 2006); other than numpy's choice it copes with more weights of 0 than can be left out.
    waits = rng.exponential(size=len(uses))
    keys = np.divide(waits, share, out=np.full(len(uses), np.inf), where=share > 0)
    chosen = np.lexsort((waits, keys))[:rest]
    return np.concatenate((np.tile(np.arange(len(uses)), rounds), chosen))


@dataclass
class SegDecSampler:
    """Draws the batches of one epoch after another. P defective images make an epoch of 2P.

    Where the classification has nothing to learn (``delta: 0``), no image need be normal: an epoch of P.
    """

    positives: _Indices  # positions of defective images in the training set
    negatives: _Indices  # positions of normal images
    config: SegDecConfig
    uses: NDArray[np.int64]  # how often each normal image was retrieved
    drawn: _Indices  # the epoch's normal images, positions in `negatives`; empty: to be drawn
    retrieved: int  # images since the last draw

    @classmethod
    def over(cls, labels: NDArray[np.bool_], config: SegDecConfig) -> SegDecSampler:
        """A fresh sampler over a training set.

        Raises:
            InputError: If the set lacks defective or normal images.
        """
        positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
        if not len(positives) or not (len(negatives) or config.delta == 0):
            raise InputError(
                "SegDecNet trains on defective and normal images in equal parts, found "
                f"{len(positives)} defective and {len(negatives)} normal ones in the training set. "
                "Use another split or more images."
            )

        # The first draw waits for the first epoch, because it needs that epoch's random numbers.
        none = np.zeros(0, np.int64)
        sampler = cls(positives, negatives, config, np.zeros(len(negatives), np.int64), none, 0)
        if not sampler.steps:
            twice = " (twice the defective ones)" if len(negatives) else ""
            raise InputError(
                f"drop_last would leave no batch: an epoch has {sampler.all_places} images{twice}, "
                f"batch_size is {config.batch_size}. Lower it or set drop_last: false."
            )
        return sampler

    @property
    def batch_size(self) -> int:
        return self.config.batch_size

    @property
    def steps(self) -> int:
        return -(-self._shown // self.batch_size)

    @property
    def _shown(self) -> int:
        """Images that an epoch retrieves: all, or what fills whole batches."""
        size = self.all_places
        return size - size % self.batch_size if self.config.drop_last else size

    @property
    def all_places(self) -> int:
        """Images of an epoch before any is dropped: 2P, and P where none is normal."""
        return len(self.positives) * (2 if len(self.negatives) else 1)

    def epoch(self, number: int, generator: Generators) -> list[Sequence[int]]:
        rng = generator("order", number)
        if self.config.redraw == "epoch" or not len(self.drawn):
            self._redraw(rng)
        # Defective and normal images are shuffled together: a batch is a random mixture, and what
        # ``drop_last`` drops falls on both.
        places = rng.permutation(self.all_places)[: self._shown].tolist()
        # Retrieved one by one, since with ``redraw: counter`` the normal images may change in the middle of
        # an epoch.
        order = [self._retrieve(place, rng) for place in places]
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    def _retrieve(self, place: int, rng: np.random.Generator) -> int:
        """The image at ``place`` of the epoch: defective ones first, then the drawn normal ones."""
        count = len(self.positives)
        if place < count:
            image = self.positives[place]
        else:
            negative = self.drawn[place - count]
            self.uses[negative] += 1
            image = self.negatives[negative]
        self.retrieved += 1
        if self.config.redraw == "counter" and self.retrieved == self.all_places:
            self._redraw(rng)
        return int(image)

    def _redraw(self, rng: np.random.Generator) -> None:
        if len(self.negatives):
            self.drawn = draw_negatives(self.uses, len(self.positives), self.config.undersampling, rng)
        self.retrieved = 0

    def state(self) -> dict[str, Any]:
        return {"uses": self.uses.tolist(), "drawn": self.drawn.tolist(), "retrieved": self.retrieved}

    def restore(self, state: dict[str, Any]) -> None:
        self.uses = np.array(state["uses"], np.int64)
        self.drawn = np.array(state["drawn"], np.int64)
        self.retrieved = int(state["retrieved"])
