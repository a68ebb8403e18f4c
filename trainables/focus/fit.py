"""The whole method: its stages one after the other, and the predictor that they leave."""

from __future__ import annotations

from trainables.contract import Run
from trainables.data.samples import TrainingData
from trainables.focus.chain import read_inpainter, read_maps, read_segmenter
from trainables.focus.config import FocusConfig
from trainables.focus.predictor import Chain, FocusPredictor, Nets
from trainables.focus.stages import stages
from trainables.stages import read_facts

__all__ = ["fit"]


def fit(config: FocusConfig, data: TrainingData, run: Run) -> FocusPredictor:
    """Train the chain that the switches of ``config`` describe; no mask is read.

    Epochs are logged by the stages. The trial's log has one row with what its steps measured on the training
    images: the offset of the maps, p(defect) before and after erasing, areas before and after the CRF.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    maps = read_facts(folders["maps"])
    refined = read_facts(folders["refined"]) if config.refines else {}
    run.log(0, maps | refined, 1)
    uses_crf = bool(refined.get("crf", False))
    cam = read_maps(folders["classifier"], folders["maps"], config, run.device)
    segmenters = [name for name in ("s1", "s2", "student") if name in folders]
    nets = {name: read_segmenter(folders[name], run.device) for name in segmenters}
    chain = Chain(
        cam,
        nets["s1"],
        second=nets.get("s2"),
        inpainter=read_inpainter(folders["inpainter"], run.device) if config.uses_inpainter else None,
        residual_scale=maps.get("residual_scale", 1.0),
        uses_crf=uses_crf,
    )
    if config.distill:
        return FocusPredictor(Nets(nets["student"], None, uses_crf=False), config, chain)
    return FocusPredictor(Nets(nets[segmenters[-1]], cam, uses_crf=uses_crf), config, chain)
