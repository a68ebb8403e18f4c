"""The training of a program: folders are written, it runs, its log is read, and what it leaves is kept.

Its predictor holds the kept files in memory, and asks the program's `predict` for many images at once in a
folder of their own: starting a program takes longer than scoring an image.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.contract import Prediction, Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.errors import Diverged, InputError, TransientError
from trainables.program.exchange import (
    Answers,
    LogReader,
    Scale,
    read_answers,
    thinned,
    write_data,
    write_images,
)
from trainables.program.method import Program, check_interpreter, find_interpreter, variables_of_others
from trainables.program.process import Ended, last_lines, run_program, traceback_line
from trainables.program.spec import ProgramConfig, filled, make_config
from trainables.runtime.device import kills_for_memory

__all__ = ["ProgramPredictor", "fit", "load"]

_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
_KILLED = -9
_CODE, _DATA, _OUT, _CHECKPOINT = "code", "data", "out", "checkpoint"
_AT_ONCE_BYTES = 2**28  # of images as float32 in one prediction
_STORED_AT_ONCE = 32  # images as stored, whose sizes are not known before


def fit(program: Program, config: ProgramConfig, data: TrainingData, run: Run) -> ProgramPredictor:
    """Run the program's `train`, and keep what it left.

    Raises:
        InputError: If it failed: with its exit code and the line of its traceback; stderr is a note.
        TransientError: If it is to be tried again.
        Diverged: If its log holds a number that is not finite.
    """
    spec = program.spec
    if run.world_size > 1:
        raise InputError(
            f"a program is trained by one worker, found {run.world_size}. Set `resources: {{workers: 1}}`"
        )
    check_interpreter(program)
    with _unpacked(program) as place:
        for note in write_data(place / _DATA, data, leave_out=spec.without_mask == "leave_out"):
            sys.stdout.write(f"{note}\n")
            sys.stdout.flush()
        for name in (_OUT, _CHECKPOINT):
            (place / name).mkdir()
        # An earlier attempt's files are put back before the program starts, and its epochs are not logged
        # twice.
        state = run.resume() if spec.resumes else None
        if state is not None:
            _write_files(place / _CHECKPOINT, state.tensors)
        watch = _Watch(program, config, run, place, since=-1 if state is None else state.epoch - 1)
        values = {
            **_values(program, config, run.device, place),
            "seed": run.seed,
            "data": place / _DATA,
            "checkpoint": place / _CHECKPOINT,
        }
        # Run to the end; the log is read once more, since its last line may have no end.
        words = filled(spec.train_words(), values, _settings(program, config))
        _run(words, place, _environment(program, run.device, run.seed), watch)
        watch.read_log(last=True)
        kept = _kept_files(spec.keep, place / _OUT)
    predictor = ProgramPredictor(program, config, run.seed, kept, run.device)
    if spec.scores == "unbounded":
        # Validation says what is a large score; without it the training images do.
        chosen = data.validation if data.validation is not None else data.train
        predictor = predictor.scaled_by(chosen)
    return predictor


def load(program: Program, folder: Path) -> ProgramPredictor:
    """A predictor from what :meth:`ProgramPredictor.save` wrote."""
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = load_file(folder / "model.safetensors")
    kept = {name: tensor.numpy().tobytes() for name, tensor in files.items()}
    config = make_config(program.spec).model_validate(saved["config"])
    scales = tuple(None if each is None else Scale(*each) for each in saved["scales"])
    return ProgramPredictor(program, config, saved["seed"], kept, torch.device("cpu"), *scales)


@dataclass(frozen=True, eq=False)
class ProgramPredictor:
    """A trained program: its files, what it kept, and the command that scores images."""

    program: Program
    config: ProgramConfig
    seed: int
    kept: Mapping[str, bytes]  # by path below {out}
    device: torch.device
    score_scale: Scale | None = None  # None: scores are in [0, 1] as they come
    map_scale: Scale | None = None

    @property
    def images_at_once(self) -> int:
        """Images that one start of the program is given."""
        if self.sees_stored:
            return _STORED_AT_ONCE
        height, width = self.config.image_size
        return max(16, _AT_ONCE_BYTES // (4 * height * width * self.config.channels))

    @property
    def sees_stored(self) -> bool:
        return self.config.images == "stored"

    def predict(self, images: Tensor) -> Prediction:
        answer = self._scaled(self._ask(_as_bytes(images), (images.shape[2], images.shape[3])))
        return Prediction(answer.score.to(images.device), answer.heatmap.to(images.device))

    def predict_stored(self, images: Sequence[np.ndarray[Any, Any]]) -> Prediction:
        return self._scaled(self._ask(images, self.config.image_size))

    def save(self, folder: Path) -> None:
        """Write the kept files as tensors of bytes, by their names."""
        tensors = {name: _as_tensor(data) for name, data in sorted(self.kept.items())}
        save_file(tensors, folder / "model.safetensors")
        scales = [None if each is None else list(each) for each in (self.score_scale, self.map_scale)]
        saved = {"config": self.config.model_dump(mode="json"), "seed": self.seed, "scales": scales}
        (folder / "config.json").write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")

    def to(self, device: torch.device) -> Self:
        return replace(self, device=device)

    def scaled_by(self, images: ImageSet) -> Self:
        """The same predictor, with scales by which these images spread over [0, 1]."""
        scores: list[np.ndarray[Any, Any]] = []
        maps: list[np.ndarray[Any, Any]] = []
        for start in range(0, len(images), self.images_at_once):
            part = [images.given[sample] for sample in images.ids[start : start + self.images_at_once]]
            some_scores, some_maps = self._ask(part, self.config.image_size)
            scores.append(some_scores)
            maps.append(thinned(some_maps))
        return replace(
            self, score_scale=Scale.of(np.concatenate(scores)), map_scale=Scale.of(np.concatenate(maps))
        )

    def _scaled(self, answers: Answers) -> Prediction:
        scores, maps = answers
        if self.score_scale is not None and self.map_scale is not None:
            scores, maps = self.score_scale.apply(scores), self.map_scale.apply(maps).astype(np.float32)
        return Prediction(torch.from_numpy(scores), torch.from_numpy(maps))

    def _ask(self, images: Sequence[np.ndarray[Any, Any]], size: tuple[int, int]) -> Answers:
        """The program's answer to images (H × W × C each, uint8 or uint16), its maps at ``size``."""
        spec, seed = self.program.spec, self.seed
        # Each call has a fresh folder, as training had: a program finds its files, what it kept, and
        # nothing else.
        with _unpacked(self.program) as place:
            _write_files(place / _OUT, {name: _as_tensor(data) for name, data in self.kept.items()})
            ids = write_images(place / "images", images)
            (place / "answers").mkdir()
            values = {
                **_values(self.program, self.config, self.device, place),
                "seed": seed,
                "images": place / "images",
                "answers": place / "answers",
            }
            words = filled(shlex.split(spec.predict), values, _settings(self.program, self.config))
            _run(words, place, _environment(self.program, self.device, seed), None)
            sizes = [(image.shape[0], image.shape[1]) for image in images]
            return read_answers(place / "answers", ids, size, bounded=spec.scores == "bounded", stored=sizes)


