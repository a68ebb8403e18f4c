"""The acceptance sheet of a trained model: what an engineer reads and signs before a line uses it.

A sheet is a document (:class:`AcceptanceSheet`, JSON), Markdown, or HTML that prints on two pages. Rates are
counted in parts: a part with several photos is decided defective where one of them is. Each rate stands with
its count and its exact 95 % interval (Clopper and Pearson).
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Literal

import cv2
from pydantic import BaseModel, ConfigDict
from scipy import stats

from assay.analysis.names import variant_name
from assay.analysis.predictions import exact_interval
from assay.analysis.results.results import StudyResults
from assay.report.masks.sheets import decision_picture
from assay.report.page.inline import visible
from assay.statistics.wording import number_text
from assay.storage.predictions import image_scores_of
from assay.storage.record import Record, Result
from assay.storage.store import Store
from assay.study.names import counted
from assay.study.planning.repeats import repeat_name
from trainables.data.threshold import FalseAlarms
from trainables.errors import InputError
from trainables.evaluation.operating_point import exact_limit, rate_text

__all__ = ["AcceptanceSheet", "acceptance_sheet", "kept_pictures", "sheet_bytes"]

_NEAREST = 6  # parts on each side of the threshold
_PICTURES = 12
_LISTED = 40  # names of a kind of mistake; the document has all
_REFUTED = 0.05
_RATES = "Wrong decisions on the test"


class Rate(BaseModel):
    """Wrong decisions on parts of one kind, with the exact 95 % interval and upper limit of their share."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    of: str  # `good parts`, `scratch`
    wrong: int
    parts: int
    low: float
    high: float
    limit: float  # of the share, exceeded with a chance of 5 %


class DecidedPart(BaseModel):
    """A test part, and how far its score lies above the threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str  # of the part, or of its only image
    images: tuple[str, ...]
    defective: bool
    defect_class: str | None
    score: float
    above: float


class PromiseCheck(BaseModel):
    """Whether the test agrees with what the threshold promises: one exact binomial test."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    promise: str
    wrong: int  # test parts of the promised kind
    parts: int
    p: float  # chance of so many or more where the rate is the promised one
    agrees: bool


