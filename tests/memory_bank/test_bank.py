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


def test_what_is_remembered_whole_is_no_anomaly() -> None:
    bank = Bank(tiny_config(), 80)
    bank.cells_MC.data = bank.describe(pictures(1)).flatten(2).transpose(1, 2).flatten(0, 1)
    one, other = bank.anomaly(pictures(2)).score_B.tolist()
    assert one == pytest.approx(0, abs=1e-2 * other)
    assert other > 0
