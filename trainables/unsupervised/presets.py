"""Settings by name, and what a table owes to its reader.

``f_anogan`` and ``students`` are the published ones: patches, networks, steps, one patch and one descriptor
per pixel. Students then learn from a teacher without ImageNet (``teacher: metric``); with a ``weights_file``
set ``teacher: distill``. ``…_small`` trains in some minutes on a core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.unsupervised.config import UnsupervisedConfig

__all__ = ["PRESETS", "footnotes"]

_Settings = Mapping[str, Any]

_F_ANOGAN: _Settings = {
    "model": "f_anogan", "patch_size": 64, "patches_per_image": 500, "patch_stride": 1,
    "patch_placing": "centre", "gan_latent": 128, "gan_width": 64, "gan_norm": "bn",
    "gan_steps": 50_000, "gan_batch": 64, "gan_lr": 1e-4, "gan_critic_steps": 5, "gan_penalty": 10.0,
    "encoder_steps": 50_000, "encoder_batch": 64, "encoder_lr": 5e-5, "kappa": 1.0,
    "score_pool": 21, "score_norm": True,
}  # fmt: skip
_STUDENTS: _Settings = {
    "model": "students", "scales": (17, 33, 65), "descriptor": 128, "descriptor_width": 128,
    "dense_stride": 1, "teacher": "metric", "teacher_steps": 50_000, "teacher_batch": 64, "teacher_lr": 2e-4,
    "teacher_weight_decay": 1e-5, "students": 3, "student_epochs": 100, "student_batch": 1,
    "student_lr": 1e-4, "student_weight_decay": 1e-5, "use_variance": True,
    "score_pool": 21, "score_norm": True,
}  # fmt: skip

PRESETS: Mapping[str, _Settings] = {
    "f_anogan": _F_ANOGAN,
    "students": _STUDENTS,
    "f_anogan_small": {
        **_F_ANOGAN, "patch_size": 32, "patch_stride": 16, "patch_placing": "overlap", "gan_latent": 32,
        "gan_width": 8, "gan_norm": "gn", "gan_steps": 100, "gan_batch": 16, "gan_lr": 3e-4,
        "gan_critic_steps": 3, "encoder_steps": 300, "encoder_batch": 16, "encoder_lr": 5e-4,
        "epoch_steps": 100,
    },
    "students_small": {
        **_STUDENTS, "scales": (33, 65), "descriptor": 32, "descriptor_width": 16, "dense_stride": 4,
        "teacher_steps": 150, "teacher_lr": 1e-3, "student_batch": 2, "student_max_steps": 200,
        "student_lr": 1e-3, "epoch_steps": 100,
    },
}  # fmt: skip


def footnotes(config: UnsupervisedConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = [
        "unsupervised: trained on normal images only. Means, spreads and the scales of map and score come "
        "from normal validation images (without them, from a share of the training part that trains "
        "nothing); defective validation images choose thresholds by their labels."
    ]
    if config.model == "f_anogan":
        notes.append(
            "f_anogan: networks, losses and the encoder's length are those of the published code unless the "
            f"table says otherwise; the GAN's length ({config.gan_steps} steps) is our choice. A patch is "
            f"scored every {config.patch_stride} pixels (published: 1); where its score goes "
            f"({config.patch_placing}) is our reading."
        )
    else:
        notes.append(_TEACHERS[config.teacher])
    if config.score_norm:
        notes.append(
            f"score: maximum of the map's means over {config.score_pool} × {config.score_pool} pixels / (1 + "
            "mean of the map), Božič et al. 2021; the denominator is at least 0.1 (our guard), and `clamped` "
            "in a trial's log counts the held-out normal images where it was less."
        )
    if config.weights_sha256 is not None:
        notes.append(
            f"weights: sha256 {config.weights_sha256[:12]}…. These rows learn from weights trained on other "
            "images; rows without are not comparable with them."
        )
    return notes


_TEACHERS = {
    "metric": "teacher: metric. Teachers learned from normal patches alone (the paper's self-supervised "
    "part); published ones are distilled from weights trained on ImageNet. How patches are disturbed is our "
    "reading.",
    "distill": "teacher: distill. What teachers learn are pooled features of patches that are not enlarged, "
    "and the three losses weigh the same: our reading.",
    "random": "teacher: random. Teachers learned nothing: the floor of the idea, not the published method.",
}
