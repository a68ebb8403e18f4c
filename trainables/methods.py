"""A method in a few lines: a ``torch.nn.Module`` that gives logits of defect pixels, and a loss of its masks.

::

    from trainables.methods import ModuleConfig, module

    class UNetConfig(ModuleConfig, frozen=True, extra="forbid"):
        width: int = Field(16, ge=1, description="Channels at full size.")

    def build(config):
        return UNet(config.channels, config.width)

    def loss(logits, masks, config):
        return F.binary_cross_entropy_with_logits(logits, masks)

    TRAINABLE = module(build, loss, name="my_unet", Config=UNetConfig)

Batches, the loop, optimiser and schedule, the best epoch, arithmetic, checkpoints, predictor and files come
with it. A defective image whose mask is withheld takes no part in training: a mask of zeros would teach
that nothing there is defective, and even without a loss the image would reach batch normalisation.

Trade-off: masks alone teach the network. A method that learns from image labels too, or in several steps,
writes its own ``fit`` (:mod:`trainables.contract`), with the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import lr_scheduler

from trainables.contract import Prediction, Run, Trainable, TrainableConfig
from trainables.data.samples import ImageSet, TrainingData
from trainables.errors import InputError
from trainables.evaluation.pseudo_labels import OPEN
from trainables.nn.batches.on_device import DeviceRows, TrainingImages
from trainables.nn.batches.sampling import BalancedSampler, Sampler, ShuffledSampler
from trainables.nn.labels.pixels import Labels, mask_labels
from trainables.nn.layers.initialisation import drawn_seed
from trainables.nn.layers.pooling import pool_map
from trainables.nn.models import forward_context, load_into, with_layout
from trainables.nn.predictor import NetworkPredictor, defect_probability
from trainables.nn.training.loop import BatchShard, TrainingHooks, TrainingSchedule, train
from trainables.nn.training.parts import BestEpoch, check_choice, check_images, validation_ap
from trainables.plugins.method_shape import is_called_as

__all__ = ["Augment", "Loss", "ModuleConfig", "ModulePredictor", "module"]


class ModuleConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings of every method that :func:`module` makes; a class that extends it adds further ones."""

    epochs: int = Field(30, ge=1, le=100_000, description="Epochs, each of all images that it learns from.")
    batch_size: int = Field(8, ge=1, le=1024, description="Images of a step, over all workers.")
    balanced: bool = Field(
        False,
        description="Half of a batch is defective. An epoch then shows each defective image once, and as "
        "many normal ones.",
    )
    optimiser: Literal["adamw", "adam", "sgd"] = Field("adamw", description="torch's optimiser.")
    lr: float = Field(0.001, gt=0, le=10, description="Learning rate; of onecycle the highest.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay, as the optimiser means it.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    schedule: Literal["constant", "cosine", "onecycle", "step"] = Field(
        "cosine",
        description="Learning rate over the steps, by torch's CosineAnnealingLR, OneCycleLR or StepLR.",
    )
    step_epochs: int = Field(
        10, ge=1, le=100_000, description="Epochs from one step of the rate to the next."
    )
    step_factor: float = Field(0.1, gt=0, le=1, description="What such a step multiplies the rate by.")
    clip_norm: float = Field(0.0, ge=0, description="Longest gradient of all weights together; 0: any.")
    checkpoint: Literal["best", "last"] = Field(
        "best",
        description="Weights of the epoch with the best validation image AP (of equal ones the later), "
        "or of the last one.",
    )
    validate_every: int = Field(1, ge=1, le=100_000, description="Epochs between validations.")
    top_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="An image's logit is the mean over this share of its pixels, the most "
        "suspicious ones; 0: the highest one.",
    )

    @model_validator(mode="after")
    def _halves_are_whole(self) -> Self:
        if self.balanced and self.batch_size % 2:
            raise ValueError(
                f"half of a balanced batch is defective: batch_size is even, found {self.batch_size}. Use "
                f"{self.batch_size + 1}, or balanced: false."
            )
        return self


ConfigT = TypeVar("ConfigT", bound=ModuleConfig)
# Logits and masks (B × 1 × h × w, 1: defect) and the config; one value for each image, or their mean.
Loss = Callable[[Tensor, Tensor, ConfigT], Tensor]
# An image (C × H × W in [0, 1]), its mask (1 × H × W) and random numbers; both as they are to be seen.
Augment = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]


