"""Uninformed Students: where students of normal images miss their teacher, or each other, is an anomaly.

At each scale students of the teacher's own layout learn its descriptors of normal images, each from random
weights. On what they never saw their mean misses the teacher (e) and they disagree (v).

Source: Bergmann et al. 2020, arXiv:1911.02357, sections 3.2 and 3.3; scores of images as in Božič et al.
2021, arXiv:2104.06064.
"""

# B images; h × w cells, one every ``dense_stride`` pixels; d dimensions; M students

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.contract import Run
from trainables.data.samples import ImageSet
from trainables.nn.batches.on_device import TrainingImages
from trainables.nn.batches.passes import image_passes
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.models import forward_context
from trainables.unsupervised.config import Scale, UnsupervisedConfig
from trainables.unsupervised.patchnet import PatchNet
from trainables.unsupervised.score import saturated
from trainables.unsupervised.training import Learner, train

__all__ = ["Errors", "School", "Students", "train_students"]

_LEAST_SPREAD = 1e-6  # that is divided by: one student never disagrees


class Errors(NamedTuple):
    """Errors of the cells of B images at one scale."""

    regression_Bhw: Tensor  # e: squared distance of the students' mean from the teacher
    variance_Bhw: Tensor  # v: mean squared distance of the students from their mean


class School(nn.Module):
    """The teacher of one scale, its students, and what a descriptor is on average."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: UnsupervisedConfig, scale: Scale) -> None:
        super().__init__()
        self.config = config
        self.input = Standardise(config.channels)
        # Teacher and students are of one layout: a student that could not copy its teacher would err on
        # normal images too.
        nets = [
            PatchNet(scale, config.channels, config.descriptor_width, config.descriptor)
            for _ in range(config.students + 1)
        ]
        self.teacher, self.students = nets[0], nn.ModuleList(nets[1:])
        self.register_buffer("mean", torch.zeros(1, config.descriptor, 1, 1))
        self.register_buffer("std", torch.ones(1, config.descriptor, 1, 1))

    def target(self, images_BCHW: Tensor) -> Tensor:
        """The teacher's descriptors of normal images have mean 0 and spread 1: B × d × h × w, float32."""
        return (self.describe(self.teacher, images_BCHW) - self.mean) / self.std

    def describe(self, network: nn.Module, images_BCHW: Tensor) -> Tensor:
        """Dense descriptors by the teacher or a student."""
        assert isinstance(network, PatchNet)
        with forward_context(self.config, images_BCHW.device):
            return network.dense(self.input(images_BCHW), self.config.dense_stride).float()

    def errors(self, images_BCHW: Tensor) -> Errors:
        """Errors where students miss the teacher and each other."""
        # e is how far the students' mean is off, v how much they disagree; both are sums over a
        # descriptor's dimensions.
        target = self.target(images_BCHW)
        told_MBdhw = torch.stack([self.describe(student, images_BCHW) for student in self.students])
        mean = told_MBdhw.mean(dim=0)
        variance = (told_MBdhw - mean).square().sum(dim=2).mean(dim=0)
        return Errors((mean - target).square().sum(dim=1), variance)

    @torch.no_grad()
    def measure_teacher(self, images: ImageSet) -> None:
        """Take mean and standard deviation of each dimension over all cells of ``images``."""
        # With 0 and 1 in place the target is the raw descriptor, whose sums are then taken in float64.
        self.mean.zero_()
        self.std.fill_(1)
        sums = torch.zeros(3, self.mean.shape[1], dtype=torch.float64, device=self.mean.device)
        for batch in image_passes(images, range(len(images)), self.mean.device, self.config.pass_cost):
            told_dN = self.target(batch).double().transpose(0, 1).flatten(1)
            count = torch.full_like(sums[0], told_dN.shape[1])
            sums += torch.stack((told_dN.sum(dim=1), told_dN.square().sum(dim=1), count))
        mean = sums[0] / sums[2]
        std = (sums[1] / sums[2] - mean.square()).clamp_min(0).sqrt().clamp_min(_LEAST_SPREAD)
        self.mean.copy_(mean.reshape(self.mean.shape))
        self.std.copy_(std.reshape(self.std.shape))


