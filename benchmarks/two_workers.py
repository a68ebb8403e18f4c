"""How far two workers' training is from one worker's: ``python -m benchmarks.two_workers``.

For each method a few steps on tiny images, by one worker and by two that share every batch. Printed are the
largest difference of a layer's weights (mean over the layer) and of an image's score, and whether both ended
in the same bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.cam.surfaces import tiny_config as cam_config
from tests.focus.chains import chain_data, tiny_chain
from tests.helpers.threads import in_threads
from tests.regioncam.chains import tiny as regioncam_config
from tests.segdec.surfaces import surfaces as wide_surfaces
from tests.segdec.surfaces import tiny_config as segdec_config
from tests.segdec.surfaces import tiny_data as wide_data
from tests.supersimple.small import tiny_config as supersimple_config
from tests.supervised.surfaces import surfaces, tiny_config, tiny_data
from trainables.cam import TRAINABLE as CAM
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.focus import TRAINABLE as FOCUS
from trainables.regioncam import TRAINABLE as REGIONCAM
from trainables.segdec import TRAINABLE as SEGDEC
from trainables.supersimple import TRAINABLE as SUPERSIMPLE
from trainables.supervised import TRAINABLE as SUPERVISED

_STEPS: dict[str, Any] = {"batch_size": 6, "epochs": 2, "min_steps": 0, "lr": 0.003}
_ALL_PARTS: dict[str, Any] = {"clm": True, "gcm": True, "iem": "both", "iem_inpainter": "unet"}
_HEADS: dict[str, Any] = {"keep_maps": False, "head_batch": 8, "head_lr": 0.001}

_TRAININGS: dict[str, Callable[[LocalRun], Any]] = {
    "`cam`, batch normalisation": lambda run: CAM.fit(cam_config(norm="bn", **_STEPS), chain_data(5), run),
    "`cam`, group normalisation": lambda run: CAM.fit(cam_config(norm="gn", **_STEPS), chain_data(5), run),
    "`focus`, batch, all parts": lambda run: FOCUS.fit(
        tiny_chain(norm="bn", **_ALL_PARTS, **_STEPS), chain_data(5), run
    ),
    "`regioncam`, batch": lambda run: REGIONCAM.fit(
        regioncam_config(norm="bn", **_STEPS), chain_data(5), run
    ),
    "`supervised`, classifier, batch": lambda run: SUPERVISED.fit(
        tiny_config(model="classifier", norm="bn", **_STEPS), tiny_data(), run
    ),
    "`supervised`, U-Net, batch": lambda run: SUPERVISED.fit(
        tiny_config(model="unet", norm="bn", **_STEPS), tiny_data(), run
    ),
    "`supersimple`, heads, batch": lambda run: SUPERSIMPLE.fit(
        supersimple_config(head_norm="bn", **_HEADS), tiny_data(), run
    ),
    "`segdec`, four images a step": lambda run: SEGDEC.fit(
        segdec_config(batch_size=4, epochs=2), wide_data(), run
    ),
}


class _End(NamedTuple):
    weights: dict[str, Tensor]
    scores: Tensor  # of images that were not trained on


def _end(name: str, unseen: ImageSet, run: LocalRun) -> _End:
    model = _TRAININGS[name](run)
    with TemporaryDirectory() as folder:
        model.save(Path(folder))
        files = sorted(Path(folder).rglob("*.safetensors"))
        weights = {f"{file.name} {key}": tensor for file in files for key, tensor in load_file(file).items()}
    images = images_to_tensor([sample.image for sample in unseen], torch.device("cpu"))
    return _End(weights, model.predict(images).score)


def _row(name: str) -> str:
    unseen = (wide_surfaces if "segdec" in name else surfaces)(4, 4, seed=9)
    alone = _end(name, unseen, LocalRun())
    first, second = in_threads(2, lambda run: _end(name, unseen, run))
    weights = max(
        float((first.weights[key].double() - tensor.double()).abs().mean())
        for key, tensor in alone.weights.items()
    )
    score = float((first.scores - alone.scores).abs().max())
    same = all(torch.equal(second.weights[key], tensor) for key, tensor in first.weights.items())
    return f"| {name} | {weights:.0e} | {score:.0e} | {'yes' if same else 'no'} |"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    sys.stdout.write("| training | weights, mean of the worst layer | score, worst of 8 images | alike |\n")
    sys.stdout.write("|---|---|---|---|\n")
    for name in _TRAININGS:
        sys.stdout.write(_row(name) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
