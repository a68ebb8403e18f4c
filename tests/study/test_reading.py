"""Study files: what they mean, and what is said about a mistake."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationInfo, field_validator

from assay.study import Study, parse_study, read_study
from assay.study.file.reading import check_model
from trainables.errors import InputError

HEAD = "study: s\ntrainable: toy\ndata: {reader: synthetic}\n"


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_study(text, "s.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("off", "off"),
        ("on", "on"),
        ("no", "no"),
        ("1e-3", 0.001),
        ("1_000", 1000),
        ("0o17", 15),
        ("0x1f", 31),
        ("true", True),
        ("~", None),
        ("2026-01-01", "2026-01-01"),
        ("012", 12),
        ("'5'", "5"),
    ],
)
def test_scalars_are_read_as_yaml_1_2(written: str, meant: object) -> None:
    value = parse_study(f"{HEAD}config: {{x: {written}}}").config["x"]
    assert value == meant
    assert type(value) is type(meant)


def test_levels_may_look_like_numbers_and_truth_values() -> None:
    study = parse_study(
        HEAD + "factors: {masks: {5: {}, true: {}, off: {}}}\ndesign: {rows: [{masks: [5, true, off]}]}"
    )
    assert study.design is not None
    assert [row.levels for row in study.design.block] == [{"masks": ("5", "true", "off")}]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("repeats: {sedes: [1]}", "s.yaml:4:11: repeats.sedes: unknown key `sedes`; did you mean `seeds`?"),
        ("trainabel: x", "s.yaml:4:1: trainabel: unknown key `trainabel`; did you mean `trainable`?"),
        ("repeats: {seeds: [1, x]}", "s.yaml:4:22: repeats.seeds[1]: should be a whole number, found 'x'"),
        ("repeats: {seeds: [1, 1]}", "s.yaml:4:11: repeats.seeds: each is named once, found twice: 1"),
        ("resources: {gpus: 1.5}", "found 1.5"),
        ("factors: {Big: {on: {}}}", "s.yaml:4:11: factors.Big: a name has 1..64 of the signs a-z 0-9 _ -"),
        ("factors: {a: {on: {confg: {}}}}", "s.yaml:4:20: factors.a.on.confg: unknown key `confg`"),
        (
            "factors: {a: {on: {supervision: mixed}}}",
            "factors.a.on.supervision: a number of masks belongs to",
        ),
        ("factors: {a: {on: {}, off: {}}}", "design: a study with factors says which combinations"),
        ("design: {full: all}", "design: a design combines levels, and the study has no `factors`"),
        ("space: {config.lr: {flot: [1, 2]}}", "s.yaml:4:9: space.config.lr: a parameter is {float:"),
        ("space: {config.lr: {float: [0, 1], log: true}}", "a logarithmic scale starts above 0"),
        ("resolve: -1", "s.yaml:4:1: resolve"),
        ("study: t", "s.yaml:4:1: the key `study` stands twice; first in line 1"),
        ("config: {lr: .nan}", "s.yaml:4:14: numbers are finite, found .nan"),
        ("config: &c {lr: 1}", "s.yaml:4:9: anchors and aliases (`&c`, `*c`) are not read"),
        ("config: {<<: {lr: 1}}", "s.yaml:4:10: merge keys (`<<`) are not read"),
        ("config: !!python/name:os.system {}", "s.yaml:4:9: tags (`!...`) are not read"),
        ("config: {n: 99999999999999999999}", "s.yaml:4:13: a whole number has at most 64 bits"),
        ("config: " + "[" * 40 + "]" * 40, "a study nests at most 32 levels deep"),
        ("config: {lr: 1", "not YAML"),
        ("---\nstudy: b", "a file holds one study"),
        ('question: "\\ud800"', "s.yaml:4:11: the text holds half a surrogate pair"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_way_out(line: str, expected: str) -> None:
    assert expected in message(HEAD + line)


@pytest.mark.parametrize("text", ["", "# nothing\n", "[1]", "study", "5"])
def test_a_file_without_a_mapping_is_told_what_a_study_is(text: str) -> None:
    assert "a study is a mapping that starts like `study: my_name`" in message(text)


def test_all_mistakes_are_named_at_once_in_the_order_of_the_file() -> None:
    lines = message("study: A\nmetrics: {primry: y}\nrepeats: {seeds: [-1]}").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["data", "study", "metrics.primry", "repeats.seeds[0]"]


class Refusing(BaseModel):
    """Refuses every value of ``at``, with the text of ``rule``."""

    rule: str
    at: object

    @field_validator("at")
    @classmethod
    def _refuse(cls, value: object, info: ValidationInfo) -> object:
        raise ValueError(info.data["rule"])


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("a side is odd", 4, "a side is odd, found 4"),
        ("a side is odd", None, "a side is odd, found nothing"),
        ("a side is odd. Add 1.", 4, "a side is odd. Add 1. Found 4."),
        ("names of colours", ["red", "rot"], "names of colours, found ['red', 'rot']"),
        ("a side is odd, found 4 in `a`", 4, "a side is odd, found 4 in `a`"),
        ("a side is odd", "4" * 60, f"a side is odd, found '{'4' * 56}..."),
        ("a side is odd", {"a": 4}, "a side is odd"),
    ],
)
def test_the_refusal_of_a_validator_shows_a_short_value_once(rule: str, value: object, expected: str) -> None:
    checked, problems = check_model(Refusing, {"rule": rule, "at": value})
    assert checked is None
    assert [problem.message for problem in problems] == [expected]


def test_directives_are_refused() -> None:
    assert "directives are not read" in message("%YAML 1.1\n---\n" + HEAD)


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("rows: [{a: off}]", "s.yaml:5:17: design.rows[0]: a cell has a level of every factor; missing: b"),
        ("rows: [{a: of, b: on}]", "design.rows[0].a: unknown level of a `of`; did you mean `off`?"),
        ("rows: [{a: off, b: on, bb: on}]", "design.rows[0].bb: unknown factor `bb`; did you mean `b`?"),
        ("rows: []", "a design has at least one row"),
        ("full: some", "design.full: should be 'all'"),
    ],
)
def test_a_design_names_known_factors_and_levels(design: str, expected: str) -> None:
    factors = "factors: {a: {off: {}, on: {config: {a: 1}}}, b: {off: {}, on: {config: {b: 1}}}}\n"
    assert expected in message(f"{HEAD}{factors}design: {{{design}}}")


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("factor: c", "comparisons[0].factor: unknown factor `c`"),
        ("factor: a, from: low", "comparisons[0].from: unknown level of a `low`"),
        ("factor: a, from: on, to: on", "a comparison has two levels, found `on` twice"),
        ("factor: one", "a comparison needs two levels, `one` has one"),
    ],
)
def test_a_comparison_names_a_known_factor_and_two_levels(comparison: str, expected: str) -> None:
    factors = "factors: {a: {off: {}, on: {config: {a: 1}}}, one: {it: {}}}\ndesign: {full: all}\n"
    assert expected in message(f"{HEAD}{factors}comparisons: [{{{comparison}}}]")


def test_a_file_is_read_with_its_name_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD)
    assert read_study(path).source.text == HEAD
    path.write_text(HEAD + "oops: 1")
    with pytest.raises(InputError, match=r"mine\.yaml:4:1: oops: unknown key"):
        read_study(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"study: \xff", "UTF-8 text, found byte 0xff at 7"),
        (b"#" * 1_000_001, "at most 1,000,000 bytes, found 1,000,001"),
        (None, "a study is a readable YAML file"),
    ],
)
def test_a_file_that_cannot_be_a_study_is_refused(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=expected):
        read_study(path)


KEYS = st.sampled_from(["study", "data", "reader", "factors", "design", "rows", "on", "5", "seeds", "space"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KEYS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
FRAGMENTS = st.lists(
    st.sampled_from([*"{}[]:,-&*!|>%@`'\"#?~ \n\t", "<<", "study: ", "data: ", "a", "1", "\u2028", "\x00"])
)


@given(st.text() | FRAGMENTS.map("".join) | FRAGMENTS.map(lambda parts: HEAD + "".join(parts)))
def test_any_text_is_a_study_or_bad_input(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(parse_study(text), Study)


@given(st.dictionaries(st.sampled_from(sorted(Study.model_fields)), VALUES, max_size=5))
def test_any_content_is_a_study_or_bad_input(content: dict[str, object]) -> None:
    text = HEAD + "".join(f"{key}: {json.dumps(value)}\n" for key, value in content.items())
    with contextlib.suppress(InputError):
        assert isinstance(parse_study(text), Study)
