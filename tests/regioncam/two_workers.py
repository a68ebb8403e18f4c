"""One rank of a whole training over gloo: ``two_workers RANK WORLD FOLDER``. Used by ``test_chain.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tests.focus.two_workers import GlooRun
from tests.regioncam.chains import chain_data, tiny
from trainables.regioncam import TRAINABLE


def main(rank: int, world_size: int, folder: Path) -> None:
    """Train a few steps, and save the model."""
    if world_size > 1:
        dist.init_process_group("gloo", f"file://{folder}/meet{world_size}", rank=rank, world_size=world_size)
    config = tiny(rounds=1, batch_size=6, segment_batch=6, lr=0.003)
    run = GlooRun(rank=rank, world_size=world_size)
    out = folder / f"{rank}of{world_size}"
    out.mkdir()
    TRAINABLE.fit(config, chain_data(5), run).save(out)  # an epoch's last batch: two and two


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
