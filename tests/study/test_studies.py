"""The study files that come with assay: each is sound, and an editor with the schema agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from assay.study import plan_study, read_study, study_schema
from tests.study.toy import TOY

STUDIES = sorted((Path(__file__).parents[2] / "studies").rglob("*.yaml"))
REFUSED = "segdec_table4_as_published"  # on purpose
SOUND = [path for path in STUDIES if path.stem != REFUSED]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found = study_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_every_study_plans_without_data_and_is_named_like_its_file(path: Path) -> None:
    study = read_study(path)
    plan = plan_study(study, None, "cpu")
    assert study.study == path.stem
    assert len({trial.id for trial in plan.trials}) == len(plan.trials)
    assert not plan.warnings


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_obeys_the_schema_for_editors(path: Path, schema: dict[str, Any]) -> None:
    content = YAML(typ="safe", pure=True).load(path.read_text())
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(content)) == []


@pytest.mark.parametrize(
    "mistake",
    [
        {"trainabel": "segdec"},
        {"config": {"epoch": 3}},
        {"config": {"preset": "kssd"}},
        {"factors": {"a": {"on": {"config": {"epoch": 3}}}}},
        {"design": {"full": "some"}},
        {"data": {"reader": "kolektor"}},
        {"repeats": {"seeds": ["x"]}},
    ],
)
def test_the_schema_for_editors_sees_mistakes(mistake: dict[str, Any], schema: dict[str, Any]) -> None:
    study = {"study": "s", "trainable": "segdec", "data": {"reader": "synthetic"}}
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(study)
    assert not validator.is_valid({**study, **mistake})


def test_the_schema_describes_the_settings_of_each_method() -> None:
    found = study_schema([TOY])
    assert found["$defs"]["config_toy"]["properties"]["lr"]["description"] == "Learning rate."
    assert found["$defs"]["config_toy"]["properties"]["preset"]["enum"] == ["large", "small"]


def test_table_4_of_the_paper_has_its_fourteen_rows() -> None:
    path = next(path for path in STUDIES if path.stem == "segdec_table4_ksdd")
    plan = plan_study(read_study(path), None, "cpu")
    assert (len(plan.cells), len(plan.trials)) == (14, 14 * 6 * 3)
    assert {c.name: len(c.pairs) for c in plan.comparisons} == {
        "balance: off → on": 5,
        "stop: off → on": 4,
        "distance: off → on": 4,
        "supervision: few → full": 6,
    }
    weak = next(
        cell for cell in plan.cells if cell.name == "supervision=weak balance=off stop=on distance=off"
    )
    assert weak.diff["config.lr"] == (1.0, 0.01)


def test_table_4_in_its_own_protocol_sees_all_training_images_and_counts_with_oracles() -> None:
    path = next(path for path in STUDIES if path.stem == "segdec_protocol_ksdd")
    plan = plan_study(read_study(path), None, "cpu")
    assert (len(plan.cells), len(plan.trials)) == (14, 14 * 3 * 3)
    assert all(cell.data.validation is None and cell.data.masks == "published" for cell in plan.cells)
    assert plan.study.published is not None
    counts = [row.values for row in plan.study.published.rows]
    # Table 4: rows 13 and 14 have 4 + 5 and 3 + 5 over three folds.
    assert [round(3 * each["image_best_fp"] + 3 * each["image_best_fn"]) for each in counts[-2:]] == [9, 8]
