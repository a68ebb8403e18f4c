"""Training programs in real trials: what they are given, how they end, and what is made of their answers.

The rows of the table in docs/own-program.md are tests here.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from assay.engine.durations import Limits
from assay.engine.process.fork_server import ForkServer
from assay.exports.files import EXPORT as FILES
from assay.production.check import check_photos
from assay.production.export import export_model
from assay.production.model import load_model
from assay.production.photos import find_photos
from assay.production.predict import Pictures, predict
from assay.production.rows import RowWriter
from assay.storage import Record, Store
from tests.data.made_images import write
from tests.engine.process.odd_method import log_of
from tests.engine.process.program_trials import train_study
from tests.program.made_program import DESCRIPTION, STUDY, write_program
from trainables.errors import InputError

Train = Callable[..., tuple[Store, Record]]


def train_program(
    folder: Path,
    cache: Path,
    server: ForkServer,
    train: str = "",
    predict: str = "",
    *,
    limits: Limits = Limits(None, None),  # noqa: B008 - it is immutable
    data: Path | None = None,
    **texts: str,
) -> tuple[Store, Record]:
    """Train the program with further lines in ``train.py`` and ``predict.py``; returns storage and record."""
    return train_study(write_program(folder, train, predict, **texts), cache, server, limits, data)


@pytest.fixture
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a program may leave a sign; beside the storage nothing new may be opened."""
    return tmp_path_factory.mktemp("marks")


def curve_of(store: Store, record: Record) -> list[dict[str, float]]:
    data = store.read_bytes(f"trials/{record.id}/{record.attempt}/curve.parquet")
    return pq.read_table(BytesIO(data)).to_pylist()


