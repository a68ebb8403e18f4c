"""Rules that say which defective images are worth a mask next.

``uncertainty``: the mean entropy of the pixels of a first model's map, in bits (entropy sampling: Settles
2009, section 3.1). ``disagreement``: the entropy of two first models' mean map, less the mean of theirs,
in bits: what the two tell apart differently (query by committee: McCallum, Nigam 1998, ICML).
``coverage``: farthest first, the image that is least like all that have a mask (Sener, Savarese 2018,
arXiv:1708.00489), in simple features of its grey levels, so that nothing is trained. A rule sees images
and what models say of them, never a mask.

Trade-off: all are picked at once, as one who labels a batch takes them. Two images that look alike may
both be among them under the first two rules.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from trainables.data.samples import ImageSource
from trainables.data.spec import ChoiceRule
from trainables.heatmaps import display_size
from trainables.pilot import PILOTS

if TYPE_CHECKING:
    from trainables.scorer import ImageScorer

__all__ = ["FirstMaps", "NextImage", "draw_maps", "next_images"]

_LONGEST = 128  # pixels of the longer side of a map that is kept
_GRID = 8  # cells along each side of an image, for its features
_BATCH = 16
_FILE = "first_maps.safetensors"


class NextImage(NamedTuple):
    """An image that a rule picked."""

    sample: str
    value: float  # what the rule went by: bits, or the distance to the nearest image with a mask


class FirstMaps(NamedTuple):
    """A first model's maps of images without a mask."""

    samples: tuple[str, ...]  # N
    maps: NDArray[np.float32]  # N × h × w in [0, 1], the longer side 128 pixels at most

    def save(self, folder: Path) -> None:
        """Write them into an existing folder, that of a stage."""
        save_file({"maps": self.maps}, folder / _FILE, metadata={"samples": json.dumps(self.samples)})

    @classmethod
    def load(cls, folder: Path) -> FirstMaps:
        """Read what :meth:`save` wrote."""
        with safe_open(folder / _FILE, framework="np") as file:
            return cls(tuple(json.loads(file.metadata()["samples"])), file.get_tensor("maps"))

    def of(self, samples: Sequence[str]) -> NDArray[np.float64]:
        """The maps of these samples, in their order."""
        places = {sample: place for place, sample in enumerate(self.samples)}
        return self.maps[[places[sample] for sample in samples]].astype(np.float64)


def draw_maps(model: ImageScorer, samples: Sequence[str], images: ImageSource) -> FirstMaps:
    """Ask a model for its maps of images, in batches."""
    maps: list[NDArray[np.float32]] = []
    for start in range(0, len(samples), _BATCH):
        answer = model.score([images[sample] for sample in samples[start : start + _BATCH]])
        maps.extend(map(_small, answer.heatmaps))
    return FirstMaps(tuple(samples), np.stack(maps) if maps else np.zeros((0, 1, 1), np.float32))


def next_images(
    rule: ChoiceRule,
    count: int,
    candidates: Sequence[str],
    *,
    known: Sequence[str],
    images: ImageSource,
    first: Sequence[FirstMaps],
) -> list[NextImage]:
    """The ``count`` candidates that a rule picks, best first; fewer where there are fewer.

    Args:
        rule: Not ``random``, which has an order of its own (:func:`trainables.data.seeds.shuffled`).
        count: Images to pick.
        candidates: Samples of defective images without a mask; their order is of no weight.
        known: Samples of defective images with a mask.
        images: Of both, at one size.
        first: Maps of the candidates, of as many models as the rule asks (``PILOTS``).
    """
    assert len(first) == len(PILOTS[rule]), f"{rule} asks {PILOTS[rule]}, found {len(first)} models"
    candidates = sorted(candidates)
    if not candidates:
        return []
    if rule == "coverage":
        return _farthest_first(count, candidates, known, images)
    maps = [each.of(candidates) for each in first]
    values = _entropy(np.mean(maps, axis=0))  # of one model its own
    if rule == "disagreement":
        values -= np.mean([_entropy(each) for each in maps], axis=0)
    order = np.argsort(-values, kind="stable")[:count]
    return [NextImage(candidates[place], float(values[place])) for place in order]


def _entropy(maps_Nhw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean entropy of the pixels of each map, bits."""
    sure = np.clip(maps_Nhw, 1e-12, 1 - 1e-12)
    return -(sure * np.log2(sure) + (1 - sure) * np.log2(1 - sure)).mean(axis=(1, 2))


def _farthest_first(
    count: int, candidates: Sequence[str], known: Sequence[str], images: ImageSource
) -> list[NextImage]:
    """Candidates in an order in which each is the farthest from the known ones and from all before it.

    Where none is known, the mean of the candidates stands for them.
    """
    names = [*candidates, *sorted(known)]
    features = np.stack([_features(images[name]) for name in names])
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    centres = features[len(candidates) :] if known else features.mean(axis=0, keepdims=True)
    points = features[: len(candidates)]
    away = np.min([np.linalg.norm(points - centre, axis=1) for centre in centres], axis=0)
    chosen: list[NextImage] = []
    for _ in range(min(count, len(candidates))):
        place = int(np.argmax(away))
        chosen.append(NextImage(candidates[place], float(away[place])))
        away = np.minimum(away, np.linalg.norm(points - points[place], axis=1))
        away[place] = -np.inf
    return chosen


def _features(image_HWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean grey level, its spread and the mean gradient in each cell of a grid."""
    grey = image_HWC.mean(axis=2, dtype=np.float32)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    mean, square, edges = (_cells(each) for each in (grey, grey**2, slope))
    return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0)), edges]).astype(np.float64).ravel()


def _cells(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(pixels, (_GRID, _GRID), interpolation=cv2.INTER_AREA), np.float32)


def _small(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = display_size(*heatmap.shape, longest=_LONGEST)
    return np.asarray(cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_AREA), np.float32)
