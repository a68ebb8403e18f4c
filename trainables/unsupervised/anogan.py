"""f-AnoGAN: what a generator of normal patches cannot make again is not normal.

A Wasserstein GAN learns what normal patches look like; then it is frozen, and an encoder learns which z makes
a patch again. A patch scores what is lost on the way there and back, in pixels and in the critic's features
(``izi_f``).

Source: Schlegl et al. 2019, Medical Image Analysis 54, and its published code; scores of images as in Božič
et al. 2021, arXiv:2104.06064.
"""

# B images; N patches of P × P pixels; h × w places of a grid

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trainables.contract import Run
from trainables.data.samples import ImageSet
from trainables.nn.batches.on_device import sent
from trainables.nn.batches.passes import in_passes
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.models import forward_context, with_layout
from trainables.unsupervised.config import UnsupervisedConfig
from trainables.unsupervised.gan import Critic, Encoder, Generator, gradient_penalty
from trainables.unsupervised.patches import PatchGrid, PatchPool
from trainables.unsupervised.training import Learner, train

__all__ = ["Distances", "FAnoGan", "train_encoder", "train_gan"]

_BETAS = (0.0, 0.9)  # of the GAN's Adam (Gulrajani et al. 2017, Algorithm 1)
# Of the encoder: TensorFlow's defaults, as in the published code, whose 1e-10 stands under the root.
_RMSPROP_DECAY, _RMSPROP_EPS = 0.9, 1e-5
_PASS_COST = 16  # smaller passes than memory asks for: maps of 64 small patches stay in a core's cache
_COPIED_PIXELS = 2**19  # of patches at a time: little beside what networks hold of them
_FACTS = 64  # held-out patches whose distances are logged


class Distances(NamedTuple):
    """Differences of a patch from its reconstruction: means of squares."""

    made_NCPP: Tensor  # the reconstruction, in [−1, 1]
    image_N: Tensor
    feature_N: Tensor


