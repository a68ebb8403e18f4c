"""Training steps that leave the host free: they read nothing back and copy nothing while it waits.

A step runs on torch's device ``meta``, which has shapes and no numbers. Whatever would wait for a GPU
(``item``, ``cpu``, a branch on a value, an index by a mask) raises an error there, and copies to it are
counted. A generator of the CPU that is to fill a tensor on the device is refused, as a GPU refuses it. The
steps that do wait are listed too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.cam import surfaces as cam_surfaces
from tests.focus import chains as focus_chains
from tests.segdec import surfaces as segdec_surfaces
from tests.supersimple import small
from tests.supervised import surfaces as supervised_surfaces
from tests.unsupervised import normal_images
from trainables.cam.classifier import Attachment, train_classifier
from trainables.contract import LocalRun
from trainables.data.samples import TrainingData
from trainables.focus.config import FocusConfig
from trainables.focus.contrast import ContrastiveLoss
from trainables.focus.cropping import GuidedCropping
from trainables.focus.inpainting import train_inpainter
from trainables.nn.batches import passes
from trainables.nn.choices import Crf
from trainables.nn.labels.refine import mean_field
from trainables.nn.labels.segmentation import Targets, train_segmentation
from trainables.segdec import TRAINABLE as SEGDEC
from trainables.stages import Stage
from trainables.supersimple.rotations import train_rotations
from trainables.supervised import TRAINABLE as SUPERVISED
from trainables.unsupervised.anogan import FAnoGan, train_encoder, train_gan
from trainables.unsupervised.students import School, train_students

META = torch.device("meta")


class StepsOverError(Exception):
    """Raised when two steps are over."""


class _Made(TorchFunctionMode):
    """Refuses tensors that are made of Python's numbers on the device: each is a copy that is waited for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}:
            assert made.device.type == "cpu", f"{func.__name__} copies {args[1:] or args} to the device"
        return made


class _Copies(TorchDispatchMode):
    """Counts the copies from the host that make it wait; refuses random numbers of another device."""

    waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        drawn = kwargs.get("generator")
        assert drawn is None or drawn.device == args[0].device, f"{func} draws on {drawn.device}"
        if func is torch.ops.aten._to_copy.default:
            leaves = args[0].device.type == "cpu" and torch.device(kwargs.get("device", "cpu")).type == "meta"
            self.waits += leaves and not kwargs.get("non_blocking", False)
        return func(*args, **kwargs)


@dataclass
class MetaRun(LocalRun):
    """A run on ``meta`` that ends after two steps; copies of the second are counted."""

    device: torch.device = META  # of training; stages that come before are made on the CPU
    copies: _Copies = field(default_factory=_Copies)
    waits: int = 0
    before: LocalRun = field(default_factory=LocalRun)

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        return self.before.stage(stage, data)

    def step(self, done: int, total: int, epochs: int) -> None:
        if done == 2:
            self.waits = self.copies.waits
            raise StepsOverError
        self.copies.waits = 0


Steps = Callable[[MetaRun], object]


def classifier(*attachments: Callable[[FocusConfig], Attachment]) -> Steps:
    config = focus_chains.tiny_chain().resolved("cpu")
    made = [make(config) for make in attachments]
    return lambda run: train_classifier(config, focus_chains.chain_data(), run, made)


def segmentation(student: bool) -> Steps:
    config, images = focus_chains.tiny_chain().resolved("cpu"), focus_chains.chain_data().train
    labels = {name: np.ones(config.image_size, np.uint8) for name in images.ids[:6]}
    soft = {name: np.ones(config.image_size, np.float16) for name in images.ids[:6]}
    targets = Targets(labels, soft, 0.5) if student else Targets(labels)
    task = config.student_task if student else None
    return lambda run: train_segmentation(config, images, targets, run, task=task)


def unsupervised(model: str) -> Any:
    return normal_images.tiny_config(model, image_size=normal_images.SIZE).resolved("cpu")


def students(run: MetaRun) -> None:
    config = unsupervised("students")
    train_students(School(config, config.scales[0]).to(META), normal_images.made_set(range(8)), run)


FREE: dict[str, Steps] = {
    "segdec, weak": lambda run: SEGDEC.fit(
        segdec_surfaces.tiny_config(), segdec_surfaces.tiny_data(masks=0), run
    ),
    "segdec, full": lambda run: SEGDEC.fit(segdec_surfaces.tiny_config(), segdec_surfaces.tiny_data(), run),
    "segdec, passes at fixed places": lambda run: SEGDEC.fit(
        segdec_surfaces.tiny_config(cuda_graph=True), segdec_surfaces.tiny_data(), run
    ),
    "supervised, unet": lambda run: SUPERVISED.fit(
        supervised_surfaces.tiny_config(model="unet"), supervised_surfaces.tiny_data(), run
    ),
    "supervised, classifier": lambda run: SUPERVISED.fit(
        supervised_surfaces.tiny_config(model="classifier"), supervised_surfaces.tiny_data(), run
    ),
    "cam": classifier(),
    "segmentation of pseudo labels": segmentation(student=False),
    "student": segmentation(student=True),
    "inpainter": lambda run: train_inpainter(
        focus_chains.tiny_chain(inpainter_batch=4).resolved("cpu"), focus_chains.chain_data(), run
    ),
    "rotations": lambda run: train_rotations(
        cam_surfaces.tiny_config(norm="gn"), cam_surfaces.tiny_data().train, run
    ),
    "supersimple without noise": lambda run: small.fitted(small.tiny_config(noise=False), run=run),
    "students": students,
    "gan": lambda run: train_gan(unsupervised("f_anogan"), normal_images.made_set(range(8)), run),
    "encoder": lambda run: train_encoder(
        FAnoGan(unsupervised("f_anogan")).to(META), normal_images.made_set(range(8)), run
    ),
}
WAITING: dict[str, Steps] = {
    "guided cropping": classifier(GuidedCropping),
    "contrast": classifier(lambda config: ContrastiveLoss(config, None)),
    "made-up defects": lambda run: small.fitted(small.tiny_config(), run=run),
}


@pytest.fixture
def arithmetic_on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """``meta`` has no autocast and no size of a pass."""
    real = torch.autocast
    monkeypatch.setitem(passes._PIXELS_PER_PASS, "meta", 512 * 512)
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *a, **k: contextlib.nullcontext() if kind == "meta" else real(kind, *a, **k),
    )


@pytest.mark.usefixtures("arithmetic_on_meta")
@pytest.mark.parametrize("name", FREE)
def test_a_step_leaves_the_host_free(name: str) -> None:
    run = MetaRun()
    with _Made(), run.copies, pytest.raises(StepsOverError):
        FREE[name](run)
    assert run.waits == 0


def test_a_crf_leaves_the_host_free() -> None:
    prob = torch.full((2, 8, 8), 0.5, device=META)
    assert mean_field(prob, torch.ones(2, 1, 8, 8, device=META), Crf()).shape == prob.shape


@pytest.mark.usefixtures("arithmetic_on_meta")
@pytest.mark.parametrize("name", WAITING)
def test_these_steps_wait(name: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match=r"item|no data|nonzero"):
        WAITING[name](MetaRun())
