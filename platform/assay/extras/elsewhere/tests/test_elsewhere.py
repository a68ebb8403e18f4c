"""A loop of one's own: what it may see, what it answers, and that its numbers are those of a model here."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from assay.analysis.results.reading import read_results
from assay.api.planning import read_plan
from assay.engine.worker.single_trial import TrainedTrial, train_here
from assay.engine.worker.trial import TrialData
from assay.extras.elsewhere.folders import Place, blind_names, places_of, write_split
from assay.report.page.markdown import markdown_page
from assay.report.pages import study_page
from assay.storage import Record, Store
from assay.study import Plan
from tests.cli.small_study import Assay, Output
from trainables.data.samples import ImageSet
from trainables.elsewhere import TRAINED_ELSEWHERE
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.scorer import IMAGES_AT_ONCE

_HEAD = """study: {name}
question: Does the stop pay?
trainable: {trainable}
data:
  reader: synthetic
  splits: per_seed
  calibration: {{share: 0.25}}
  options: {{images: 64, positives: 32, items: 32, size: [64, 128]}}
config: {config}
repeats: {{seeds: [0]}}
metrics: {{primary: image_ap, report: [pixel_iou]}}
keep: {{probes: 4}}
"""
_FACTORS = """factors:
  masks: {all: {supervision: full}, five: {supervision: {mixed: 5}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
design: {full: all}
comparisons: [{factor: stop, from: off, to: on}]
"""
_HERE = _HEAD.format(
    name="here",
    trainable="segdec",
    config="{preset: ksdd, image_size: [64, 128], channel_scale: 0.125, epochs: 1}",
)
_ELSEWHERE = _HEAD.format(name="outside", trainable="elsewhere", config="{image_size: [64, 128]}")


def _plan(folder: Path, text: str, cache: Path) -> Plan:
    path = folder / "study.yaml"
    path.write_text(text)
    return read_plan(path, data=None, cache=cache, say=lambda text: None)


def _write_answers(folder: Path, names: list[str], scores: np.ndarray, maps: np.ndarray) -> None:
    """Scores and maps as a loop writes them: every digit of both."""
    (folder / "maps").mkdir(parents=True)
    rows = [["id", "score"], *([name, repr(float(score))] for name, score in zip(names, scores, strict=True))]
    with (folder / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name, heatmap in zip(names, maps, strict=True):
        np.save(folder / "maps" / f"{name}.npy", heatmap)


def _predict(model: ModelScorer, images: Path, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What a loop does: read the files, predict them in batches."""
    pictures = [cv2.imread(str(images / f"{name}.png"), cv2.IMREAD_UNCHANGED)[..., None] for name in names]
    batches = range(0, len(pictures), IMAGES_AT_ONCE)
    answers = [model.score(pictures[start : start + IMAGES_AT_ONCE]) for start in batches]
    return np.concatenate([a.scores for a in answers]), np.concatenate([a.heatmaps for a in answers])


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, cache_root: Path
) -> tuple[Path, Plan, dict[str, TrainedTrial]]:
    """A split with the answers of models that were trained here, one for each repeat and cell."""
    folder = tmp_path_factory.mktemp("elsewhere")
    here = _plan(folder, _HERE + _FACTORS, cache_root)
    outside = _plan(folder, _ELSEWHERE + _FACTORS, cache_root)
    split = folder / "split"
    places = write_split(
        split, outside, lambda trial: TrialData.find(trial, None, cache_root), lambda text: None
    )
    trained: dict[str, TrainedTrial] = {}
    for trial, place in zip(here.trials, places, strict=True):
        assert (trial.cell, trial.seed) == (place.trial.cell, place.trial.seed)
        trained[place.trial.id] = train_here(trial, None, cache_root, probes=4)
        model = trained[place.trial.id].model
        assert model is not None
        evaluation = TrialData.find(place.trial, None, cache_root).evaluation()
        torch.set_num_threads(1)
        for part, names in (
            ("validation", list(evaluation.validation.ids) if evaluation.validation else []),
            ("test", blind_names(evaluation.test)),
            ("calibration", blind_names(evaluation.calibration) if evaluation.calibration else []),
        ):
            scorer = ModelScorer(model, torch.device("cpu"))
            scores, maps = _predict(scorer, split / place.data / part / "images", names)
            _write_answers(split / place.answers / part, names, scores, maps)
    return split, outside, trained


@pytest.fixture
def split(whole: tuple[Path, Plan, dict[str, TrainedTrial]], tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(whole[0], tmp_path / "split"))


Score = Callable[..., Output]


@pytest.fixture
def score(split: Path, assay: Assay, tmp_path: Path, cache_root: Path) -> Score:
    """`assay score` of the split, into a storage of the test's own; it takes further options."""
    place = ("--storage", tmp_path / "storage", "--cache", cache_root)
    return lambda *options: assay("score", split, *place, *options)


def test_predictions_of_a_loop_outside_have_the_numbers_of_the_same_model_here(
    whole: tuple[Path, Plan, dict[str, TrainedTrial]], score: Score, tmp_path: Path
) -> None:
    _, plan, trained = whole
    done = score()
    assert done.code == 0, done.err
    store = Store(tmp_path / "storage")
    for trial in plan.trials:
        record, same = store.record(trial.id), trained[trial.id].record
        assert isinstance(record, Record)
        assert record.result is not None
        assert same.result is not None
        own = {"weights_hash", "epochs", "notes"}
        assert record.result.model_dump(exclude=own) == same.result.model_dump(exclude=own)
        assert record.result.notes == (*same.result.notes, TRAINED_ELSEWHERE)
        predictions = store.read_part(record, "predictions.parquet")
        assert predictions is not None
        assert predictions.to_pandas().equals(trained[trial.id].predictions)
        assert store.read_part(record, "maps.parquet") == trained[trial.id].maps

    # Said once under the table, whatever number of records says it.
    page = markdown_page(study_page(read_results(store, "outside")))
    assert page.lower().count(TRAINED_ELSEWHERE) == 1
    assert score().code == 0, "what is recorded stays, and equal answers are no conflict"


def _places(whole: tuple[Path, Plan, dict[str, TrainedTrial]]) -> list[Place]:
    return places_of(whole[1])


def _edit(path: Path, change: Callable[[list[list[str]]], None]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _lose_row(answers: Path) -> None:
    _edit(answers / "test" / "scores.csv", lambda rows: rows.pop())


def _add_row(answers: Path) -> None:
    _edit(answers / "test" / "scores.csv", lambda rows: rows.append(["other", "0.5"]))


def _no_number(answers: Path) -> None:
    _edit(answers / "test" / "scores.csv", lambda rows: rows[1].__setitem__(1, "nan"))


def _first_map(answers: Path) -> Path:
    return sorted((answers / "validation" / "maps").iterdir())[0]


def _beyond(answers: Path) -> None:
    _edit(answers / "test" / "scores.csv", lambda rows: rows[1].__setitem__(1, "1.5"))


def _other_size(answers: Path) -> None:
    np.save(_first_map(answers), np.zeros((32, 64), np.float32))


def _no_map_number(answers: Path) -> None:
    np.save(_first_map(answers), np.full((64, 128), np.nan, np.float32))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_lose_row, "test: scores.csv has a row for each image, found none for the id"),
        (_add_row, "found the id 'other'"),
        (_no_number, "a score is a finite number, found nan for the id"),
        (_beyond, "scores and maps are in [0, 1], found 1.5 for the id"),
        (_other_size, "64 × 128 pixels, found 32 × 64 for the id"),
        (_no_map_number, "holds finite numbers"),
        (lambda answers: _first_map(answers).unlink(), "maps/"),
        (lambda answers: (answers / "validation" / "scores.csv").unlink(), "scores.csv"),
        (shutil.rmtree, "every cell has answers for every repeat, found no folder"),
    ],
    ids=[
        "missing id",
        "surplus id",
        "nan",
        "beyond",
        "size",
        "nan in a map",
        "no map",
        "no scores",
        "no repeat",
    ],
)
def test_answers_that_are_none_are_a_sentence_and_nothing_is_recorded(
    spoil: Callable[[Path], None], words: str, split: Path, score: Score, tmp_path: Path
) -> None:
    spoil(split / "answers/masks=all/stop=off/seed_0")
    done = score()
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert Store(tmp_path / "storage").trials() == []


