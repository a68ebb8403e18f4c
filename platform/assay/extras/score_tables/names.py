"""Meanings of names in tables of scores: metrics and their direction, means, epochs, statuses, bookkeeping.

A name is taken apart into words, ``metrics.test/image_ap`` into metrics, test, image and ap. What a table's
columns and rows are is decided by words alone here, and by values in
:mod:`assay.extras.score_tables.layouts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from trainables.evaluation.metrics import METRICS, Metric

__all__ = [
    "better_by_name",
    "directions",
    "is_difference",
    "is_mean",
    "is_no_score",
    "is_spread",
    "is_step",
    "is_surely_mean",
    "is_unbounded",
    "known_metric",
    "known_metrics",
    "known_statuses",
    "may_be_cell",
    "plain",
    "score_order",
    "status_kind",
    "stem_of_statistic",
    "words",
]

_PARTS = {"test", "testing", "tst", "eval", "evaluation", "holdout"}
_VALIDATION = {"val", "valid", "validation", "dev"}
_TRAINING = {"train", "training", "trn"}
# Words before or behind a metric's name that say on which images, or which of a run's values it is.
_AROUND = _PARTS | _VALIDATION | _TRAINING | {
    "metric", "metrics", "summary", "final", "last", "best", "epoch", "step", "max", "min",
}  # fmt: skip

_HIGHER = {
    "acc", "accuracy", "ap", "ari", "auc", "aucroc", "auprc", "aupr", "aupro", "auroc", "bleu", "cider",
    "dice", "elo", "f1", "f1score", "fscore", "hits", "iou", "jaccard", "kappa", "map", "mcc", "miou", "mrr",
    "ndcg", "nmi", "pearson", "pq", "prauc", "prec", "precision", "pro", "psnr", "r2", "recall", "reward",
    "rewards", "roc", "rocauc", "rouge", "sensitivity", "spearman", "specificity", "ssim", "tnr", "top",
    "tpr",
}  # fmt: skip
_LOWER = {
    "ade", "apcer", "assd", "bce", "bpc", "bpd", "brier", "cer", "chamfer", "cost", "crps", "deviance", "ece",
    "eer", "emd", "epe", "err", "error", "errors", "escapes", "far", "fde", "fdr", "fid", "fnr", "fpr", "frr",
    "fvd", "hausdorff", "hd", "hter", "kid", "latency", "logloss", "loss", "losses", "lpips", "mae", "mape",
    "misses", "mmd", "mpjpe", "mse", "msle", "nll", "nme", "nrmse", "overkill", "perplexity", "ppl", "regret",
    "rmsd", "rmse", "rmsle", "smape", "wasserstein", "wer",
}  # fmt: skip
_LOWER_PHRASES = {
    "cross entropy", "error rate", "false alarms", "false negative rate", "false negatives",
    "false positive rate", "false positives", "miss rate", "negative log likelihood",
}  # fmt: skip
_HIGHER_PHRASES = {"f1 score", "f score", "success rate", "true positive rate", "win rate"}
# Words that turn the meaning of the metric beside them, so that its direction is not known any more.
_TURNING = {
    "change", "decrease", "delta", "diff", "difference", "drop", "gain", "improvement", "increase", "inv",
    "inverse", "ratio", "reduction", "relative",
}  # fmt: skip
_UNBOUNDED = {
    "ade", "bce", "bleu", "chamfer", "cider", "cost", "deviance", "elo", "emd", "epe", "fde", "fid", "fvd",
    "hausdorff", "hd", "latency", "logloss", "loss", "losses", "mae", "mmd", "mpjpe", "mse", "msle", "nll",
    "nrmse", "perplexity", "ppl", "psnr", "regret", "reward", "rewards", "rmsd", "rmse", "rmsle",
    "wasserstein",
}  # fmt: skip

_MEANS = {
    "average", "averaged", "averages", "avg", "avgs", "durchschnitt", "mean", "means", "median", "medians",
    "mittel", "mittelwert", "moyenne", "promedio", "µ", "μ", "ø",
}  # fmt: skip
_SPREAD_WORDS = {
    "ci", "ci95", "iqr", "sd", "sem", "standardabweichung", "std", "stdev", "stddev", "stderr", "stds", "var",
    "variance", "σ",
}  # fmt: skip
_TOTALS = {
    "all", "count", "gesamt", "insgesamt", "max", "maximum", "min", "minimum", "overall", "sum", "summe",
    "total", "totals", "aggregate", "aggregated", "best", "worst", "rank", "ranks", "summary",
}  # fmt: skip
_SURE_TOTALS = {"aggregate", "aggregated", "gesamt", "insgesamt", "overall", "total", "totals"}
# Words that may stand beside those of a mean: `Mean ± std (5 seeds)`, `macro avg`, `average over data sets`.
_BESIDE_MEANS = {
    "across", "and", "arithmetic", "categories", "classes", "confidence", "dataset", "datasets", "data",
    "deviation", "dev", "err", "error", "experiments", "fold", "folds", "for", "geometric", "grand",
    "harmonic", "images", "interval", "macro", "micro", "n", "of", "over", "percentile", "repeat", "repeats",
    "run", "runs", "samples", "seed", "seeds", "set", "sets", "standard", "subjects", "tasks", "the",
    "trials", "value", "values", "weighted",
}  # fmt: skip
_DIFFERENCES = {"delta", "diff", "difference", "gain", "improvement", "δ"}

_STEPS = {"ep", "epoch", "epochs", "step", "steps", "iteration", "iterations", "iter", "iters"}
_STEPS_ANYWHERE = {"timestep", "timesteps"}
# Words of columns that trackers and scripts write beside the scores: ids, times, hardware, sizes.
_BOOKKEEPING = {
    "bytes", "cpu", "date", "datetime", "duration", "elapsed", "flops", "fps", "gflops", "gmacs", "gpu",
    "gpus", "guid", "hash", "hostname", "id", "ids", "macs", "mem", "memory", "mflops", "nparams",
    "parameters", "params", "pid", "port", "power", "ram", "runtime", "seed", "sha", "throughput", "time",
    "timestamp", "times", "uuid", "vram", "walltime", "watts",
}  # fmt: skip
_UNITS = {"gb", "h", "hours", "hrs", "kb", "mb", "mins", "minutes", "ms", "s", "sec", "secs", "seconds"}
_SETTINGS = {
    "batch_size", "batchsize", "bs", "depth", "dropout", "hidden_dim", "hidden_size", "image_size",
    "img_size", "learning_rate", "lr", "momentum", "patch_size", "patience", "warmup", "wd", "weight_decay",
    "width",
}  # fmt: skip
_HOUSEKEEPING = {
    "", "artifact_uri", "commit", "created", "description", "done", "end_time", "experiment", "experiment_id",
    "experiment_tag", "github", "gpu_count", "gpu_type", "group", "host", "hostname", "id", "index",
    "job_type", "level_0", "line", "lifecycle_stage", "logdir", "name", "node_ip", "notes", "number", "part",
    "reason", "run_id", "run_name", "source_name", "source_type", "split", "start_time", "study", "sweep",
    "tags", "trial", "unnamed:_0", "updated", "user", "user_id", "ended", "started",
}  # fmt: skip

_FINISHED = {
    "complete", "completed", "done", "finish", "finished", "ok", "okay", "passed", "succeeded", "success",
    "successful",
}  # fmt: skip
_LOST = {
    "aborted", "canceled", "cancelled", "crash", "crashed", "error", "errored", "fail", "failed", "failure",
    "interrupted", "killed", "missing", "not_run", "oom", "out_of_memory", "preempted", "preempting",
    "pruned", "skipped", "timed_out", "timeout",
}  # fmt: skip
_UNFINISHED = {
    "in_progress", "incomplete", "pending", "queued", "running", "scheduled", "started", "unfinished",
    "waiting",
}  # fmt: skip


def plain(name: str) -> str:
    """``Random State`` as ``random_state``."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def words(name: str) -> list[str]:
    """The words of a name in lower case: ``metrics.test/image_ap``, ``Mean ± std``, ``valLoss``."""
    apart = re.sub(r"(?<=[a-z][a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", apart.lower())


