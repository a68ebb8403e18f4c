"""A forecast times the first steps of a real training and reckons up the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from assay.forecast.forecast import Forecast, Shape, read_forecast, write_forecast
from assay.forecast.timing import Machine, evaluated_inputs, forecast_study
from assay.storage.store import Store
from assay.study import Plan, parse_study, plan_study
from tests.data.made_images import bare_manifest
from trainables.contract import LocalRun, Run, Trainable, TrainableConfig
from trainables.data import Split, TrainingData, open_manifest
from trainables.data.samples import ImageSet
from trainables.data.spec import Supervision, Tiles
from trainables.plugins.catalogue import find_trainable
from trainables.runtime.forecast import measure

CPU = torch.device("cpu")


class _Config(TrainableConfig, frozen=True, extra="forbid"):
    image_size: tuple[int, int] = (8, 8)
    epochs: int = 50
    steps: int = 4  # of an epoch
    says_steps: bool = True


@dataclass
class _Clockwork:
    """A method and the clock it is timed by: two steps of 50 ms, then 10 ms each; epochs end with 20 ms."""

    now: float = 0.0
    steps: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)

    def perf_counter(self) -> float:
        return self.now

    def _pass(self, seconds: float) -> float:
        self.now += seconds
        return seconds

    def fit(self, config: _Config, data: TrainingData, run: Run) -> None:
        for epoch in range(config.epochs):
            for _ in range(config.steps):
                run.shard(range(2))
                self.steps.append(self._pass(0.05 if len(self.steps) < 2 else 0.01))
                if config.says_steps:
                    run.step(len(self.steps), config.epochs * config.steps, config.epochs)
            self.epochs.append(self._pass(0.02))
            run.log(epoch, {}, config.epochs)

    def trainable(self) -> Trainable[_Config]:
        return Trainable("clockwork", 1, "", _Config, {}, frozenset({"full"}), self.fit, lambda folder: None)


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> _Clockwork:
    clockwork = _Clockwork()
    monkeypatch.setattr("trainables.runtime.forecast.time", clockwork)
    return clockwork


class _Blank:
    def __getitem__(self, sample: str, /) -> np.ndarray:
        return np.zeros((8, 8, 1), np.uint8)


def _images(count: int) -> ImageSet:
    ids = tuple(map(str, range(count)))
    return ImageSet(ids, np.arange(count) % 2 == 0, _Blank(), {}, ids, (None,) * count)


DATA = TrainingData(_images(4), _images(2), Supervision(kind="full", masks=None))


def test_the_whole_training_is_reckoned_from_its_first_steps_and_epochs(method: _Clockwork) -> None:
    cost = measure(method.trainable(), _Config(), DATA, device=CPU, seconds=0.5)
    assert len(method.steps) < 200, "it was not ended"
    assert (cost.steps, cost.epochs) == (200, 50)
    whole = 200 * fmean(method.steps[2:]) + 50 * fmean(method.epochs)
    assert cost.train_seconds == pytest.approx(whole)
    assert cost.image_seconds == pytest.approx(fmean(method.epochs) / 2)  # two validation images


def test_validation_counts_a_third_of_a_step_where_no_epoch_ended(method: _Clockwork) -> None:
    cost = measure(method.trainable(), _Config(steps=10_000), DATA, device=CPU, seconds=0.1)
    step = cost.train_seconds / cost.steps
    assert cost.image_seconds == pytest.approx(step / 2 / 3, rel=0.01)  # two images a step


@pytest.mark.parametrize("steps", [100, 1])
def test_at_least_five_steps_are_timed_after_two_to_warm_up(method: _Clockwork, steps: int) -> None:
    cost = measure(method.trainable(), _Config(steps=steps), DATA, device=CPU, seconds=0.0)
    assert (len(method.steps), cost.timed) == (7, 5)


def test_a_method_that_counts_no_steps_is_timed_by_its_epochs(method: _Clockwork) -> None:
    cost = measure(method.trainable(), _Config(says_steps=False), DATA, device=CPU, seconds=0.2)
    assert (cost.steps, cost.timed) == (0, len(method.epochs))
    epoch = (sum(method.steps) + sum(method.epochs)) / len(method.epochs)
    assert cost.train_seconds == pytest.approx(50 * epoch)


@dataclass
class _Steps(LocalRun):
    """Keeps what a method says of its steps."""

    said: tuple[tuple[int, int, int], ...] = ()

    def step(self, done: int, total: int, epochs: int) -> None:
        self.said = (*self.said, (done, total, epochs))


@pytest.mark.parametrize("name", ["segdec", "supervised"])
def test_methods_count_their_steps_from_one_to_the_last(name: str, tmp_path: Path) -> None:
    trainable = find_trainable(name)
    plan, _ = _plan(tmp_path, trainable=name)
    trial = plan.trials[0]
    config = trainable.Config.model_validate(trial.config)
    from trainables.data import load_training, make_split, open_images

    manifest = open_manifest(trial.data, None, tmp_path)
    split = make_split(manifest, trial.data, trial.supervision, 0, None)
    images = open_images(manifest, config.image_size, config.channels, tmp_path)
    run = _Steps()
    trainable.fit(config, load_training(manifest, split, trial.supervision, images), run)
    done, total, epochs = zip(*run.said, strict=True)
    assert done == tuple(range(1, total[0] + 1))
    assert set(total) == {len(done)}
    assert set(epochs) == {2}


def _plan(folder: Path, trainable: str = "segdec", extra: str = "") -> tuple[Plan, Machine]:
    small = {
        "segdec": "channel_scale: 0.0625, ",
        "supervised": "model: classifier, width: 4, min_steps: 0, ",
        "cam": "width: 4, min_steps: 0, ",
    }[trainable]
    text = f"""