def _stretch(answers: Path) -> None:
    """Make logits-like numbers of scores and maps, in the same order."""
    for scores in answers.glob("**/scores.csv"):
        _edit(scores, _stretch_rows)
    for path in answers.glob("**/maps/*.npy"):
        np.save(path, 8 * np.load(path).astype(np.float64) - 3)


def _stretch_rows(rows: list[list[str]]) -> None:
    for row in rows[1:]:
        row[1] = repr(8 * float(row[1]) - 3)


def test_any_numbers_are_scaled_by_validation_where_that_is_asked_for(
    whole: tuple[Path, Plan, dict[str, TrainedTrial]], split: Path, score: Score, tmp_path: Path
) -> None:
    _stretch(split / "answers")
    refused = score()
    assert refused.code == 2
    assert "or give --unbounded" in refused.err
    done = score("--unbounded")
    assert done.code == 0, done.err
    store = Store(tmp_path / "storage")
    for trial in whole[1].trials:
        record, same = store.record(trial.id), whole[2][trial.id].record
        assert isinstance(record, Record)
        assert record.result is not None
        assert same.result is not None
        assert record.result.metrics["image_ap"] == same.result.metrics["image_ap"], "the order is the same"
        assert any("brought into [0, 1] by median" in note for note in record.result.notes)


