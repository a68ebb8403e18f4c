"""The networks and their losses, by numbers that are known beforehand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.unsupervised.normal_images import SIZE, made_set, pictures, tiny_config
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.nn.layers.initialisation import initialise
from trainables.unsupervised.anogan import FAnoGan, train_encoder
from trainables.unsupervised.config import Scale, receptive_field
from trainables.unsupervised.gan import Critic, Encoder, Generator, gradient_penalty
from trainables.unsupervised.patches import PatchGrid, PatchPool
from trainables.unsupervised.patchnet import PatchNet
from trainables.unsupervised.students import School, Students, train_students
from trainables.unsupervised.teacher import correlation_loss, distillation_loss, metric_loss


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shown(images: ImageSet) -> torch.Tensor:
    return images_to_tensor([sample.image for sample in images], torch.device("cpu"))


# f-AnoGAN ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_its_distance_from_length_one(length: float) -> None:
    w = random(2, 5, 5)
    w = length * w / w.norm()
    found = gradient_penalty(
        lambda x: (x * w).sum(dim=(1, 2, 3)), random(4, 2, 5, 5), random(4, 2, 5, 5, seed=1), random(4)
    )
    torch.testing.assert_close(found, torch.full((4,), (length - 1) ** 2, dtype=torch.float64))


def test_the_penalty_looks_between_real_and_made_images() -> None:
    """The slope of x² is 2x: at the middle of 0 and 1 it is 1."""
    real, made = torch.zeros(3, 1, 1, 1), torch.ones(3, 1, 1, 1)
    found = gradient_penalty(lambda x: x.square().sum(dim=(1, 2, 3)), real, made, torch.tensor([0, 0.5, 1]))
    assert found.tolist() == [1, 0, 1]


@pytest.mark.parametrize("patch", [16, 32, 64])
def test_networks_have_the_published_shapes(patch: int) -> None:
    generator, encoder = (net(1, 8, 4, patch, "gn") for net in (Generator, Encoder))
    critic = Critic(1, 4, patch)
    patches = generator(torch.zeros(2, 8))
    assert patches.shape == (2, 1, patch, patch)
    assert encoder(patches).shape == (2, 8)
    assert critic(patches).shape == (2,)
    assert critic.features(patches).shape == (2, min(patch // 4, 8) * 4 * 16)
    assert not [m for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]


def test_the_critic_judges_each_image_by_itself() -> None:
    critic = Critic(1, 4, 16).double()
    images = random(3, 1, 16, 16)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_training_the_encoder_leaves_generator_and_critic_as_they_are(norm: str) -> None:
    nets = FAnoGan(tiny_config("f_anogan", gan_norm=norm))
    before = copy.deepcopy(nets.state_dict())
    train_encoder(nets, made_set(range(4)), LocalRun())
    changed = {
        name.split(".")[0] for name, t in nets.state_dict().items() if not torch.equal(t, before[name])
    }
    assert changed == {"encoder"}


def test_a_perfect_reconstruction_scores_zero() -> None:
    nets = FAnoGan(tiny_config("f_anogan")).eval()
    nets.encoder, nets.generator = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    assert not nets.anomaly(pictures(2)).any()


def test_kappa_weighs_the_features() -> None:
    found: list[torch.Tensor] = []
    nets = FAnoGan(tiny_config("f_anogan")).eval()
    initialise(nets, 0)
    for kappa in (0.0, 1.0, 2.0):
        nets.config = tiny_config("f_anogan", kappa=kappa)
        with torch.no_grad():
            found.append(nets.anomaly(pictures(1)))
    assert (found[1] > found[0]).all()
    torch.testing.assert_close(found[2] - found[1], found[1] - found[0])


# Patches ----------------------------------------------------------------------------------------------


def test_a_pool_has_fixed_places_inside_the_images() -> None:
    images = made_set(range(3))
    one, again = (PatchPool(images, 16, 5, np.random.default_rng(0), torch.device("cpu")) for _ in range(2))
    cut = one.cut(range(15))
    assert torch.equal(cut, again.cut(range(15)))
    assert cut.shape == (15, 1, 16, 16)
    windows = torch.from_numpy(images[1].image[..., 0] / 255).unfold(0, 16, 1).unfold(1, 16, 1)
    for patch in cut[5:10, 0]:  # of the second image
        assert (windows - patch).abs().amax(dim=(2, 3)).min() < 1e-6


@pytest.mark.parametrize("stride", [1, 3, 8, 16])
def test_overlapping_patches_cover_the_image_and_put_it_together_again(stride: int) -> None:
    grid, images = PatchGrid((33, 40), 16, stride, "overlap"), random(2, 3, 33, 40)
    torch.testing.assert_close(grid.assemble(grid.windows(images)), images)


def test_the_mean_of_all_patches_that_cover_a_pixel_by_hand() -> None:
    grid = PatchGrid((4, 6), 4, 2, "overlap")  # one row of two patches, from columns 0 and 2
    found = grid.spread(torch.tensor([[[1.0, 3.0]]]))
    assert found[0].tolist() == [[1, 1, 2, 2, 3, 3]] * 4


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_patch_is_placed_at_its_centre(stride: int) -> None:
    images = torch.zeros(1, 1, 32, 40)
    images[0, 0, 16, 24] = 1
    grid = PatchGrid((32, 40), 16, stride, "centre")
    middle = grid.windows(images)[0, 0, :, :, 8, 8]  # the pixel that each patch lies around
    assert (middle == 1).nonzero().tolist() == [[16 // stride, 24 // stride]]
    peak = grid.spread(middle[None])[0]
    assert peak.shape == (32, 40)
    assert (peak == 1).nonzero().tolist() == [[16, 24]]


@pytest.mark.parametrize("placing", ["centre", "overlap"])
def test_memory_is_bounded_by_passes_that_change_nothing(
    placing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = FAnoGan(tiny_config("f_anogan", patch_placing=placing)).eval()
    initialise(nets, 0)
    with torch.no_grad():
        one = nets.anomaly(pictures(3))
        monkeypatch.setattr("trainables.nn.batches.passes._PIXELS_PER_PASS", {"cpu": 16 * 7 * 16 * 16})
        monkeypatch.setattr("trainables.unsupervised.anogan._COPIED_PIXELS", 1)
        many = nets.anomaly(pictures(3))
    torch.testing.assert_close(one, many)


# Students ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize(("scale", "field"), [(17, 17), (33, 32), (65, 60)])
def test_dense_descriptors_are_those_of_the_patches(scale: Scale, field: int, stride: int) -> None:
    assert receptive_field(scale) == field
    net = PatchNet(scale, 1, 3, 4).double()
    images = random(2, 1, 61, 70)
    dense = net.dense(images, stride)
    assert dense.shape == (2, 4, -(-61 // stride), -(-70 // stride))
    before = (field - 1) // 2
    padded = F.pad(images, (before, field - 1 - before) * 2, mode="reflect")
    for i, j in ((0, 0), (1, 2), (3, 5), (7, 8), (5, 4)):
        top, left = stride * i, stride * j
        patchwise = net(padded[:, :, top : top + field, left : left + field])
        torch.testing.assert_close(dense[:, :, i, j], patchwise, rtol=0, atol=1e-12)


def test_identical_students_do_not_disagree_and_a_copy_of_the_target_does_not_err() -> None:
    school = School(tiny_config("students"), 17)
    initialise(school, 0)
    first, second = school.students
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        errors = school.errors(pictures(2))
        assert not errors.variance_Bhw.any()
        assert (errors.regression_Bhw > 0).any()
        for student in school.students:
            student.load_state_dict(school.teacher.state_dict())
        assert not school.errors(pictures(2)).regression_Bhw.any()


def test_descriptors_of_normal_images_have_mean_0_and_spread_1() -> None:
    school, images = School(tiny_config("students"), 17), made_set(range(4))
    initialise(school, 0)
    school.input.measure(images)
    school.measure_teacher(images)
    with torch.no_grad():
        target = school.target(shown(images))
    torch.testing.assert_close(target.mean(dim=(0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(target.std(dim=(0, 2, 3), correction=0), torch.ones(4), rtol=0, atol=1e-4)


def test_training_the_students_leaves_the_teacher_as_it_is() -> None:
    school = School(tiny_config("students"), 17)
    before = copy.deepcopy(school.state_dict())
    train_students(school, made_set(range(5)), LocalRun())
    changed = {
        name.split(".")[0] for name, t in school.state_dict().items() if not torch.equal(t, before[name])
    }
    assert changed == {"students"}


def test_errors_are_measured_in_deviations_of_held_out_images() -> None:
    config = tiny_config("students", scales=(17, 33))
    nets, images = Students(config), made_set(range(6))
    for index, school in enumerate(nets.schools.values()):
        initialise(school, index)
    nets.measure(images)
    batch = shown(images)
    with torch.no_grad():
        for e, v in nets._deviations(batch):  # pyright: ignore[reportPrivateUsage]
            for z in (e, v):
                assert z.mean().item() == pytest.approx(0, abs=1e-4)
                assert z.std(correction=0).item() == pytest.approx(1, abs=1e-4)
        both = nets.anomaly(batch)
        nets.config = config.model_copy(update={"use_variance": False})
        assert both.shape == (6, *SIZE)
        assert not torch.allclose(nets.anomaly(batch), both)


def test_the_metric_loss_by_hand() -> None:
    """|a − p|² = 1; the negative is 4 from the anchor and 1 from the positive: 1 + 1 − 1."""
    a, p = torch.tensor([[0.0, 0.0]] * 2), torch.tensor([[1.0, 0.0]] * 2)
    n = torch.tensor([[2.0, 0.0], [9.0, 0.0]])
    assert metric_loss(a, p, n).tolist() == [1, 0]


def test_the_distillation_loss_by_hand() -> None:
    decoded, taught = torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[1.0, 4], [3, 4]])
    assert distillation_loss(decoded, taught).item() == (4 + 25) / 2


def test_the_correlation_loss_by_hand() -> None:
    """Two dimensions that are one, and a third apart from them: two squared correlations of 1 in 3."""
    x, y = torch.tensor([1.0, -1, 1, -1]), torch.tensor([1.0, 1, -1, -1])
    assert correlation_loss(torch.stack((x, -x, y), dim=1)).item() == pytest.approx(2 / 3)
