"""Forms of one table of scores, each with its right answer: read as it is, or refused by what is wrong.

>>> python -m assay.extras.score_tables.tests.score_cases

counts inputs tried, read, refused and misread, each as text and as Parquet. All forms hold the scores of
`base` and `new` below. A form that is read has their differences, and any other answer is a misreading.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from assay.analysis.scores.score_file import AnalysedScores, ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames
from trainables.errors import InputError

BASE = ("0.901", "0.912", "0.905", "0.899", "0.908")
NEW = ("0.951", "0.949", "0.955", "0.948", "0.953")
GAINS = tuple(float(b) - float(a) for a, b in zip(BASE, NEW, strict=True))
CELLS = (("base", BASE), ("new", NEW))
COUNTS = tuple(range(980, 985))
MORE = tuple(range(1012, 1027, 3))
ADDED = tuple(float(b - a) for a, b in zip(COUNTS, MORE, strict=True))


@dataclass(frozen=True)
class Case:
    """A table, a question, and the answer: differences of `base → new`, or a part of the refusal."""

    kind: str
    form: str
    text: str
    answer: tuple[float, ...] | str
    metric: str | None = None  # the primary one, where the form tells
    better: str | None = None
    note: str = ""  # a part of a note
    question: ScoreQuestion = field(default_factory=lambda: ScoreQuestion(compared=("base -> new",)))
    parquet: bool = True  # the form means something in Parquet too

    def __str__(self) -> str:
        return f"{self.kind}: {self.form}"


def named(
    *score: str, seed: str | None = None, cell: Sequence[str] = (), against: str = "base"
) -> ScoreQuestion:
    """A question that names columns."""
    return ScoreQuestion(ColumnNames(tuple(cell), seed, None, score), against=against)


def each(names: str) -> list[str]:
    """Names that bars part."""
    return [name.strip() for name in names.split("|")]


def table(*rows: Sequence[object], mark: str = ",") -> str:
    """Rows as CSV."""
    file = io.StringIO()
    csv.writer(file, delimiter=mark, lineterminator="\n").writerows(rows)
    return file.getvalue()


def tidy(
    titles: str,
    *extra: Sequence[object],
    base: Sequence[object] = BASE,
    new: Sequence[object] = NEW,
    mark: str = ",",
) -> str:
    """A row per repeat: method, seed, score, and rows behind them."""
    rows = [(m, seed, v) for m, values in (("base", base), ("new", new)) for seed, v in enumerate(values)]
    return table(titles.split(","), *rows, *extra, mark=mark)


def wide(
    *extra: Sequence[object], titles: Sequence[str] = ("dataset", "base", "new"), names: str = "d{}"
) -> str:
    """A column per cell, and rows behind them."""
    return table(
        titles, *((names.format(i), *pair) for i, pair in enumerate(zip(BASE, NEW, strict=True))), *extra
    )


def beside(titles: str, columns: str) -> str:
    """A row per repeat whose other columns are a template of method (`m`), seed (`s`) and score (`v`)."""
    rows = []
    for index, (method, values) in enumerate((("base", BASE), ("new", NEW))):
        for seed, value in enumerate(values):
            facts = {
                "m": method,
                "s": seed,
                "v": value,
                "i": index,
                "n": 5 * index + seed,
                "w": (seed * 7 + index) % 5,
            }
            rows.append(columns.format(**facts).split(","))
    return table(titles.split(","), *rows)


# Rows and columns of means ------------------------------------------------------------------------


def means() -> Iterator[Case]:
    """No mean is a repeat."""
    mean = ("0.905", "0.9512")
    for name in each(
        "Mean | mean | MEAN | avg. | AVG | average | Average | Mean ± std | median | "
        "Total | overall | All | Mittel | Mittelwert | sum | mean (5 seeds) | "
        "macro avg | Average over data sets | **Mean**"
    ):
        yield Case("means", f"wide, a row {name}", wide((name, *mean)), GAINS, note=f"`{name}`")
        yield Case(
            "means",
            f"tidy, seed {name}",
            tidy("method,seed,AP", ("base", name, mean[0]), ("new", name, mean[1])),
            GAINS,
            note="Left out",
        )
    for name in each("std | Std. dev. | stdev | SD | standard deviation | σ"):
        rows = (("Mean", *mean), (name, "0.0051", "0.0029"))
        yield Case("means", f"wide, rows Mean and {name}", wide(*rows), GAINS, note=f"`{name}`")
    yield Case(
        "means", "wide, a spread in the row", wide(("Mean ± std", "0.905 ± 0.005", "0.951 ± 0.003")), GAINS
    )
    yield Case(
        "means",
        "wide, the row in between",
        table(
            ("dataset", "base", "new"),
            ("d0", BASE[0], NEW[0]),
            ("Mean", *mean),
            *((f"d{i}", BASE[i], NEW[i]) for i in range(1, 5)),
        ),
        GAINS,
    )
    yield Case("means", "wide, data sets by number", wide(("Mean", *mean), names="{}"), GAINS, note="`Mean`")
    yield Case(
        "means",
        "wide, an index and mean",
        wide(("mean", *mean), titles=("", "base", "new"), names="{}"),
        GAINS,
    )
    yield Case(
        "means",
        "wide, describe() of pandas",
        table(
            ("", "base", "new"),
            ("count", 5, 5),
            ("mean", *mean),
            ("std", ".005", ".003"),
            ("min", ".899", ".948"),
            ("25%", ".901", ".949"),
            ("max", ".912", ".955"),
        ),
        "a repeat is one training",
    )
    yield Case(
        "means",
        "wide, index goes on",
        wide((5, *mean), titles=("", "base", "new"), names="{}"),
        "mean or the sum of those above",
    )
    yield Case(
        "means",
        "wide, no index",
        table(("base", "new"), *zip(BASE, NEW, strict=True), mean),
        "mean or the sum of those above",
    )
    yield Case(
        "means",
        "wide, no index, mean and std",
        table(("base", "new"), *zip(BASE, NEW, strict=True), mean, ("0.0051", "0.0029")),
        "mean or the sum of those above",
    )
    for name in ("", "-", "—", "..."):
        yield Case("means", f"wide, a row without a name: {name}", wide((name, *mean)), "has none. Name it")
    for name in ("x", "snitt", "d5"):
        yield Case(
            "means", f"wide, the mean called {name}", wide((name, *mean)), f"the scores of seed {name}"
        )
    goes_on = (("base", 5, mean[0]), ("new", 5, mean[1]))
    yield Case(
        "means", "tidy, seeds go on with the mean", tidy("method,seed,AP", *goes_on), "scores of seed 5"
    )
    crossed = [(m, d, s, v) for d in ("x", "y") for m, values in CELLS for s, v in enumerate(values)]
    both = [(m, "Average", s, v) for m, values in CELLS for s, v in enumerate(values)]
    yield Case(
        "means",
        "tidy, a level Average of a factor",
        table(("method", "dataset", "seed", "AP"), *crossed, *both),
        GAINS,
        note="`Average`",
        question=ScoreQuestion(ColumnNames(("method", "dataset")), compared=("method: base -> new",)),
    )
    best = [("base_best", seed, f"0.93{seed}") for seed in range(4)]
    yield Case(
        "means",
        "tidy, a cell of another name in part",
        tidy("method,seed,AP", *best),
        GAINS,
        note="read as a cell",
    )
    overall = [("overall", seed, f"0.91{seed}") for seed in range(5)]
    yield Case("means", "tidy, a weighted mean", tidy("method,seed,AP", *overall), GAINS, note="`overall`")
    yield Case(
        "means",
        "tidy, a nameless seed",
        tidy("method,seed,AP", ("base", "", mean[0]), ("new", "", mean[1])),
        "seed is empty",
    )
    yield Case(
        "means",
        "tidy, a cell Mean of both",
        tidy(
            "method,seed,AP",
            *(
                ("Mean", i, round((float(a) + float(b)) / 2, 4))
                for i, (a, b) in enumerate(zip(BASE, NEW, strict=True))
            ),
        ),
        GAINS,
        note="`Mean`",
    )
    yield Case(
        "means",
        "tidy, a cell average once",
        tidy("method,seed,AP", ("average", 0, "0.9281")),
        GAINS,
        note="`average`",
    )
    yield Case(
        "means",
        "tidy, cells base mean",
        tidy("method,seed,AP", ("base mean", 0, mean[0]), ("new mean", 0, mean[1])),
        GAINS,
        note="`base mean`",
    )
    yield Case(
        "means",
        "tidy, cells base_std",
        tidy("method,seed,AP", ("base_std", 0, ".005"), ("new_std", 0, ".003")),
        GAINS,
        note="`base_std`",
    )
    yield Case(
        "means",
        "tidy, pooling is studied",
        tidy("method,seed,AP", *(("mean", i, v) for i, v in enumerate((".7", ".72", ".69", ".75", ".71")))),
        GAINS,
        note="is read as a cell",
    )
    yield Case(
        "means",
        "long, seed mean",
        table(
            ("cell", "seed", "metric", "value"),
            *(
                (c, s, "AP", v)
                for c, values in (("base", BASE), ("new", NEW))
                for s, v in enumerate([*values])
            ),
            ("base", "mean", "AP", mean[0]),
            ("new", "mean", "AP", mean[1]),
        ),
        GAINS,
        note="`mean`",
    )
    yield Case(
        "means",
        "tidy, means alone",
        table(("method", "AP_mean", "AP_std"), ("base", *mean), ("new", *mean)),
        "means with a spread",
    )
    yield Case(
        "means",
        "tidy, seeds are means alone",
        table(("method", "seed", "AP"), ("base", "mean", mean[0]), ("new", "mean", mean[1])),
        "means cannot be tested",
    )
    yield Case(
        "means", "tidy, a column AP_std", beside("method,seed,AP,AP_std", "{m},{s},{v},0.00{w}"), GAINS, "AP"
    )
    yield Case(
        "means", "tidy, a column std", beside("method,seed,std,AP", "{m},{s},0.00{w},{v}"), GAINS, "AP"
    )
    pairs = list(zip(BASE, NEW, strict=True))
    for name in ("best", "max", "all data", "std aug", "base_all"):
        rows = [(seed, *pair, f"0.9{seed}") for seed, pair in enumerate(pairs)]
        cell = table(("seed", "base", "new", name), *rows)
        question = ScoreQuestion(compared=(f"new -> {name}", "base -> new"))
        gains = tuple(float(row[3]) - float(row[2]) for row in rows)
        yield Case("means", f"wide, a cell called {name}", cell, gains, question=question)
    rows = [(seed, *pair, max(pair)) for seed, pair in enumerate(pairs)]
    better = table(("seed", "base", "new", "best"), *rows)
    yield Case("means", "wide, the best of each row", better, GAINS, note="`best`")
    everything = [("all data", seed, f"0.9{seed}") for seed in range(5)]
    yield Case(
        "means",
        "tidy, a cell called all data",
        tidy("method,seed,AP", *everything),
        GAINS,
        note="is read as a cell",
    )
    for names in (
        ("mean", "std"),
        ("Mean", "STD"),
        ("avg", "stdev"),
        ("base_mean", "base_std"),
        ("median", "max"),
    ):
        rows = [(f"d{i}", *pair, "0.93", "0.02") for i, pair in enumerate(pairs)]
        yield Case(
            "means",
            f"wide, columns {' and '.join(names)}",
            table(("dataset", "base", "new", *names), *rows),
            GAINS,
            note=f"`{names[1]}`",
        )
    for titles in (
        ("base_mean", "base_std", "new_mean", "new_std"),
        ("base mean", "base sd", "new mean", "new sd"),
        ("mean(base)", "std(base)", "mean(new)", "std(new)"),
    ):
        rows = [(f"d{i}", a, "0.01", b, "0.02") for i, (a, b) in enumerate(pairs)]
        yield Case(
            "means",
            f"wide, columns {titles[0]} and {titles[1]}",
            table(("dataset", *titles), *rows),
            "are no cells",
        )
    yield Case(
        "means",
        "wide, means alone",
        table(("dataset", "base_mean", "new_mean"), *((f"d{i}", *pair) for i, pair in enumerate(pairs))),
        "are no cells",
    )
    yield Case(
        "means",
        "wide, a column of differences",
        table(
            ("dataset", "base", "new", "diff"),
            *((f"d{i}", a, b, f"{float(b) - float(a):.3f}") for i, (a, b) in enumerate(pairs)),
        ),
        GAINS,
        note="`diff`",
    )
    yield Case(
        "means",
        "wide, n_images",
        table(
            ("dataset", "n_images", "base", "new"),
            *((f"d{i}", 100 + i * i, a, b) for i, (a, b) in enumerate(pairs)),
        ),
        GAINS,
        note="`n_images`",
    )


# Epochs -------------------------------------------------------------------------------------------


def epochs() -> Iterator[Case]:
    """No epoch is a repeat."""
    cells = (("base", BASE), ("new", NEW))
    for title in each(
        "epoch | step | global_step | iteration | _step | trained_epochs | "
        "trainer/global_step | Epoch | training_iteration | total_timesteps"
    ):
        rows = [(m, s, e, v) for m, values in cells for s, v in enumerate(values[:2]) for e in range(3)]
        yield Case(
            "epochs",
            f"tidy, several {title} of a seed",
            table(("method", "seed", title, "AP"), *rows),
            "no epoch",
        )
        rows = [(m, e, v) for m, values in cells for e, v in enumerate(values)]
        yield Case("epochs", f"tidy, {title} and no seed", table(("method", title, "AP"), *rows), "no epoch")
        yield Case(
            "epochs",
            f"wide, {title}",
            table((title, "base", "new"), *((e, *p) for e, p in enumerate(zip(BASE, NEW, strict=True)))),
            "no epoch",
        )
        yield Case(
            "epochs",
            f"tidy, the last {title} of each run",
            beside(f"method,seed,{title},AP", "{m},{s},1{w},{v}"),
            GAINS,
            "AP",
        )
        yield Case(
            "epochs",
            f"tidy, {title} is called the seed",
            table(("method", title, "AP"), *rows),
            "course of one training",
            question=named(seed=title),
        )
    yield Case(
        "epochs",
        "long, several epochs",
        table(
            ("cell", "seed", "epoch", "metric", "value"),
            *((m, s, e, "AP", v) for m, values in cells for s, v in enumerate(values) for e in (1, 2)),
        ),
        "no epoch",
    )
    yield Case(
        "epochs",
        "wide, several epochs of a seed",
        table(
            ("seed", "epoch", "base", "new"), *((s, e, BASE[s], NEW[s]) for s in range(3) for e in range(2))
        ),
        "no epoch",
    )
    yield Case(
        "epochs",
        "wide, the last epoch of each seed",
        table(("seed", "epoch", "base", "new"), *((s, 10 + s * s, BASE[s], NEW[s]) for s in range(5))),
        GAINS,
    )
    logged = [
        (m, s, e, "0.7", v if e == 2 else "")
        for m, values in cells
        for s, v in enumerate(values)
        for e in range(3)
    ]
    yield Case(
        "epochs",
        "Lightning's log with the test at its end",
        table(("method", "seed", "epoch", "train_loss", "test_acc"), *logged),
        GAINS,
        "test_acc",
        question=named("test_acc"),
    )
    yield Case(
        "epochs",
        "Lightning's metrics.csv",
        "epoch,step,train_loss_step,val_acc\n0,49,0.7,\n0,99,,0.81\n1,149,0.5,\n1,199,,0.84\n",
        "no epoch",
    )
    yield Case(
        "epochs",
        "Keras' training.log",
        "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.7,0.6,0.71,0.5\n1,0.8,0.4,0.79,0.4\n2,0.83,0.35,0.8,0.4\n",
        "no epoch",
    )
    yield Case(
        "epochs",
        "YOLO's results.csv",
        "epoch,time,train/box_loss,metrics/mAP50(B)\n1,10.2,1.5,0.4\n2,20.1,1.2,0.5\n3,30.5,1.1,0.55\n",
        "no epoch",
    )


# Settings -----------------------------------------------------------------------------------------


def settings() -> Iterator[Case]:
    """No setting, id or time is a score, and no score a cell."""
    last = table(("test_acc", "test_loss", "epoch", "step"), ("0.9", "0.1", 10, 1000))
    yield Case("settings", "the last row of Lightning's log", last, "columns of scores alone")
    yield Case(
        "settings", "scores and no cell", beside("seed,acc,f1", "{n},{v},0.{w}"), "columns of scores alone"
    )
    losses = table(
        ("seed", "ce_loss", "dice_loss"), *((i, *pair) for i, pair in enumerate(zip(BASE, NEW, strict=True)))
    )
    compared = ScoreQuestion(compared=("ce_loss -> dice_loss",))
    yield Case("settings", "losses are what is compared", losses, GAINS, question=compared)
    for title, column in (
        ("lr", "0.0{i}1"),
        ("weight", "{i}.5"),
        ("epochs", "5{i}"),
        ("batch_size", "1{i}"),
        ("x", "{i}"),
        ("alpha", "0.{i}"),
        ("n_params", "11{i}000"),
        ("params (M)", "1{i}.2"),
        ("flops", "3{i}"),
        ("hours", "1.{n}"),
        ("runtime", "9{n}.1"),
        ("duration", "8{n}"),
        ("gpu_mem", "70{n}"),
        ("run_id", "{n}"),
        ("id", "{n}"),
        ("start_time", "17{n}"),
        ("_runtime", "9{n}"),
        ("_timestamp", "17{n}.5"),
        ("system/gpu.0.memory", "5{n}"),
        ("time (s)", "3{n}"),
        ("train_seconds", "3{n}"),
        ("data_seed", "{n}"),
        ("peak_memory_mb", "6{n}"),
        ("slurm_job_id", "88{n}"),
        ("inference_time_ms", "2{n}"),
        ("num_workers", "{w}"),
        ("wall_time", "4{n}"),
    ):
        yield Case(
            "settings",
            f"{title} before AP",
            beside(f"method,seed,{title},AP", f"{{m}},{{s}},{column},{{v}}"),
            GAINS,
            "AP",
        )
        yield Case(
            "settings",
            f"{title} before a score of any name",
            beside(f"method,seed,{title},quality", f"{{m}},{{s}},{column},{{v}}"),
            GAINS,
            "quality",
        )
    yield Case(
        "settings",
        "two scores of unknown names",
        beside("method,seed,quality,beauty", "{m},{s},{v},0.{w}1"),
        "quality, beauty. Name it: --score",
    )
    yield Case(
        "settings",
        "the second of two is named",
        beside("method,seed,beauty,quality", "{m},{s},0.{w}1,{v}"),
        GAINS,
        "quality",
        question=named("quality"),
    )
    yield Case(
        "settings",
        "a setting drawn for each run",
        beside("method,seed,drawn,AP", "{m},{s},0.{w}1,{v}"),
        GAINS,
        "AP",
        note="Not read as scores: drawn",
    )
    yield Case(
        "settings", "no score at all", beside("method,seed,lr,runtime", "{m},{s},0.{i}1,9{n}"), "found none"
    )
    yield Case(
        "settings",
        "a time that is asked for",
        beside("method,seed,runtime,AP", "{m},{s},{v},0.{w}"),
        GAINS,
        "runtime",
        question=named("runtime"),
    )
    yield Case(
        "settings",
        "a count that is the same in all rows",
        beside("method,seed,fn,lr", "{m},{s},{i},0.{i}1"),
        (1.0,) * 5,
        "fn",
        "lower",
    )
    yield Case(
        "settings",
        "training before test",
        beside("method,seed,train_acc,val_acc,test_acc", "{m},{s},0.9{w},0.8{w},{v}"),
        GAINS,
        "test_acc",
    )
    yield Case(
        "settings", "loss before accuracy", beside("method,seed,loss,acc", "{m},{s},0.{w},{v}"), GAINS, "acc"
    )
    yield Case(
        "settings",
        "long, times among the metrics",
        table(
            ("cell", "seed", "metric", "value"),
            *(
                (c, s, m, v if m == "AP" else 9 + s * s)
                for c, values in (("base", BASE), ("new", NEW))
                for s, v in enumerate(values)
                for m in ("_runtime", "lr", "epoch", "AP")
            ),
        ),
        GAINS,
        "AP",
        note="Not read as scores",
    )


# Names --------------------------------------------------------------------------------------------


def names() -> Iterator[Case]:
    """A metric is known by its name, whatever a tracker writes before it."""
    for name in each(
        "fp | test/fp | metrics.test/fp | eval/fp | test_fp | summary.test.fp | FP | "
        "val-fp | test/fn | eval.fn | test/fp_at_zero_fn | holdout_part_fp"
    ):
        text = tidy(f"method,seed,{name}", base=COUNTS, new=MORE)
        yield Case(
            "names", name, text, ADDED, name.removeprefix("metrics.").removeprefix("summary."), "lower"
        )
    for name in each(
        "image_ap | metrics.test/image_ap | summary.test.image_ap | test_image_auroc | "
        "Image AP | eval/pixel_iou | AP | acc | val/acc | test/f1 | mIoU | mAP@50 | "
        "mAP50 | top1 | valF1 | balanced_accuracy | R2 | dice_score_dice"
    ):
        yield Case("names", name, tidy(f"method,seed,{name}"), GAINS, better="higher")
    for name in each(
        "loss | test_loss | val/loss | metrics.loss | train_loss_epoch | error | "
        "test_error | rmse | eval/mae | MSE | fpr | fid | FPR95 | false_positive_rate | "
        "log_loss | test/nll | perplexity | WER | hd95 | error_rate | "
        "mean_absolute_error | loss_mean | FAR | fpr_at_tpr_95 | valLoss"
    ):
        yield Case("names", name, tidy(f"method,seed,{name}"), GAINS, better="lower")
    for name in ("neg_mean_squared_error", "neg_log_loss"):
        yield Case(
            "names",
            name,
            tidy(f"method,seed,{name}", base=[f"-{v}" for v in NEW], new=[f"-{v}" for v in BASE]),
            GAINS,
            better="higher",
        )
    for name in ("quality", "score", "error_reduction", "fp_ratio", "ours"):
        yield Case(
            "names",
            name,
            tidy(f"method,seed,{name}"),
            GAINS,
            better="higher",
            note="leave open which direction",
        )
    yield Case(
        "names",
        "a share beyond 1",
        tidy("method,seed,test/image_ap", base=("1.5",) * 5, new=("100.1",) * 5),
        "is a share from 0 to 1",
    )
    yield Case("names", "a count below 0", tidy("method,seed,test/fp", base=(-1,) * 5), "a number from 0 up")


# Numbers ------------------------------------------------------------------------------------------


def numbers() -> Iterator[Case]:
    """A number that may be two is refused with both."""
    percents = tuple(f"{float(v) * 100:.1f}" for v in BASE), tuple(f"{float(v) * 100:.1f}" for v in NEW)
    for form, base, new in (
        ("percent", [f"{v} %" for v in percents[0]], [f"{v}%" for v in percents[1]]),
        ("percent beside shares", [f"{v} %" for v in percents[0]], NEW),
        ("decimal commas", [v.replace(".", ",") for v in BASE], [v.replace(".", ",") for v in NEW]),
        ("decimal commas in percent", [f"{v} %".replace(".", ",") for v in percents[0]], NEW),
        ("exponents", [f"{float(v) * 10:.2f}e-1" for v in BASE], [f"{float(v) * 1000:.0f}E-3" for v in NEW]),
        (
            "full-width digits",
            [v.translate(str.maketrans("0123456789.", "０１２３４５６７８９．")) for v in BASE],
            NEW,
        ),
        ("a plus and no zero", [f"+{v[1:]}" for v in BASE], NEW),
        ("spaces around", [f" {v} " for v in BASE], NEW),
    ):
        yield Case("numbers", form, tidy("method,seed,AP", base=base, new=new), GAINS)
    yield Case(
        "numbers",
        "decimal commas and semicolons",
        tidy(
            "method,seed,AP",
            base=[v.replace(".", ",") for v in BASE],
            new=[v.replace(".", ",") for v in NEW],
            mark=";",
        ),
        GAINS,
    )
    yield Case(
        "numbers",
        "image_ap in percent without a sign",
        tidy("method,seed,image_ap", base=percents[0], new=percents[1]),
        GAINS,
        note="is written in percent",
    )
    for title in ("image_ap", "AP", "acc", "quality"):
        yield Case(
            "numbers", f"{title}: 0.9 beside 91", tidy(f"method,seed,{title}", new=percents[1]), "which is"
        )
        yield Case(
            "numbers",
            f"{title}: 91.2 % beside 95.1",
            tidy(f"method,seed,{title}", base=[f"{v} %" for v in percents[0]], new=percents[1]),
            "which is",
        )
    yield Case(
        "numbers",
        "wide, 0.9 beside 91",
        table(
            ("dataset", "base", "new"),
            *((f"d{i}", a, b) for i, (a, b) in enumerate(zip(BASE, percents[1], strict=True))),
        ),
        "which is",
    )
    yield Case(
        "numbers",
        "0.9 beside 1.2 %",
        tidy("method,seed,error", base=("0.9", "0.8", "0.7", "0.9", "0.8"), new=["1.2 %"] * 5),
        "0.9 or 0.9 %",
    )
    for form, grouped in (
        ("comma", "{:,}"), ("a space", "{:,}"), ("an apostrophe", "{:,}"), ("a narrow space", "{:,}"),
    ):  # fmt: skip
        sign = {
            "comma": ",",
            "a space": " ",
            "an apostrophe": "'",
            "a narrow space": "\N{NARROW NO-BREAK SPACE}",
        }[form]
        new = [grouped.format(v).replace(",", sign) for v in MORE]
        yield Case(
            "numbers",
            f"fp, thousands with {form}",
            tidy("method,seed,fp", base=COUNTS, new=new, mark="\t"),
            ADDED,
            "fp",
            "lower",
        )
        if sign == ",":
            yield Case(
                "numbers",
                "AP_count, thousands with comma",
                tidy("method,seed,reward", base=COUNTS, new=new),
                "1.012 or 1012",
            )
            yield Case(
                "numbers",
                "wide, thousands with comma",
                table(("seed", "base", "new"), *zip(range(5), COUNTS, new, strict=True)),
                "1.012 or 1012",
            )
            yield Case(
                "numbers",
                "wide fp, thousands with comma",
                table(("seed", "base", "new"), *zip(range(5), COUNTS, new, strict=True)),
                ADDED,
                question=named("fp"),
            )
        else:
            yield Case(
                "numbers",
                f"reward, thousands with {form}",
                tidy("method,seed,reward", base=COUNTS, new=new),
                ADDED,
            )
    yield Case(
        "numbers",
        "long fp, thousands with comma",
        table(
            ("cell", "seed", "metric", "value"),
            *(
                (c, s, "fp", f"{v:,}")
                for c, values in (("base", COUNTS), ("new", MORE))
                for s, v in enumerate(values)
            ),
        ),
        ADDED,
        "fp",
    )
    yield Case(
        "numbers",
        "1.012 is no count",
        tidy("method,seed,fp", base=COUNTS, new=[f"{v / 1000:.3f}" for v in MORE]),
        "is a whole number",
    )
    yield Case(
        "numbers",
        "0.5 is no count",
        tidy("method,seed,test/fn", base=(1,) * 5, new=(0.5,) * 5),
        "is a whole number",
    )
    yield Case(
        "numbers",
        "thousands and decimals",
        tidy("method,seed,reward", base=[f"{v}.5" for v in COUNTS], new=[f"{v:,}.5" for v in MORE]),
        ADDED,
    )
    yield Case(
        "numbers",
        "1.012,5",
        tidy(
            "method,seed,reward",
            base=[f"{v},5" for v in COUNTS],
            new=[f"{v:,}".replace(",", ".") + ",5" for v in MORE],
        ),
        ADDED,
    )
    yield Case(
        "numbers",
        "1,012 beside 998.5",
        tidy("method,seed,reward", base=[f"{v}.5" for v in COUNTS], new=[f"{v:,}" for v in MORE]),
        "1.012 or 1012",
    )
    yield Case(
        "numbers",
        "1.012 beside 98,5",
        tidy("method,seed,reward", base=["98,5"] * 5, new=["1.012"] * 5),
        "1.012 or 1012",
    )
    yield Case(
        "numbers",
        "1,012 beside 0,98",
        tidy(
            "method,seed,rmse",
            base=("0,980", "0,981", "0,982", "0,983", "0,984"),
            new=[f"{v / 1000:.3f}".replace(".", ",") for v in MORE],
        ),
        tuple(v / 1000 for v in ADDED),
        better="lower",
    )
    for text in each(
        "0_951 | 9_51 | 0x1p3 | 0x3 | 951² | 0.951* | ~0.95 | <0.1 | 0.9.5 | 1,2,3 | "
        "1 01 | 0 951 | ٠٫٩ | high | ½ | 1e | --1 | 0.951 0.9"
    ):
        yield Case(
            "numbers", f"a text {text}", tidy("method,seed,AP", new=(*NEW[:4], text)), f"found {text!r}"
        )
    mixed = tidy("method,seed,reward", base=COUNTS, new=[f"{v / 1000:.3f}" for v in MORE])
    yield Case("numbers", "1.012 beside 980", mixed, "1.012 or 1012", parquet=False)
    precise = tidy("method,seed,reward", base=each("1.012|1.5|200|0.7|3"), new=each("2.012|2.5|201|1.7|4"))
    yield Case("numbers", "1.012 beside 1.5 and 200", precise, (1.0,) * 5)
    low = tidy("method,seed,acc", base=each("0.11|0.12|0.1|0.13|0.11"), new=each("61.1|62|60|63|59"))
    yield Case("numbers", "acc: 0.1 beside 61", low, "which is")
    rates = tidy("method,seed,error", base=each("0.8|1.2|0.9|1.1|0.7"), new=each("1.8|2.2|1.9|2.1|1.7"))
    yield Case("numbers", "error: 0.8 beside 1.2", rates, (1.0,) * 5, better="lower")
    for text in each(
        "NaN (diverged) | nan (diverged at epoch 3) | nan | NaN | inf | -inf | Infinity | diverged"
    ):
        yield Case("numbers", f"diverged: {text}", tidy("method,seed,AP", new=(*NEW[:4], text)), GAINS[:4])
    for text in each(" | - | n/a | NA | None | <NA>"):
        yield Case("numbers", f"missing: {text}", tidy("method,seed,AP", new=(*NEW[:4], text)), GAINS[:4])


# Trackers -----------------------------------------------------------------------------------------


def trackers() -> Iterator[Case]:
    """Exports of trackers are read with their parents and crashes; curves are refused."""
    rows = [
        (f"{m}{s}", m, s, v) for m, values in (("base", BASE), ("new", NEW)) for s, v in enumerate(values)
    ]
    titles = each(
        "run_id | experiment_id | status | artifact_uri | start_time | end_time | "
        "metrics.test_ap | metrics.train_loss | params.method | params.seed | "
        "params.lr | params.out | tags.mlflow.parentRunId | tags.mlflow.runName"
    )
    runs = [
        (
            r,
            1,
            "FINISHED",
            f"/m/{r}",
            "2026-03-23 10:46:51",
            "2026-03-23 10:50:00",
            v,
            "0.1",
            m,
            s,
            "0.01" if m == "base" else "0.1",
            f"out/{r}",
            f"p_{m}",
            r,
        )
        for r, m, s, v in rows
    ]
    parents = [
        (f"p_{m}", 1, "FINISHED", "/m/p", "2026-03-23", "2026-03-23", mean, "", m, "", "", "", "", m)
        for m, mean in (("base", "0.905"), ("new", "0.9512"))
    ]
    lost = [
        (
            "x",
            1,
            "FAILED",
            "/m/x",
            "2026-03-23",
            "2026-03-23",
            "0.1",
            "9",
            "new",
            2,
            "0.1",
            "out/x",
            "p_new",
            "x",
        )
    ]
    yield Case(
        "trackers",
        "MLflow, runs alone",
        table(titles, *runs),
        GAINS,
        "test_ap",
        question=named(cell=("method",)),
    )
    yield Case(
        "trackers",
        "MLflow, parents among them",
        table(titles, *parents, *runs),
        GAINS,
        "test_ap",
        note="2 parent runs",
        question=named(cell=("method",)),
    )
    yield Case(
        "trackers",
        "MLflow, a run that failed",
        table(titles, *lost, *parents, *runs),
        GAINS,
        "test_ap",
        question=named(cell=("method",)),
    )
    yield Case(
        "trackers",
        "MLflow, the method is the parent's",
        table(titles, *parents, *((*r[:8], "", *r[9:]) for r in runs)),
        GAINS,
        "test_ap",
        question=named(cell=("method",)),
    )
    above = [(f"q{i}", *parent[1:12], "q0", "q") for i, parent in enumerate(parents)]
    alone = table(titles, *above[:1])
    yield Case("trackers", "MLflow, a parent alone", alone, "found parent runs alone")
    lengths = [
        (run, "FINISHED", value, 10 if method == "base" else 20, seed) for run, method, seed, value in rows
    ]
    epochs_compared = table(("run_id", "status", "metrics.ap", "params.epochs", "params.seed"), *lengths)
    compared = ScoreQuestion(compared=("10 -> 20",))
    yield Case("trackers", "MLflow, epochs are a factor", epochs_compared, GAINS, "ap", question=compared)
    page = each(
        "Start Time | Duration | Run ID | Name | Source Type | Source Name | User | "
        "Status | method | seed | lr | rmse | test_ap"
    )
    yield Case(
        "trackers",
        "MLflow, the table of its page",
        table(
            page,
            *(
                (
                    "2026-03-23 10:46:51",
                    "3.1min",
                    r,
                    r,
                    "LOCAL",
                    "train.py",
                    "jo",
                    "FINISHED",
                    m,
                    s,
                    "0.1",
                    "0.2",
                    v,
                )
                for r, m, s, v in rows
            ),
        ),
        GAINS,
        "test_ap",
        question=named("test_ap"),
    )
    wandb = each(
        "Name | State | Notes | User | Tags | Created | Runtime | Sweep | batch_size | "
        "lr | method | seed | _runtime | _step | _timestamp | epoch | test/ap | "
        "train/loss"
    )
    exported = [
        (
            r,
            "finished",
            "-",
            "jo",
            "",
            "2026-03-01T07:40:00.000Z",
            911 + i,
            "",
            16,
            "0.1",
            m,
            s,
            910 + i,
            19,
            1.7e9 + i,
            19,
            v,
            "0.02",
        )
        for i, (r, m, s, v) in enumerate(rows)
    ]
    crashed = [
        (
            "y",
            state,
            "-",
            "jo",
            "",
            "2026-03-01T07:40:00.000Z",
            3,
            "",
            16,
            "0.1",
            "new",
            2,
            3,
            0,
            1.7e9,
            0,
            "0.1",
            "0.9",
        )
        for state in each("crashed | failed | killed | running | preempted | pending")
    ]
    yield Case("trackers", "W&B, the table of runs", table(wandb, *exported), GAINS, "test/ap")
    for row in crashed:
        yield Case("trackers", f"W&B, one {row[1]}", table(wandb, row, *exported), GAINS, "test/ap")
    yield Case(
        "trackers",
        "W&B, a score of any name",
        table((*wandb[:-2], "quality", "beauty"), *((*r[:-1], i) for i, r in enumerate(exported))),
        "Name it: --score",
    )

    def stored(value: object) -> object:
        return {"value": value, "desc": None}

    def plain(value: object) -> object:
        return value

    for form, wrap in (("plain", plain), ("stored", stored)):
        api = [
            (
                json.dumps(
                    {
                        "_runtime": 9.1 + s,
                        "_step": 19,
                        "_wandb": {"runtime": 9},
                        "test": {"ap": float(v)},
                        "loss": 0.1 * s,
                    }
                ),
                json.dumps(
                    {"method": wrap(m), "seed": wrap(s), "layers": wrap([16, 32]), "_wandb": wrap({"t": 1})}
                ),
                r,
            )
            for r, m, s, v in rows
        ]
        yield Case(
            "trackers",
            f"W&B, config and summary as JSON, {form}",
            table(("summary", "config", "name"), *api),
            GAINS,
            "test.ap",
        )
    python = [
        (str({"_runtime": 9.1, "test/ap": float(v)}), str({"method": m, "seed": s}), r) for r, m, s, v in rows
    ]
    yield Case(
        "trackers",
        "W&B, config and summary as Python",
        table(("summary", "config", "name"), *python),
        GAINS,
        "test/ap",
    )
    for form, ends in (
        ("a run", ("run-a - val/loss", "run-a - val/loss__MIN", "run-a - val/loss__MAX")),
        ("two runs", each("a - acc | a - acc__MIN | a - acc__MAX | b - acc | b - acc__MIN | b - acc__MAX")),
        ("no bounds", ("a - acc", "b - acc")),
        ("groups", ("method: base - acc", "method: base - acc__MIN", "method: base - acc__MAX")),
    ):
        for step in ("Step", "epoch", "trainer/global_step"):
            yield Case(
                "trackers",
                f"W&B, the chart of {form} by {step}",
                table((step, *ends), *((i, *(f"0.{i}{j}" for j in range(len(ends)))) for i in range(1, 4))),
                "is the chart of W&B",
            )
    yield Case(
        "trackers",
        "W&B, a chart by time",
        table(
            ("Relative Time (Process)", "a - acc", "a - acc__MIN", "a - acc__MAX"),
            ("0", ".1", ".1", ".1"),
            ("1", ".2", ".2", ".2"),
        ),
        "is the chart of W&B",
    )
    yield Case(
        "trackers",
        "TensorBoard",
        "Wall time,Step,Value\n1700000000.1,0,0.5\n1700000001.1,1,0.6\n1700000002.1,2,0.7\n",
        "is a curve of TensorBoard",
    )
    yield Case(
        "trackers",
        "TensorBoard, long",
        "run,tag,step,value,wall_time\na,acc,0,0.5,1.7\na,acc,1,0.6,1.8\nb,acc,0,0.5,1.7\n",
        "is a curve of TensorBoard",
    )
    grid = [(i, v, 100 - i, f"0.0{i}1", m, s, "COMPLETE") for i, (_, m, s, v) in enumerate(rows)]
    drawn = table(
        each("number | values_acc | values_cost | params_lr | params_method | params_seed | state"), *grid
    )
    yield Case(
        "trackers",
        "Optuna, named objectives and a drawn setting",
        drawn,
        GAINS,
        "values_acc",
        note="no factors: lr",
    )
    optuna = each(
        "number | value | datetime_start | datetime_complete | duration | "
        "params_method | params_seed | user_attrs_note | system_attrs_grid_id | state"
    )
    trials = [
        (
            i,
            v,
            "2026-11-29 00:00:54.621066",
            "2026-11-29 00:00:54.7",
            "0 days 00:00:00.000243",
            m,
            s,
            "x",
            i,
            "COMPLETE",
        )
        for i, (_, m, s, v) in enumerate(rows)
    ]
    yield Case(
        "trackers",
        "Optuna, a grid with seeds",
        table(optuna, *trials),
        GAINS,
        "value",
        note="Optuna minimizes",
    )
    yield Case(
        "trackers",
        "Optuna, with trials that failed",
        table(
            optuna,
            (10, "", "2026", "2026", "", "new", 2, "x", 9, "FAIL"),
            (11, "0.3", "2026", "2026", "", "new", 1, "x", 9, "PRUNED"),
            *trials,
        ),
        GAINS,
        "value",
    )
    yield Case(
        "trackers",
        "Optuna, the seed is an attribute",
        table((*optuna[:6], "user_attrs_seed", *optuna[7:]), *trials),
        GAINS,
        "value",
    )
    yield Case(
        "trackers",
        "Optuna, a search",
        table(
            ("number", "value", "duration", "params_lr", "state"),
            (0, "0.3", "0 days", "0.01", "COMPLETE"),
            (1, "0.4", "0 days", "0.02", "COMPLETE"),
        ),
        "settings that a search tried",
    )
    yield Case(
        "trackers",
        "Optuna, two objectives",
        table(
            each(" | number | values_0 | values_1 | params_x | state"),
            (0, 0, "0.8", "1", "0.1", "COMPLETE"),
            (1, 1, "0.2", "1", "0.2", "COMPLETE"),
        ),
        "settings that a search tried",
    )
    ray = each(
        "test_acc | timestamp | done | training_iteration | trial_id | date | "
        "time_this_iter_s | time_total_s | pid | hostname | node_ip | "
        "iterations_since_restore | config/method | config/seed | logdir"
    )
    yield Case(
        "trackers",
        "Ray Tune, get_dataframe()",
        table(
            ray,
            *(
                (
                    v,
                    1.7e9 + i,
                    "True",
                    20,
                    f"ab_{i}",
                    "2026-03-01_10-00-00",
                    3.1 + i,
                    60.2 + i,
                    99 + i,
                    "h",
                    "127.0.0.1",
                    20,
                    m,
                    s,
                    f"x_{i}",
                )
                for i, (_, m, s, v) in enumerate(rows)
            ),
        ),
        GAINS,
        "test_acc",
    )
    yield Case(
        "trackers",
        "Hydra, overrides in one text",
        table(
            ("job", "overrides", "AP"),
            *((i, f"method={m},seed={s}", v) for i, (_, m, s, v) in enumerate(rows)),
        ),
        "as Hydra writes overrides",
    )
    yield Case(
        "trackers",
        "Hydra, a column for each override",
        beside("job,hydra.job.num,method,seed,test_ap", "{n},{n},{m},{s},{v}"),
        GAINS,
        "test_ap",
    )
    yield Case(
        "trackers", "the summary of one run", '{"test/ap": 0.9, "_step": 19}', "found JSON", parquet=False
    )
    yield Case(
        "trackers",
        "the history of runs",
        table(("run", "_step", "test/ap"), *((r, e, v) for r, _, _, v in rows[:2] for e in range(3))),
        "no epoch",
    )


# Statuses, seeds and comparisons --------------------------------------------------------------------


def statuses() -> Iterator[Case]:
    """A status is known, or named."""
    for word in each(
        "ok | OK | done | success | COMPLETED | Complete | finished | FINISHED | succeeded | passed | "
    ):
        for title in ("status", "State"):
            yield Case(
                "statuses",
                f"{title} {word}",
                beside(f"method,seed,AP,{title}", f"{{m}},{{s}},{{v}},{word}"),
                GAINS,
                "AP",
            )
    for word in each("good | 1 | 0 | True | terminated | stopped | fertig | exit 0"):
        yield Case(
            "statuses",
            word,
            beside("method,seed,AP,status", f"{{m}},{{s}},{{v}},{word}"),
            f"found {word!r} in status",
        )
    for word in each(
        "failed | CRASHED | killed | timeout | OOM | running | Pending | cancelled | "
        "out of memory | timed-out | pruned"
    ):
        text = tidy("method,seed,AP,status").replace("\n", ",done\n").replace("AP,status,done", "AP,status")
        yield Case("statuses", f"one {word}", text + f"new,5,0.1,{word}\nbase,5,0.2,done\n", GAINS)
        yield Case(
            "statuses", f"all {word}", text.replace(",done", f",{word}"), f"its status is {word.lower()}"
        )


def seeds() -> Iterator[Case]:
    """A refusal shows the seeds of the file."""

    def apart(base: str, new: str) -> str:
        return table(
            ("method", "seed", "AP"),
            *(("base", base.format(i), v) for i, v in enumerate(BASE)),
            *(("new", new.format(i), v) for i, v in enumerate(NEW)),
        )

    yield Case("seeds", "s0 and s00", apart("s{}", "s0{}"), "base has s0, s1, s2, s3, s4, new has s00, s01")
    yield Case("seeds", "a-0 and b-0", apart("a-{}", "b-{}"), "base has a-0, a-1, a-2, a-3, a-4, new has b-0")
    yield Case("seeds", "paths", apart("run/{}", "runs/{}"), "base has run/0, run/1")
    yield Case("seeds", "1x and x1", apart("{}x", "x{}"), "base has 0x, 1x, 2x, 3x, 4x, new has x0")
    yield Case(
        "seeds",
        "large numbers",
        apart("9007199254740993{}", "9007199254740992{}"),
        "base has 90071992547409930",
    )
    yield Case("seeds", "numbers", apart("1{}", "2{}"), "base has 10, 11, 12, 13, 14, new has 20")
    yield Case(
        "seeds",
        "twice",
        tidy("method,seed,AP", ("base", "s1", "0.9"), ("base", "s1", "0.8")).replace(",0,", ",s0,"),
        "of base, seed s1 in",
    )
    yield Case("seeds", "texts that both have", apart("s{}", "s{}"), GAINS)
    folds = table(
        ("method", "fold", "AP"), *((m, f"{m[0]}{s}", v) for m, values in CELLS for s, v in enumerate(values))
    )
    yield Case(
        "seeds", "folds", folds, "base has fold b0, fold b1, fold b2, fold b3, fold b4, new has fold n0"
    )
    both = table(
        ("method", "seed", "fold", "AP"),
        *((m, f"{m[0]}{s}", f"x{s}", v) for m, values in CELLS for s, v in enumerate(values)),
    )
    yield Case("seeds", "seeds and folds", both, "base has seed b0, fold x0, seed b1, fold x1")
    again = table(("method", "fold", "AP"), ("base", "x", "0.9"), ("base", "x", "0.8"), ("new", "x", "0.7"))
    yield Case("seeds", "a fold twice", again, "found 2 of base, fold x in")
    yield Case("seeds", "numbers as floats", apart("{}.0", "{}"), GAINS)


def comparisons() -> Iterator[Case]:
    """A name with an arrow is the cell that exists."""

    def of(start: str, end: str, compared: str, answer: tuple[float, ...] | str, *more: str) -> Case:
        rows = [(c, s, v) for c, values in ((start, BASE), (end, NEW)) for s, v in enumerate(values)]
        rows += [(c, s, f"0.5{s}") for c in more for s in range(5)]
        question = ScoreQuestion(compared=(compared,))
        return Case(
            "comparisons",
            f"{compared} of {start}, {end}",
            table(("method", "seed", "AP"), *rows),
            answer,
            question=question,
        )

    yield of("a->b", "c", "a->b -> c", GAINS)
    yield of("a->b", "c", "a->b->c", GAINS, "a", "b")
    yield of("x → y", "z", "x → y -> z", GAINS)
    yield of("x → y", "z", "x -> y -> z", GAINS)
    yield of("a", "b->c", "a -> b->c", GAINS)
    yield of("a->b", "c->d", "a->b->c->d", GAINS)
    yield of("a->b", "b->a", "a->b -> b->a", GAINS)
    yield of("a->b", "c", "a->b->c", "may compare `a` with `b->c` or `a->b` with `c`", "a", "b->c")
    yield of("a->b", "c", '"a->b" -> "c"', GAINS, "a", "b->c")
    yield of("base", "new", "base->new", GAINS)
    arrow = table(
        ("method", "seed", "AP"),
        *((c, s, v) for c, vs in (("a->b", BASE), ("c", NEW)) for s, v in enumerate(vs)),
    )
    yield Case(
        "comparisons", "against a cell with an arrow", arrow, GAINS, question=ScoreQuestion(against="a→b")
    )
    yield of("base", "new", "base → new", GAINS)
    yield of("base", "new", "base -> best", "--compare names a cell, found best")
    yield of("a->b", "c", "a->b -> d", "--compare names a cell, found d")
    yield of("a->b", "c", "a->b -> a->b", "two sides, found a->b twice")
    yield of("base", "new", "base: new", "a comparison is `CELL -> CELL`")


KINDS = (means, epochs, settings, names, numbers, trackers, statuses, seeds, comparisons)
CASES = tuple(case for kind in KINDS for case in kind())


def as_parquet(text: str) -> bytes:
    """A table of texts as Parquet: columns of numbers alone as numbers, empty ones as null."""
    mark = next((mark for mark in "\t;" if mark in text.partition("\n")[0]), ",")
    titles, *rows = csv.reader(io.StringIO(text), delimiter=mark)
    columns: dict[str, list[object]] = {}
    for title, cells in zip(titles, zip(*rows, strict=True), strict=True):
        texts = [cell if cell else None for cell in cells]
        filled = [cell for cell in texts if cell is not None]
        if filled and all(re.fullmatch(r"-?(0|[1-9]\d{0,14})", cell) for cell in filled):
            columns[title] = [None if cell is None else int(cell) for cell in texts]
        elif filled and all(re.fullmatch(r"-?\d+(\.\d+)?", cell) and len(cell) < 15 for cell in filled):
            columns[title] = [None if cell is None else float(cell) for cell in texts]
        else:
            columns[title] = list(texts)
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def fault(case: Case, name: str, content: bytes) -> tuple[str, str]:
    """How a form is answered, read or refused, and what is wrong with the answer: empty where nothing is."""
    try:
        scores = analyse_score_file(name, content, case.question)
    except InputError as error:
        expected = case.answer if isinstance(case.answer, str) else "an answer"
        return "refused", "" if isinstance(case.answer, str) and expected in str(
            error
        ) else f"{expected}: {error}"
    return "read", _misread(case, scores)


def _misread(case: Case, scores: AnalysedScores) -> str:
    if isinstance(case.answer, str):
        return f"read, and not refused by {case.answer!r}: {scores.metrics[0].name}, {scores.cells}"
    results = [r for r in scores.analysis.comparisons if r.metric == scores.metrics[0].name]
    (result,) = results[:1]
    if len(result.differences) != len(case.answer) or any(
        abs(a - b) > 1e-9 for a, b in zip(result.differences, case.answer, strict=True)
    ):
        return f"differences {result.differences}, not {case.answer}"
    metric = scores.metrics[0]
    if case.metric is not None and metric.name != case.metric:
        return f"the score {metric.name}, not {case.metric}"
    if case.better is not None and metric.better != case.better:
        return f"{metric.better} is better of {metric.name}"
    if case.note and not any(case.note in note for note in scores.notes):
        return f"no note {case.note!r} in {scores.notes}"
    return ""


def inputs(case: Case) -> Iterator[tuple[str, bytes]]:
    """The files of a case."""
    yield "scores.csv", case.text.encode()
    if case.parquet:
        yield "scores.parquet", as_parquet(case.text)


def main() -> None:
    """Try all forms, and count the answers by kind."""
    misread = 0
    sys.stdout.write(f"{'kind':12} {'tried':>6} {'read':>6} {'refused':>8} {'misread':>8}\n")
    for kind in KINDS:
        answers = [
            (case, name, *fault(case, name, content)) for case in kind() for name, content in inputs(case)
        ]
        wrong = [(case, name, why) for case, name, _, why in answers if why]
        counts = [sum(how == word for *_, how, _ in answers) for word in ("read", "refused")]
        sys.stdout.write(f"{kind.__name__:12} {len(answers):6} {counts[0]:6} {counts[1]:8} {len(wrong):8}\n")
        for case, name, why in wrong:
            sys.stdout.write(f"  {case} ({name}): {why}\n")
        misread += len(wrong)
    sys.exit(1 if misread else 0)


if __name__ == "__main__":
    main()