def test_images_as_stored_go_out_and_maps_of_their_size_come_back(
    assay: Assay, tmp_path: Path, cache_root: Path
) -> None:
    text = _ELSEWHERE.replace("image_size: [64, 128]", "image_size: [32, 32], images: stored")
    plan, split = _plan(tmp_path, text, cache_root), tmp_path / "split"
    study = ("data", "split", tmp_path / "study.yaml", "--output", split, "--cache", cache_root)
    assert assay(*study).code == 0
    (place,) = places_of(plan)
    mask = next((split / place.data / "train" / "masks").iterdir())
    assert cv2.imread(str(mask), cv2.IMREAD_UNCHANGED).shape == (64, 128)  # pyright: ignore[reportOptionalMemberAccess]

    # A loop that calls dark pixels defective: what it says of a pixel is brought to the study's size.
    for part in ("validation", "test", "calibration"):
        images = sorted((split / place.data / part / "images").iterdir())
        pictures = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in images]
        maps = np.stack([1 - np.asarray(picture, np.float32) / 255 for picture in pictures])
        assert maps.shape[1:] == (64, 128)
        _write_answers(split / place.answers / part, [file.stem for file in images], maps.max((1, 2)), maps)
    done = assay("score", split, "--storage", tmp_path / "storage", "--cache", cache_root)
    assert done.code == 0, done.err
    record = Store(tmp_path / "storage").record(plan.trials[0].id)
    assert isinstance(record, Record)
    assert record.result is not None
    predictions = Store(tmp_path / "storage").read_part(record, "predictions.parquet")
    assert predictions is not None
    counted = sum(predictions[name].to_numpy() for name in ("tp", "fp", "fn", "tn"))
    assert set(counted) == {32 * 32}


def test_any_numbers_need_validation_images(assay: Assay, tmp_path: Path, cache_root: Path) -> None:
    text = (_ELSEWHERE + _FACTORS).replace("  splits:", "  validation: none\n  splits:")
    plan, split = _plan(tmp_path, text, cache_root), tmp_path / "split"
    study = ("data", "split", tmp_path / "study.yaml", "--output", split, "--cache", cache_root)
    assert assay(*study).code == 0
    for place in places_of(plan):
        (split / place.answers).mkdir(parents=True)
    options = ("--storage", tmp_path / "storage", "--cache", cache_root, "--unbounded")
    done = assay("score", split, *options)
    assert done.code == 2
    assert "found --unbounded and `validation: none`" in done.err