class AcceptanceSheet(BaseModel):
    """What is known of one model at its threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    study: str
    question: str | None
    trial: str
    variant: str
    repeat: str
    method: str
    data: str
    training: str
    weights: str
    threshold: float
    threshold_source: str
    promise: PromiseCheck | None
    false_alarms: Rate
    escapes: Rate
    by_class: tuple[Rate, ...]
    by_size: tuple[Rate, ...]  # of defects: regions of the test masks that no pixel of the map reaches
    escaped: tuple[DecidedPart, ...]
    alarms: tuple[DecidedPart, ...]
    nearest: tuple[DecidedPart, ...]
    looked_at: str


def acceptance_sheet(results: StudyResults, store: Store, record: Record) -> AcceptanceSheet:
    """The sheet of a trial.

    Args:
        results: Its study.
        store: Where its predictions lie.
        record: Of the trial.

    Raises:
        InputError: If it has no predictions of test images.
    """
    result = record.result
    images = image_scores_of(record, store.read_part)
    table = store.read_part(record, "predictions.parquet") if images is not None else None
    if result is None or result.thresholds is None or images is None or table is None:
        raise InputError(
            f"an acceptance sheet needs a finished trial with its predictions, found {record.id}: "
            f"{record.status}. Name another trial; `assay plan {results.name}` lists them."
        )
    parts = _parts(table.to_pylist(), result.thresholds.image)
    good, bad = ([part for part in parts if part.defective is kind] for kind in (False, True))
    trial = record.trial
    false_alarms, escapes = _rate("good parts", good), _rate("defective parts", bad)
    right = sorted((part for part in parts if not _is_wrong(part)), key=lambda part: abs(part.above))
    classes = sorted({part.defect_class for part in bad if part.defect_class is not None})
    return AcceptanceSheet(
        study=results.name,
        question=results.plan.study.question,
        trial=record.id,
        variant=variant_name(results, trial["cell"]),
        repeat=repeat_name(trial["seed"], trial["fold"]),
        method=trial["trainable"],
        data=_data_text(trial["data"]),
        training=_training_text(result, len(parts)),
        weights=result.weights_hash,
        threshold=result.thresholds.image,
        threshold_source=result.thresholds.image_source,
        promise=_check(result, false_alarms, escapes),
        false_alarms=false_alarms,
        escapes=escapes,
        by_class=tuple(_rate(name, [part for part in bad if part.defect_class == name]) for name in classes),
        by_size=tuple(
            _interval(
                f"{score.name} defects (up to {score.largest} pixels)",
                score.regions - score.detected,
                score.regions,
            )
            for score in result.defects
            if score.of == "size" and score.regions
        ),
        escaped=tuple(sorted(filter(_is_wrong, bad), key=lambda part: part.score)),
        alarms=tuple(sorted(filter(_is_wrong, good), key=lambda part: -part.score)),
        nearest=tuple(
            part for kind in (True, False) for part in [p for p in right if p.defective is kind][:_NEAREST]
        ),
        looked_at=_looked_at(results),
    )


def _parts(rows: list[dict[str, Any]], threshold: float) -> list[DecidedPart]:
    """Test parts by their highest view; a part is defective where one of its photos shows a defect."""
    views: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        views.setdefault(row["item"] or row["sample"], []).append(row)
    parts: list[DecidedPart] = []
    for item, of_part in views.items():
        score = max(row["score"] for row in of_part)
        classes = [row["defect_class"] for row in of_part if row["label"]]
        parts.append(
            DecidedPart(
                name=of_part[0]["sample"] if len(of_part) == 1 else f"{item} ({len(of_part)} photos)",
                images=tuple(row["sample"] for row in of_part),
                defective=any(row["label"] for row in of_part),
                defect_class=next(filter(None, classes), None),
                score=score,
                above=score - threshold,
            )
        )
    return parts


def _is_wrong(part: DecidedPart) -> bool:
    return (part.above >= 0) != part.defective


def _rate(of: str, parts: list[DecidedPart]) -> Rate:
    return _interval(of, sum(map(_is_wrong, parts)), len(parts))


def _interval(of: str, wrong: int, parts: int) -> Rate:
    low, high = exact_interval(wrong, parts) if parts else (0.0, 1.0)
    limit = exact_limit(wrong, parts)
    return Rate(of=of, wrong=wrong, parts=parts, low=low, high=high, limit=limit)


def _check(result: Result, false_alarms: Rate, escapes: Rate) -> PromiseCheck | None:
    """Whether the test refutes the promise: as many mistakes, or more, would be too rare."""
    promise = result.thresholds.promise if result.thresholds is not None else None
    if promise is None:
        return None
    alarms = isinstance(promise.rule, FalseAlarms)
    limit = promise.rule.false_alarms if isinstance(promise.rule, FalseAlarms) else promise.rule.escapes
    rate = false_alarms if alarms else escapes
    p = 1.0
    if rate.parts:
        p = float(stats.binomtest(rate.wrong, rate.parts, limit, alternative="greater").pvalue)
    return PromiseCheck(promise=str(promise), wrong=rate.wrong, parts=rate.parts, p=p, agrees=p >= _REFUTED)


def _training_text(result: Result, parts: int) -> str:
    """What the images of each part of the data were for."""
    texts = [
        f"{counted(result.n_train, 'image')} ({result.n_positives} defective, "
        f"{counted(result.n_masks, 'mask')})"
    ]
    if result.n_validation:
        texts.append(f"{counted(result.n_validation, 'image')} for choices (validation)")
    if result.n_calibration:
        texts.append(f"{counted(result.n_calibration, 'image')} for the threshold alone (calibration)")
    views = f"of {counted(parts, 'part')}" if parts < result.n_test else "each taken for a part"
    texts.append(f"{counted(result.n_test, 'image')}, {views}, for this test alone")
    return "; ".join(texts)


def _data_text(data: Mapping[str, Any]) -> str:
    classes = data.get("classes")
    return data["reader"] + (f", {', '.join(classes)}" if classes else "")


def _looked_at(results: StudyResults) -> str:
    models = len(results.trained)
    cells = len({trial.cell for trial, _, _ in results.trained})
    verb = "was" if models == 1 else "were"
    return (
        f"{counted(models, 'model')} of {counted(cells, 'variant')} of this study {verb} tested on "
        "test images of these data. If this one was chosen for its rates on them, those rates are too "
        "good. A promise holds for each model by itself."
    )


def kept_pictures(store: Store, record: Record) -> dict[str, bytes]:
    """JPEGs of the test images that the trial kept: the decision filled, the true defect outlined."""
    table = store.read_part(record, "maps.parquet")
    pictures: dict[str, bytes] = {}
    for row in [] if table is None else table.to_pylist():
        written, data = cv2.imencode(".jpg", decision_picture(row))
        assert written, "a picture is a uint8 array"
        pictures[row["sample"]] = data.tobytes()
    return pictures


# How it is written ---------------------------------------------------------------------------------------


def sheet_bytes(sheet: AcceptanceSheet, pictures: Mapping[str, bytes], suffix: str) -> bytes:
    """The sheet as a file.

    Args:
        sheet: What it says.
        pictures: JPEGs of test images by name, with the decision and the truth; those of HTML.
        suffix: ``.html``, ``.json``, else Markdown.
    """
    if suffix == ".json":
        return f"{sheet.model_dump_json(indent=2)}\n".encode()
    return (_html(sheet, pictures) if suffix == ".html" else _markdown(sheet)).encode()


def _rate_text(rate: Rate) -> str:
    """``2 of 171 (at most 3.7 %): 1.2 % seen, 95 % interval 0.1 to 4.2 %``."""
    if not rate.parts:
        return "not known: the test has none"
    share, low, high = (100 * value for value in (rate.wrong / rate.parts, rate.low, rate.high))
    return f"{rate_text(rate.wrong, rate.parts)}: {share:.1f} % seen, 95 % interval {low:.1f} to {high:.1f} %"


def _facts(sheet: AcceptanceSheet) -> list[tuple[str, str]]:
    return [
        ("Model", f"trial {sheet.trial}, as the model's README names it: {sheet.variant}, {sheet.repeat}"),
        ("Method", sheet.method),
        ("Weights", f"sha256 {sheet.weights[:16]}…"),
        ("Data", sheet.data),
        ("Trained on", sheet.training),
        (
            "Threshold",
            f"{number_text(sheet.threshold, 6)}: a part whose score reaches it is decided defective",
        ),
        ("Chosen by", _source_text(sheet.threshold_source)),
        ("Promise", _promise_text(sheet.promise)),
        ("Models tested", sheet.looked_at),
    ]


def _source_text(source: str) -> str:
    """``calibration images, by the rule: at most 1 % false alarms, 95 % sure``."""
    if source.startswith("fixed"):
        return f"no image ({source})"
    part, colon, rule = source.partition(": ")
    if colon:
        return f"{part} images, by the rule: {rule}"
    return f"{source.removesuffix(' F1')} images, by the best balance of false alarms and escapes (F1)"


def _promise_text(check: PromiseCheck | None) -> str:
    if check is None:
        return "none: the threshold promises nothing on new parts"
    if not check.parts:
        return f"{check.promise}. The test has no such part, and cannot say whether it holds"
    says = "does not contradict it" if check.agrees else "CONTRADICTS it"
    chance = "fewer than 0.1 %" if check.p < 0.001 else f"{number_text(100 * check.p, 2)} %"
    return (
        f"{check.promise}. The test {says}: {check.wrong} of {check.parts} wrong. At the promised rate "
        f"{chance} of tests would show so many or more (exact binomial test; below 5 % contradicts)"
    )


def _rates(sheet: AcceptanceSheet) -> list[tuple[str, str]]:
    return [
        ("False alarms: good parts decided defective", _rate_text(sheet.false_alarms)),
        ("Escapes: defective parts decided good", _rate_text(sheet.escapes)),
        # With one class its row would be that of all escapes.
        *((f"Escapes, {rate.of}", _rate_text(rate)) for rate in sheet.by_class if len(sheet.by_class) > 1),
        *((f"No pixel marked, {rate.of}", _rate_text(rate)) for rate in sheet.by_size),
    ]


def _explanations(sheet: AcceptanceSheet) -> list[str]:
    """What a reader must know who has no other page at hand."""
    texts = [
        "A part counts once, by the highest score of its photos. Scores run from 0 (good) to 1 (defective).",
        "At most: the true rate lies above it in 5 % of such tests (exact, Clopper and Pearson). The "
        "interval leaves 2.5 % on either side, and so ends higher.",
    ]
    if sheet.promise is not None:
        texts.append("Sure: the share of thresholds chosen in this way that keep what they promise.")
    if sheet.by_size:
        texts.append(
            "No pixel marked: defects whose place the model shows nowhere, whatever it decided on the part; "
            "one that several photos show counts in each. Small, medium and large are thirds of this test's "
            "defects by area."
        )
    texts.append("All of this holds for parts like those of the test: the same product, camera and light.")
    return texts


def _lists(sheet: AcceptanceSheet) -> Iterator[tuple[str, list[str]]]:
    for title, parts in (
        ("All escapes, the lowest score first", sheet.escaped),
        ("All false alarms, the highest score first", sheet.alarms),
        ("Decided rightly, nearest to the threshold", sheet.nearest),
    ):
        lines: list[str] = []
        for part in parts[:_LISTED]:
            kind = part.defect_class or ("defective" if part.defective else "good")
            lines.append(f"{part.name}: score {number_text(part.score, 4)}, {kind}")
        if len(parts) > _LISTED:
            lines.append(f"and {len(parts) - _LISTED} more, which the JSON document lists")
        yield title, lines or ["none"]


def _markdown(sheet: AcceptanceSheet) -> str:
    def table(rows: list[tuple[str, str]], head: tuple[str, str]) -> list[str]:
        cells = [tuple(visible(text).replace("|", "\\|") for text in row) for row in [head, *rows]]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        return [lines[0], "|---|---|", *lines[1:]]

    parts = [f"# Acceptance sheet: {visible(sheet.study)}", ""]
    if sheet.question:
        parts += [visible(sheet.question), ""]
    parts += [
        *table(_facts(sheet), ("what", "value")),
        "",
        f"## {_RATES}",
        "",
        *table(_rates(sheet), ("decision", "wrong")),
        "",
        " ".join(_explanations(sheet)),
        "",
    ]
    for title, lines in _lists(sheet):
        parts += [f"## {title}", "", *(f"- {visible(line)}" for line in lines), ""]
    return "\n".join([*parts, "Accepted: name, date, signature"]) + "\n"


def _html(sheet: AcceptanceSheet, pictures: Mapping[str, bytes]) -> str:
    """One file that needs nothing else; printed it takes two pages."""

    style = files("assay.report.page").joinpath("sheet.css").read_text(encoding="utf-8")
    contradicted = sheet.promise is not None and not sheet.promise.agrees

    def text(value: str) -> str:
        return html.escape(visible(value))

    def table(rows: list[tuple[str, str]], kind: str) -> str:
        lines: list[str] = []
        for name, value in rows:
            against = ' class="against"' if contradicted and name == "Promise" else ""
            lines.append(f"<tr><th>{text(name)}</th><td{against}>{text(value)}</td></tr>")
        return f'<table class="{kind}"><tbody>{"".join(lines)}</tbody></table>'

    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Acceptance sheet: {text(sheet.study)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
        f"<h1>Acceptance sheet: {text(sheet.study)}</h1>",
        *([f"<p>{text(sheet.question)}</p>"] if sheet.question else []),
        table(_facts(sheet), "facts"),
        f"<h2>{_RATES}</h2>",
        table(_rates(sheet), "rates"),
        f'<p class="read">{text(" ".join(_explanations(sheet)))}</p>',
    ]
    for title, lines in _lists(sheet):
        listed = "".join(f"<li>{text(line)}</li>" for line in lines)
        parts += [f"<h2>{text(title)}</h2>", f"<ul>{listed}</ul>"]
    mistakes = (*sheet.escaped, *sheet.alarms)
    if mistakes:
        kept = [part for part in mistakes if not pictures.keys().isdisjoint(part.images)]
        named = [name for part in kept for name in part.images if name in pictures]
        parts.append("<h2>Mistakes as pictures: the decision filled, the true defect outlined</h2>")
        if len(kept) < len(mistakes):
            parts.append(
                f"<p>Of {len(kept)} of the {len(mistakes)} parts decided wrongly: the trial kept no picture "
                "of the others.</p>"
            )
        if len(named) > _PICTURES:
            parts.append(
                f"<p>The first {_PICTURES} of {len(named)} pictures, escapes before false alarms.</p>"
            )
        figures = [
            f'<figure><img alt="{text(name)}" src="data:image/jpeg;base64,'
            f'{base64.b64encode(pictures[name]).decode()}"><figcaption>{text(name)}</figcaption></figure>'
            for name in named[:_PICTURES]
        ]
        parts.append(f'<div class="pictures">{"".join(figures)}</div>')
    parts.append('<div class="signed"><div>accepted by</div><div>date</div><div>signature</div></div>')
    return "\n".join([*parts, "</body>\n</html>"]) + "\n"
