"""Products by oneDNN are those of MKL, and only a processor whose registers MKL leaves idle takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainables.nn.layers import matrices
from trainables.nn.layers.matrices import product, products

R, N, K, O = 3, 70, 40, 96  # noqa: E741


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[True, False], ids=["oneDNN", "MKL"])
def wide_linear(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[bool]:
    """The processor of another maker with and without AVX-512, whatever this one is."""
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text("vendor_id\t: AuthenticAMD\n")
    monkeypatch.setattr(matrices, "_CPU_INFO", cpu_info)
    capability = "AVX512" if request.param else "AVX2"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    matrices.onednn_linear.cache_clear()
    assert (matrices.onednn_linear() is not None) == request.param
    yield request.param
    matrices.onednn_linear.cache_clear()


def rows(*shape: int) -> Tensor:
    return drawn(*shape)


def columns(*shape: int) -> Tensor:
    return drawn(*shape[:-2], shape[-1], shape[-2]).mT


def rows_of_a_wider_matrix(*shape: int) -> Tensor:
    return drawn(*shape[:-1], shape[-1] + 5)[..., 2:-3]


def columns_of_a_wider_matrix(*shape: int) -> Tensor:
    return drawn(*shape[:-2], shape[-1], shape[-2] + 5)[..., 2:-3].mT


LAYOUTS = [rows, columns, rows_of_a_wider_matrix, columns_of_a_wider_matrix]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("wide_linear")
def test_a_product_is_that_of_float64_rounded(layout: Callable[..., Tensor]) -> None:
    left, right, out = layout(N, K), layout(O, K), torch.empty(N, O)
    exact = (left.double() @ right.double().T).float()
    assert torch.allclose(product(left, right), exact, atol=1e-5)
    assert product(left, right, out) is out
    assert torch.allclose(out, exact, atol=1e-5)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("wide_linear")
def test_products_are_those_of_float64_and_are_added_up(layout: Callable[..., Tensor], wide: bool) -> None:
    left, right = layout(R, N, K), layout(R, O, K)
    exact = (left.double() @ right.double().mT).float()
    made = products(left, right, wide=wide)
    assert torch.allclose(made, exact, atol=1e-5)
    assert products(left, right, wide=wide, to_RNO=made) is made
    assert torch.allclose(made, 2 * exact, atol=2e-5)


def test_float64_stays_float64(wide_linear: bool) -> None:
    del wide_linear
    left, right = drawn(R, N, K).double(), drawn(R, O, K).double()
    assert torch.equal(product(left[0], right[0]), left[0] @ right[0].T)
    assert torch.equal(products(left, right, wide=True), left @ right.mT)


def test_a_processor_on_which_mkl_takes_all_registers_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text("vendor_id\t: GenuineIntel\n")
    monkeypatch.setattr(matrices, "_CPU_INFO", cpu_info)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    matrices.onednn_linear.cache_clear()
    try:
        assert matrices.onednn_linear() is None
    finally:
        matrices.onednn_linear.cache_clear()
