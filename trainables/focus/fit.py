"""The whole method: its stages one after the other, each a few files, and the predictor that they leave.

    classifier ─┬─ maps ── pseudo ── s1 ── refined ── s2 ── student
    inpainter ──┘

``inpainter`` is there where IEM paints with a net, ``refined`` where the CRF or the additional round wants
the first net's probabilities as labels, ``s2`` with the round, ``student`` with the distillation. A stage's
settings are those that its own step depends on, so the rows of an additive study share all that comes
before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.cam.classifier import Attachment, train_classifier
from trainables.cam.config import ClassifierConfig, MapSettings, classifier_settings
from trainables.cam.fit import load_classifier
from trainables.cam.maps import CamMaps, load_maps, measured_maps, save_maps
from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.focus.config import FocusConfig
from trainables.focus.contrast import ContrastiveLoss
from trainables.focus.cropping import GuidedCropping
from trainables.focus.extension import (
    Evidence,
    Fill,
    erase,
    evidence_of,
    extended_map,
    residual,
    residual_scale,
)
from trainables.focus.inpainting import filler, new_inpainter, train_inpainter
from trainables.focus.predictor import Chain, FocusPredictor, Nets
from trainables.focus.stages import stages
from trainables.nn.batches.passes import image_batches
from trainables.nn.cam.activation import minmax
from trainables.nn.choices import ImageTask
from trainables.nn.labels.inpaint import Inpainter
from trainables.nn.labels.pseudo import pseudo_labels, refined_labels
from trainables.nn.labels.refine import guarded_refine, refine
from trainables.nn.labels.segmentation import SegmentationNet, Targets, train_segmentation
from trainables.nn.models import load_into, load_model, save_model, with_layout
from trainables.stages import StageWork, read_facts, write_facts

__all__ = ["attachments_of", "fit"]

_BATCH = 8  # images that are looked at together
_FINAL_MAPS = "final_maps.safetensors"
_HOST = torch.device("cpu")


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
    # What the stages measured, and whether the CRF passed its guard on training images: prediction must do
    # the same.
    facts = read_facts(folders["maps"])
    refined = read_facts(folders["refined"]) if config.refines else {}
    run.log(0, facts | refined, 1)
    uses_crf = bool(refined.get("crf", False))
    net = load_classifier(folders["classifier"], run.device)
    maps = CamMaps(net, MapSettings(recentre=config.recentre)).to(run.device)
    cam = load_maps(folders["maps"], maps)

    # The chain holds every net for showing its stages; the predictor holds the last one, and the classifier
    # unless a student replaces both.
    segmenters = [name for name in ("s1", "s2", "student") if name in folders]
    nets = {name: read_segmenter(folders[name], run.device) for name in segmenters}
    chain = Chain(
        cam,
        nets["s1"],
        second=nets.get("s2"),
        inpainter=read_inpainter(folders["inpainter"], run.device) if config.uses_inpainter else None,
        residual_scale=facts.get("residual_scale", 1.0),
        uses_crf=uses_crf,
    )
    if config.distill:
        return FocusPredictor(Nets(nets["student"], None, uses_crf=False), config, chain)
    return FocusPredictor(Nets(nets[segmenters[-1]], cam, uses_crf=uses_crf), config, chain)


def attachments_of(config: FocusConfig) -> list[Attachment]:
    """Attachments of the classifier's training. GCM comes first, since CLM reads its crops."""
    cropping = GuidedCropping(config) if config.gcm else None
    attachments: list[Attachment] = [] if cropping is None else [cropping]
    if config.clm:
        attachments.append(ContrastiveLoss(config, cropping))
    return attachments


# The stages --------------------------------------------------------------------------------------------


def make_classifier(work: StageWork, *, places: Mapping[str, Any]) -> None:
    config = work.settings(FocusConfig, **places)
    # Saved as a plain classifier's config: the attachments were for training, and any method can read maps
    # off what is left.
    classifier = ClassifierConfig.model_validate({**classifier_settings(config), **places})
    save_model(
        work.folder, train_classifier(classifier, work.data, work.run, attachments_of(config)), classifier
    )