class Students(nn.Module):
    """All scales, and what their errors are on held-out normal images."""

    statistics: Tensor

    def __init__(self, config: UnsupervisedConfig) -> None:
        super().__init__()
        self.config = config
        self.schools = nn.ModuleDict({str(scale): School(config, scale) for scale in config.scales})
        # Mean and standard deviation of e, then of v, per scale.
        self.register_buffer("statistics", torch.tensor([[0.0, 1.0, 0.0, 1.0]] * len(config.scales)))

    def anomaly(self, images_BCHW: Tensor) -> Tensor:
        """``mean over scales of (e − µ_e) / σ_e + (v − µ_v) / σ_v``, at every pixel: B × H × W."""
        return self._together(self._deviations(images_BCHW))

    def predict_stages(self, images_BCHW: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The anomaly, and ``error p`` and ``variance p`` of each scale, B × H × W in [0, 1]; 0.5: as in
        normal images."""
        stages: dict[str, Tensor] = {}
        deviations = list(self._deviations(images_BCHW))
        for scale, pair in zip(self.config.scales, deviations, strict=True):
            for name, z_Bhw in zip(("error", "variance"), pair, strict=True):
                stages[f"{name} {scale}"] = self._at_pixels(saturated(z_Bhw))
        return self._together(deviations), stages

    def _together(self, deviations: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        parts = [e + v if self.config.use_variance else e for e, v in deviations]
        return self._at_pixels(torch.stack(parts).mean(dim=0))

    @torch.no_grad()
    def measure(self, images: ImageSet) -> None:
        """Take the statistics of e and v over all cells of held-out normal images."""
        device = self.statistics.device
        sums = torch.zeros(len(self.config.scales), 5, dtype=torch.float64, device=device)
        for batch in image_passes(images, range(len(images)), device, self.config.pass_cost):
            # Sums and squares only, so no map of errors is kept.
            for index, errors in enumerate(self._errors(batch)):
                e, v = (x.double().flatten() for x in errors)
                parts = (e.sum(), e.square().sum(), v.sum(), v.square().sum(), e.new_tensor(len(e)))
                sums[index] += torch.stack(parts)
        first, second = sums[:, [0, 2]] / sums[:, 4:], sums[:, [1, 3]] / sums[:, 4:]
        spread = (second - first.square()).clamp_min(0).sqrt().clamp_min(_LEAST_SPREAD)
        self.statistics.copy_(torch.stack((first, spread), dim=2).flatten(1))

    def _errors(self, images_BCHW: Tensor) -> Iterator[Errors]:
        for school in self.schools.values():
            assert isinstance(school, School)
            yield school.errors(images_BCHW)

    def _deviations(self, images_BCHW: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """e and v per scale, in standard deviations of normal images."""
        for (e, v), (e_mean, e_std, v_mean, v_std) in zip(
            self._errors(images_BCHW), self.statistics, strict=True
        ):
            yield (e - e_mean) / e_std, (v - v_mean) / v_std

    def _at_pixels(self, cells_Bhw: Tensor) -> Tensor:
        stride, size = self.config.dense_stride, self.config.image_size
        return enlarge_cells(cells_Bhw[:, None], stride, size) if stride > 1 else cells_Bhw


def train_students(school: School, images: ImageSet, run: Run) -> None:
    """Train the students of one scale on whole normal images; the teacher stays as it is.

    Logs the mean of ``regression``: squared distance of a student from the teacher, per cell.

    Raises:
        Diverged: If a loss or weight is no longer finite.
    """
    # Every student has random weights of its own: alike they would agree everywhere, and v would say nothing.
    config, students = school.config, school.students
    school.requires_grad_(False).eval()
    students.requires_grad_(True)
    for index, student in enumerate(students):
        initialise(student, drawn_seed(run.generator("init", index)))
    optimiser = torch.optim.Adam(
        students.parameters(), lr=config.student_lr, weight_decay=config.student_weight_decay
    )
    learner = Learner("students", students, optimiser)
    pictures = TrainingImages(images, config, run.device)
    pass_steps = -(-len(images) // config.student_batch)
    steps = min(config.student_max_steps, config.student_epochs * pass_steps)

    def step(number: int) -> Tensor:
        # Steps are counted over rounds through all images; the last batch of a round may be smaller.
        turn, place = divmod(number, pass_steps)
        order = run.generator("order", turn).permutation(len(images)).tolist()
        batch = order[place * config.student_batch : (place + 1) * config.student_batch]
        part = run.shard(batch)
        if not part:
            learner.step(None, run)
            return torch.zeros(2, device=run.device)
        shown = pictures.batch(part)
        with torch.no_grad():
            # Each student learns for itself, so their sum is the loss; the log has the mean of one.
            target = school.target(shown)
        described = [school.describe(student, shown) for student in students]
        losses = torch.stack([(x - target).square().sum(dim=1).mean(dim=(1, 2)).sum() for x in described])
        learner.step(losses.sum() / len(batch), run)
        return torch.stack((losses.detach().mean(), losses.new_full((), len(part))))

    train([learner], run, steps=steps, epoch_steps=config.epoch_steps, losses=("regression",), step=step)
    students.requires_grad_(False)