# Metrics ------------------------------------------------------------------------------------------


def known_metric(name: str) -> Metric | None:
    """The metric of assay that a name means, with ``test/``, ``metrics.eval_`` and the like around it."""
    if name in METRICS:
        return METRICS[name]
    parts = words(name)

    # The longest name wins: a shorter one may lie within it.
    for start in range(len(parts)):
        for end in range(len(parts), start, -1):
            inner = "_".join(parts[start:end])
            if inner in METRICS and _AROUND.issuperset(parts[:start] + parts[end:]):
                return METRICS[inner]
    return None


def better_by_name(name: str) -> Literal["higher", "lower"] | None:
    """The direction that a name tells; None where it does not."""
    known = known_metric(name)
    parts = words(name)
    if known is not None:
        return known.better
    if _TURNING & set(parts):
        return None
    if parts[:1] in (["neg"], ["negative"]) and parts[1:3] != ["log", "likelihood"]:
        return "higher" if better_by_name(" ".join(parts[1:])) == "lower" else None
    if {"loss", "losses"} & set(parts):
        return "lower"

    # The last word names the metric, but for `tpr at fpr 1`, and what says on which images.
    if "at" in parts:
        parts = parts[: parts.index("at")]
    while parts and (parts[-1] in _AROUND | _MEANS or parts[-1].isdigit()):
        parts = parts[:-1]
    endings = {" ".join(parts[-length:]) for length in (1, 2, 3)}
    endings |= {ending.rstrip("0123456789") for ending in endings}
    lower, higher = bool(endings & (_LOWER | _LOWER_PHRASES)), bool(endings & (_HIGHER | _HIGHER_PHRASES))
    return "lower" if lower else "higher" if higher else None


