"""A trial's identity: a hash of everything that decides its result, and of nothing else.

Two studies that ask for the same trial find the same record. The source code is not part of it: an
edit does not invalidate results, a raised ``revision`` of the trainable does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["CellIdentity", "canonical_json", "differences", "flatten", "short_hash"]

# One for all texts: `json.dumps` with settings of its own makes an encoder each time.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, whatever their order of keys."""
    return _ENCODER.encode(value)


def short_hash(text: str) -> str:
    """The first 16 hex digits of sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write ``{"config": {"lr": 1}}`` as ``{"config.lr": 1}``; lists and empty mappings are values."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:  # asking for a Mapping takes ten times as long
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Path → both values, where flat settings differ; None where a side has no such path."""
    paths = {**before, **after}
    return {
        path: (before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)
    }


@lru_cache(maxsize=65536)
def _quoted(text: str) -> str:
    return canonical_json(text)  # all cells of a repeat ask for the same split, all points for one manifest


class CellIdentity:
    """The part of the id that all repeats of a cell share, written once.

    The id is the first 16 hex digits of sha256 over the canonical JSON of trainable, revision, config,
    manifest, supervision, split (which names the mask subset), seed and fold, and of the rule of the image
    threshold where it is not ``f1``.
    """

    def __init__(
        self,
        *,
        trainable: str,
        revision: int,
        config: Mapping[str, Any],
        manifest: str,
        supervision: Any,
        threshold: Any = "f1",
    ) -> None:
        # Keys in alphabetical order, split where the values of a repeat go.
        self._config = f'{{"config":{canonical_json(config)},"fold":'
        self._manifest = f',"manifest":{_quoted(manifest)},"revision":{revision},"seed":'
        rule = "" if threshold == "f1" else f'"threshold":{canonical_json(threshold)},'
        self._end = f',"supervision":{canonical_json(supervision)},{rule}"trainable":{_quoted(trainable)}}}'

    def trial_id(self, *, split: str, seed: int, fold: int | None) -> str:
        """The id of one repeat of the cell."""
        number = "null" if fold is None else str(fold)
        text = f'{self._config}{number}{self._manifest}{seed},"split":{_quoted(split)}{self._end}'
        return short_hash(text)