study: price
trainable: {trainable}
data:
  reader: synthetic
  splits: per_seed
  validation: {{share: 0.25, by: item}}
  options: {{images: 24, items: 24, positives: 12, size: [64, 128]}}
config: {{image_size: [64, 128], {small}epochs: 2, lr: 0.01}}
{extra}
repeats: {{seeds: [0, 1, 2]}}
"""
    plan = plan_study(parse_study(text, "price"), lambda spec: open_manifest(spec, None, folder), "cpu")
    return plan, Machine(None, folder, CPU, at_once=2)


RATES = """
factors:
  rate: {slow: {config: {lr: 0.001}}, fast: {config: {lr: 0.1}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
design: {full: all}
"""


def test_trials_that_differ_in_a_rate_only_have_one_shape(tmp_path: Path) -> None:
    plan, machine = _plan(tmp_path, extra=RATES)
    said: list[str] = []
    forecast = forecast_study(plan, Store(tmp_path / "storage"), machine, said.append)
    assert [set(shape.cells) for shape in forecast.shapes] == [
        {"rate=slow stop=off", "rate=fast stop=off"},
        {"rate=slow stop=on", "rate=fast stop=on"},
    ]
    assert [shape.missing for shape in forecast.shapes] == [6, 6]
    assert len(said) == 2


def test_hours_are_of_all_missing_trials_over_those_at_once(tmp_path: Path) -> None:
    plan, machine = _plan(tmp_path)
    forecast = forecast_study(plan, Store(tmp_path / "storage"), machine, lambda text: None)
    (shape,) = forecast.shapes
    assert forecast.trial_hours == pytest.approx(3 * shape.seconds / 3600)
    assert forecast.hours == pytest.approx(2 * shape.seconds / 3600)  # two, then one
    assert shape.memory_mb > 100  # of the whole process, its libraries too


def test_points_that_are_not_drawn_yet_count_as_their_cell(tmp_path: Path) -> None:
    search = """
search: {sampler: random, points: 5, seed: 0, objective: {max: validation.image_ap}}
space: {config.lr: {float: [0.001, 0.1], log: true}}
replicate: {best: 1, seeds: [7, 8]}
"""
    plan, machine = _plan(tmp_path, extra=search)
    forecast = forecast_study(plan, Store(tmp_path / "storage"), machine, lambda text: None)
    assert sum(shape.missing for shape in forecast.shapes) == 5 * 3 + 2


def test_a_forecast_is_kept_beside_the_study(tmp_path: Path) -> None:
    plan, machine = _plan(tmp_path)
    store = Store(tmp_path / "storage")
    assert read_forecast(store, plan.study) is None
    forecast = forecast_study(plan, Store(tmp_path / "storage"), machine, lambda text: None)
    write_forecast(store, "price", forecast)
    assert read_forecast(store, plan.study) == forecast


@pytest.mark.parametrize(
    ("seconds", "missing", "at_once", "hours"),
    [
        ([3600.0], [1], 16, 1.0),
        ([3600.0], [3], 2, 2.0),
        ([3600.0, 1800.0], [1, 2], 2, 1.0),
    ],
    ids=["one trial cannot use more slots", "the last one waits", "short ones fill the gap"],
)
def test_hours_are_those_of_the_last_trial_to_end(
    seconds: list[float], missing: list[int], at_once: int, hours: float
) -> None:
    shapes = tuple(
        Shape(
            cells=("a",), trials=count, missing=count, seconds=each, memory_mb=1, source="first steps", seen=1
        )
        for each, count in zip(seconds, missing, strict=True)
    )
    assert Forecast(shapes=shapes, at_once=at_once, content_hash="0").hours == pytest.approx(hours)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_is_timed_beside_where_a_trial_asks_for_more(tmp_path: Path, threads: int) -> None:
    plan, machine = _plan(tmp_path, extra=f"resources: {{cpus: {threads}}}")
    said: list[str] = []
    forecast = forecast_study(plan, Store(tmp_path / "storage"), machine, said.append)
    assert ("timing the same steps with one thread" in said) == (threads == 2)
    assert (forecast.one_thread is not None) == (threads == 2)
    assert forecast.one_thread is None or forecast.one_thread > 0


def test_trials_of_one_thread_take_longer_and_run_more_at_a_time() -> None:
    shape = Shape(cells=("a",), trials=4, missing=4, seconds=3600, memory_mb=1, source="first steps", seen=1)
    forecast = Forecast(shapes=(shape,), at_once=1, one_thread=1.5, content_hash="0")
    alone = forecast.with_one_thread(threads=2)
    assert alone is not None
    assert (forecast.hours, alone.hours, alone.slots) == (4, 3, 2)
    assert Forecast(shapes=(shape,), at_once=1, content_hash="0").with_one_thread(threads=2) is None


def test_every_stage_of_a_chain_is_timed(tmp_path: Path) -> None:
    trainable = find_trainable("cam")
    plan, _ = _plan(tmp_path, trainable="cam", extra="supervision: weak")
    trial = plan.trials[0]
    config = trainable.Config.model_validate({**trial.config, "epochs": 1000})
    from trainables.data import load_training, make_split, open_images

    manifest = open_manifest(trial.data, None, tmp_path)
    split = make_split(manifest, trial.data, trial.supervision, 0, None)
    images = open_images(manifest, config.image_size, config.channels, tmp_path)
    data = load_training(manifest, split, trial.supervision, images)
    cost = measure(trainable, config, data, device=CPU, seconds=0.1)
    assert list(cost.stages) == [stage.name for stage in trainable.stages(config)]
    assert cost.stages["classifier"] > cost.stages["maps"] > 0, "its 1000 epochs are reckoned up"
    assert not cost.untimed


@pytest.mark.parametrize(("tiles", "inputs"), [(None, 2), (Tiles(height=64, width=64, overlap=16), 6 + 1)])
def test_the_evaluation_counts_tiles_where_images_are_cut(tiles: Tiles | None, inputs: int) -> None:
    # 112 × 160 pixels: tiles start at 0 and 48, and at 0, 48 and 96.
    sizes = {"a": (64, 64), "b": (112, 160), "c": (500, 500)}
    rows: list[dict[str, object]] = [
        {"sample": sample, "height": height, "width": width} for sample, (height, width) in sizes.items()
    ]
    split = Split(train=("c",), validation=("a",), test=("b",), masks=(), tiles=tiles)
    assert evaluated_inputs(bare_manifest(rows), split, (32, 32)) == inputs