def known_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """Select the names that mean a metric of assay."""
    return {name: metric for name in names if (metric := known_metric(name)) is not None}


def directions(names: Iterable[str]) -> dict[str, Literal["higher", "lower"]]:
    """Select the names that tell which direction is better."""
    return {name: better for name in names if (better := better_by_name(name)) is not None}


def is_unbounded(name: str) -> bool:
    """True of losses, distances and the like, which may be of any size."""
    return bool(_UNBOUNDED & set(words(name)))


def score_order(name: str) -> tuple[int, bool]:
    """Place of a score among others: of test data first, then of validation; losses after the others."""
    parts = set(words(name))
    rank = 0 if parts & _PARTS else 1 if parts & _VALIDATION else 2 if parts & _TRAINING else 0
    return rank, bool({"loss", "losses"} & parts)


def is_no_score(name: str) -> bool:
    """True of settings, ids, times and system metrics that stand beside the scores."""
    if name.startswith(("_", "system/", "system.", "tags.", "factor:")) or plain(name) in _HOUSEKEEPING:
        return True
    parts = words(name)
    if known_metric(name) is not None:
        return False
    if "_".join(parts) in _SETTINGS or {"lr", "latency"} & set(parts[-1:]):
        return True
    if len(parts) > 1 and parts[-1] in _UNITS:
        return better_by_name(" ".join(parts[:-1])) is None or "latency" in parts
    if better_by_name(name) is not None:
        return False
    return bool(
        is_step(name)
        or _BOOKKEEPING & set(parts)
        or set(parts[:1]) & {"n", "num"}
        or set(parts) <= _UNITS
        or tuple(parts[-2:]) == ("learning", "rate")
    )