def _as_bytes(images_BCHW: Tensor) -> list[np.ndarray[Any, Any]]:
    """The images of the data set, 8 bits as they were, and not the numbers of a network."""
    pixels = (images_BCHW.detach().float().cpu() * 255).round().clamp(0, 255).to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).contiguous().numpy())


class _Watch:
    """What is done while a program trains: its log is read, and what it writes to go on from is kept."""

    def __init__(self, program: Program, config: ProgramConfig, run: Run, place: Path, since: int) -> None:
        """``since``: the last epoch that an earlier attempt logged; its rows are passed over."""
        spec = program.spec
        self._run, self._last, self._since = run, since, since
        epochs = getattr(config, "epochs", None)
        self._epochs = epochs if isinstance(epochs, int) else 0
        path = None if spec.log is None else place / spec.log.path.replace("{out}", _OUT, 1)
        self._log = None if spec.log is None or path is None else LogReader(spec.log, path)
        self._checkpoint = place / _CHECKPOINT if spec.resumes else None
        self._kept = _signature(place / _CHECKPOINT)
        self._before = self._kept
        self._printed = 0

    def __call__(self, printed: int) -> None:
        self.read_log()
        if printed > self._printed:  # a sign of life
            self._printed = printed
            self._run.step(max(0, self._last + 1), max(self._epochs, self._last + 1, 1), max(self._epochs, 1))
        if self._checkpoint is not None:
            self._keep_checkpoint(self._checkpoint)

    def read_log(self, *, last: bool = False) -> None:
        for epoch, numbers in () if self._log is None else self._log.rows(last=last):
            if epoch <= self._since:  # of the attempt before
                continue
            for name, value in numbers.items():
                if not np.isfinite(value):
                    raise Diverged(epoch, f"{name} is {value:g} in its log")
            self._run.log(epoch, numbers, max(self._epochs, epoch + 1))
            self._last = epoch

    def _keep_checkpoint(self, folder: Path) -> None:
        """Keep the folder when nothing in it has changed from one look to the next."""
        # A file may be half written at this moment, so the folder has to be the same at two looks.
        now = _signature(folder)
        settled, self._before = now == self._before, now
        if not settled or now == self._kept or not now:
            return
        try:
            files = {name: _as_tensor((folder / name).read_bytes()) for name in now}
        except FileNotFoundError:  # it was replaced meanwhile
            return
        if _signature(folder) == now:
            self._run.checkpoint(self._last + 1, files, {})
            self._kept = now


