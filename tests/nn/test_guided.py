"""Filtering-guided backpropagation: what passes a ReLU backwards, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.nn.cam.activation import CamHead, score_gradients
from trainables.nn.cam.guided import GuidedReLU, filtered_gradients, passed
from trainables.nn.choices import GradientFilter, Pool, ResNetShape
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.resnet import ResNet18s

NO_FILTER = GradientFilter(guided=False, q=0)
STAGES = 3


class Net(nn.Module):
    def __init__(self, pool: Pool = "lse") -> None:
        super().__init__()
        shape = ResNetShape(channels=1, width=4, stem="mid", stages=STAGES, blocks=2, output_stride=4)
        self.backbone = ResNet18s(shape)
        self.head = CamHead(shape.widths[-1], pool, top_share=1, lse_r=5)
        initialise(self, 0)
        self.eval()

    def explained(self, images: Tensor, layer: int | None) -> Tensor:
        """The gradient of the logits at a stage's output, or at the images (None)."""
        images = images.clone().requires_grad_()
        stages = self.backbone.features(images)
        score_B = self.head.score(self.head(stages[-1]))
        return score_gradients(score_B, [images if layer is None else stages[layer]])[0]


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def filtered(net: Net, rule: GradientFilter | None, layer: int | None = None) -> Tensor:
    with filtered_gradients(net, rule):
        return net.explained(pictures(), layer)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Gradients that filters let pass."""
    noted: list[Tensor] = []

    def noting(rule: GradientFilter, activation: Tensor, gradient: Tensor) -> Tensor:
        noted.append(passed(rule, activation, gradient))
        return noted[-1]

    monkeypatch.setattr("trainables.nn.cam.guided.passed", noting)
    return noted


@pytest.mark.parametrize(
    ("rule", "plain"),
    [
        (NO_FILTER, True),
        (GradientFilter(), False),
        (GradientFilter(q=0), False),
        (GradientFilter(guided=False), False),
    ],
    ids=["drops nothing", "default", "guided alone", "quantile alone"],
)
def test_only_a_filter_that_drops_nothing_is_plain_backpropagation(rule: GradientFilter, plain: bool) -> None:
    net = Net()
    assert torch.equal(filtered(net, rule), net.explained(pictures(), None)) is plain


@pytest.mark.parametrize("q", [0, 0.5])
def test_every_relu_is_passed_once_and_none_lets_a_negative_gradient_through(
    q: float, seen: list[Tensor]
) -> None:
    net, rule = Net(), GradientFilter(q=q)
    filtered(net, rule)
    assert len(seen) == 1 + STAGES * 2 * 2 == sum(isinstance(m, GuidedReLU) for m in net.modules())
    assert all((gradient >= 0).all() for gradient in seen)


def test_the_negative_guide_lets_no_positive_gradient_through(seen: list[Tensor]) -> None:
    rule = GradientFilter(sign="negative")
    filtered(Net(), rule)
    assert all((gradient <= 0).all() for gradient in seen)
    assert any((gradient < 0).any() for gradient in seen)


@pytest.mark.parametrize("by", ["gradient", "activation_x_gradient"])
@pytest.mark.parametrize("mode", ["quantile", "share_of_max"])
def test_the_higher_q_the_less_passes(by: Any, mode: Any, seen: list[Tensor]) -> None:
    shares: list[float] = []
    for q in (0, 0.3, 0.6, 0.9):
        seen.clear()
        filtered(Net(), GradientFilter(q=q, by=by, mode=mode))
        shares.append(float((seen[0] == 0).float().mean()))  # the ReLU next to the logit
    assert shares == sorted(set(shares))


@pytest.mark.parametrize("pool", ["gap", "gmp"])
def test_it_is_inert_at_the_last_stage_under_a_linear_head_and_not_below(pool: Pool) -> None:
    net = Net(pool)
    for layer in range(1, STAGES + 1):
        same = torch.equal(filtered(net, GradientFilter(), layer), net.explained(pictures(), layer))
        assert same == (layer == STAGES)


def test_it_must_be_on_where_the_graph_is_built() -> None:
    net, plain = Net(), Net().explained(pictures(), 1)
    images = pictures()
    with filtered_gradients(net, GradientFilter()):
        stages = net.backbone.features(images)
        score = net.head.score(net.head(stages[-1]))
    assert not torch.equal(score_gradients(score, [stages[1]])[0], plain)  # built inside, explained outside
    stages = net.backbone.features(images)
    score = net.head.score(net.head(stages[-1]))
    with filtered_gradients(net, GradientFilter()):
        assert torch.equal(score_gradients(score, [stages[1]])[0], plain)


def test_the_forward_pass_and_the_weights_stay_and_an_exception_leaves_nothing_behind() -> None:
    net = Net()
    before, weights = net.backbone(pictures()), {k: v.clone() for k, v in net.state_dict().items()}
    with filtered_gradients(net, GradientFilter()):
        assert torch.equal(net.backbone(pictures()), before)
    with pytest.raises(ZeroDivisionError), filtered_gradients(net, GradientFilter()):
        _ = 1 / 0
    assert all(site.rule is None for site in net.modules() if isinstance(site, GuidedReLU))
    assert torch.equal(net.explained(pictures(), None), Net().explained(pictures(), None))
    assert net.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())


def test_what_was_set_before_is_set_again() -> None:
    net, outer = Net(), GradientFilter(q=0.3)
    sites = [module for module in net.modules() if isinstance(module, GuidedReLU)]
    with filtered_gradients(net, outer):
        with filtered_gradients(net, None):
            assert all(site.rule is None for site in sites)
        assert all(site.rule is outer for site in sites)


@pytest.mark.parametrize("mode", ["quantile", "share_of_max"])
def test_each_image_is_filtered_by_itself(mode: Any) -> None:
    net, rule = Net(), GradientFilter(mode=mode)
    with filtered_gradients(net, rule):
        apart = torch.cat([net.explained(pictures()[i : i + 1], 1) for i in range(3)])
    torch.testing.assert_close(filtered(net, rule, 1), apart)


# Five neurons by hand: output a, incoming gradient g; the first is dead, the second's gradient is negative.
A = torch.tensor([[0.0, 1, 1, 4, 2]])
G = torch.tensor([[5.0, -3, 1, 2, 3]])


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        (NO_FILTER, [0, -3, 1, 2, 3]),
        (GradientFilter(q=0), [0, 0, 1, 2, 3]),
        (GradientFilter(q=0.5), [0, 0, 0, 2, 3]),  # the median of 1, 2, 3
        (GradientFilter(q=0.99), [0, 0, 0, 2, 3]),  # of three values the upper quantiles lie at the second
        (GradientFilter(q=0.5, guided=False), [0, -3, 0, 2, 3]),  # of 1, 2, 3, 3 it is 2
        (GradientFilter(q=0.5, by="activation_x_gradient"), [0, 0, 0, 2, 3]),  # of 1, 8, 6 it is 6
        (GradientFilter(q=0.9, mode="share_of_max"), [0, 0, 0, 0, 3]),  # from 2.7 on
        (GradientFilter(q=0.9, mode="share_of_max", by="activation_x_gradient"), [0, 0, 0, 2, 0]),
        (GradientFilter(q=0, sign="negative"), [0, -3, 0, 0, 0]),
    ],
)
def test_a_row_of_neurons_by_hand(rule: GradientFilter, passes: list[float]) -> None:
    assert passed(rule, A, G).tolist() == [passes]


@pytest.mark.parametrize(
    ("rule", "gradient"), [(None, 3 - 2), (GradientFilter(q=0), 3), (GradientFilter(guided=False), 3 - 2)]
)
def test_three_neurons_in_two_layers_by_hand(rule: GradientFilter | None, gradient: float) -> None:
    """x → relu(w x) of three neurons → relu(v · them) → the logit itself."""
    w, v = torch.tensor([[1.0], [2.0], [-1.0]]), torch.tensor([[3.0, -1.0, 5.0]])
    net = nn.Sequential(nn.Linear(1, 3, bias=False), GuidedReLU(), nn.Linear(3, 1, bias=False), GuidedReLU())
    net[0].weight.data, net[2].weight.data = w, v
    x = torch.tensor([[2.0]], requires_grad=True)  # hidden 2, 4, 0; logit 3·2 − 4 = 2
    with filtered_gradients(net, rule):
        (slope,) = torch.autograd.grad(net(x).sum(), x)
    assert float(slope) == gradient


@pytest.mark.parametrize("mode", ["quantile", "share_of_max"])
def test_an_image_without_any_gradient_stays_without(mode: Any) -> None:
    assert not passed(GradientFilter(mode=mode), torch.ones(2, 4), torch.zeros(2, 4)).any()
