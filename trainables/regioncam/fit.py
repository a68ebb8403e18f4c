"""The whole method: its stages one after the other, each a few files, and the predictor that they leave.

    classifier ── maps ── pseudo ── round1 ── round2 …

A round trains a segmentation net on the labels before it and cuts new labels from what the net sees in the
same images. Where the new labels collapsed, it keeps the labels it got and hands on the net before
it (the first round has only its own); after that, or where labels hardly changed, rounds train nothing.

Source: the abstract of Dong et al. 2025, arXiv:2506.22866, says that "pseudo-label segmentation is
implemented to refine the model's performance iteratively"; the rest is our reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.cam.fit import load_classifier
from trainables.cam.maps import load_maps, save_maps
from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.nn.batches.passes import image_passes
from trainables.nn.cam.activation import minmax
from trainables.nn.choices import flip_views
from trainables.nn.labels.pseudo import pseudo_labels, refined_labels
from trainables.nn.labels.refine import Guarded, guarded_refine, label_probability
from trainables.nn.labels.segmentation import SegmentationNet, Targets, train_segmentation
from trainables.nn.models import load_into, save_model
from trainables.regioncam.config import RegionCamConfig, RegionMapSettings
from trainables.regioncam.maps import RegionMaps, measured_region_maps
from trainables.regioncam.predictor import Nets, RegionCamPredictor, Round
from trainables.regioncam.stages import round_name, stages
from trainables.stages import StageWork, read_facts, write_facts

__all__ = ["Agreement", "agreement", "fit", "sharpened_labels"]

_FINAL_MAPS, _PROBABILITIES = "final_maps.safetensors", "probabilities.safetensors"

_SURE = 0.7  # the probability that a label has for the CRF (jiwoon-ahn/irn)


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
    # What the stages measured becomes one row, each fact under the name of its stage.
    facts = {name: read_facts(folder) for name, folder in folders.items() if name != "classifier"}
    logged = facts.pop("maps")
    for name, measured in facts.items():
        logged |= {f"{name}_{fact}": value for fact, value in measured.items() if fact != "round"}
    run.log(0, logged, 1)
    net = load_classifier(folders["classifier"], run.device)
    maps = load_maps(folders["maps"], RegionMaps(net, RegionMapSettings.of(config)).to(run.device))

    # Every round's net is kept in memory so that all of them can be shown; a saved model holds the last one
    # only.
    names = [round_name(number) for number in range(1, config.rounds + 1)]
    rounds = [Round(read_segmenter(folders[n], run.device), uses_crf=bool(facts[n]["crf"])) for n in names]
    last = rounds[-1] if rounds else None
    return RegionCamPredictor(Nets(maps, last), config, rounds[:-1])


# The stages --------------------------------------------------------------------------------------------


def make_maps(work: StageWork) -> None:
    """The final map of each defective training image, and what is needed to make those of other images."""
    net = load_classifier(work.inputs["classifier"], work.run.device)
    maps, offset = measured_region_maps(net, work.settings(RegionMapSettings), work.data.train)
    save_maps(work.folder, maps)
    # Maps of training images are kept in half precision: pseudo labels are cut at thresholds much coarser
    # than that.
    final = [
        minmax(maps(images_BCHW).map_BHW).half().cpu()
        for images_BCHW in _defective(work.data.train, net.device)
    ]
    save_file({"maps": torch.cat(final).contiguous()}, work.folder / _FINAL_MAPS)
    facts = {"offset_down": float(offset.dy), "offset_right": float(offset.dx)}
    write_facts(work.folder, facts | {"map_scale": float(maps.scale)})


def make_pseudo(work: StageWork) -> None:
    config, train = work.settings(RegionCamConfig), work.data.train
    # Labels of the first round are cut from maps of defective images alone; a normal image's are known to
    # be empty.
    maps_NHW = load_file(work.inputs["maps"] / _FINAL_MAPS)["maps"].float()
    ids = tuple(train.ids[i] for i in np.flatnonzero(train.labels))
    cut_NHW = pseudo_labels(maps_NHW, torch.ones(len(ids), dtype=torch.bool), config.cutoffs)
    labels, crf = PseudoLabels("pseudo", ids, cut_NHW.numpy()), False
    if config.crf:
        labels, crf = sharpened_labels(labels, train, config, work.run.device)
    labels.save(work.folder)
    write_facts(work.folder, {"area": _area(labels), "crf": float(crf), "going": 1.0})


def make_round(work: StageWork, *, before: str) -> None:
    config, train, device = work.settings(RegionCamConfig), work.data.train, work.run.device
    folder = work.inputs[before]
    known = read_facts(folder)
    number = 1 + int(known.get("round", 0))
    labels = replace(PseudoLabels.from_stage(folder), name=f"round {number}")

    # The rounds before have converged or collapsed, so this one only hands on what it got: a study's rows
    # then have the same stages however many rounds were needed.
    if not known["going"]:
        facts = known | {"round": float(number), "trained": 0.0}
        _write_round(work, read_segmenter(folder, device), labels, _read_probabilities(folder), facts)
        return

    # Train on the labels so far and ask the net about the same images again.
    network = train_segmentation(config, train, Targets(labels.by_id), work.run)
    prob_NHW = torch.cat([_flip_averaged(network, images, config) for images in _defective(train, device)])
    crf = False
    if config.crf:
        prob_NHW, crf, *_ = _sharpened(prob_NHW, train, config, device)

    # A net's opinion is blended with that of the round before, which damps jumps. The first round has none
    # before it.
    earlier_NHW = _read_probabilities(folder) if number > 1 else None
    if earlier_NHW is not None:
        prob_NHW = config.round_blend * earlier_NHW + (1 - config.round_blend) * prob_NHW
    relabelled = refined_labels(
        labels,
        prob_NHW,
        labels.name,
        foreground=config.round_foreground,
        background=config.round_background,
    )

    # Labels that changed their area by too much have collapsed. Then this round's net is thrown away
    # together with its labels.
    agrees = agreement(labels.labels, relabelled.labels.labels, config)
    collapsed = relabelled.void or agrees.collapsed
    new = labels if collapsed else relabelled.labels
    if collapsed and earlier_NHW is not None:
        network, prob_NHW, crf = read_segmenter(folder, device), earlier_NHW, bool(known["crf"])
    facts = {
        "round": float(number),
        "area": _area(new),
        "empty": relabelled.empty,
        "iou_previous": agrees.iou,
        "collapsed": float(collapsed),
        "crf": float(crf),
        "trained": 1.0,
        "going": float(not collapsed and agrees.iou <= config.round_alike),
    }
    _write_round(work, network, new, prob_NHW, facts)


class Agreement(NamedTuple):
    """Agreement of labels before and after a round."""

    iou: float  # of the defects before and after, mean over the images
    collapsed: bool  # their area changed by more than ``round_change``


def agreement(before: NDArray[np.uint8], after: NDArray[np.uint8], config: RegionCamConfig) -> Agreement:
    """Compare labels (N × H × W, 1 defect) with those before them, whose images all have a defect."""
    old, new = before == 1, after == 1
    # The mean of the images' own IoU: over all pixels together one large defect would decide alone.
    union = (old | new).sum(axis=(1, 2))
    iou = (old & new).sum(axis=(1, 2)) / np.maximum(union, 1)
    low, high = sorted((int(old.sum()), int(new.sum())))
    return Agreement(float(iou.mean()), low * config.round_change < high)


def sharpened_labels(
    labels: PseudoLabels, images: ImageSet, config: RegionCamConfig, device: torch.device
) -> tuple[PseudoLabels, bool]:
    """Labels of the defective images after the CRF, and whether it was used.

    A pixel becomes a label again where the CRF is as sure of it as labels are. One that was
    left open, and that it learned nothing about, stays open.
    """
    # The CRF needs probabilities, and hard labels have none: they get the usual confidence.
    prob_NHW = label_probability(torch.from_numpy(labels.labels), _SURE)
    sharp = _sharpened(prob_NHW, images, config, device)
    if not sharp.used:
        return labels, False
    refined = refined_labels(labels, sharp.prob_NHW, "pseudo_crf", foreground=_SURE, background=1 - _SURE)
    return refined.labels, True


def _sharpened(prob_NHW: Tensor, images: ImageSet, config: RegionCamConfig, device: torch.device) -> Guarded:
    """The CRF on probabilities of the defective images; pixels that labels leave open have 0.5."""
    return guarded_refine(prob_NHW, _defective(images, device), config, is_defect=torch.gt)


@torch.no_grad()
def _flip_averaged(network: SegmentationNet, images_BCHW: Tensor, config: RegionCamConfig) -> Tensor:
    """Probabilities, the mean over the flips that the net was trained with, B × H × W on the CPU."""
    seen: list[Tensor] = []
    for view in flip_views(config.flips):
        # Flipped, asked, and flipped back, so all opinions lie on the same pixels.
        axes = [axis for axis, flipped in zip((-1, -2), view, strict=True) if flipped]
        seen.append(network(images_BCHW.flip(axes)).logits_BHW.sigmoid().flip(axes))
    return torch.stack(seen).mean(dim=0).cpu()


# Their files -------------------------------------------------------------------------------------------


def read_segmenter(folder: Path, device: torch.device) -> SegmentationNet:
    """The net of a round."""
    return load_into(folder, RegionCamConfig, SegmentationNet)[0].to(device).eval()


def _write_round(
    work: StageWork, network: SegmentationNet, labels: PseudoLabels, prob_NHW: Tensor, facts: dict[str, float]
) -> None:
    """Write what a round hands on."""
    save_model(work.folder, network, work.settings(RegionCamConfig))
    labels.save(work.folder)
    save_file({"prob": prob_NHW.half().contiguous()}, work.folder / _PROBABILITIES)
    write_facts(work.folder, facts)


def _read_probabilities(folder: Path) -> Tensor:
    return load_file(folder / _PROBABILITIES)["prob"].float()


def _area(labels: PseudoLabels) -> float:
    """Share of the pixels of defective images that are labelled defective."""
    return float((labels.labels == 1).mean())


def _defective(images: ImageSet, device: torch.device) -> Iterator[Tensor]:
    """The defective images in batches."""
    return image_passes(images, np.flatnonzero(images.labels).tolist(), device)
