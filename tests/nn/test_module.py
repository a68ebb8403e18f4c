"""A method made of a network and a loss: what teaches it, what repeats exactly, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tests.helpers.killed import KilledRun, equal
from tests.helpers.threads import in_threads
from tests.supervised.surfaces import SIZE, surfaces, tiny_data
from trainables.contract import LocalRun, Trainable
from trainables.data.samples import TrainingData
from trainables.data.spec import Supervision
from trainables.data.tensors import images_to_tensor
from trainables.errors import Diverged, InputError
from trainables.evaluation.metrics import image_ap
from trainables.methods import ModuleConfig, ModulePredictor, module


class Config(ModuleConfig, frozen=True, extra="forbid"):
    norm: Literal["batch", "none"] = Field("batch", description="Normalisation.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of channels.")
    halve: bool = Field(False, description="Logits of cells of 2 × 2 pixels.")


def build(config: Config) -> nn.Module:
    norm = nn.BatchNorm2d(8) if config.norm == "batch" else nn.Identity()
    layers = [
        nn.Conv2d(config.channels, 8, 3, 1 + config.halve, 1),
        norm,
        nn.ReLU(),
        nn.Dropout2d(config.dropout),
    ]
    return nn.Sequential(*layers, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))


def cross_entropy(logits: Tensor, masks: Tensor, config: Config) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, masks)


def mirrored(image: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return (image.flip(2), mask.flip(2)) if rng.random() < 0.5 else (image, mask)


def with_noise_of_torch(image: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return image + 0.01 * torch.randn_like(image), mask


def tiny_method(**parts: Any) -> Trainable[Config]:
    whole: dict[str, Any] = {"build": build, "loss": cross_entropy, "name": "tiny", "Config": Config}
    return module(**whole | parts)


METHOD = tiny_method(augment=mirrored)


def trained(
    method: Trainable[Config] = METHOD,
    data: TrainingData | None = None,
    run: LocalRun | None = None,
    **settings: Any,
) -> ModulePredictor:
    config = Config.model_validate({"image_size": SIZE, "epochs": 4, "lr": 0.01, **settings})
    run = LocalRun() if run is None else run
    model = method.fit(config, tiny_data() if data is None else data, run)
    assert isinstance(model, ModulePredictor)
    return model


def weights(model: ModulePredictor) -> dict[str, Tensor]:
    return dict(model.network.state_dict())


SETTINGS = [
    {},
    {"schedule": "onecycle", "optimiser": "sgd", "checkpoint": "last", "memory_format": "channels_last"},
    {"schedule": "step", "step_epochs": 2, "optimiser": "adam", "balanced": True, "batch_size": 4},
    {"schedule": "constant", "clip_norm": 0.1, "halve": True, "precision": "bfloat16"},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("augment", [mirrored, with_noise_of_torch])
def test_same_seed_same_bits_whatever_torch_drew_before(settings: dict[str, Any], augment: Any) -> None:
    method, models = tiny_method(augment=augment), []
    runs = [LocalRun(seed=3), LocalRun(seed=3), LocalRun(seed=4)]
    for run in runs:
        torch.rand(len(models) + 1)
        models.append(weights(trained(method, run=run, **settings)))
    assert runs[0].history == runs[1].history
    assert equal(models[0], models[1])
    assert not equal(models[0], models[2])


def test_a_training_leaves_torchs_own_random_numbers_where_they_were() -> None:
    torch.manual_seed(0)
    undisturbed = torch.rand(3)
    torch.manual_seed(0)
    trained()
    assert torch.equal(torch.rand(3), undisturbed)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_killed_training_goes_on_to_the_same_bits(settings: dict[str, Any], tmp_path: Path) -> None:
    method = tiny_method(augment=with_noise_of_torch)
    undisturbed = trained(method, **settings)
    with pytest.raises(KeyboardInterrupt):
        trained(method, run=KilledRun(folder=tmp_path), **settings)
    run = LocalRun(folder=tmp_path)
    resumed = trained(method, run=run, **settings)
    assert [entry["epoch"] for entry in run.history] == [2, 3]
    assert equal(weights(undisturbed), weights(resumed))


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_image_whose_mask_is_withheld_changes_no_bit(settings: dict[str, Any]) -> None:
    images = surfaces(6, 8)
    withheld = images.ids[:3]
    masks = {name: mask for name, mask in images.masks.items() if name not in withheld}
    models = []
    for shade in (0, 255):
        pixels = {
            name: np.full_like(images.images[name], shade) if name in withheld else images.images[name]
            for name in images.ids
        }
        shown = TrainingData(
            replace(images, images=pixels, masks=masks),
            surfaces(5, 8, seed=1),
            Supervision.model_validate({"mixed": 3}),
        )
        models.append(weights(trained(data=shown, **settings)))
    assert equal(*models)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_batch_has_the_same_gradient_with_and_without_an_image_whose_mask_is_withheld(norm: str) -> None:
    images = surfaces(1, 3)
    extra = surfaces(2, 0, seed=5, masks=0)
    both = replace(
        images,
        ids=(*images.ids, *extra.ids),
        labels=np.concatenate([images.labels, extra.labels]),
        images={name: part.images[name] for part in (images, extra) for name in part.ids},
    )
    gradients = []
    for shown in (images, both):
        seen: list[Tensor] = []

        def watched(logits: Tensor, masks: Tensor, config: Config, seen: list[Tensor] = seen) -> Tensor:
            loss = cross_entropy(logits, masks, config)
            (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
            seen.append(gradient)
            return loss

        method = tiny_method(loss=watched)
        data = TrainingData(shown, None, Supervision.model_validate({"mixed": 1}))
        trained(method, data, epochs=1, checkpoint="last", norm=norm, dropout=0)
        gradients.append(seen)
    assert len(gradients[0]) == 1
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


@pytest.mark.parametrize("settings", [{}, {"halve": True, "dropout": 0}])
def test_it_finds_defects_it_has_not_seen_and_a_saved_model_says_the_same(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    model = trained(epochs=60, schedule="onecycle", lr=0.02, **settings)
    test = surfaces(6, 6, seed=2)
    images = images_to_tensor([sample.image for sample in test], torch.device("cpu"))
    prediction = model.predict(images)
    score = image_ap(test.labels, prediction.score.numpy())
    assert isinstance(score, float)
    assert score > 0.9
    inside = np.stack([test.masks.get(name, np.zeros(SIZE, np.uint8)) for name in test.ids]) > 0
    heatmap = prediction.heatmap.numpy()
    assert heatmap[inside].mean() > 10 * heatmap[~inside].mean()

    model.save(tmp_path)
    again = METHOD.load(tmp_path).predict(images)
    assert torch.equal(again.score, prediction.score)
    assert torch.equal(again.heatmap, prediction.heatmap)


def test_a_trained_network_with_batch_normalisation_and_dropout_answers_for_each_image_alone() -> None:
    model = trained(checkpoint="last")
    images = torch.rand(4, 1, *SIZE)
    together = model.predict(images).score
    alone = torch.cat([model.predict(image).score for image in images.split(1)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-6)


def test_the_weights_are_those_of_the_best_epoch() -> None:
    run = LocalRun()
    model = trained(run=run, epochs=8, lr=1.0, optimiser="sgd", schedule="constant")
    scores = [entry["validation.image_ap"] for entry in run.history]
    data = tiny_data()
    assert data.validation is not None
    images = images_to_tensor([sample.image for sample in data.validation], torch.device("cpu"))
    assert image_ap(data.validation.labels, model.predict(images).score.numpy()) == max(scores)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.01] * 4),
        ("cosine", [0.01 * (1 + np.cos(np.pi * (2 * epoch + 1) / 8)) / 2 for epoch in range(4)]),
        ("step", [0.01, 0.01, 0.001, 0.001]),
        ("onecycle", None),
    ],
)
def test_the_learning_rate_is_that_of_torchs_scheduler(schedule: str, rates: list[float] | None) -> None:
    run = LocalRun()
    trained(run=run, schedule=schedule, step_epochs=2, batch_size=7)  # two steps an epoch
    if rates is None:
        weight = nn.Parameter(torch.zeros(()))
        optimiser = torch.optim.AdamW([weight], lr=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=8)
        rates = []
        for _ in range(8):
            rates.append(float(optimiser.param_groups[0]["lr"]))
            optimiser.step()
            scheduler.step()
        rates = rates[1::2]
    assert [entry["lr"] for entry in run.history] == pytest.approx(rates)


def test_it_trains_as_a_loop_written_with_torch_does() -> None:
    """Batch normalisation, AdamW and one cycle of rate and momentum, over the same batches."""

    def same_start(config: Config) -> nn.Module:
        torch.manual_seed(5)
        return build(config)

    run, data = LocalRun(), tiny_data(masks=3)
    settings: dict[str, Any] = {"schedule": "onecycle", "checkpoint": "last", "dropout": 0, "batch_size": 4}
    model = trained(tiny_method(build=same_start), data, run, **settings)

    known = [
        i for i, name in enumerate(data.train.ids) if not data.train.labels[i] or name in data.train.masks
    ]
    images = images_to_tensor([data.train.images[data.train.ids[i]] for i in known], torch.device("cpu"))
    blank = np.zeros(SIZE, np.uint8)
    masks = np.stack([data.train.masks.get(data.train.ids[i], blank) > 0 for i in known])
    targets = torch.from_numpy(masks).float()[:, None]
    steps = -(-len(known) // model.config.batch_size)
    network = same_start(model.config)
    optimiser = torch.optim.AdamW(network.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, epochs=4, steps_per_epoch=steps)
    for epoch in range(4):
        for batch in np.array_split(run.generator("order", epoch).permutation(len(known)), steps):
            loss = cross_entropy(network(images[batch]), targets[batch], model.config)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
    assert len(known) == 11  # of 14: three masks of six
    assert equal(weights(model), dict(network.state_dict()))


def test_two_workers_end_where_one_does_if_the_loss_is_of_each_image() -> None:
    def per_image(logits: Tensor, masks: Tensor, config: Config) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(1, 2, 3))

    def same_start(config: Config) -> nn.Module:  # threads share torch's random numbers
        network = build(config)
        for index, weight in enumerate(network.parameters()):
            nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(index))
        return network

    method = tiny_method(build=same_start, loss=per_image, augment=mirrored)
    settings: dict[str, Any] = {"norm": "none", "dropout": 0, "batch_size": 7}
    single, double = (
        in_threads(workers, lambda run: trained(method, run=run, **settings))[0] for workers in (1, 2)
    )
    for name, tensor in weights(single).items():
        torch.testing.assert_close(weights(double)[name], tensor, rtol=1e-4, atol=1e-5)


# Refusals


class Named(nn.Conv2d):
    def forward(self, input: Tensor) -> Any:
        return {"out": super().forward(input)}


def two_outputs(config: Config) -> nn.Module:
    return Named(1, 1, 1)


def frozen(config: Config) -> nn.Module:
    return build(config).requires_grad_(requires_grad=False)


def wide(config: Config) -> nn.Module:
    return nn.Conv2d(1, 2, 1)


def of_pixels(logits: Tensor, masks: Tensor, config: Config) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, masks, reduction="none")


def without_arguments() -> None: ...


def cropped(image: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return image[:, :16, :16], mask


@pytest.mark.parametrize(
    ("parts", "data", "refusal"),
    [
        ({"build": wide}, {}, r"found \(7, 2, 48, 64\) for \(7, 1, 48, 64\)"),
        ({"build": two_outputs}, {}, "found a dict"),
        ({"build": frozen}, {}, "has weights that learn, found none"),
        ({"loss": of_pixels}, {}, r"found \(7, 1, 48, 64\) for 7 images"),
        ({"augment": cropped}, {}, r"found \(1, 16, 16\) with \(1, 48, 64\)"),
        ({}, {"masks": 0}, "none of the 6 defective training images shows one"),
        ({}, {"validation": False}, "checkpoint: best chooses the epoch by validation"),
    ],
)
def test_what_cannot_be_trained_is_refused(parts: dict[str, Any], data: dict[str, Any], refusal: str) -> None:
    method = tiny_method(**parts)
    with pytest.raises(InputError, match=refusal):
        trained(method, tiny_data(**data))


@pytest.mark.parametrize(
    ("norm", "refusal"),
    [("batch", "found it in `1`. Set resources.workers: 1"), ("none", "found a single one")],
)
def test_several_workers_are_refused_what_each_would_do_otherwise(norm: str, refusal: str) -> None:
    with pytest.raises(InputError, match=refusal):
        trained(run=LocalRun(world_size=2), norm=norm)


@pytest.mark.parametrize(
    ("parts", "call"),
    [
        ({"build": without_arguments}, "build(config)"),
        ({"loss": nn.BCEWithLogitsLoss()}, "loss(logits, masks, config)"),
        ({"augment": without_arguments}, "augment(image, mask, rng)"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_when_the_method_is_made(
    parts: dict[str, Callable[..., Any]], call: str
) -> None:
    with pytest.raises(InputError) as refused:
        tiny_method(**parts)
    assert f"is called as {call}, found" in str(refused.value)


def test_a_loss_that_is_not_finite_has_diverged() -> None:
    def blown(logits: Tensor, masks: Tensor, config: Config) -> Tensor:
        return cross_entropy(logits, masks, config) * float("inf")

    with pytest.raises(Diverged):
        trained(tiny_method(loss=blown))


def test_half_of_a_balanced_batch_is_whole() -> None:
    with pytest.raises(ValueError, match=r"batch_size is even, found 5\. Use 6, or balanced: false"):
        Config.model_validate({"image_size": SIZE, "balanced": True, "batch_size": 5})