def make_inpainter(work: StageWork) -> None:
    config = work.settings(FocusConfig)
    inpainter = train_inpainter(config, work.data, work.run)
    save_model(work.folder, inpainter, config)


def make_maps(work: StageWork) -> None:
    """The final map of each defective training image, and what is needed to make those of other images."""
    config, device = work.settings(FocusConfig), work.run.device
    net = load_classifier(work.inputs["classifier"], device)
    cam, offset = measured_maps(net, MapSettings(recentre=config.recentre), work.data.train)
    save_maps(work.folder, cam)
    logged = {"offset_down": float(offset.dy), "offset_right": float(offset.dx)}
    batches = _defective(work.data.train, device)
    if config.iem == "off":
        final = [minmax(cam(images_BCHW).map_BHW).half().cpu() for images_BCHW in batches]
    else:
        # Erase, and keep what the final map is made of; the residual's scale is known only after all images
        # were seen.
        inpainter = read_inpainter(work.inputs["inpainter"], device) if "inpainter" in work.inputs else None
        fill = filler(config, inpainter)
        evidences: list[Evidence] = []  # with the host: a GPU need not hold those of all images
        probabilities: list[Tensor] = []
        for images_BCHW in batches:
            erased = erase(images_BCHW, cam, fill, config)
            evidences.append(evidence_of(images_BCHW, erased, config.iem_residual).to(_HOST))
            probabilities.append(erased.probability_SB[[0, -1]])
        scale = _residual_scale(evidences, work.data.train, fill, config, device)
        final = [extended_map(part.to(device), scale, config).half().cpu() for part in evidences]
        # The mean p(defect) before and after erasing says if the module works: it must fall.
        before, after = torch.cat(probabilities, dim=1).mean(dim=1).tolist()
        area = float(torch.cat([evidence.mask_BHW.float().mean(dim=(1, 2)) for evidence in evidences]).mean())
        logged |= {"residual_scale": scale, "erased_area": area}
        logged |= {"probability_before": before, "probability_after": after}
    save_file({"maps": torch.cat(final).contiguous()}, work.folder / _FINAL_MAPS)
    _note(work, logged)


def _residual_scale(
    evidences: Sequence[Evidence], images: ImageSet, fill: Fill, config: FocusConfig, device: torch.device
) -> float:
    """c, from holes of the shapes that defects leave, filled in images without a defect."""
    # The same shapes as real defects leave, since a large hole is filled worse than a small one.
    holes_HW = [mask_HW for evidence in evidences for mask_HW in evidence.mask_BHW if mask_HW.any()]
    values: list[Tensor] = []
    for index, hole_HW in zip(np.flatnonzero(~images.labels).tolist(), holes_HW, strict=False):
        image_BCHW, hole_BHW = images_to_tensor([images[index].image], device), hole_HW[None].to(device)
        difference_BHW = residual(image_BCHW, fill(image_BCHW, hole_BHW), config.iem_residual)
        values.append(difference_BHW[hole_BHW].cpu())
    return residual_scale(values)


def make_pseudo(work: StageWork) -> None:
    config, train = work.settings(FocusConfig), work.data.train
    maps_NHW = load_file(work.inputs["maps"] / _FINAL_MAPS)["maps"].float()
    ids = tuple(train.ids[i] for i in np.flatnonzero(train.labels))
    labels_NHW = pseudo_labels(maps_NHW, torch.ones(len(ids), dtype=torch.bool), config.cutoffs)
    PseudoLabels("pseudo", ids, labels_NHW.numpy()).save(work.folder)


def make_s1(work: StageWork) -> None:
    _train_and_save(work, Targets(PseudoLabels.from_stage(work.inputs["pseudo"]).by_id))


