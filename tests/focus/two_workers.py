"""One rank of a classifier's training with GCM and CLM over gloo.

Used by ``test_attachments.py``.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from tests.focus.chains import chain_data, tiny_chain
from tests.helpers.two_workers import GlooRun
from trainables.cam.classifier import train_classifier
from trainables.focus.fit import attachments_of
from trainables.nn.choices import Norm


def train(rank: int, world_size: int, folder: Path, norm: Norm) -> None:
    """Train a few steps, and write the weights of the net and of what was attached."""
    settings = {"epochs": 2, "batch_size": 6, "lr": 0.003, "gcm_equivariance": 0.1}
    config = tiny_chain(clm=True, gcm=True, norm=norm, **settings)
    attached = attachments_of(config)
    run = GlooRun(rank=rank, world_size=world_size)
    net = train_classifier(config, chain_data(5), run, attached)  # an epoch's last batch: two and two
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    for each in attached:
        tensors |= {f"{each.name}.{name}": tensor for name, tensor in each.state_dict().items()}
    save_file(
        {name: t.contiguous() for name, t in tensors.items()}, folder / f"{rank}of{world_size}.safetensors"
    )
