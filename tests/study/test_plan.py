"""Plans: what a trial trains with, its id, and what is refused before anything is trained."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from assay.study import Plan, parse_study, plan_study
from assay.study.planning.identity import CellIdentity, canonical_json
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.data.made_images import bare_manifest
from tests.study.toy import BASIC, TOY, plan, plan_on_images, study_with
from trainables.data import DataSpec, Manifest
from trainables.errors import InputError


def refusal(**changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        plan(study_with(**changes))
    return str(caught.value)


def test_a_plan_is_printed_in_a_line() -> None:
    assert str(plan(study_with())) == "<plan of basic: 8 trials of 4 cells>"


# What a cell trains with


def test_levels_override_the_config_which_overrides_the_preset() -> None:
    study = study_with(
        config={"preset": "small", "lr": 0.2, "c": 5},
        factors={"dial": {"x": {"config": {"c": 6, "epochs": 4}}}},
    )
    (cell,) = plan(study).cells
    assert {name: cell.config[name] for name in ("image_size", "epochs", "lr", "c")} == {
        "image_size": [64, 64],
        "epochs": 4,
        "lr": 0.2,
        "c": 6,
    }


def test_a_level_may_choose_the_preset() -> None:
    levels = {"small": {}, "large": {"config": {"preset": "large"}}}
    config = {"preset": "small", "warmup": 0}
    result = plan(study_with(config=config, factors={"size": levels}, comparisons=[{"factor": "size"}]))
    assert [cell.config["image_size"] for cell in result.cells] == [[64, 64], [128, 128]]
    assert result.comparisons[0].paths == ("config.image_size", "config.epochs", "config.lr")


def test_auto_is_decided_once_for_the_study() -> None:
    (config,) = {canonical_json(trial.config) for trial in plan(study_with(factors={}, design=None)).trials}
    assert '"precision":"float32"' in config


def test_the_diff_names_what_differs_from_the_base() -> None:
    factors = {"a": {"off": {}, "on": {"config": {"a": 1}}}, "s": {"weak": {"supervision": "weak"}}}
    result = plan(study_with(factors=factors))
    assert result.cells[1].diff == {"config.a": (0, 1), "supervision": ("full", "weak")}


def test_a_level_with_a_reader_brings_a_data_block_of_its_own_which_other_levels_refine() -> None:
    factors = {
        "classes": {"one": {"data": {"classes": ["crack"]}}},
        "set": {"synthetic": {}, "tiles": {"data": {"reader": "mtd", "splits": "per_seed"}}},
    }
    first, second = plan(study_with(factors=factors)).cells
    assert first.data.options == BASIC["data"]["options"]
    assert second.data.options == {}
    assert (second.data.reader, second.data.classes) == ("mtd", ("crack",))


def test_footnotes_of_the_method_stand_at_the_cell() -> None:
    assert plan(study_with()).cells[0].footnotes == ("3 epochs",)


# Order and identity


def test_trials_go_round_the_cells_repeat_by_repeat() -> None:
    trials = plan(study_with(repeats={"seeds": [5, 3], "folds": [1, 0]})).trials
    assert [(t.seed, t.fold) for t in trials[::4]] == [(5, 1), (5, 0), (3, 1), (3, 0)]
    assert [t.cell for t in trials[:4]] == ["all off", "b", "a", "a + b"]


@pytest.mark.parametrize("fold", [None, 3])
def test_an_id_is_a_hash_of_the_documented_parts(fold: int | None) -> None:
    config, supervision = {"lr": 0.1, "ä": [1]}, {"mixed": 5}
    parts = {"trainable": "t", "revision": 2, "config": config, "manifest": "m", "supervision": supervision}
    repeat = {"split": "s", "seed": 7, "fold": fold}
    for threshold, named in (("f1", {}), (0.3, {"threshold": 0.3})):
        text = canonical_json({**parts, **repeat, **named})
        identity = CellIdentity(**parts, threshold=threshold)
        assert identity.trial_id(**repeat) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_ids_depend_on_everything_that_decides_a_result(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"config": {"preset": "small", "epochs": 4}},
        {"supervision": "weak"},
        {"supervision": {"mixed": 1}},
        {"supervision": {"mixed": 2}},
        {"data": {**BASIC["data"], "splits": "per_seed"}},
        {"data": {**BASIC["data"], "validation": {"share": 0.4}}},
        {"data": {**BASIC["data"], "threshold": 0.3}},
        {"data": {**BASIC["data"], "calibration": {"share": 0.2}}},
        {"data": {"reader": "synthetic", "options": {**BASIC["data"]["options"], "seed": 1}}},
    ]
    for make in (plan, lambda study: plan_on_images(study, tmp_path)):
        found = [make(study_with(**change)).trials[0].id for change in changes]
        assert len(set(found)) == len(changes)


def test_the_usual_rule_of_the_threshold_is_in_no_id_and_may_be_compared_with_another(tmp_path: Path) -> None:
    rules = {"best": {"data": {"threshold": "f1"}}, "given": {"data": {"threshold": 0.3}}}
    usual = plan_on_images(study_with(factors={}, design=None), tmp_path)
    best, given = plan_on_images(study_with(factors={"rule": rules}), tmp_path).trials[:2]
    assert best.id == usual.trials[0].id
    assert (given.split, given.manifest) == (best.split, best.manifest)


def test_with_data_a_trial_carries_the_hashes_of_manifest_and_split(tmp_path: Path) -> None:
    result = plan_on_images(study_with(repeats={"seeds": [0, 1]}), tmp_path)
    (summary,) = result.manifests.values()
    assert (summary.images, summary.defective) == (40, 20)
    assert {trial.manifest for trial in result.trials} == {summary.hash}
    splits = {trial.seed: {t.split for t in result.trials if t.seed == trial.seed} for trial in result.trials}
    assert all(len(found) == 1 for found in splits.values())  # all cells of a repeat share the split
    assert splits[0] != splits[1]


def test_a_plan_survives_being_written_to_a_table() -> None:
    result = plan(study_with(comparisons=[{"factor": "a"}], repeats={"seeds": [0], "folds": [2]}))
    table = table_of_plan(result)
    assert plan_of_table(table) == result


# Refusals


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"config": {"preset": "small", "epoch": 3}},
            "config.epoch: unknown key `epoch`; did you mean `epochs`",
        ),
        ({"config": {"preset": "small", "epochs": 0}}, "config.epochs: should be greater than or equal to 1"),
        ({"config": {"preset": "smal"}}, "config.preset: toy has no preset `smal`; did you mean `small`?"),
        (
            {"resources": {"workers": 5}},
            "resources.workers: a batch has an image for every worker: batch_size 4",
        ),
        ({"config": {}}, "config.image_size: the key `image_size` is missing"),
        ({"supervision": "none"}, "supervision: toy trains with supervision full, mixed, weak; found none"),
        (
            {"data": {"reader": "kolektor"}},
            "data.reader: there is no reader `kolektor`; did you mean `kolektorsdd`",
        ),
        (
            {"data": {"reader": "synthetic", "options": {"imags": 3}}},
            "data.options.imags: unknown key `imags`; did you mean `images`?",
        ),
        ({"metrics": {"primary": "image_pa"}}, "metrics.primary: unknown metric `image_pa`; did you mean"),
        (
            {"resolve": 5},
            "resolve: image_ap is a share, and its differences are below 1, found 5: 5 % are 0.05",
        ),
        (
            {"metrics": {"report": ["fp", "fnn"]}},
            "metrics.report[1]: unknown metric `fnn`; did you mean `fn`?",
        ),
        (
            {"factors": {"a": {"on": {"config": {"a": -1}}}}},
            "factors.a.on.config.a: should be greater than or equal to 0, found -1",
        ),
        (
            {"factors": {"a": {"on": {"data": {"split": 1}}}}},
            "factors.a.on.data.split: unknown key `split`; did you mean `splits`?",
        ),
        ({"factors": {"a": {"on": {"supervision": "none"}}}}, "factors.a.on.supervision: toy trains with"),
        (
            {"factors": {"a": {"off": {}, "same": {"config": {"a": 0}}}}},
            "the cells off and same are the same training at seed 0: they have the same settings, or",
        ),
        (
            {"factors": {"x": {"on": {"config": {"lr": 1}}}, "y": {"on": {"config": {"lr": 2}}}}},
            "level `on` of y sets config.lr to 2, level `on` of x to 1",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_at_the_key_that_asks_for_it(
    changes: dict[str, Any], expected: str
) -> None:
    text = refusal(**changes)
    assert expected in text
    assert all(line.startswith("study.yaml:") for line in text.splitlines())


def planned_with_norm(method: str, config: dict[str, Any], setting: str, norm: str, workers: int) -> Plan:
    study = study_with(
        trainable=method,
        config={"image_size": [64, 64], **config},
        supervision="none" if method == "unsupervised" else "weak",
        factors={"norm": {norm: {"config": {setting: norm}}}},
        resources={"workers": workers},
    )
    return plan_study(study, None, "cpu")


@pytest.mark.parametrize(
    ("method", "config", "setting"),
    [
        ("cam", {"preset": "small"}, "norm"),
        ("focus", {"preset": "reduced"}, "norm"),
        ("regioncam", {"preset": "small"}, "norm"),
        ("supervised", {"preset": "classifier_small"}, "norm"),
        ("supersimple", {"preset": "own_small", "norm": "gn"}, "head_norm"),
        ("supersimple", {"preset": "own_small", "head_norm": "gn"}, "norm"),
    ],
)
def test_several_workers_share_a_batch_that_is_normalised(
    method: str, config: dict[str, Any], setting: str
) -> None:
    assert planned_with_norm(method, config, setting, "bn", 2).trials


def test_batch_normalisation_of_a_loop_that_does_not_share_it_is_refused_with_several_workers() -> None:
    gan = ("unsupervised", {"preset": "f_anogan_small"}, "gan_norm")
    assert planned_with_norm(*gan, "bn", 1).trials
    assert planned_with_norm(*gan, "gn", 2).trials
    with pytest.raises(InputError, match=r"resources\.workers: gan_norm: bn takes .* 2 workers would train"):
        planned_with_norm(*gan, "bn", 2)


def test_an_unknown_trainable_is_refused_with_its_line_and_the_nearest_name() -> None:
    study = parse_study("study: s\ntrainable: segdek\ndata: {reader: synthetic}", "s.yaml")
    with pytest.raises(InputError, match=r"s\.yaml:2:1: trainable: .*'segdek'.*segdec"):
        plan_study(study, None, "cpu")


def test_two_factors_may_set_the_same_value() -> None:
    factors = {"x": {"on": {"config": {"lr": 1}}}, "y": {"on": {"config": {"lr": 1, "a": 2}}}}
    assert plan(study_with(factors=factors)).cells[0].config["lr"] == 1


def test_a_mistake_that_many_cells_share_is_named_once() -> None:
    assert len(refusal(config={"preset": "small", "epoch": 3}).splitlines()) == 1


def test_an_allowance_that_nothing_needs_is_pointed_out() -> None:
    result = plan(study_with(allow={"config.lr": "tuned for each"}, comparisons=[{"factor": "a"}]))
    assert "allow.config.lr is not needed" in result.warnings[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"repeats": {"folds": [0]}}, "takes none, found synthetic (published): leave `folds` out"),
        (
            {"repeats": {"folds": [0]}, "data": {**BASIC["data"], "splits": "per_seed"}},
            "found synthetic (per_seed): leave `folds` out",
        ),
        (
            {"supervision": {"mixed": 500}},
            "supervision: seed 0: `{mixed: 500}` reads 500 masks, and the training part has 8. Ask for fewer",
        ),
        ({"data": {**BASIC["data"], "classes": ["rust"]}}, "data: data.classes: unknown class rust"),
        (
            {"factors": {"s": {"x": {}, "y": {"data": {"test": {"share": 0.5}}}}}},
            "the cells x and y are the same training at seed 0: they have the same settings, or",
        ),
    ],
)
def test_what_the_data_cannot_give_is_refused_at_the_key_that_asks_for_it(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        plan_on_images(study_with(**changes), tmp_path)
    assert expected in str(caught.value)


# Cost


def test_kept_gigabytes_follow_what_is_kept() -> None:
    sizes = [plan(study_with(keep={"models": kept})).gigabytes for kept in ("none", "best_per_cell", "all")]
    assert all(size is not None for size in sizes)
    nothing, best, everything = (size or 0.0 for size in sizes)
    assert best - nothing == pytest.approx(4 * 4e-3)  # four cells, a million weights of four bytes
    assert everything - nothing == pytest.approx(8 * 4e-3)
    grown = [plan(study_with(keep={"probes": probes})).gigabytes or 0.0 for probes in (0, 12, 100)]
    assert all(less < more for less, more in pairwise(grown))


# Data that a method cannot use


def all_defective(spec: DataSpec) -> Manifest:
    rows = [
        {"sample": f"{part}{index}", "label": part == "train" or index < 4, "split": part}
        for part in ("train", "test")
        for index in range(8)
    ]
    return bare_manifest(rows)


def test_training_without_normal_images_is_refused_by_the_name_of_the_method() -> None:
    study = study_with(supervision="full", data={"reader": "folder", "validation": "none"})
    with pytest.raises(InputError, match="toy trains on defective and normal images, and none of the 8"):
        plan(study, open_manifest=all_defective)
    able = replace(TOY, needs_normal=lambda config: None)
    assert plan_study(study, all_defective, "cpu", find=lambda _: able).trials


@pytest.mark.parametrize(
    ("metrics", "refused"),
    [
        ({"primary": "image_ap"}, "image_ap compares"),
        ({"primary": "pixel_iou", "report": ["image_ap"]}, None),
    ],
)
def test_a_question_that_only_normal_images_answer_is_refused_without_them(
    metrics: dict[str, Any], refused: str | None
) -> None:
    manifest = bare_manifest([{"sample": f"{index:02d}", "label": True} for index in range(12)])
    data = {"reader": "folder", "splits": "per_seed"}
    study = study_with(supervision="full", data=data, metrics=metrics)
    able = replace(TOY, needs_normal=lambda config: None)
    if refused is None:
        assert plan_study(study, lambda _: manifest, "cpu", find=lambda _: able).trials
    else:
        with pytest.raises(InputError, match=f"{refused} .* none of the 12 images is normal. Use a metric"):
            plan_study(study, lambda _: manifest, "cpu", find=lambda _: able)


def test_number_of_positives_and_detail_of_masks_can_be_factors() -> None:
    factors = {
        "images": {"few": {"data": {"positives": 3}}, "many": {"data": {"positives": 6}}},
        "drawn": {"fine": {}, "box": {"data": {"mask_detail": "box"}}},
    }
    manifest = bare_manifest([{"sample": f"{index:02d}", "label": index % 2 == 1} for index in range(40)])
    study = study_with(data={"reader": "folder", "splits": "per_seed"}, factors=factors)
    for found in (plan(study), plan(study, open_manifest=lambda _: manifest)):
        assert len({trial.id for trial in found.trials}) == 8
    assert found.cells[3].diff == {"data.positives": (None, 6), "data.mask_detail": ("fine", "box")}
