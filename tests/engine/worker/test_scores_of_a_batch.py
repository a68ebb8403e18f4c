"""A trial whose scores depend on the batch, or on when they are asked, ends with a reason and no result."""

from __future__ import annotations

import pytest

from tests.engine.process.odd_method import Odd

ASKED = """
import torch.nn.functional as F
from torch import nn
net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), {layer}).train()
def predict(self, images):
    maps = {maps}.sigmoid()[:, 0]
    return Prediction(maps.double().amax(dim=(1, 2)), maps)
Answer.predict = predict
answer = Answer()
answer.net = net
return answer
"""


@pytest.mark.parametrize("layer", ["nn.BatchNorm2d(1)", "nn.Dropout(0.5)"])
def test_a_method_that_forgets_evaluation_mode_is_asked_in_it(odd: Odd, layer: str) -> None:
    _, record = odd(ASKED.format(layer=layer, maps="self.net(images)"))
    assert record.status == "finished", record.reason


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (
            "F.batch_norm(net(images), None, None, training=True)",
            "scores depend on what is in the batch: call",
        ),
        ("net.train()(images)", "scores depend on what is in the batch: call .eval()"),
        (
            "F.dropout(images * 9, 0.5, training=True)",
            "a predictor gives the same answer whenever it is asked",
        ),
    ],
    ids=["statistics by hand", "training mode by force", "dropout by hand"],
)
def test_a_trial_whose_scores_change_with_the_batch_fails_with_that_reason(
    odd: Odd, maps: str, reason: str
) -> None:
    _, record = odd(ASKED.format(layer="nn.BatchNorm2d(1)", maps=maps))
    assert (record.status, record.result, record.attempts) == ("failed", None, 1)
    assert (record.reason or "").startswith(reason)
