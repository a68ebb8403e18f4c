"""Words of factors and levels: short plain texts, which are no part of the question."""

from __future__ import annotations

import json

import pytest

from assay.study import Study, parse_study, plan_study
from assay.study.file.from_objects import as_study
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from trainables.errors import InputError

_OFF, _ON = "{config: {gradient_stop: false}}", "{config: {gradient_stop: true}}"


def _study(stop: str, rest: str = "") -> Study:
    return parse_study(
        "study: words\ntrainable: segdec\ndata: {reader: synthetic}\nconfig: {preset: dagm}\n"
        f"factors:\n  stop: {stop}\n{rest}design: {{full: all}}\n"
    )


_SAID = f"{{says: gradient stop, off: {{says: without stop, {_OFF[1:]}, on: {_ON}}}"
_UNSAID = f"{{off: {_OFF}, on: {_ON}}}"


def test_words_are_read_beside_levels() -> None:
    factor = _study(_SAID).factors["stop"]
    assert (factor.says, list(factor), factor["off"].says, factor["on"].says) == (
        "gradient stop",
        ["off", "on"],
        "without stop",
        None,
    )


def test_words_change_neither_the_question_nor_a_trial() -> None:
    said, unsaid = (plan_study(_study(stop), None, "cpu") for stop in (_SAID, _UNSAID))
    assert said.study.content_hash == unsaid.study.content_hash
    assert [trial.id for trial in said.trials] == [trial.id for trial in unsaid.trials]
    assert [cell.name for cell in said.cells] == [cell.name for cell in unsaid.cells]


def test_words_stay_in_the_stored_plan() -> None:
    plan = plan_study(_study(_SAID), None, "cpu")
    assert plan_of_table(table_of_plan(plan)).study.factors == plan.study.factors


def test_words_survive_json_and_objects() -> None:
    study = _study(_SAID)
    assert Study.model_validate(study.model_dump()) == study
    assert Study.model_validate_json(json.dumps(study.model_dump(mode="json", exclude_unset=True))) == study
    renamed = study.model_copy(update={"factors": _study(_UNSAID).factors})
    assert renamed != study
    assert as_study(renamed).factors["stop"].says is None


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("''", "found none: leave `says` out"),
        ("'  '", "found none: leave `says` out"),
        ("5", "should be text, found 5"),
        ("[a]", "should be text"),
        (f"'{'x' * 500}'", "60 signs at most, found 500"),
        ("'two\\nlines'", "found \\"),
        ('"two\\nlines"', "found U+000A"),
        ('"right\\u202eto left"', "found U+202E"),
        ("'<script>'", "found <"),
        ("'a | b'", "found |"),
        ("'a *b*'", "found *"),
        ("'a_b'", "found _"),
        ("'`a`'", "found `"),
        ("'[a](b)'", "found ["),
        ("'$x^2$'", "found $"),
        ("'\\textbf'", "found \\"),
        ("'a & b'", "found &"),
        ("'50 # b'", "found #"),
        ("'see https://a.b'", "found :"),
        ("'see www.a.b'", "found ."),
        ("'1. first'", "found ."),
        ("'1) first'", "brackets in pairs"),
        ("'- first'", "start with a letter or digit"),
        ("' first'", "spaces at an end"),
    ],
)
@pytest.mark.parametrize("place", ["factor", "level"])
def test_words_that_pages_could_misread_are_refused(words: str, rule: str, place: str) -> None:
    says = f"says: {words}"
    stop = f"{{{says}, on: {_ON}}}" if place == "factor" else f"{{on: {{{says}}}}}"
    with pytest.raises(InputError) as error:
        _study(stop)
    message = str(error.value)
    assert rule in message
    assert f"factors.stop.{'says' if place == 'factor' else 'on.says'}" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    ["lr 0.01", "5 masks (of 39)", "λ falls from 1 to 0", "Gewicht für Ränder", "7×7 px, 50 %"],
)
def test_words_may_have_numbers_and_letters_of_any_language(words: str) -> None:
    assert _study(f"{{says: '{words}', on: {_ON}}}").factors["stop"].says == words


@pytest.mark.parametrize(
    ("stop", "rest", "message"),
    [
        (
            "{off: {says: Stop, config: {gradient_stop: false}}, on: {says: stop}}",
            "",
            "two levels of a factor do not have the same words, found twice: stop",
        ),
        (
            "{says: stop, on: {}}",
            "  other: {says: Stop, on: {}}\n",
            "two factors do not have the same words, found `Stop` of stop too",
        ),
        ("{says: stop}", "", "a factor has at least one level"),
    ],
)
def test_words_tell_apart(stop: str, rest: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _study(stop, rest)


def test_a_row_has_no_words() -> None:
    text = (
        "study: words\ntrainable: segdec\ndata: {reader: synthetic}\n"
        f"factors: {{stop: {_UNSAID}}}\n"
        "design: {rows: [{stop: on, override: {says: mine}}]}\n"
    )
    with pytest.raises(InputError, match="a row is named by its levels: leave `says` out"):
        parse_study(text)
