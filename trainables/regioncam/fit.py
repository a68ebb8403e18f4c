"""The whole method: its stages one after the other, and the predictor that they leave."""

from __future__ import annotations

from trainables.contract import Run
from trainables.data.samples import TrainingData
from trainables.regioncam.chain import read_maps, read_segmenter
from trainables.regioncam.config import RegionCamConfig
from trainables.regioncam.predictor import Nets, RegionCamPredictor, Round
from trainables.regioncam.stages import round_name, stages
from trainables.stages import read_facts

__all__ = ["fit"]


def fit(config: RegionCamConfig, data: TrainingData, run: Run) -> RegionCamPredictor:
    """Train what the switches of ``config`` describe; no mask is read.

    Epochs are logged by the stages; the trial's log has one row: ``offset_down`` and ``offset_right`` (pixels
    that the map is moved), ``map_scale``, and of ``pseudo`` and each ``round1`` … the area of its labels,
    with their IoU to those before, whether they collapsed and whether the CRF was used.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    facts = {name: read_facts(folder) for name, folder in folders.items() if name != "classifier"}
    logged = facts.pop("maps")
    for name, measured in facts.items():
        logged |= {f"{name}_{fact}": value for fact, value in measured.items() if fact != "round"}
    run.log(0, logged, 1)
    maps = read_maps(folders["classifier"], folders["maps"], config, run.device)
    names = [round_name(number) for number in range(1, config.rounds + 1)]
    rounds = [Round(read_segmenter(folders[n], run.device), uses_crf=bool(facts[n]["crf"])) for n in names]
    last = rounds[-1] if rounds else None
    return RegionCamPredictor(Nets(maps, last), config, rounds[:-1])
