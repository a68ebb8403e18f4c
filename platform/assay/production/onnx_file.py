"""The file `model.onnx`: a trained model as a graph from bytes to decisions, and how it is run.

::

    images    uint8    batch × H × W × C, at the network's input size; grey, or BGR as OpenCV reads it
    score     float64  batch, in [0, 1]
    decision  bool     batch: score ≥ the image threshold
    heatmap   float32  batch × H × W, in [0, 1]
    mask      bool     batch × H × W: heatmap ≥ the pixel threshold

Any predictor is exported by tracing its own ``predict``. Resizing stays outside: OpenCV's bilinear resize of
bytes is a fixed-point one, and ONNX's differed from it by one grey level in an eighth of the pixels.

Whatever torch.export can trace becomes ONNX, and no method has export code of its own.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from trainables.contract import Predictor
from trainables.data.files.sources import resize_image
from trainables.errors import InputError, validation_message
from trainables.runtime.deployed import Card, Decision, DeployedModel, read_card

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["CARD_KEY", "OPSET", "OUTPUTS", "OnnxModel", "load_onnx", "set_image_threshold", "write_onnx"]

OPSET = 20
OUTPUTS = ("score", "decision", "heatmap", "mask")
CARD_KEY = "assay"  # of the file's metadata: the card as JSON
_THRESHOLD = "image_threshold"  # of the graph's constants: `set_image_threshold` finds it by its name
_MESSAGE_CHARACTERS = 300
_CHANGES_ITSELF = "is mutated in the forward method"  # of a constant, in torch's words


class _Graph(nn.Module):
    """The graph that is traced: bytes in, decisions out."""

    def __init__(self, predictor: Predictor, image: float, pixel: float) -> None:
        super().__init__()
        self.predictor, self.pixel = predictor, pixel
        self.register_buffer(_THRESHOLD, torch.tensor(image, dtype=torch.float64))

    def forward(self, images_BHWC: Tensor) -> tuple[Tensor, ...]:
        prediction = self.predictor.predict(images_BHWC.permute(0, 3, 1, 2).float() / 255)
        score_B, heatmap_BHW = prediction.score.double(), prediction.heatmap.float()
        return score_B, score_B >= self.get_buffer(_THRESHOLD), heatmap_BHW, heatmap_BHW >= self.pixel


def write_onnx(model: DeployedModel, path: Path) -> None:
    """Trace ``model`` (on the CPU) with a free batch size and write it, its card in the metadata.

    Raises:
        InputError: If the predictor cannot be traced.
    """
    card = model.card
    graph = _Graph(model.predictor, card.thresholds.image, card.thresholds.pixel).eval()
    # Noise decides nothing; two images, because a batch of one would be taken for a constant.
    rng = np.random.default_rng(0)
    example = torch.from_numpy(rng.integers(0, 256, (2, *card.image_size, card.channels), np.uint8))
    try:
        program = _trace(
            graph,
            example,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=["images"],
            output_names=OUTPUTS,
        )
    except Exception as error:
        if _CHANGES_ITSELF in _root(error):  # torch advises to register a buffer, which hides the fault
            raise InputError(
                f"the predictor of {card.trainable} cannot be written as ONNX: its predict changes tensors "
                "that the model keeps, as a batch normalisation in training mode does. Then no export says "
                "what the model says. Mend the method's `predict`: call .eval() on what it uses, and let it "
                "change nothing that it keeps."
            ) from error
        raise InputError(
            f"the predictor of {card.trainable} cannot be written as ONNX: its predict must be traceable by "
            f"torch.export with any batch size (see CONTRIBUTING.md). {_reason(error)}. Export it with --to "
            "mlflow."
        ) from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # torch's call stacks: folders of this machine, and lines of code
    program.model.metadata_props[CARD_KEY] = card.model_dump_json(exclude_none=True)
    program.save(path)


def _trace(graph: nn.Module, example: Tensor, **names: Any) -> torch.onnx.ONNXProgram:
    """Trace a graph on one example, without what torch tells of its own calls on the way."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision's absence
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own deprecated calls
        program = torch.onnx.export(
            graph, (example,), dynamo=True, opset_version=OPSET, verbose=False, **names
        )
    assert program is not None, "dynamo=True returns a program"
    return program


def set_image_threshold(source: Path, card: Card, path: Path) -> None:
    """Write an exported file anew, with another card and the image threshold of that card in its graph.

    Raises:
        InputError: If the graph has no constant for it.
    """
    model = onnx.load(source)
    constants = [tensor for tensor in model.graph.initializer if tensor.name == _THRESHOLD]
    if len(constants) != 1:
        raise InputError(
            f"an exported model whose threshold can be set has a constant {_THRESHOLD}, found none in "
            f"{source}. Write it again: `assay export --trial {card.trial} --to onnx`."
        )
    constants[0].CopyFrom(onnx.numpy_helper.from_array(np.array(card.thresholds.image), _THRESHOLD))
    (entry,) = (each for each in model.metadata_props if each.key == CARD_KEY)
    entry.value = card.model_dump_json(exclude_none=True)
    onnx.save(model, path)


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """An exported file in ONNX Runtime on the CPU, with the resize that its card asks for before it."""

    session: InferenceSession
    card: Card

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def sees_stored(self) -> bool:
        """False: a graph has one input size."""
        return False

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``image`` (H × W × C) at the network's input size, resized as in training."""
        return resize_image(image, self.card.image_size)

    def decide(self, images: Sequence[NDArray[np.uint8]]) -> Decision:
        """Score and decide prepared images."""
        answers = self.session.run(OUTPUTS, {"images": np.stack(images)})
        return Decision(*(np.asarray(answer) for answer in answers))

    def twin(self) -> Self:
        """Return the model itself: a session answers any number of threads."""
        return self


def load_onnx(path: Path, threads: int = 0) -> OnnxModel:
    """An exported file that was read; ``threads``: of one answer, 0 for all cores.

    Raises:
        InputError: If there is no such file, it cannot be read, it is none of assay's or of another format.
    """
    import onnxruntime

    if not path.is_file():
        raise InputError(
            f"an exported model is a folder with {path.name}, found no file {path}. Of the formats of `assay "
            "export` this one alone is read here: write it with `assay export --trial TRIAL --to onnx`."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise InputError(
            f"an exported model is one that ONNX Runtime reads, found {path}: {_reason(error)}. Copy the "
            "file anew, or write it again with `assay export --to onnx`."
        ) from error

    # Without its card nobody knows the file's sizes and thresholds: any other ONNX file is refused.
    card = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if card is None:
        raise InputError(f"{path} carries no card of assay's. Write it with `assay export --to onnx`.")
    try:
        return OnnxModel(session, read_card(card, path))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        reason = ": ".join([*map(str, problem["loc"]), validation_message(problem)])
        raise InputError(
            f"{path} carries a card that cannot be read: {reason}. Copy the file anew, or write it again "
            "with `assay export --to onnx`."
        ) from error


def _reason(error: BaseException) -> str:
    return " ".join(_root(error).split())[:_MESSAGE_CHARACTERS].rstrip(".")


def _root(error: BaseException) -> str:
    """The message at the bottom of a chain of errors: those above speak of torch's own steps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
