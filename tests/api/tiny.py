"""A study that trains in seconds: two cells of SegDecNet on 40 small images made on the spot."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "study": "tiny",
    "question": "Does stopping the gradient pay?",
    "trainable": "segdec",
    "data": {
        "reader": "synthetic",
        "options": {"images": 40, "items": 20, "positives": 16, "size": [64, 128], "difficulty": 0.1},
    },
    "config": {
        "preset": "dagm",
        "image_size": [64, 128],
        "channel_scale": 0.125,
        "batch_size": 4,
        "epochs": 1,
    },
    "factors": {
        "stop": {"off": {"config": {"gradient_stop": False}}, "on": {"config": {"gradient_stop": True}}}
    },
    "design": {"full": "all"},
    "comparisons": [{"factor": "stop"}],
    "repeats": {"seeds": [0, 1]},
    "keep": {"models": "none", "probes": 3},
}
