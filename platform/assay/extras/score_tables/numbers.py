"""Numbers in tables of scores, as people and programs write them: ``0.912``, ``91,2 %``, ``1 012``, ``−3``.

They are read for all values of a score together: ``1,012`` may be a thousand and twelve or a little more
than one, and ``0.9`` beside ``91 %`` a share or nine tenths of a percent. The other values of the score tell,
or what the score is: a count is whole. Where they do not, the text is refused with both readings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from assay.analysis.scores.score_table import refuse_impossible
from assay.extras.score_tables.names import better_by_name, is_unbounded
from trainables.errors import InputError
from trainables.evaluation.metrics import Metric
from trainables.evaluation.metrics.base import ROUNDING

__all__ = [
    "NO_VALUE",
    "Entry",
    "has_comma_decimals",
    "is_number",
    "plain_number",
    "read_numbers",
    "rough_number",
]

NO_VALUE = {"", "-", "–", "—", "na", "n/a", "null", "none", "<na>"}
_SPREADS = ("±", "+-", "+/-", "(")  # between a mean and what follows it

# Signs that mean the same as ASCII's: full-width digits and marks, the minus sign, spaces that do not break.
_SIGNS = str.maketrans(
    "０１２３４５６７８９．，－＋％ｅＥ\N{MINUS SIGN}"
    "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}’",
    "0123456789.,-+%eE-   '",
)
_POINT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_COMMA_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_POINT_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")
_OTHER_GROUPS = re.compile(r"[-+]?[1-9]\d{0,2}([ ']\d{3})+([.,]\d+)?")
_NOT_FINITE = re.compile(r"([-+]?)(nan|inf|infinity)\s*(\([^()]*[a-z][^()]*\))?", re.IGNORECASE)
# Texts whose marks can be read in one way alone, and so tell how the score is written.
_SURE_POINT = re.compile(r"[-+]?[1-9]\d{0,2}((,\d{3}){2,}|(,\d{3})+\.\d*)")
_SURE_COMMA = re.compile(r"[-+]?[1-9]\d{0,2}((\.\d{3}){2,}|(\.\d{3})+,\d+)")


class Entry(NamedTuple):
    """A text of a table, and where it stands."""

    text: str
    title: str  # of its column
    line: int


@dataclass(frozen=True)
class _Readings:
    """The numbers that a text may be: with a decimal point, and with a decimal comma."""

    point: float | None
    comma: float | None
    percent: bool = False

    @property
    def exists(self) -> bool:
        return self.point is not None or self.comma is not None

    @property
    def is_open(self) -> bool:
        both = self.point is not None and self.comma is not None
        return both and self.point != self.comma and not math.isnan(self.point or 0.0)


def plain_number(text: str) -> float | None:
    """The number that a program wrote: ``0.91``, ``−3``, ``1e-3``, ``nan``; None for any other text."""
    plain = text.translate(_SIGNS).strip()
    return float(plain) if _POINT.fullmatch(plain) else _not_finite(plain)


def rough_number(text: str) -> float | None:
    """The number that a text most likely is, without its sign of percent: enough to know a mean by."""
    reading = _readings(text)
    return reading.comma if reading.point is None else reading.point


def is_number(text: str) -> bool:
    """True where a text is a number in some way of writing them."""
    return _readings(text).exists


def has_comma_decimals(texts: Iterable[str]) -> bool:
    """True where numbers have decimal commas, ``0,95``, and none has a decimal point."""
    commas = points = False
    for text in texts:
        plain = _body(text)[0]
        commas = commas or (_COMMA.fullmatch(plain) is not None and _COMMA_GROUPS.fullmatch(plain) is None)
        points = points or (_POINT.fullmatch(plain) is not None and "." in plain)
    return commas and not points


def read_numbers(
    entries: Sequence[Entry], metric: Metric | None, score: str, file: str, *, comma_file: bool
) -> tuple[list[float | None], str | None]:
    """Read the values of a score, None where there is none, and say what was taken for granted.

    Args:
        entries: All its values.
        metric: The metric of assay that it is; None for any other.
        score: Its name.
        file: For messages.
        comma_file: Whether the numbers of the file have decimal commas.

    Raises:
        InputError: If a text is no number or may be two, or a value is out of the range of the metric.
    """
    readings = [_readings(entry.text) for entry in entries]
    for entry, reading in zip(entries, readings, strict=True):
        if not reading.exists and entry.text.lower() not in NO_VALUE:
            raise _not_a_number(entry, file)
    counts = metric is not None and metric.unit in ("images", "parts")
    values = _by_decimal_mark(entries, readings, file, counts=counts, comma_file=comma_file)
    values, note = _as_shares(entries, values, readings, metric=metric, score=score, file=file)

    # What was read is held against the range of the metric: a number that cannot be shows a wrong reading.
    for entry, value in zip(entries, values, strict=True):
        if value is None or not math.isfinite(value):
            continue
        place = f"found {entry.text!r} for {entry.title} in line {entry.line} of {file}"
        if counts and not value.is_integer():
            both = " or ".join(dict.fromkeys(_written(each) for each in _both(_readings(entry.text), value)))
            raise InputError(
                f"{score} counts {metric.unit if metric is not None else ''} and is a whole number, {place}, "
                f"which is {both}. Write the count without any mark."
            )
        refuse_impossible(value, metric, score, place)
    return values, note


def _by_decimal_mark(
    entries: Sequence[Entry], readings: Sequence[_Readings], file: str, *, counts: bool, comma_file: bool
) -> list[float | None]:
    """The value of each text, a comma or a point between its digits read as the others say.

    A text such as ``1,012`` is open. It has the decimal comma where other values have, as ``0,98``. The comma
    parts thousands where it surely does elsewhere in the score, as in ``1,012.5``, or where the score counts
    something. A point is the decimal mark, as programs write it, unless some value has a decimal comma, or
    whole hundreds stand beside values that all have three digits behind their points.
    """
    plain = [_body(entry.text)[0] for entry in entries]
    sure_point = any(map(_SURE_POINT.fullmatch, plain))
    sure_comma = any(map(_SURE_COMMA.fullmatch, plain))
    decimal_point = any(
        "." in text and r.point is not None and r.comma is None
        for text, r in zip(plain, readings, strict=True)
    )
    decimal_comma = any(
        "," in text and r.comma is not None and r.point is None
        for text, r in zip(plain, readings, strict=True)
    )
    open_commas = any("," in text and r.is_open for text, r in zip(plain, readings, strict=True))

    hundreds = any(re.fullmatch(r"[-+]?[1-9]\d{2}", text) for text in plain)

    values: list[float | None] = []
    for entry, text, reading in zip(entries, plain, readings, strict=True):
        value = reading.comma if reading.point is None else reading.point
        if reading.is_open and "," in text:
            if (decimal_comma or sure_comma or comma_file) and not (decimal_point or sure_point or counts):
                value = reading.comma
            elif (decimal_comma or sure_comma or comma_file) or not (sure_point or counts):
                raise _open(entry, reading, file)
        elif reading.is_open:
            if sure_comma and not (decimal_point or sure_point):
                value = reading.comma
            elif (
                decimal_comma
                or sure_comma
                or open_commas
                or comma_file
                or (hundreds and not (decimal_point or counts))
            ):
                raise _open(entry, reading, file)
        values.append(value)
    return values


def _as_shares(
    entries: Sequence[Entry],
    values: Sequence[float | None],
    readings: Sequence[_Readings],
    *,
    metric: Metric | None,
    score: str,
    file: str,
) -> tuple[list[float | None], str | None]:
    """The values with those in percent as shares, and a note where no sign says that they are in percent."""
    rows = [i for i, value in enumerate(values) if value is not None and math.isfinite(value) and value != 0]
    signed = [i for i in rows if readings[i].percent]
    bare = [i for i in rows if not readings[i].percent]
    sizes = [abs(value or 0.0) for value in values]
    shares = [
        value / 100 if value is not None and reading.percent else value
        for value, reading in zip(values, readings, strict=True)
    ]

    # With and without the sign: shares, if they are of one size then, and are not if both are in percent.
    if signed and bare:
        together = _ratio([*(sizes[i] / 100 for i in signed), *(sizes[i] for i in bare)])
        alike = _ratio([*(sizes[i] for i in signed), *(sizes[i] for i in bare)])
        if not (together <= 10 < alike):
            raise _unclear(
                entries[bare[0]],
                file,
                _written(sizes[bare[0]]),
                f"{_written(sizes[bare[0]])} % as others are",
            )
        return shares, None
    if signed or not bare or (metric is not None and metric.unit != "share"):
        return shares, None

    # Without any sign: all are shares, or all are in percent, or nobody knows.
    low = [i for i in bare if sizes[i] <= 1 + ROUNDING]
    high = [i for i in bare if i not in set(low)]
    within = all((values[i] or 0.0) > 0 and sizes[i] <= 100 for i in bare)
    if metric is not None:
        if high and low and within:
            raise _unclear(entries[low[0]], file, "a share", "in percent, as " + repr(entries[high[0]].text))
        if high and within:
            return [None if value is None else value / 100 for value in values], (
                f"Taken for granted: {score}, a share from 0 to 1, is written in percent (found "
                f"{entries[high[0]].text})."
            )
    elif high and low and within and not is_unbounded(score):
        least, most = min(sizes[i] for i in low), max(sizes[i] for i in low)
        alike = all(least / 2 <= sizes[i] / 100 <= 2 * most for i in high)
        if alike or better_by_name(score) == "higher":
            raise _unclear(
                entries[low[0]],
                file,
                f"of the size of {entries[high[0]].text}",
                f"a share, while {entries[high[0]].text} is in percent",
            )
    return shares, None


def _body(text: str) -> tuple[str, bool]:
    """A text without the sign of percent, and whether it had one."""
    plain = text.translate(_SIGNS).strip()
    return (plain[:-1].rstrip(), True) if plain.endswith("%") else (plain, False)


def _readings(text: str) -> _Readings:
    plain, percent = _body(text)
    other = _not_finite(plain)
    if other is not None:
        return _Readings(None, None) if percent else _Readings(other, other)

    # A text that may be two numbers keeps both readings; the other values decide.
    point = comma = None
    if _POINT.fullmatch(plain):
        point = float(plain)
        comma = point if "." not in plain else None
    elif _COMMA_GROUPS.fullmatch(plain):
        point = float(plain.replace(",", ""))
    if _POINT_GROUPS.fullmatch(plain):
        comma = float(plain.replace(".", "").replace(",", "."))
    elif _COMMA.fullmatch(plain):
        comma = float(plain.replace(",", "."))
    if _OTHER_GROUPS.fullmatch(plain):
        whole = re.sub(r"[ ']", "", plain)
        point = None if "," in whole else float(whole)
        comma = None if "." in whole else float(whole.replace(",", "."))
    return _Readings(point, comma, percent)


def _not_finite(plain: str) -> float | None:
    """``nan`` and ``inf``, also with a word in brackets behind it; ``diverged`` is no number either."""
    if plain.lower() == "diverged":
        return math.nan
    match = _NOT_FINITE.fullmatch(plain)
    return None if match is None else float(f"{match[1]}{match[2]}")


def _both(reading: _Readings, value: float) -> list[float]:
    scale = 100 if reading.percent else 1
    return [each / scale for each in (reading.point, reading.comma) if each is not None] or [value]


def _ratio(sizes: Sequence[float]) -> float:
    return max(sizes) / min(sizes)


def _written(value: float) -> str:
    return f"{value:.15g}"


def _open(entry: Entry, reading: _Readings, file: str) -> InputError:
    first, second = sorted(_both(reading, math.nan))
    return _unclear(entry, file, _written(first), _written(second))


def _unclear(entry: Entry, file: str, first: str, second: str) -> InputError:
    return InputError(
        f"a score is read in one way, found {entry.text!r} for {entry.title} in line {entry.line} of {file}, "
        f"which is {first} or {second}. Write all its values alike: with a decimal point, without marks "
        "between thousands, and as shares or all with %."
    )


def _not_a_number(entry: Entry, file: str) -> InputError:
    """The refusal of a text that stands where a score should."""
    way_out = (
        "Give each repeat a row: means with a spread cannot be tested."
        if any(sign in entry.text for sign in _SPREADS)
        else "Mend it, leave it empty where there is none, or name the scores: --score COLUMN."
    )
    return InputError(
        f"a score is the number of one repeat, found {entry.text!r} for {entry.title} in line {entry.line} "
        f"of {file}. {way_out}"
    )
