"""What a shared stage shows of the test images: judged by one trial, and said by all as if each had."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.storage import Record
from assay.storage.check.retention import clean_plan
from assay.storage.files.checksum import table_with_checksum
from assay.study.planning.stage_graph import stage_graph
from tests.engine.staged_study import STAGED, StagedStudy
from tests.helpers.results import result_bytes


@pytest.fixture
def study(tmp_path: Path, cache_root: Path) -> StagedStudy:
    return StagedStudy.of(tmp_path / "storage", cache_root, seeds=(0,))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, tuple[bytes, pa.Table]]:
    """Results and pictures of trials of which each made and judged its own stages."""
    study = StagedStudy.of(tmp_path_factory.mktemp("alone"), cache_root, seeds=(0,))
    for trial in study.plan.trials:
        study.train([trial])
        study.store.delete_tree("stages")
    return said(study)


def said(study: StagedStudy) -> dict[str, tuple[bytes, pa.Table]]:
    """Result and pictures of each trial."""
    return {
        trial: (result_bytes(record), study.store.read_part(record, "lineage.parquet"))
        for trial, record in study.records().items()
    }


def judged(study: StagedStudy) -> list[str]:
    """Paths of what was judged of stages."""
    folders = [f"stages/{key}" for key in stage_graph(study.plan.trials)]
    return [
        f"{one}/{name}" for one in folders for name in study.store.list(one) if name.startswith("judged-")
    ]


def cam_ap(record: Record) -> float:
    """Pixel AP of the CAM that a record names."""
    assert record.result is not None
    (ap,) = (
        one.metrics["pixel_ap"] for one in record.result.stages if (one.of, one.stage) == ("test", "cam")
    )
    return ap


def test_records_and_pictures_do_not_depend_on_who_judged(
    study: StagedStudy, alone: dict[str, tuple[bytes, pa.Table]]
) -> None:
    for trial in reversed(study.plan.trials):
        study.train([trial])
    found = said(study)
    assert found.keys() == alone.keys()
    for trial, (result, pictures) in found.items():
        assert result == alone[trial][0]
        assert pictures.equals(alone[trial][1])


def test_a_trial_says_what_another_has_judged(study: StagedStudy) -> None:
    first, second, *_ = study.plan.trials  # which have their maps in common
    study.train([first])
    (path,) = judged(study)
    table = pq.read_table(io.BytesIO(study.store.read_bytes(path)))
    facts = json.loads(table.schema.metadata[b"assay"])
    assert facts["names"] == ["cam", "crop"]
    assert {one["of"] for one in facts["scores"]} == {"test", "floor"}
    (cam,) = (one for one in facts["scores"] if one["stage"] == "cam")
    cam["metrics"]["pixel_ap"] = 0.125
    sink = io.BytesIO()
    changed = table.replace_schema_metadata({b"assay": json.dumps(facts)})
    pq.write_table(table_with_checksum(changed), sink)
    study.store.write_bytes(path, sink.getvalue())
    study.train([second])
    assert cam_ap(study.records()[second.id]) == 0.125 != cam_ap(study.records()[first.id])


@pytest.mark.parametrize("damage", ["half", "a page", "no facts", "nothing"])
def test_what_cannot_be_read_is_judged_anew(
    study: StagedStudy, alone: dict[str, tuple[bytes, pa.Table]], damage: str
) -> None:
    first, second, *_ = study.plan.trials
    study.train([first])
    (path,) = judged(study)
    whole = study.store.read_bytes(path)
    bare = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(whole)).replace_schema_metadata(None), bare)
    damaged = {
        "half": whole[: len(whole) // 2],
        "a page": whole[:4] + bytes(len(whole) // 3) + whole[4 + len(whole) // 3 :],
        "no facts": bare.getvalue(),
        "nothing": b"",
    }
    study.store.write_bytes(path, damaged[damage])
    study.train([second])
    assert said(study)[second.id][0] == alone[second.id][0]
    assert study.store.read_bytes(path) == whole


def test_other_probes_are_shown_by_themselves(study: StagedStudy) -> None:
    first, second, *_ = study.plan.trials
    study.train([first])
    text = STAGED.replace("probes: 2", "probes: 3")
    more = StagedStudy.of(study.storage, study.cache, seeds=(0,), text=text)
    more.train([second])
    assert len(judged(study)) == 2
    counts = [len(set(pictures["sample"].to_pylist())) for _, pictures in said(more).values()]
    assert sorted(counts) == [2, 3]


def test_clean_keeps_what_was_judged(study: StagedStudy) -> None:
    study.train(study.plan.trials)
    assert len(judged(study)) == 2
    assert not [one for one in clean_plan(study.store, [study.plan]) if one.path.startswith("stages/")]