def module(
    build: Callable[[ConfigT], nn.Module],
    loss: Loss[ConfigT],
    *,
    name: str,
    Config: type[ConfigT] = ModuleConfig,
    augment: Augment | None = None,
    title: str = "",
    revision: int = 1,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    source: str = "",
) -> Trainable[ConfigT]:
    """A method that trains a network on masks; it learns from ``full`` and ``{mixed: N}``.

    Args:
        build: Makes the network of a config. It takes B × C × H × W images in [0, 1] and gives logits,
            B × 1 × h × w or B × h × w, of the same size or smaller. First weights are those that it draws
            from torch's random numbers.
        loss: Called as ``loss(logits, masks, config)`` with float32 logits and masks of their size.
        name: In tables and studies.
        Config: Its settings.
        augment: Called as ``augment(image, mask, rng)`` for each image of a batch, with random numbers of
            its own. Sizes may change, for all images of a batch alike.
        title: A line about it; the name in words where it is left out.
        revision: Raised when results change: it is part of every trial's id.
        presets: Settings by name.
        source: Authors, year and where to find it.

    Raises:
        InputError: If one of the functions cannot be called like this.
    """
    # A function with other arguments is refused here, where its author sees it, and not in the first trial.
    calls = {"build": "config", "loss": "logits, masks, config", "augment": "image, mask, rng"}
    for (role, call), function in zip(calls.items(), (build, loss, augment), strict=True):
        called = function.forward if isinstance(function, nn.Module) else function
        if called is not None and not is_called_as(called, call.split(", ")):
            raise InputError(
                f"`{role}` of a module is called as {role}({call}), found {function!r}. Write "
                f"`lambda {call}: …` around it."
            )
    method = _Method(build, loss, augment, Config)
    title = title if title else name.replace("_", " ").capitalize()
    return Trainable(
        name=name,
        revision=revision,
        title=title,
        source=source,
        Config=Config,
        presets={} if presets is None else presets,
        supervisions=frozenset({"mixed", "full"}),  # an image label alone teaches it nothing
        fit=method.fit,
        load=method.load,
        footnotes=lambda config: [f"{title}: defective images without a mask are left out of its training."],
        # Masks alone teach it; the best epoch is chosen by images of both kinds.
        needs_normal=lambda config: "Set `config.checkpoint: last`" if config.checkpoint == "best" else None,
    )


