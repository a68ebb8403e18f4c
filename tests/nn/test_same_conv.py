"""``SameConv``: torch's values and gradients by each way, chosen by shape, of the weights as they are now."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainables.nn.layers import same_conv
from trainables.nn.layers.frequency import row_products
from trainables.nn.layers.same_conv import ConvPlan, SameConv, convolve, plan_conv


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def answers(convolution: Callable[[Tensor, Tensor], Tensor], *given: Tensor) -> list[Tensor]:
    """Result of maps and weights, and both gradients, for an incoming gradient; in float64."""
    maps, weight, gradient = given
    shown, weighed = (tensor.detach().clone().requires_grad_() for tensor in (maps, weight))
    result = convolution(shown, weighed)
    return [t.double() for t in (result.detach(), *torch.autograd.grad(result, (shown, weighed), gradient))]


def plain(maps: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(maps, weight, padding=weight.shape[2] // 2)


def layer(inputs: int = 2, outputs: int = 3, kernel: int = 15) -> SameConv:
    torch.manual_seed(0)
    return SameConv(inputs, outputs, kernel)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 3, 5, 40, 23))),
    kernel=st.sampled_from([3, 5, 15]),
    chunk=st.integers(1, 6),
    piece=st.integers(1, 6),
    together=st.integers(1, 3),
)
def test_spectra_of_rows_give_torchs_values_and_gradients(
    shape: tuple[int, ...], kernel: int, chunk: int, piece: int, together: int
) -> None:
    images, inputs, outputs, *size = shape
    maps = drawn(images, inputs, *size, dtype=torch.float64)
    weight = drawn(outputs, inputs, kernel, kernel, dtype=torch.float64, seed=1)
    gradient = drawn(images, outputs, *size, dtype=torch.float64, seed=2)
    expected = answers(plain, maps, weight, gradient)
    plan = ConvPlan("rows", chunk, min(piece, chunk), together)
    found = answers(partial(convolve, plan=plan), maps, weight, gradient)
    for mine, torchs in zip(found, expected, strict=True):
        assert torch.allclose(mine, torchs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(88, 32), (80, 29), (32, 24), (16, 16)], ids=str)
def test_float32_is_as_near_to_float64_as_torchs_own_is(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    maps = drawn(2, 4, *size).to(memory_format=layout)
    weight = drawn(72, 4, 15, 15, seed=1).to(memory_format=layout)
    gradient = drawn(2, 72, *size, seed=2).to(memory_format=layout)
    exact = answers(plain, *(tensor.double() for tensor in (maps, weight, gradient)))
    found = answers(partial(convolve, plan=plan_conv(size, 15, 4, 70)), maps, weight, gradient)
    torchs = answers(plain, maps, weight, gradient)
    for name, mine, theirs, true in zip(("y", "dx", "dw"), found, torchs, exact, strict=True):
        assert (mine - true).norm() <= 2 * (theirs - true).norm() + 5e-7 * true.norm(), name


@pytest.mark.parametrize(
    ("size", "kernel", "channels", "way"),
    [
        ((88, 32), 15, (16, 256), "rows"),
        ((80, 29), 15, (64, 1024), "rows"),
        ((32, 24), 15, (16, 256), "rows"),
        ((16, 16), 15, (16, 256), "rows"),
        ((16, 16), 15, (64, 1024), "rows"),
        ((32, 32), 9, (16, 256), "rows"),
        ((8, 8), 15, (16, 256), "direct"),
        ((16, 1), 15, (16, 256), "direct"),
        ((88, 32), 5, (16, 64), "direct"),
        ((320, 116), 5, (64, 64), "tiles"),
        ((64, 64), 5, (32, 64), "tiles"),
        ((320, 116), 5, (32, 32), "direct"),
        ((16, 16), 5, (64, 64), "direct"),
        ((88, 64), 5, (1025, 8), "direct"),
    ],
    ids=str,
)
def test_the_way_is_chosen_by_shape(
    size: tuple[int, int], kernel: int, channels: tuple[int, int], way: str
) -> None:
    plan = plan_conv(size, kernel, *channels)
    assert plan.way == way
    assert repr(plan).startswith(f"ConvPlan(way='{way}', chunk=")
    assert SameConv(*channels, kernel).plan(*size) == plan


@pytest.mark.parametrize("size", [(176, 64), (88, 32), (80, 29), (16, 16), (9, 600)], ids=str)
@pytest.mark.parametrize("channels", [(16, 256), (64, 1024)], ids=str)
def test_spectra_that_are_made_at_a_time_are_bounded(
    size: tuple[int, int], channels: tuple[int, int]
) -> None:
    plan, (inputs, outputs) = plan_conv(size, 15, *channels), channels
    numbers = row_products(size[1], 15) * inputs * 15
    assert 0 < plan.chunk <= outputs
    assert plan.chunk == 1 or 4 * numbers * plan.chunk <= 16 * 2**20
    assert 0 < plan.piece <= plan.chunk
    assert plan.images == 1 or 4 * numbers * plan.images * size[0] <= 32 * 2**20


@pytest.mark.parametrize(
    ("size", "channels", "chunk"),
    [((88, 32), (16, 256), 256), ((16, 16), (64, 1024), 32), ((80, 29), (64, 1024), 80)],
    ids=["all fit", "a small map", "a large map"],
)
def test_a_chunk_has_all_outputs_or_as_many_spectra_as_a_map_has_rows(
    size: tuple[int, int], channels: tuple[int, int], chunk: int
) -> None:
    assert plan_conv(size, 15, *channels).chunk == chunk


def test_spectra_of_one_height_are_not_taken_for_those_of_another() -> None:
    conv = layer(32, 512)
    small, large = drawn(1, 32, 16, 16), drawn(1, 32, 80, 16)
    assert conv.plan(16, 16).chunk != conv.plan(80, 16).chunk
    with torch.no_grad():
        for maps in (small, large, small):
            assert torch.allclose(conv(maps), plain(maps, conv.weight), atol=1e-4)


@pytest.mark.parametrize("kernel", [5, 15])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_large_kernels_lie_column_by_column_on_a_cpu_alone(kernel: int, layout: torch.memory_format) -> None:
    conv = SameConv(4, 6, kernel).to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    assert conv.weight.permute(3, 0, 1, 2).is_contiguous() == (kernel == 15)
    elsewhere = conv.to("meta").weight
    assert elsewhere.is_contiguous() or elsewhere.is_contiguous(memory_format=torch.channels_last)


def test_a_gradient_lies_as_its_weights_do() -> None:
    conv = layer().to("cpu")
    conv(drawn(1, 2, 40, 24)).sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.stride() == conv.weight.stride()


@pytest.mark.parametrize(("maps_train", "weight_trains"), [(True, False), (False, True), (True, True)])
def test_a_gradient_that_is_not_asked_for_changes_no_other(maps_train: bool, weight_trains: bool) -> None:
    plan = ConvPlan("rows", 2, 1, 1)
    maps, weight, gradient = drawn(2, 2, 20, 11), drawn(3, 2, 15, 15, seed=1), drawn(2, 3, 20, 11, seed=2)
    _, *both = answers(partial(convolve, plan=plan), maps, weight, gradient)
    maps.requires_grad_(maps_train)
    weight.requires_grad_(weight_trains)
    convolve(maps, weight, plan).backward(gradient)
    for tensor, trains, expected in ((maps, maps_train, both[0]), (weight, weight_trains, both[1])):
        assert (tensor.grad is not None) == trains
        assert tensor.grad is None or torch.equal(tensor.grad.double(), expected)


def train_a_step(conv: SameConv) -> None:
    conv(drawn(1, 2, 40, 24)).sum().backward()
    torch.optim.SGD(conv.parameters(), lr=0.1).step()


def load(conv: SameConv) -> None:
    conv.load_state_dict({"weight": drawn(3, 2, 15, 15)})


def change_behind_its_version(conv: SameConv) -> None:
    conv.weight.data[2, 1, 14, 14] += 1


def give_another_parameter(conv: SameConv) -> None:
    conv.weight = nn.Parameter(drawn(3, 2, 15, 15))


def give_other_data(conv: SameConv) -> None:
    conv.weight.data = drawn(3, 2, 15, 15)


@pytest.mark.parametrize(
    "change", [train_a_step, load, change_behind_its_version, give_another_parameter, give_other_data]
)
def test_prediction_after_a_change_of_weights_uses_the_new_ones(change: Callable[[SameConv], object]) -> None:
    conv, maps = layer(), drawn(1, 2, 40, 24)
    with torch.inference_mode():
        before = conv(maps)
    change(conv)
    with torch.no_grad():
        after = conv(maps)
        assert not torch.equal(before, after)
        assert torch.allclose(after, plain(maps, conv.weight), atol=1e-4)


def test_bits_are_the_same_with_and_without_kept_spectra_and_with_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conv, maps = layer(outputs=70), drawn(2, 2, 40, 24)
    trained = conv(maps)
    trained.sum().backward()
    gradient = conv.weight.grad
    with torch.inference_mode():
        kept = [conv(maps), conv(maps)]
    conv.zero_grad()
    with_kept = conv(maps)
    with_kept.sum().backward()
    monkeypatch.setattr(same_conv, "KEPT_BYTES", 0)
    with torch.no_grad():
        fresh = layer(outputs=70)
        unkept = fresh(maps)
    assert all(torch.equal(trained, other) for other in (*kept, with_kept, unkept))
    assert gradient is not None
    assert conv.weight.grad is not None
    assert torch.equal(gradient, conv.weight.grad)


def test_a_copy_of_a_layer_takes_no_spectra_along() -> None:
    conv, maps = layer(), drawn(1, 2, 40, 24)
    with torch.no_grad():
        expected = conv(maps)
        copy = deepcopy(conv)
        assert sum(isinstance(value, Tensor) for value in vars(copy).values()) == 0
        assert vars(copy)["_kept"] is None
        assert torch.equal(copy(maps), expected)
    assert set(conv.state_dict()) == {"weight"}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(40, 24), (16, 16)], ids=str)
def test_repeated_runs_give_the_same_bits(size: tuple[int, int], threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        maps, weight, gradient = drawn(2, 4, *size), drawn(70, 4, 15, 15, seed=1), drawn(2, 70, *size, seed=2)
        runs = [
            answers(partial(convolve, plan=plan_conv(size, 15, 4, 70)), maps, weight, gradient)
            for _ in range(3)
        ]
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, None], ids=str)
def test_another_precision_is_torchs_own_to_the_bit(dtype: torch.dtype | None) -> None:
    conv, maps = layer(), drawn(1, 2, 40, 24)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype is None):
        if dtype is not None:
            conv, maps = conv.to(dtype), maps.to(dtype)
        assert torch.equal(conv(maps), plain(maps, conv.weight))


def test_an_export_holds_torchs_convolution_for_any_batch() -> None:
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(layer(), (drawn(2, 2, 40, 24),), dynamic_shapes=shapes)
    called = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert called == [torch.ops.aten.conv2d.default]
    maps = drawn(5, 2, 40, 24)
    assert torch.allclose(program.module()(maps), layer()(maps), atol=1e-5)


def test_a_second_derivative_is_refused() -> None:
    maps = drawn(1, 2, 40, 24).requires_grad_()
    (first,) = torch.autograd.grad(layer()(maps).square().sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
