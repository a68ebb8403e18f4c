"""A study of Python objects or of a mapping is the study of its YAML file: the same rules and trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.study import Study, parse_study, plan_study, read_study
from assay.study.file.blocks import ComparisonSpec, Level
from assay.study.file.from_objects import as_study, study_yaml
from assay.study.file.schema import Design, Metrics, Repeats
from assay.study.file.shipped import shipped_studies
from tests.analysis.made_studies import STUDY
from trainables.data.spec import DataSpec, Supervision
from trainables.errors import InputError

OBJECTS = Study(
    study="additions",
    question="Which addition pays?",
    trainable="segdec",
    data=DataSpec(reader="synthetic", splits="per_seed"),
    config={"preset": "ksdd", "image_size": (128, 64)},
    factors={
        "supervision": {
            "full": Level(supervision=Supervision(kind="full")),
            "few": Level(supervision=Supervision(kind="mixed", masks=5)),
        },
        "stop": {
            "off": Level(config={"gradient_stop": False}),
            "on": Level(config={"gradient_stop": True}),
        },
    },
    design=Design.model_validate({"full": "all"}),
    comparisons=(
        ComparisonSpec(factor="stop"),
        ComparisonSpec.model_validate({"factor": "supervision", "from": "few", "to": "full"}),
    ),
    repeats=Repeats(seeds=(0, 1, 2)),
    metrics=Metrics(primary="image_ap", report=("fp", "pixel_iou")),
)
MAPPING: dict[str, Any] = {
    "study": "additions",
    "question": "Which addition pays?",
    "trainable": "segdec",
    "data": DataSpec(reader="synthetic", splits="per_seed"),
    "config": {"preset": "ksdd", "image_size": np.array([128, 64])},
    "factors": {
        "supervision": {"full": {"supervision": "full"}, "few": {"supervision": {"mixed": np.int64(5)}}},
        "stop": {"off": {"config": {"gradient_stop": False}}, "on": {"config": {"gradient_stop": True}}},
    },
    "design": {"full": "all"},
    "comparisons": [{"factor": "stop"}, {"factor": "supervision", "from": "few", "to": "full"}],
    "repeats": {"seeds": range(3)},
    "metrics": {"primary": "image_ap", "report": ("fp", "pixel_iou")},
}


def ids(study: Study) -> list[str]:
    return [trial.id for trial in plan_study(study, None, "cpu").trials]


@pytest.mark.parametrize("name", shipped_studies())
def test_a_study_written_as_yaml_and_read_again_is_the_same(name: str) -> None:
    study = read_study(shipped_studies()[name])
    again = parse_study(study_yaml(study), study.source.origin)
    assert again == study
    assert again.content_hash == study.content_hash


@pytest.mark.parametrize("given_study", [OBJECTS, MAPPING], ids=["objects", "mapping"])
def test_a_study_made_in_python_has_the_trial_ids_of_its_yaml(given_study: Any) -> None:
    study, file = as_study(given_study), parse_study(STUDY)
    assert (ids(study), study.content_hash) == (ids(file), file.content_hash)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = TEXTS.filter(lambda key: key != "<<")  # no study has merge keys
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    st.sampled_from(["on", "No", "y", "~", "null", "1e3", ".5", "0x1F", "- a", "a: b", "#", "{}", ".inf"]),
)
VALUES = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=4) | st.dictionaries(KEYS, part, max_size=4), max_leaves=8
)


@given(config=st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=50, deadline=None)
def test_any_setting_comes_back_from_yaml_as_it_was(config: dict[str, Any]) -> None:
    study = {"study": "made", "trainable": "segdec", "data": {"reader": "synthetic"}, "config": config}
    assert parse_study(study_yaml(study)).config == config


def test_a_study_from_a_file_keeps_its_text_until_it_is_changed(tmp_path: Path) -> None:
    file = tmp_path / "additions.yaml"
    file.write_text(f"# a comment\n{STUDY}")
    study = as_study(file)
    assert as_study(study).source.text == file.read_text()
    changed = as_study(study.model_copy(update={"question": "Another?"}))
    assert changed.question == parse_study(changed.source.text).question == "Another?"


@pytest.mark.parametrize("value", [None, 3, [STUDY]])
def test_what_is_no_study_at_all_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=f"found a {type(value).__name__}"):
        as_study(value)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"config": {"lr": object()}}, "lr: a study holds mappings.*found a object"),
        ({"config": {"lr": float("nan")}}, "config"),
        ({"repeat": {"seeds": [0]}}, "unknown key `repeat`; did you mean"),
        ({"repeats": {"seeds": ["a"]}}, "repeats.seeds"),
    ],
)
def test_a_mistake_in_a_mapping_is_named_as_in_a_file(mistake: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_study(as_study({**MAPPING, **mistake}), None, "cpu")