@pytest.fixture
def trained(tmp_path: Path, cache_root: Path, server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train a program without long waits: ``trained("sys.exit(3)")``."""
    monkeypatch.setattr("assay.engine.worker.train_trials._AFTER_DEATH_SECONDS", 0.0)
    monkeypatch.setattr("assay.engine.process.process._POLL_SECONDS", 0.1)
    return partial(train_program, tmp_path, cache_root, server)


def test_a_program_trains_and_is_evaluated(trained: Train) -> None:
    _, record = trained()
    assert record.status == "finished", record.reason
    assert record.result is not None
    assert record.result.metrics["image_ap"] > 0.5
    assert record.environment.confined_by.startswith("landlock")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sys.exit(3)", "the program ended with code 3: it wrote nothing to stderr"),
        ("raise ValueError('too few')", "the program ended with code 1: train.py:10: ValueError: too few"),
        ("os.kill(os.getpid(), 11)", "the program ended with signal 11: it wrote nothing to stderr"),
    ],
)
def test_a_program_that_fails_is_a_record_with_its_line(trained: Train, line: str, reason: str) -> None:
    _, record = trained(line)
    assert (record.status, record.reason) == ("failed", reason)


def test_the_last_fifty_lines_of_stderr_are_in_the_log(trained: Train) -> None:
    store, record = trained("for i in range(99): print('line', i, file=sys.stderr)\nsys.exit(1)")
    log = log_of(store, record)
    assert "line 98" in log.split("the last lines of its stderr:")[1]
    assert "line 48\n" not in log.split("the last lines of its stderr:")[1]


def test_code_75_is_tried_again(trained: Train, marks: Path) -> None:
    mark = marks / "tried"
    _, record = trained(f"if not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); sys.exit(75)")
    assert record.status == "finished"
    assert record.attempt.startswith("002")


def test_a_program_that_is_killed_is_tried_again(trained: Train, marks: Path) -> None:
    mark = marks / "tried"
    _, record = trained(
        f"if not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); os.kill(os.getpid(), 9)"
    )
    assert (record.status, record.attempt[:3]) == ("finished", "002")


def test_a_program_that_hangs_is_ended_when_its_time_is_over(trained: Train, marks: Path) -> None:
    mark = marks / "term"
    hangs = f"""\
    import signal
    def end(*_):
        open({str(mark)!r}, "w").write("in order"); sys.exit(1)
    signal.signal(signal.SIGTERM, end)
    time.sleep(600)
    """
    start = time.monotonic()
    _, record = trained(hangs, limits=Limits(4 / 3600, None))
    assert record.status == "failed"
    assert "it took more than" in (record.reason or "")
    assert mark.read_text() == "in order"
    assert time.monotonic() - start < 30


def test_a_flood_of_prints_stays_small_in_the_log(trained: Train) -> None:
    store, record = trained("for _ in range(300): print('x' * 99_999)")
    log = log_of(store, record)
    assert record.status == "finished"
    assert "bytes left out" in log
    assert len(log) < 200_000


def test_processes_that_it_leaves_behind_are_ended(trained: Train, marks: Path) -> None:
    pids = marks / "pids"
    forks = f"""\
    import subprocess
    for own_session in (False, True):
        left = subprocess.Popen(["sleep", "600"], start_new_session=own_session)
        print(left.pid, file=open({str(pids)!r}, "a"))
    """
    _, record = trained(forks)
    assert record.status == "finished"
    assert not [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)]


def test_a_program_may_not_open_a_test_image(trained: Train, cache_root: Path) -> None:
    opens = f"""\
    import glob
    files = sorted(glob.glob({str(cache_root)!r} + "/**/*", recursive=True))
    open({str(cache_root)!r} + "/x", "wb")
    """
    _, record = trained(opens)
    assert record.status == "failed"
    assert "train.py" in (record.reason or "")
    assert "PermissionError" in (record.reason or "")


def test_what_it_writes_into_its_data_is_its_own_copy(trained: Train) -> None:
    spoil = "for file in (data / 'train/images').glob('*.png'): file.write_bytes(b'')"
    _, record = trained(spoil)
    _, again = trained("assert all(f.stat().st_size for f in (data / 'train/images').glob('*.png'))")
    assert (record.status, again.status) == ("finished", "finished")


def test_a_program_sees_training_and_validation_and_no_test_image(trained: Train) -> None:
    counts = """\
    for part in ("train", "validation"):
        rows_of = list(csv.DictReader(open(data / part / "images.csv")))
        images = sorted(f.stem for f in (data / part / "images").rglob("*.png"))
        assert images == sorted(row["id"].rpartition("/")[2] for row in rows_of) and images
        print(part, len(images))
    print("others", sorted(os.listdir(data)))
    """
    store, record = trained(counts)
    assert record.result is not None, record.reason
    log = log_of(store, record)
    assert f"train {record.result.n_train}" in log
    assert f"validation {record.result.n_validation}" in log
    assert "others ['classes.txt', 'train', 'validation']" in log


def test_masks_that_are_not_granted_are_nowhere(trained: Train) -> None:
    study = STUDY + "supervision: {kind: mixed, masks: 2}\n"
    counts = """\
    masks = list((data / "train/masks").rglob("*.png"))
    print("masked", sum(int(r["label"]) for r in rows), len(masks))
    """
    store, record = trained(counts, study=study)
    assert record.result is not None, record.reason
    normal = record.result.n_train - record.result.n_positives
    assert f"masked 2 {normal + 2}" in log_of(store, record)


def test_classes_come_with_the_masks_that_are_granted_and_no_other(trained: Train) -> None:
    study = STUDY + "supervision: {kind: mixed, masks: 2}\n"
    counts = """\
    import cv2
    names = (data / "classes.txt").read_text().splitlines()
    kind_of = {r["id"]: r["class"] for r in csv.DictReader(open(data / "train/images.csv"))}
    for file in (data / "train/classes").rglob("*.png"):
        numbers, mask = cv2.imread(str(file), -1), cv2.imread(str(file).replace("classes", "masks"), -1)
        assert ((numbers > 0) == (mask == 255)).all()
        shown = {names[number - 1] for number in numbers[numbers > 0]}
        assert shown == ({kind_of[file.stem]} - {""}), (shown, kind_of[file.stem])
        print("shows", sorted(shown))
    masked, classed = (sorted((data / "train" / kind).rglob("*.png")) for kind in ("masks", "classes"))
    assert [f.name for f in masked] == [f.name for f in classed]
    """
    store, record = trained(counts, study=study)
    assert record.status == "finished", record.reason
    assert log_of(store, record).count("shows ['") == 2


def test_label_only_hands_over_the_others_without_a_mask(trained: Train) -> None:
    study = STUDY + "supervision: {kind: mixed, masks: 2}\n"
    counts = "print('masked', sum(int(r['label']) for r in rows), sum(int(r['has_mask']) for r in rows))"
    store, record = trained(counts, study=study, description=DESCRIPTION + "without_mask: label_only\n")
    assert record.result is not None, record.reason
    normal = record.result.n_train - record.result.n_positives
    assert f"masked {record.result.n_positives} {normal + 2}" in log_of(store, record)


LOG = DESCRIPTION + 'log: {csv: "{out}/log.csv"}\n'


def test_columns_of_its_log_are_curves(trained: Train) -> None:
    writes = "(out / 'log.csv').write_text('epoch,loss,note\\n0,1.5,a\\n1,0.5,b\\n')"
    store, record = trained(writes, description=LOG)
    assert [(row["epoch"], row["loss"]) for row in curve_of(store, record)] == [(0, 1.5), (1, 0.5)]


def test_a_log_of_json_lines_is_read_alike(trained: Train) -> None:
    writes = '(out / \'log.jsonl\').write_text(\'{"step": 1, "loss": 1.5}\\n{"step": 2, "loss": 0.5}\')'
    store, record = trained(
        writes, description=DESCRIPTION + 'log: {jsonl: "{out}/log.jsonl", epoch: step}\n'
    )
    assert [(row["epoch"], row["loss"]) for row in curve_of(store, record)] == [(1, 1.5), (2, 0.5)]


def test_a_number_that_is_not_finite_is_a_divergence(trained: Train) -> None:
    _, record = trained("(out / 'log.csv').write_text('epoch,loss\\n0,1.5\\n1,nan\\n')", description=LOG)
    assert record.status == "diverged"
    assert "loss is nan" in (record.reason or "")


def test_a_program_goes_on_from_its_folder_after_it_was_ended(trained: Train) -> None:
    resumes = """\
    state = args.resume / "state.txt"
    print("found", state.read_text() if state.exists() else "nothing", flush=True)
    if not state.exists():
        state.write_text("epoch 7")
        time.sleep(1.5)
        sys.exit(75)
    """
    store, record = trained(resumes, description=DESCRIPTION + 'resume: "--resume {checkpoint}"\n')
    assert record.status == "finished", record.reason
    assert "found epoch 7" in log_of(store, record)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("del scores['000001']", "scores.csv has a row for each image, found none for the id 000001"),
        ("scores['000001'] = 'high'", "scores.csv: a score is a number, found 'high' for the id 000001"),
        ("scores['000001'] = 7", r"scores.csv: a score is within [0, 1], found 7 for the id 000001"),
        ("scores['x'] = 0", "found the id 'x'"),
        ("os.remove(out / 'maps/000001.png')", "found neither for the id 000001"),
        (
            "cv2.imwrite(str(out / 'maps/000001.png'), image[:9])",
            "32 × 32 pixels, found 9 × 32 for the id 000001",
        ),
        ("sys.exit(4)", "the program ended with code 4"),
        ("sys.exit(0)", "answers have a file scores.csv, found maps"),
        (
            "import random\nscores = {k: random.random() for k in scores}",
            "a predictor gives the same answer whenever it is asked",
        ),
        ("scores = {k: v / len(scores) for k, v in scores.items()}", "scores depend on what is in the batch"),
    ],
)
def test_wrong_answers_are_refused_with_file_id_and_value(trained: Train, lines: str, reason: str) -> None:
    _, record = trained("", f"import os, sys\n{lines}")
    assert record.status == "failed"
    assert reason in (record.reason or "")


def test_scores_of_any_size_are_ranked(trained: Train) -> None:
    lines = "scores = {k: 1000 * v - 3e5 for k, v in scores.items()}"
    _, record = trained("", lines, description=DESCRIPTION + "scores: unbounded\n")
    assert record.status == "finished", record.reason
    _, bounded = trained()
    assert record.result is not None
    assert bounded.result is not None
    assert record.result.metrics["image_ap"] == bounded.result.metrics["image_ap"]


def test_its_stored_model_predicts_by_its_command(trained: Train) -> None:
    store, record = trained()
    model = load_model(store, record)
    image = np.full((32, 32, 1), 100, np.uint8)
    assert model.decide([image]).score[0] == pytest.approx(100 / 255 * 0.9)


def make_deep_table(root: Path) -> Path:
    """Images of 12 bits in sizes of their own, every other with a bright corner that is its defect."""
    rng, lines = np.random.default_rng(0), ["image,label,mask"]
    for i in range(16):
        image = rng.integers(0, 2000, (40 + i, 60 - i), dtype=np.uint16)
        mask = np.zeros(image.shape, np.uint8)
        if i % 2:
            image[4:20, 6:30], mask[4:20, 6:30] = 4000, 255
        write(root / f"{i}.png", image)
        write(root / f"{i}_mask.png", mask)
        lines.append(f"{i}.png,{i % 2},{f'{i}_mask.png' if i % 2 else ''}")
    (root / "parts.csv").write_text("\n".join(lines))
    return root


STORED = """\
study: own
trainable: ./bright.yaml
data: {reader: table, path: parts.csv, splits: per_seed}
config: {image_size: [32, 32], images: stored, gain: 1.0}
repeats: {seeds: [0]}
metrics: {primary: image_ap, report: [pixel_iou]}
"""
LOOK = """\
import cv2
for part in ("train", "validation"):
    for row in csv.DictReader(open(data / part / "images.csv")):
        size = (int(row["height"]), int(row["width"]))
        for kind, bits in (("images", "uint16"), ("masks", "uint8")):
            picture = cv2.imread(str(data / part / kind / (row["id"] + ".png")), -1)
            assert picture.shape == size and picture.dtype == bits, (kind, picture.shape, size, picture.dtype)
        print("looked at", row["id"])
"""
ANSWER = """\
(out / "scores.csv").write_text("")
scores = {}
for path in sorted(args.images.glob("*.png")):
    image = cv2.imread(str(path), -1)
    assert image.dtype == "uint16" and image.shape[0] >= 40, (image.dtype, image.shape)
    scores[path.stem] = image.max() / 4095
    cv2.imwrite(str(out / "maps" / path.name), (image / 4095 * 65535).astype("uint16"))
"""


def test_images_as_stored_come_with_their_bits_and_sizes_and_maps_go_back_so(
    trained: Train, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = make_deep_table(tmp_path_factory.mktemp("deep"))
    store, record = trained(LOOK, ANSWER, study=STORED, data=root)
    assert record.status == "finished", record.reason
    assert record.result is not None
    assert log_of(store, record).count("looked at") == record.result.n_train + record.result.n_validation
    assert record.result.metrics["image_ap"] == 1
    assert record.result.metrics["pixel_iou"] > 0.8
    assert record.environment.confined_by.startswith("landlock")

    # Exports are checked on such images; small ones that a trial kept are none.
    cache = tmp_path_factory.mktemp("export")
    check = export_model(
        store, record, FILES, cache / "files", check_photos(store, record, root, cache / "cache")
    )
    assert check.passed
    assert check.recorded == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="Name the root of its data"):
        check_photos(store, record, None, cache / "cache")

    # The same in production: what a photo's file holds is what the program is given.
    write(root / "new" / "photo.png", np.full((50, 41), 3000, np.uint16))
    table = root / "table.csv"
    with RowWriter(table, "csv") as rows:
        predict(load_model(store, record), find_photos([str(root / "new")]), rows, Pictures(root), print)
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert float(row["score"]) == pytest.approx(3000 / 4095)
    assert (row["height"], row["width"], row["error"]) == ("50", "41", "")