class FAnoGan(nn.Module):
    """Generator, critic and encoder, and what they make of whole images."""

    def __init__(self, config: UnsupervisedConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.channels, config.gan_latent, config.gan_width, config.patch_size, config.gan_norm)
        self.generator = Generator(*shape)
        self.critic = Critic(config.channels, config.gan_width, config.patch_size)
        self.encoder = Encoder(*shape)

    def distances(self, patches_NCPP: Tensor) -> Distances:
        """Compare patches in [−1, 1] with their reconstructions; in float32."""
        # Differences are taken in float32: two nearly equal numbers in bfloat16 leave nothing.
        made = self.generator(self.encoder(patches_NCPP)).float()
        features, made_features = (self.critic.features(x).float() for x in (patches_NCPP, made))
        image_N = (patches_NCPP - made).square().mean(dim=(1, 2, 3))
        return Distances(made, image_N, (features - made_features).square().mean(dim=1))

    def anomaly(self, images_BCHW: Tensor) -> Tensor:
        """``MSE(x, G(E(x))) + κ · MSE(f(x), f(G(E(x))))`` of patches, brought to pixels: B × H × W."""
        config = self.config
        # Images in [0, 1] become [−1, 1], which the generator's tanh makes.
        grid = PatchGrid(config.image_size, config.patch_size, config.patch_stride, config.patch_placing)
        windows = grid.windows(2 * images_BCHW - 1)
        rows = [self._seen(part)[0] for part in _rows_in_passes(windows)]
        return grid.spread(torch.cat(rows, dim=1))

    def predict_stages(self, images_BCHW: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The anomaly, and ``reconstruction`` (picture) and ``residual`` (map), of patches that overlap by
        half."""
        config = self.config
        grid = PatchGrid(config.image_size, config.patch_size, config.patch_size // 2, "overlap")
        seen = [self._seen(part) for part in _rows_in_passes(grid.windows(2 * images_BCHW - 1))]
        # Pictures need patches that cover every pixel; the map may be of other places, and is then computed
        # by itself.
        same_places = (config.patch_stride, config.patch_placing) == (grid.stride, grid.placing)
        scores = torch.cat([scores for scores, _ in seen], dim=1)
        anomaly = grid.spread(scores) if same_places else self.anomaly(images_BCHW)
        made = torch.cat([made for _, made in seen], dim=2)
        reconstruction = ((grid.assemble(made) + 1) / 2).clamp(0, 1)
        residual = (images_BCHW - reconstruction).abs().mean(dim=1)
        return anomaly, {"reconstruction": reconstruction, "residual": residual}

    @torch.no_grad()
    def held_out_facts(self, images: ImageSet, run: Run) -> dict[str, float]:
        """Mean distances of some held-out normal patches; of z, that of patch and reconstruction."""
        pool = PatchPool(images, self.config.patch_size, 1, run.generator("held-out patches"), run.device)
        patches = 2 * pool.cut(range(min(len(images), _FACTS))) - 1
        seen = self.distances(patches)
        # The distance of z is only logged; no score uses it.
        latent = (self.encoder(patches) - self.encoder(seen.made_NCPP)).square().mean()
        distances = (seen.image_N.mean(), seen.feature_N.mean(), latent)
        return dict(zip(("image", "feature", "latent"), map(float, distances), strict=True))

    def _seen(self, windows_BChwPP: Tensor) -> tuple[Tensor, Tensor]:
        """The windows' scores, B × h × w, and their reconstructions in the windows' shape."""
        batch, _, rows, columns = windows_BChwPP.shape[:4]
        scores: list[Tensor] = []
        made: list[Tensor] = []
        for part in in_passes(_patches(windows_BChwPP), _PASS_COST):
            with forward_context(self.config, part.device):
                seen = self.distances(part)
            scores.append(seen.image_N + self.config.kappa * seen.feature_N)
            made.append(seen.made_NCPP)
        made_NCPP = torch.cat(made)
        made_BhwCPP = made_NCPP.reshape(batch, rows, columns, *made_NCPP.shape[1:])
        return torch.cat(scores).reshape(batch, rows, columns), made_BhwCPP.permute(0, 3, 1, 2, 4, 5)


def _patches(windows_BChwPP: Tensor) -> Tensor:
    """N × C × P × P, image by image and row by row."""
    return windows_BChwPP.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def _rows_in_passes(windows_BChwPP: Tensor) -> list[Tensor]:
    """Rows of a grid in groups of which the patches are copied together; all in one while it is exported."""
    if torch.compiler.is_exporting():
        return [windows_BChwPP]
    batch, _, _, columns, side, _ = windows_BChwPP.shape
    rows = max(1, _COPIED_PIXELS // (batch * columns * side**2))
    return list(windows_BChwPP.split(rows, dim=2))


def _pool(config: UnsupervisedConfig, images: ImageSet, run: Run) -> PatchPool:
    rng = run.generator("patches")
    return PatchPool(images, config.patch_size, config.patches_per_image, rng, run.device)


class _Draw(NamedTuple):
    """This worker's part of the random numbers of a step."""

    patches_NCPP: Tensor  # in [−1, 1]
    z_NZ: Tensor
    mix_N: Tensor


def _draw(
    pool: PatchPool, config: UnsupervisedConfig, size: int, rng: np.random.Generator, run: Run
) -> _Draw | None:
    """Draw this worker's part of a step; None where it has none."""
    # Everything is drawn for the whole batch and then divided, so the number of workers changes nothing.
    numbers = pool.draw(size, rng)
    z = rng.standard_normal((size, config.gan_latent), dtype=np.float32)
    mix = rng.random(size, dtype=np.float32)
    places = list(run.shard(range(size)))
    if not places:
        return None
    patches = 2 * pool.cut(numbers[places].tolist()) - 1
    return _Draw(patches, *(sent(torch.from_numpy(x[places]), run.device) for x in (z, mix)))


def train_gan(config: UnsupervisedConfig, images: ImageSet, run: Run) -> tuple[Generator, Critic]:
    """Train generator and critic on patches of ``images``, which are normal.

    Logs the means of ``critic`` (its loss without the penalty: minus the estimated Wasserstein distance),
    ``penalty`` (not weighted) and ``generator``.

    Raises:
        Diverged: If a loss or weight is no longer finite.
    """
    pool = _pool(config, images, run)
    nets = with_layout(FAnoGan(config), config).to(run.device)
    generator, critic, size = nets.generator, nets.critic, config.gan_batch

    def learner(name: str, network: nn.Module) -> Learner:
        initialise(network, drawn_seed(run.generator(f"init {name}")))
        optimiser = torch.optim.Adam(network.parameters(), lr=config.gan_lr, betas=_BETAS)
        return Learner(name, network.train(), optimiser)

    of_generator, of_critic = learner("generator", generator), learner("critic", critic)

    def step(number: int) -> Tensor:
        sums = torch.zeros(4, device=run.device)
        for turn in range(config.gan_critic_steps):
            draw = _draw(pool, config, size, run.generator("critic", number, turn), run)
            loss = None
            if draw is not None:
                # The critic learns several times per step of the generator, from fresh patches each time;
                # what it is shown is not differentiated.
                with torch.no_grad():
                    made = generator(draw.z_NZ)
                gap = critic(made).sum() - critic(draw.patches_NCPP).sum()
                penalty = gradient_penalty(critic, draw.patches_NCPP, made, draw.mix_N).sum()
                loss = (gap + config.gan_penalty * penalty) / size
                sums[:2] += torch.stack((gap, penalty)).detach() / config.gan_critic_steps
            of_critic.step(loss, run)
        draw = _draw(pool, config, size, run.generator("generator", number), run)
        loss = None
        if draw is not None:
            # The generator learns through the critic, whose weights stay.
            total = -critic(generator(draw.z_NZ)).sum()
            loss = total / size
            sums[2:] += torch.stack((total.detach(), total.new_full((), len(draw.z_NZ))))
        of_generator.step(loss, run)
        return sums

    names = ("critic", "penalty", "generator")
    learners, steps = (of_generator, of_critic), config.gan_steps
    train(learners, run, steps=steps, epoch_steps=config.epoch_steps, losses=names, step=step)
    return generator.eval(), critic.eval()


def train_encoder(nets: FAnoGan, images: ImageSet, run: Run) -> Encoder:
    """Train the encoder of ``nets`` on patches of normal images; generator and critic stay as they are.

    Logs the means of both distances, ``image`` and ``feature``.

    Raises:
        Diverged: If a loss or weight is no longer finite.
    """
    config, encoder = nets.config, nets.encoder
    pool = _pool(config, images, run)
    # Generator and critic are fixed, and their batch statistics too: the encoder alone learns to find z.
    nets.requires_grad_(False).eval()
    encoder.requires_grad_(True).train()
    initialise(encoder, drawn_seed(run.generator("init encoder")))
    optimiser = torch.optim.RMSprop(
        encoder.parameters(), lr=config.encoder_lr, alpha=_RMSPROP_DECAY, eps=_RMSPROP_EPS
    )
    learner, size = Learner("encoder", encoder, optimiser), config.encoder_batch

    def step(number: int) -> Tensor:
        numbers = pool.draw(size, run.generator("encoder", number))
        # Every worker draws all numbers and takes its part, so their number changes nothing; one without a
        # part still joins the sum of gradients.
        places = list(run.shard(range(size)))
        if not places:
            learner.step(None, run)
            return torch.zeros(3, device=run.device)
        seen = nets.distances(2 * pool.cut(numbers[places].tolist()) - 1)
        learner.step((seen.image_N + config.kappa * seen.feature_N).sum() / size, run)
        sums = [x.detach().sum() for x in (seen.image_N, seen.feature_N)]
        return torch.stack((*sums, sums[0].new_full((), len(places))))

    names = ("image", "feature")
    train([learner], run, steps=config.encoder_steps, epoch_steps=config.epoch_steps, losses=names, step=step)
    return encoder.eval()
