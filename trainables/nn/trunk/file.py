"""A frozen network as a file: any network in ONNX, its sha256 and the maps that are read; without torch.

    trunk: {file: net.onnx, sha256: …, maps: [stride8, stride16]}

``file`` lies below ``ASSAY_WEIGHTS``, as weights do. Its one input is B × 3 × H × W, float32: RGB in [0, 1],
which it standardises by itself. ``maps`` names outputs B × C × h × w, from fine to coarse; cell i looks at
pixel stride · i, as those of convolutions that pad all sides alike. ONNX Runtime computes them on the CPU, an
image at a time on one thread: so an image's maps do not depend on what is beside it.

The file is read once where a config is checked, and the shapes that were found stay in the config. Whoever
reads a plan or a saved model needs no file for that.

Trade-off: the maps are float32 from a CPU, whatever the study's device and precision.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, ValidationInfo

from trainables.errors import InputError
from trainables.nn.weight_files import check_name, read_meant, weights_path

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["TrunkChoice", "TrunkFile", "compute_maps", "open_network", "read_trunk_file"]

_REASON = 300  # characters of a message of ONNX Runtime
_NameT = TypeVar("_NameT")


class TrunkFile(BaseModel, frozen=True, extra="forbid"):
    """A frozen network that a method reads maps of."""

    file: Annotated[str, AfterValidator(check_name)] = Field(
        description="ONNX file: a path below the folder that the environment variable ASSAY_WEIGHTS names."
    )
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 of that file, hexadecimal.")
    maps: tuple[str, ...] = Field(
        min_length=1, max_length=8, description="Outputs that are read as maps, from fine to coarse."
    )
    shapes: tuple[tuple[int, int, int], ...] = Field(
        (), description="Channels, height and width of these maps; assay fills it in from the file."
    )
    strides: tuple[int, ...] = Field(
        (), description="Pixels between their cells; assay fills it in from the file."
    )
    size: int = Field(0, ge=0, description="Bytes of the file; assay fills it in.")

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the maps by stride, from fine to coarse."""
        return {stride: shape[0] for stride, shape in zip(self.strides, self.shapes, strict=True)}


class _Found(NamedTuple):
    """What a file says of itself."""

    shapes: tuple[tuple[int, int, int], ...]
    strides: tuple[int, ...]
    size: int


def open_network(data: bytes, name: str) -> InferenceSession:
    """A network in ONNX Runtime: on the CPU, one thread, the same bits for the same image.

    Raises:
        InputError: If it cannot be read, or has another input than one of RGB images.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors: they are raised as well
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise InputError(
            f"a trunk's file is one that ONNX Runtime reads, found {name}: {_reason(error)}. Export the "
            "network again (docs/methods.md), into a single file."
        ) from error
    inputs = [(node.type, list(node.shape)) for node in session.get_inputs()]
    if len(inputs) != 1 or inputs[0][0] != "tensor(float)" or inputs[0][1][1:2] != [3]:
        found = ", ".join(f"{kind} of shape {shape}" for kind, shape in inputs)
        raise InputError(
            f"a trunk's file has one input, float32 images of batch × 3 × height × width, found {found} in "
            f"{name}. Export the network with RGB images in [0, 1] as its one input (docs/methods.md)."
        )
    return session


def compute_maps(
    session: InferenceSession, maps: tuple[str, ...], image_3HW: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The maps C × h × w of one image, RGB in [0, 1]."""
    (images,) = session.get_inputs()
    answers = session.run(list(maps), {images.name: image_3HW[None]})
    return [np.asarray(each)[0] for each in answers]


def read_trunk_file(trunk: TrunkFile, image_size: tuple[int, int]) -> TrunkFile:
    """``trunk`` with what the file says of itself for images of this height and width.

    Raises:
        InputError: If the file is missing, not the one meant, or lacks such maps.
    """
    path = weights_path(trunk.file, "trunk.file")
    state = path.stat()
    found = _read(path, (state.st_mtime_ns, state.st_size), trunk.sha256, trunk.maps, image_size)
    return trunk.model_copy(update=found._asdict())


@lru_cache(maxsize=64)
def _read(
    path: Path, state: tuple[int, int], sha256: str, maps: tuple[str, ...], image_size: tuple[int, int]
) -> _Found:
    """Read a file once for all cells that name it; ``state``: time and size, which tell a changed one."""
    data = read_meant(path, sha256, "trunk.sha256")
    session = open_network(data, path.name)
    outputs = [node.name for node in session.get_outputs()]
    if missing := [name for name in maps if name not in outputs]:
        raise InputError(
            f"trunk.maps names outputs of {path.name}, found {', '.join(missing)}, and it has "
            f"{', '.join(outputs)}. Name some of these, or export the network with maps as outputs "
            "(docs/methods.md)."
        )

    # Shapes are taken from an answer and not from what the file declares, which may be anything.
    height, width = image_size
    try:
        (images,) = session.get_inputs()
        answers = session.run(list(maps), {images.name: np.zeros((1, 3, height, width), np.float32)})
    except Exception as error:  # its errors have no class in common
        raise InputError(
            f"{path.name} is asked for one image of image_size {height} × {width} at a time, and fails: "
            f"{_reason(error)}. Export it for this size, or with free batch, height and width."
        ) from error
    shapes: list[tuple[int, int, int]] = []
    strides: list[int] = []
    for name, answer in zip(maps, map(np.asarray, answers), strict=True):
        if answer.ndim != 4 or len(answer) != 1 or not answer.size or answer.dtype != np.float32:
            raise InputError(
                f"a map is float32 of batch × channels × height × width, found {answer.dtype} of shape "
                f"{list(answer.shape)} for output {name} of {path.name}. Name outputs that are maps; tokens "
                "of a transformer are brought to that shape when it is exported."
            )
        if not np.isfinite(answer).all():
            raise InputError(
                f"maps are finite, found others in output {name} of {path.name} for a black image. Export "
                "the network in evaluation mode, in float32."
            )
        channels, rows, columns = map(int, answer.shape[1:])
        stride = max(1, round(height / rows))
        if (-(-height // stride), -(-width // stride)) != (rows, columns):
            raise InputError(
                f"a map has a cell for every so many pixels along both sides, found {rows} × {columns} cells "
                f"in output {name} of {path.name} for {height} × {width} pixels. Use an image_size whose "
                "sides are multiples of the network's strides."
            )
        shapes.append((channels, rows, columns))
        strides.append(stride)
    if any(coarser % finer or coarser == finer for finer, coarser in itertools.pairwise(strides)):
        raise InputError(
            f"trunk.maps goes from fine to coarse, each stride a multiple of the one before, found strides "
            f"{strides} for {', '.join(maps)}. Name them in another order, or leave some out."
        )
    return _Found(tuple(shapes), tuple(strides), len(data))


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_REASON].rstrip(".")


def _kind(value: Any) -> str:
    return "TrunkFile" if isinstance(value, (dict, TrunkFile)) else "name"


def _with_shapes(value: Any, info: ValidationInfo) -> Any:
    """Read a file that has not been read; a saved config holds what was found."""
    if isinstance(value, TrunkFile) and not value.shapes and "image_size" in info.data:
        return read_trunk_file(value, info.data["image_size"])
    return value


# A published network by its name, or any network by its file.
TrunkChoice = Annotated[
    Annotated[_NameT, Tag("name")] | Annotated[TrunkFile, Tag("TrunkFile")],
    Discriminator(_kind),
    AfterValidator(_with_shapes),
]