def _run(words: Sequence[str], place: Path, environment: Mapping[str, str], watch: _Watch | None) -> None:
    """Run a command of the program, and tell how it ended.

    Raises:
        InputError: If it failed.
        TransientError: If it is to be tried again.
    """
    kills = kills_for_memory()
    code = place / _CODE
    try:
        ended = run_program(
            words, code, environment, watch or (lambda printed: None), passes_on=watch is not None
        )
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(
            f"a program that a method's file names can be started, found {words[0]}: {error.strerror}. "
            "Install it on every machine that trains; a script's first line names its interpreter"
        ) from error
    if ended.code:
        raise _failure(ended, words[1] if len(words) > 1 else words[0], code, kills)


def _failure(ended: Ended, name: str, code: Path, kills: int) -> Exception:
    """The error that says how a program ended; stderr's last lines are a note of it."""
    # What another try can help is told apart from what will fail again.
    if ended.code == _TRY_AGAIN:
        error: Exception = TransientError(f"{name} ended with code 75, which asks for another try")
    elif ended.code == _KILLED and kills_for_memory() > kills:
        error = MemoryError(f"{name} was killed by the kernel: the machine or container is out of memory")
    elif ended.code == _KILLED:
        error = TransientError(f"{name} was killed (signal 9)")
    else:
        how = f"signal {-ended.code}" if ended.code < 0 else f"code {ended.code}"
        line = traceback_line(ended.errors, code) or "it wrote nothing to stderr"
        error = InputError(f"the program ended with {how}: {line}")
    error.add_note(f"the last lines of its stderr:\n{last_lines(ended.errors)}")
    return error


@contextmanager
def _unpacked(program: Program) -> Generator[Path]:
    """A fresh folder with the program's files in ``code``; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="program-", ignore_cleanup_errors=True) as folder:
        place = Path(folder).resolve()
        for name, data in program.files.items():
            path = place / _CODE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755)
        (place / "tmp").mkdir()
        yield place


def _values(program: Program, config: ProgramConfig, device: torch.device, place: Path) -> dict[str, object]:
    height, width = config.image_size
    return {
        "python": find_interpreter(program.spec),
        "out": place / _OUT,
        "height": height,
        "width": width,
        "channels": config.channels,
        "threads": torch.get_num_threads(),
        "device": device.type,
    }


def _settings(program: Program, config: ProgramConfig) -> dict[str, Any]:
    return {name: (setting, getattr(config, name)) for name, setting in program.spec.settings.items()}


def _environment(program: Program, device: torch.device, seed: int) -> dict[str, str]:
    # The variables of this machine, with threads and GPU of this trial: a library that takes all cores
    # would slow the trials beside it.
    variables = dict(os.environ) if program.spec.python is None else variables_of_others()
    threads = str(torch.get_num_threads())
    return variables | {
        "ASSAY_SEED": str(seed),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "CUDA_VISIBLE_DEVICES": _visible(device),
        "TMPDIR": tempfile.gettempdir(),
    }


def _visible(device: torch.device) -> str:
    """The GPU of this training as the program is to see it: none, or its number or name."""
    if device.type != "cuda":
        return ""
    index = device.index or 0
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[index] if index < len(named) else str(index)


def _kept_files(patterns: Sequence[str], out: Path) -> dict[str, bytes]:
    """The files that the program is to keep, by their path below {out}.

    Raises:
        InputError: If a pattern finds none.
    """
    kept: dict[str, bytes] = {}
    for pattern in patterns:
        # Links that lead out of the folder are not followed into what is kept.
        below = pattern.removeprefix("{out}").lstrip("/")
        chosen = sorted(out.glob(below)) if below else [out]
        files = [file for path in chosen for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
        files = [file for file in files if file.is_file() and file.resolve().is_relative_to(out.resolve())]
        if not files:
            there = sorted(file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file())
            raise InputError(
                f"the program leaves what `keep` names, found no file for {pattern}; it left "
                f"{', '.join(there[:8]) or 'nothing'}. Write it there, or name another file in `keep`"
            )
        kept |= {file.relative_to(out).as_posix(): file.read_bytes() for file in files}
    return kept


def _write_files(folder: Path, files: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.cpu().numpy().tobytes())


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)


def _signature(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file, by its relative name."""
    found: dict[str, tuple[int, int]] = {}
    for file in sorted(folder.rglob("*")):
        try:
            facts = file.stat()
        except FileNotFoundError:  # it was renamed meanwhile
            continue
        if file.is_file():
            found[file.relative_to(folder).as_posix()] = (facts.st_size, facts.st_mtime_ns)
    return found
