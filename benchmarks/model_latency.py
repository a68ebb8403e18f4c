"""Milliseconds that the models of a study take for one image: the kept model of each cell, timed in turn.

    python -m benchmarks.model_latency STORAGE STUDY IMAGE [--threads 1] [--rounds 11]

An answer is what `assay predict` asks a model for: score, map, mask and decision. Images come one at a time,
as from a camera; the file is read, and resized to each network's input, before. Prints a Markdown table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

import assay
from assay.production.model import load_model, model_files
from assay.storage.store import Store
from benchmarks.shared import interleaved, parser_of, spread_text
from trainables.data.files.sources import decode_image
from trainables.runtime.deployed import DeployedModel


def kept_models(storage: str, study: str) -> dict[str, tuple[DeployedModel, float]]:
    """The first kept model of each cell, by the cell's name, and the size of its files, 10⁶ bytes.

    Raises:
        SystemExit: If no cell has one.
    """
    store, results = Store(storage), assay.open(storage).study(study).results
    models: dict[str, tuple[DeployedModel, float]] = {}
    for trial in results.plan.trials:
        record = results.records.get(trial.id)
        if trial.cell not in models and record is not None and model_files(record):
            size = record.model_mb or 0.0
            models[trial.cell] = load_model(store, record, torch.device("cpu")), size
    if not models:
        raise SystemExit(f"no model of {study} was kept: `keep: {{models: best_per_cell}}` in its file.")
    return models


def answer(model: DeployedModel, photo: bytes) -> Callable[[], object]:
    """The call that is timed: a model's answer to one image."""
    card = model.card
    image = model.prepare(decode_image(photo, card.channels, card.white))
    return lambda: model.decide([image])


def main() -> None:
    """Time the models in turn and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("storage")
    parser.add_argument("study")
    parser.add_argument("image", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--rounds", type=int, default=11, help="interleaved rounds (default: 11)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    models, photo = kept_models(given.storage, given.study), given.image.read_bytes()
    seconds = interleaved({cell: answer(model, photo) for cell, (model, _) in models.items()}, given.rounds)
    rows = ["| cell | method | input | model, MB | ms an image |", "|---|---|---|---:|---:|"]
    for cell, taken in seconds.items():
        card, megabytes = models[cell][0].card, models[cell][1]
        size = "{} × {}".format(*card.image_size)
        milliseconds = spread_text([1000 * second for second in taken])
        rows.append(f"| {cell} | {card.trainable} | {size} | {megabytes:.1f} | {milliseconds} |")
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