def make_refined(work: StageWork) -> None:
    config, train, device = work.settings(FocusConfig), work.data.train, work.run.device
    network = read_segmenter(work.inputs["s1"], device)
    probs = [_probability(network, images_BCHW).cpu() for images_BCHW in _defective(train, device)]
    # The guard decides for all images at once, so training and prediction treat every image alike.
    prob_NHW, uses_crf, facts = torch.cat(probs), False, dict[str, float]()
    if config.crf:
        prob_NHW, uses_crf, area, after = guarded_refine(prob_NHW, _defective(train, device), config)
        facts = {"area": area, "area_after_crf": after}
    refined = refined_labels(
        PseudoLabels.from_stage(work.inputs["pseudo"]),
        prob_NHW,
        "s1_crf" if uses_crf else "s1",
        foreground=config.round_foreground,
        background=config.round_background,
    )
    refined.labels.save(work.folder)
    facts |= {"crf": float(uses_crf), "empty": refined.empty, "void": float(refined.void)}
    _note(work, facts)


def make_s2(work: StageWork) -> None:
    if read_facts(work.inputs["refined"])["void"]:  # nothing to learn from: the first net stays
        save_model(
            work.folder, read_segmenter(work.inputs["s1"], work.run.device), work.settings(FocusConfig)
        )
        return
    _train_and_save(work, Targets(PseudoLabels.from_stage(work.inputs["refined"]).by_id))


def make_student(work: StageWork, *, labels: str, last: str) -> None:
    config, device = work.settings(FocusConfig), work.run.device
    network = read_segmenter(work.inputs[last], device)
    uses_crf = config.crf and bool(read_facts(work.inputs[labels])["crf"])
    hard = PseudoLabels.from_stage(work.inputs[labels])
    probs: list[Tensor] = []
    for images_BCHW in _defective(work.data.train, device):
        prob_BHW = _probability(network, images_BCHW)
        if uses_crf:
            prob_BHW = refine(prob_BHW, images_BCHW * 255, config.refiner)
        probs.append(prob_BHW.half().cpu())
    # The student learns from the teacher's probabilities and, by a share, from the labels that the teacher
    # learned from.
    soft = dict(zip(hard.ids, torch.cat(probs).numpy(), strict=True))
    targets = Targets(hard.by_id, soft, config.student_soft)
    start = network if config.student_start == "teacher" else None
    _train_and_save(work, targets, config.student_task, start)


def _train_and_save(
    work: StageWork, targets: Targets, task: ImageTask | None = None, start: SegmentationNet | None = None
) -> None:
    config = work.settings(FocusConfig)
    network = train_segmentation(config, work.data.train, targets, work.run, task=task, start=start)
    save_model(work.folder, network, config)


# Their files -------------------------------------------------------------------------------------------


def read_inpainter(folder: Path, device: torch.device) -> Inpainter:
    """The inpainting net of stage ``inpainter``."""
    return load_into(folder, FocusConfig, new_inpainter)[0].to(device).eval()


def read_segmenter(folder: Path, device: torch.device) -> SegmentationNet:
    """The net of stage ``s1``, ``s2`` or ``student``."""
    tensors, config = load_model(folder, FocusConfig)
    network = SegmentationNet(config, config.student_task if "image_head.trust" in tensors else None)
    network.load_state_dict(tensors)
    return with_layout(network, config).to(device).eval()


def _note(work: StageWork, facts: Mapping[str, float]) -> None:
    """Facts for the next stages, and the stage's one row of history."""
    write_facts(work.folder, facts)
    work.run.log(0, facts, 1)


def _defective(images: ImageSet, device: torch.device) -> Iterator[Tensor]:
    """The defective images in batches."""
    return image_batches(images, np.flatnonzero(images.labels).tolist(), device, _BATCH)


@torch.no_grad()
def _probability(network: SegmentationNet, images_BCHW: Tensor) -> Tensor:
    return network(images_BCHW).logits_BHW.sigmoid()