def test_a_program_gets_the_report(split: Path, score: Score, assay: Assay, tmp_path: Path) -> None:
    done = score("--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["schema"] == "assay/report/2"
    assert done.out == assay("report", "outside", "--json", "--storage", tmp_path / "storage").out


def test_answers_that_change_after_they_were_recorded_are_refused(split: Path, score: Score) -> None:
    assert score().code == 0
    answers = split / "answers/masks=all/stop=off/seed_0/test/scores.csv"
    _edit(answers, lambda rows: rows[1].__setitem__(1, "0.125"))
    done = score()
    assert done.code == 2
    assert "a result that is recorded stays, found other answers" in done.err


def test_a_study_that_changed_after_the_split_is_refused(split: Path, score: Score) -> None:
    study = split / "study.yaml"
    study.write_text(study.read_text().replace("seeds: [0]", "seeds: [2]"))
    done = score()
    assert done.code == 2
    assert "names the trials that study.yaml and the data have now" in done.err


def _ids(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def test_a_split_grants_what_the_supervision_grants_and_hides_test_labels(
    whole: tuple[Path, Plan, dict[str, TrainedTrial]], cache_root: Path
) -> None:
    split = whole[0]
    for place in _places(whole):
        data = TrialData.find(place.trial, None, cache_root)
        training, test = data.training(), data.evaluation().test
        folder = split / place.data
        assert _ids(folder / "train" / "images") == set(training.train.ids)
        granted = {i for i in _ids(folder / "train" / "masks") if data.manifest.by_sample[i].label}
        assert granted == {i for i in training.train.masks if data.manifest.by_sample[i].label}
        for part in ("test", "calibration"):
            assert [path.name for path in (folder / part).iterdir()] == ["images"]
        assert not _ids(folder / "test" / "images") & set(test.ids)
    assert {place.data for place in _places(whole)} == {
        "data/masks=all/seed_0",
        "data/masks=five/seed_0",
    }


def _same(images: ImageSet, folder: Path, names: list[str]) -> bool:
    files = [cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_UNCHANGED) for name in names]
    return all(np.array_equal(file, images[i].image[..., 0]) for i, file in enumerate(files))


def test_the_pictures_are_those_that_every_method_sees(
    whole: tuple[Path, Plan, dict[str, TrainedTrial]], cache_root: Path
) -> None:
    place = _places(whole)[0]
    data = TrialData.find(place.trial, None, cache_root)
    folder, test = whole[0] / place.data, data.evaluation().test
    assert _same(data.training().train, folder / "train" / "images", list(data.training().train.ids))
    assert _same(test, folder / "test" / "images", blind_names(test))


@pytest.mark.parametrize("command", ["split", "run"])
def test_what_assay_trains_is_not_split_and_what_it_does_not_train_is_not_run(
    command: str, assay: Assay, tmp_path: Path, cache_root: Path
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text((_HERE if command == "split" else _ELSEWHERE) + _FACTORS)
    words = (
        ("data", "split", path, "--output", tmp_path / "split")
        if command == "split"
        else ("run", path, "--local")
    )
    done = assay(*words, "--cache", cache_root)
    assert done.code == 2
    assert "`trainable: elsewhere`" in done.err
    assert not (tmp_path / "split").exists()


def test_an_output_that_holds_something_is_kept(assay: Assay, tmp_path: Path, cache_root: Path) -> None:
    path, output = tmp_path / "study.yaml", tmp_path / "split"
    path.write_text(_ELSEWHERE + _FACTORS)
    output.mkdir()
    (output / "mine.txt").write_text("mine")
    done = assay("data", "split", path, "--output", output, "--cache", cache_root)
    assert done.code == 2
    assert [each.name for each in output.iterdir()] == ["mine.txt"]
