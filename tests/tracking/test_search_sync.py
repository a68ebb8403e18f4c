"""A search in MLflow: a parent run for each point, with its drawn values, as the points come."""

from __future__ import annotations

from pathlib import Path

from mlflow.tracking import MlflowClient

from assay.analysis.results.search_results import SearchResults
from assay.storage import Store
from assay.study.search.points import make_point
from assay.tracking import MlflowSync
from tests.analysis.made_studies import STUDY, make_plan, make_record
from trainables.plugins.catalogue import find_trainable

SEARCH = (
    STUDY.partition("factors:")[0]
    + """\
search: {points: 2, objective: {max: validation.image_ap}}
space: {config.lr: {float: [0.01, 1.0]}, config.gradient_stop: {choice: [true, false]}}
replicate: {seeds: [7]}
repeats: {seeds: [0]}
"""
)
DRAWN = ({"config.lr": 0.5, "config.gradient_stop": True}, {"config.lr": 0.25, "config.gradient_stop": False})


def test_points_are_parent_runs_with_their_drawn_values(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), make_plan(SEARCH)
    (searched,) = plan.searched
    segdec = find_trainable("segdec")
    points = [
        make_point(plan.study, segdec, searched, "cpu", index=index, source="tpe", values=values)
        for index, values in enumerate(DRAWN)
    ]
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow_sync = MlflowSync(uri, store)
    for drawn, replicated in ((points[:1], []), (points, points[1:])):
        grown = plan.with_points(drawn).with_winners(replicated, complete=bool(replicated))
        for trial in grown.trials:
            store.write_record(make_record(trial, lambda trial: {"image_ap": trial.config["lr"]}))
        assert mlflow_sync.sync(SearchResults(grown, store.records(t.id for t in grown.trials))).complete
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("additions")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`assay.kind` = 'cell'")
    found = {run.info.run_name: run.data for run in runs}
    assert set(found) == {"point 0", "point 1", "point 1 on fresh seeds"}
    drawn = {"drawn.config.lr": "0.25", "drawn.config.gradient_stop": "False"}
    assert found["point 1"].params == {"trainable": "segdec", **drawn}
    assert found["point 0"].metrics["validation/image_ap"] == 0.5 + 0.001
    assert "point 1 on fresh seeds" in experiment.tags["mlflow.note.content"]