class ModulePredictor(NetworkPredictor[nn.Module, ModuleConfig]):
    """Scores images by their most suspicious pixels."""

    def predict_pass(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            logits_B1hw = _logits(self.network, images)
        score_B = defect_probability(
            pool_map(logits_B1hw, "topk", top_share=self.config.top_share, lse_r=1.0)
        )
        heatmap_B1hw = logits_B1hw.sigmoid()
        if heatmap_B1hw.shape[2:] != images.shape[2:]:
            heatmap_B1hw = F.interpolate(heatmap_B1hw, images.shape[2:], mode="bilinear")
        return Prediction(score_B, heatmap_B1hw[:, 0])


@dataclass(frozen=True)
class _Method(Generic[ConfigT]):
    """What a method's author wrote, as ``fit`` and ``load`` of the contract."""

    build: Callable[[ConfigT], nn.Module]
    loss: Loss[ConfigT]
    augment: Augment | None
    Config: type[ConfigT]

    def fit(self, config: ConfigT, data: TrainingData, run: Run) -> ModulePredictor:
        """Train the network on the images whose pixels are known.

        Logs per epoch: ``loss`` (mean over the epoch's images and all workers), ``lr`` and, where it is
        computed, ``validation.image_ap``.

        Raises:
            InputError: If images, masks or number of workers do not suit the method, or its network or loss
                give something else than they ought to.
            Diverged: If loss or weights are no longer finite.
        """
        config = config.resolved(run.device.type)
        check_images(config, data.train)
        if config.checkpoint == "best":
            check_choice(data.validation)
        labels = mask_labels(data.train, config.image_size)
        known = _positions_with_known_pixels(data.train, labels)

        # Cells that are compared draw the same numbers, and a resumed training those of an uninterrupted one.
        with _torch_numbers_from(run.generator("init"), run.device):
            network = self.build(config)
        _refuse_batch_norm(network, run.world_size)
        network = with_layout(network, config).to(run.device)
        predictor, best = ModulePredictor(network, config), BestEpoch(network)

        # Images and masks lie on the device; a normal image's mask is a blank that all of them share.
        images = TrainingImages(data.train, config, run.device)
        blank = np.zeros(config.image_size, np.uint8)
        masks = DeviceRows(lambda i: labels.get(data.train.ids[i], blank), len(data.train), run.device)

        def backward(shard: BatchShard) -> Mapping[str, Tensor]:
            positions = [known[i] for i in shard.positions]
            images_BCHW, masks_B1HW = images.batch(positions), masks.batch(positions)[:, None].float()
            # Dropout, and an `augment` that asks torch for random numbers, draw anew in each step.
            with _torch_numbers_from(run.generator("torch", shard.step, run.rank), run.device):
                if self.augment is not None:
                    draw = partial(run.generator, "augment", shard.epoch)
                    images_BCHW, masks_B1HW = _augmented(
                        self.augment, images_BCHW, masks_B1HW, map(draw, positions)
                    )
                with forward_context(config, run.device):
                    logits_B1hw = _logits(network, images_BCHW)
                # A cell of a smaller map is defective where any of its pixels is.
                masks_B1hw = F.adaptive_max_pool2d(masks_B1HW, logits_B1hw.shape[2:])
                total = _sum_over_images(self.loss(logits_B1hw, masks_B1hw, config), len(positions), run)
            # Sums of the shard over the size of the batch: two workers end where one does.
            (total / shard.size).backward()
            return {"loss": total.detach()}

        def validate(epoch: int) -> Mapping[str, float]:
            metrics = validation_ap(predictor, data.validation, run.device)
            if config.checkpoint == "best":
                best.offer(epoch, metrics["validation.image_ap"])
            return metrics

        # Frozen layers are the author's choice, but something has to learn.
        learning = [weight for weight in network.parameters() if weight.requires_grad]
        if not learning:
            raise InputError(
                "the network of a module has weights that learn, found none. Mend `build`: layers are "
                "attributes of the network, and some of their weights have `requires_grad`."
            )
        optimiser = _optimiser(learning, config)
        sampler = (
            BalancedSampler(data.train.labels[known], config.batch_size)
            if config.balanced
            else ShuffledSampler(len(known), config.batch_size)
        )

        # Momentum has no place in the loop's schedule, so it is set in each step from the same table.
        paces = _paces(config, sampler)

        def set_momentum(shard: BatchShard) -> None:
            for group in optimiser.param_groups:
                _set_momentum(group, paces[shard.step].momentum)

        train(
            network,
            optimiser,
            run,
            schedule=_TableSchedule(
                config.epochs,
                validate_every=config.validate_every,
                clip_norm=config.clip_norm,
                rates=[pace.rate for pace in paces],
            ),
            sampler=sampler,
            hooks=TrainingHooks(
                backward,
                losses=("loss",),
                before_step=set_momentum,
                validate=validate,
                checkpointed={"best": best},
            ),
        )
        if config.checkpoint == "best":
            best.load()
        network.eval()
        return predictor

    def load(self, folder: Path) -> ModulePredictor:
        """Read what :meth:`ModulePredictor.save` wrote, to the CPU."""
        network, config = load_into(folder, self.Config, self.build)
        return ModulePredictor(network.eval(), config)


# What it learns from


def _positions_with_known_pixels(images: ImageSet, labels: Labels) -> list[int]:
    """Positions of the normal images, and of the defective ones whose mask is shown.

    Raises:
        InputError: If no defective image has one.
    """
    known = [i for i, name in enumerate(images.ids) if not images.labels[i] or (labels[name] != OPEN).any()]
    if not images.labels[known].any():
        raise InputError(
            f"this method learns from masks, and none of the {images.labels.sum()} defective training images "
            "shows one. Use supervision: full or {mixed: N}."
        )
    return known


def _augmented(
    augment: Augment, images_BCHW: Tensor, masks_B1HW: Tensor, rngs: Iterable[np.random.Generator]
) -> tuple[Tensor, Tensor]:
    # Checked here, because a mask of another size than its image would be resized into nonsense later.
    seen = [augment(image, mask, rng) for image, mask, rng in zip(images_BCHW, masks_B1HW, rngs, strict=True)]
    shapes = {(tuple(image.shape), tuple(mask.shape)) for image, mask in seen}
    image, mask = next(iter(shapes))
    if len(shapes) > 1 or image[1:] != mask[1:] or len(mask) != 3:
        raise InputError(
            "`augment` gives an image C × H × W and its mask 1 × H × W, of one size in a batch, found "
            f"{' and '.join(f'{image} with {mask}' for image, mask in sorted(shapes))}. Mend it."
        )
    images, masks = zip(*seen, strict=True)
    return torch.stack(images), torch.stack(masks)


def _logits(network: nn.Module, images_BCHW: Tensor) -> Tensor:
    """Logits of pixels in float32, B × 1 × h × w.

    Raises:
        InputError: If the network gives something else.
    """
    output = network(images_BCHW)
    if isinstance(output, Tensor):
        logits = output[:, None] if output.ndim == 3 else output
        if logits.ndim == 4 and logits.shape[1] == 1:
            return logits.float()
    shown = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise InputError(
        f"the network of a module gives logits of pixels, B × 1 × h × w, found {shown} for "
        f"{tuple(images_BCHW.shape)}. Take the part that is meant in `build`, in a module around it."
    )


def _sum_over_images(loss: Tensor, count: int, run: Run) -> Tensor:
    """The sum of a loss over images, from one value for each of them or their mean.

    Raises:
        InputError: If it is neither, or a mean although several workers share a batch.
    """
    if loss.shape == (count,):
        return loss.sum()
    if loss.ndim:
        raise InputError(
            f"`loss` gives a single value, or one for each image, found {tuple(loss.shape)} for {count} "
            "images. Take the mean over pixels: `.mean(dim=(1, 2, 3))`."
        )
    if run.world_size > 1:
        raise InputError(
            f"where {run.world_size} workers share a batch `loss` gives one value for each image, found a "
            "single one. Take the mean over pixels alone (`.mean(dim=(1, 2, 3))`), or set "
            "resources.workers: 1."
        )
    return loss * count


def _refuse_batch_norm(network: nn.Module, workers: int) -> None:
    """Refuse statistics over a worker's own images.

    Raises:
        InputError: If several workers would train another model than one.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    norms = [name for name, part in network.named_modules() if isinstance(part, kinds)]
    if norms and workers > 1:
        raise InputError(
            f"batch normalisation takes statistics over a worker's own images, so {workers} workers would "
            f"train another model than one, found it in `{norms[0]}`. Set resources.workers: 1, or use "
            "nn.GroupNorm."
        )


@contextmanager
def _torch_numbers_from(rng: np.random.Generator, device: torch.device) -> Generator[None]:
    """Let torch's own random numbers begin at a seed of the run's; afterwards they go on where they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(drawn_seed(rng))
        yield


# How it learns


class _Pace(NamedTuple):
    """A step's learning rate and momentum."""

    rate: float
    momentum: float


@dataclass(frozen=True)
class _TableSchedule(TrainingSchedule):
    """A schedule whose rates were worked out before."""

    rates: Sequence[float] = ()  # of all steps

    def rate_at(self, peak: float, step: int, steps: int, steps_per_epoch: int) -> float:
        return self.rates[step]


def _optimiser(weights: Sequence[nn.Parameter], config: ModuleConfig) -> torch.optim.Optimizer:
    match config.optimiser:
        case "adamw":
            return torch.optim.AdamW(weights, lr=config.lr, weight_decay=config.weight_decay)
        case "adam":
            return torch.optim.Adam(weights, lr=config.lr, weight_decay=config.weight_decay)
        case "sgd":
            return torch.optim.SGD(
                weights, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
            )


def _paces(config: ModuleConfig, sampler: Sampler) -> list[_Pace]:
    """Rate and momentum of each step, as torch's scheduler gives them to an optimiser that trains nothing.

    A resumed training then needs no state of a scheduler.
    """
    # torch's own schedulers run once over a dummy weight, and their numbers become a table.
    steps = config.epochs * sampler.steps
    optimiser = _optimiser([nn.Parameter(torch.zeros(()))], config)
    match config.schedule:
        case "constant":
            scheduler = lr_scheduler.ConstantLR(optimiser, factor=1.0)
        case "cosine":
            scheduler = lr_scheduler.CosineAnnealingLR(optimiser, steps)
        case "onecycle":
            scheduler = lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=steps)
        case "step":
            scheduler = lr_scheduler.StepLR(optimiser, config.step_epochs * sampler.steps, config.step_factor)
    paces: list[_Pace] = []
    for _ in range(steps):
        (group,) = optimiser.param_groups
        paces.append(_Pace(float(group["lr"]), _momentum(group)))
        optimiser.step()
        scheduler.step()
    return paces


def _momentum(group: Mapping[str, Any]) -> float:
    """Momentum of an optimiser's group; the first beta of Adam."""
    return float(group["betas"][0] if "betas" in group else group["momentum"])


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, group["betas"][1])
    else:
        group["momentum"] = momentum
