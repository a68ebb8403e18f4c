"""The remembered cells cover all, and distances are those that anyone would compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from tests.memory_bank.banks import tiny_config
from tests.unsupervised.normal_images import pictures
from trainables.memory_bank.bank import Bank, distances, farthest_points


def points(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 7)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 17, 40])
def test_each_next_point_is_the_farthest_from_those_that_were_chosen(count: int) -> None:
    cloud = points(40)
    away = cdist(cloud, cloud)
    expected = [5]
    while len(expected) < count:
        nearest = away[:, expected].min(axis=1)
        nearest[expected] = -1
        expected.append(int(nearest.argmax()))
    chosen, reach = farthest_points(torch.from_numpy(cloud), count, 5)
    assert chosen == expected
    assert reach == pytest.approx(away[:, expected].min(axis=1).max(), abs=1e-3)


def test_equal_points_are_chosen_once_each() -> None:
    chosen, reach = farthest_points(torch.ones(6, 3), 6, 2)
    assert sorted(chosen) == list(range(6))
    assert reach == 0


def test_points_far_from_the_origin_are_chosen_once_each() -> None:
    chosen, _ = farthest_points(torch.from_numpy(points(60)) + 1e4, 60, 0)
    assert sorted(chosen) == list(range(60))


@pytest.mark.parametrize("count", [1, 3])
def test_distances_are_those_of_scikit_learn(count: int) -> None:
    cells, bank = points(30, 1), points(50, 2)
    expected, _ = NearestNeighbors(n_neighbors=count).fit(bank).kneighbors(cells)
    found = distances(torch.from_numpy(cells), torch.from_numpy(bank), count)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def filled_bank(**changes: object) -> Bank:
    """A random trunk, and cells of a picture with noise."""
    bank = Bank(tiny_config(**changes), 12).eval()
    cells = bank.describe(pictures(3)).flatten(2).transpose(1, 2).flatten(0, 1)
    bank.cells_MC.data = cells[::5][:12] + 0.1 * torch.randn(12, cells.shape[1])
    return bank


def test_a_cell_is_the_mean_of_its_neighbourhood() -> None:
    bank, single = (Bank(tiny_config(layers=[4], patch=patch), 1) for patch in (3, 1))
    single.load_state_dict(bank.state_dict())
    means, cells = bank.describe(pictures(1))[0], single.describe(pictures(1))[0]
    torch.testing.assert_close(means[:, 3, 4], cells[:, 2:5, 3:6].mean(dim=(1, 2)))
    torch.testing.assert_close(
        means[:, 0, 0], cells[:, :2, :2].mean(dim=(1, 2))
    )  # no zeros beyond the border


def test_a_coarser_map_is_read_where_the_cell_looks() -> None:
    bank = Bank(tiny_config(layers=[4, 8], patch=1), 1)
    joined, coarse = bank.describe(pictures(1)), bank.trunk(pictures(1))[8]
    torch.testing.assert_close(joined[:, 24:, ::2, ::2], coarse)
    between = (coarse[..., :-1] + coarse[..., 1:]) / 2
    torch.testing.assert_close(joined[:, 24:, ::2, 1:-1:2], between)


def test_the_weight_of_a_score_is_that_of_equation_7() -> None:
    plain, weighed = filled_bank(), filled_bank(reweight=4)
    weighed.load_state_dict(plain.state_dict())
    image, bank = pictures(1), plain.cells_MC.double().numpy()
    cells = plain.describe(image)[0].flatten(1).T.double().numpy()
    away = cdist(cells, bank)
    cell = away.min(axis=1).argmax()
    around = cdist(bank[[away[cell].argmin()]], bank)[0].argsort()[:4]
    weight = 1 - np.exp(away[cell].min()) / np.exp(away[cell][around]).sum()
    assert float(plain.anomaly(image).score_B) == pytest.approx(away[cell].min(), rel=1e-4)
    assert float(weighed.anomaly(image).score_B) == pytest.approx(away[cell].min() * weight, rel=1e-3)


def test_the_cosine_distance_is_that_of_scipy_and_the_score_the_mean_of_the_farthest() -> None:
    bank = filled_bank(distance="cosine", score_share=0.1, smoothing=0)
    bank.cells_MC.data = torch.nn.functional.normalize(bank.cells_MC.data, dim=1)
    image = pictures(1)
    cells = bank.describe(image)[0].flatten(1).T.double().numpy()
    away = np.sort(cdist(cells, bank.cells_MC.double().numpy(), "cosine").min(axis=1))
    score = float(bank.anomaly(image).score_B)
    assert score == pytest.approx(away[-(len(away) // 10) :].mean(), abs=1e-5)


def test_a_patch_looks_at_its_middle() -> None:
    config = tiny_config(trunk="dinov2_vits14", layers=[14], image_size=(14, 42), patch=1, smoothing=0)
    bank = Bank(config, 1).eval()
    image = torch.rand(1, 1, 14, 42)
    bank.cells_MC.data = bank.describe(image)[0, :, 0, :1].T  # of the first of three patches
    map_HW = bank.anomaly(image).map_BHW[0]
    assert map_HW.shape == (14, 42)
    assert torch.equal(map_HW[:, :7], map_HW[:, :1].expand(14, 7))  # from its middle on others count, too
    assert (map_HW[:, 7:14].diff() > 0).all()


def test_what_is_remembered_whole_is_no_anomaly() -> None:
    bank = Bank(tiny_config(), 80)
    bank.cells_MC.data = bank.describe(pictures(1)).flatten(2).transpose(1, 2).flatten(0, 1)
    one, other = bank.anomaly(pictures(2)).score_B.tolist()
    assert one == pytest.approx(0, abs=1e-2 * other)
    assert other > 0