# Rows and columns of statistics ---------------------------------------------------------------------


def is_mean(name: str) -> bool:
    """True of ``Mean``, ``avg.``, ``Mean ± std (5 seeds)``, ``total``: they sum up others."""
    parts = words(name) or ["mean" for sign in "±øμσ" if sign in name.lower()]
    statistic = _MEANS | _SPREAD_WORDS | _TOTALS
    spelled = {"standard", "deviation"} <= set(parts)
    known = all(word in statistic or word in _BESIDE_MEANS or word.isdigit() for word in parts)
    percentile = re.fullmatch(r"\d+\s*%|p[ -]?values?", name.strip().lower()) is not None
    return percentile or (bool(parts) and known and (spelled or any(word in statistic for word in parts)))


def is_surely_mean(name: str) -> bool:
    """True of ``overall`` and ``Mean ± std``: unlike ``mean`` and ``all data``, no method is called so."""
    parts = set(words(name))
    return is_mean(name) and bool(
        parts & (_SURE_TOTALS | _SPREAD_WORDS) or (parts & _MEANS and parts & _BESIDE_MEANS)
    )


def may_be_cell(name: str) -> bool:
    """True of ``max``, ``best`` and ``all data``, which a method may be called too."""
    parts = set(words(name))
    return is_mean(name) and parts <= _BESIDE_MEANS | _TOTALS - _SURE_TOTALS - {"count", "rank", "ranks"}


def is_spread(name: str) -> bool:
    """True of ``std`` and ``AP_std``: a spread, which is no score."""
    parts = words(name)
    return bool(parts) and (parts[-1] in _SPREAD_WORDS or parts[0] in _SPREAD_WORDS)


def stem_of_statistic(name: str) -> tuple[str, Literal["mean", "spread", "total"]] | None:
    """``base_mean`` as ``base`` and mean: what a statistic is of, and its kind; None for any other name."""
    behind = re.fullmatch(r"(.+?)[\s_./:(\[-]+([^\W_]+)[)\].]*", name)
    if behind is not None and (kind := _kind(behind[2])) is not None:
        return behind[1].strip(), kind
    before = re.fullmatch(r"([^\W_]+)[\s_./:(-]+(?:of[\s_]+)?(.+?)\)?", name)
    if before is not None and (kind := _kind(before[1])) is not None:
        return before[2].strip(), kind
    return None


def _kind(word: str) -> Literal["mean", "spread", "total"] | None:
    word = word.lower()
    if word in _MEANS:
        return "mean"
    if word in _SPREAD_WORDS:
        return "spread"
    return "total" if word in _TOTALS else None


def is_difference(name: str) -> bool:
    """True of ``diff`` and ``Δ``: what two cells differ by."""
    parts = words(name)
    return bool(parts) and bool(_DIFFERENCES & set(parts))


def is_step(name: str) -> bool:
    """True of ``epoch``, ``trainer/global_step``, ``_step``: how far a training was, no seed and no score."""
    parts = words(name)
    while len(parts) > 1 and parts[-1] in ("num", "number", "no", "nr", "idx", "index", "id", "count"):
        parts = parts[:-1]
    return bool(parts) and (parts[-1] in _STEPS or bool(_STEPS_ANYWHERE & set(parts)))


# Statuses -----------------------------------------------------------------------------------------


def status_kind(status: str) -> Literal["finished", "diverged", "lost"] | None:
    """The meaning of a run's status; None where it is not known."""
    word = plain(status)
    if word in _FINISHED:
        return "finished"
    if word == "diverged":
        return "diverged"
    return "lost" if word in _LOST | _UNFINISHED else None


def known_statuses() -> str:
    """The statuses that are known, for messages."""
    return (
        f"{', '.join(sorted(_FINISHED))} count as finished, diverged as diverged, and failed, crashed, "
        "killed, timeout, running and the like as without a result"
    )
