"""Several methods in one study: a level may name the trainable, and its trials are those of it alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import Field

from assay.study import Plan, Study, parse_study, plan_study, study_schema
from assay.study.file.writing import study_of_point
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from assay.study.search.points import make_point
from assay.study.settings.methods import method_names
from assay.study.settings.settings import AnyTrainable
from tests.data.made_images import bare_manifest
from tests.study.toy import BASIC, TOY, ToyConfig, as_yaml, never
from trainables.contract import Trainable, TrainableConfig
from trainables.data.manifest import Manifest, open_manifest
from trainables.data.spec import DataSpec
from trainables.errors import InputError


class OtherConfig(TrainableConfig, frozen=True):
    """Settings of another method: one of them is called like one of the toy's."""

    rounds: int = Field(5, ge=1, description="Rounds.")
    lr: float = Field(0.3, gt=0, description="Learning rate.")


class ColourConfig(ToyConfig, frozen=True):
    """A method that wants colour."""

    channels: Literal[1, 3] = Field(3, description="Colour.")


OTHER: Trainable[Any] = Trainable(
    name="other",
    revision=7,
    title="Other",
    Config=OtherConfig,
    presets={"quick": {"rounds": 2, "image_size": (32, 32)}},
    supervisions=frozenset({"none", "weak", "mixed"}),
    fit=never,
    load=never,
    needs_normal=lambda config: None,
    footnotes=lambda config: ("quick",) if config.rounds < 5 else (),
    parameters=lambda config: 2_000_000,
)
KNOWN = {"toy": TOY, "other": OTHER, "colour": replace(TOY, name="colour", Config=ColourConfig)}
QUICK: dict[str, Any] = {"trainable": "other", "supervision": "none", "config": {"preset": "quick"}}
METHODS: dict[str, Any] = {
    "study": "methods",
    "data": BASIC["data"],
    "config": {"image_size": [64, 64]},
    "factors": {
        "method": {"other": QUICK, "toy": {"trainable": "toy", "config": {"preset": "small", "a": 1}}}
    },
    "design": {"full": "all"},
    "repeats": {"seeds": [0, 1]},
}


def find(name: str) -> AnyTrainable:
    if name not in KNOWN:
        raise InputError(f"there is no trainable {name!r}")
    return KNOWN[name]


def study_with(**changes: Any) -> Study:
    changed = {**copy.deepcopy(METHODS), **changes}
    return parse_study(as_yaml({key: value for key, value in changed.items() if value is not None}), "s.yaml")


def plan(study: Study, **settings: Any) -> Plan:
    return plan_study(study, settings.pop("open_manifest", None), "cpu", find=find, **settings)


def methods(**levels: dict[str, Any]) -> dict[str, Any]:
    return {"method": levels}


def refusal(**changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        plan(study_with(**changes))
    return str(caught.value)


# What a cell is


def test_a_level_names_the_method_of_its_cells() -> None:
    made = plan(study_with())
    assert {c.name: (c.trainable, c.revision, str(c.supervision), c.footnotes) for c in made.cells} == {
        "other": ("other", 7, "none", ("quick",)),
        "toy": ("toy", 1, "full", ("3 epochs",)),
    }
    assert {(t.cell, t.trainable, t.revision) for t in made.trials} == {
        ("other", "other", 7),
        ("toy", "toy", 1),
    }
    assert made.trainables == ("other", "toy")


def test_another_method_takes_over_what_every_method_has_and_nothing_else() -> None:
    base = {"preset": "large", "lr": 0.9, "channels": 3, "image_size": [64, 64]}
    made = plan(study_with(trainable="toy", config=base, factors=methods(toy={}, other=QUICK)))
    toy, other = (cell.config for cell in made.cells)
    assert (toy["lr"], toy["channels"], toy["image_size"]) == (0.9, 3, [64, 64])
    assert (other["lr"], other["channels"], other["image_size"], other["rounds"]) == (0.3, 3, [64, 64], 2)


def test_a_level_that_names_the_method_of_the_base_keeps_its_settings() -> None:
    levels = methods(same={"trainable": "toy", "config": {"a": 1}}, other=QUICK)
    made = plan(study_with(trainable="toy", config={"image_size": [64, 64], "lr": 0.9}, factors=levels))
    assert (made.cells[0].config["lr"], made.cells[0].config["a"]) == (0.9, 1)


def test_levels_of_other_factors_refine_the_method_in_whatever_order_they_come() -> None:
    rate = {"rate": {"low": {"config": {"lr": 0.01}}, "high": {"config": {"lr": 0.02}}}}
    factors = {**rate, **METHODS["factors"]}
    made = plan(study_with(factors=factors, comparisons=[{"factor": "rate"}]))
    assert {cell.name: cell.config["lr"] for cell in made.cells} == {
        "rate=low method=other": 0.01,
        "rate=low method=toy": 0.01,
        "rate=high method=other": 0.02,
        "rate=high method=toy": 0.02,
    }
    assert [c.paths for c in made.comparisons] == [("config.lr",)]


def test_a_level_may_name_a_reader_beside_one_that_names_the_method() -> None:
    levels = {"trainable": "other", "supervision": "none", "data": {"positives": 3}}
    sets = {"set": {"synthetic": {"data": {"reader": "synthetic"}}}}
    made = plan(study_with(factors={**methods(other=levels), **sets}))
    assert (made.cells[0].data.positives, made.cells[0].data.options) == (3, {})


def test_a_row_may_name_the_method() -> None:
    rows = [{"a": "off"}, {"a": "on", "override": QUICK}]
    made = plan(study_with(trainable="toy", factors={"a": BASIC["factors"]["a"]}, design={"rows": rows}))
    assert [cell.trainable for cell in made.cells] == ["toy", "other"]
    assert method_names(made.study) == ["toy", "other"]
    assert "a" not in made.cells[1].config


def test_a_trial_is_that_of_a_study_of_its_method_alone(cache_root: Path) -> None:
    def images(spec: DataSpec) -> Manifest:
        return open_manifest(spec, None, cache_root)

    def opened(study: Study) -> set[str]:
        return {trial.id for trial in plan(study, open_manifest=images).trials}

    alone = {**METHODS, "factors": None, "design": None}
    other = {**QUICK, "config": {**METHODS["config"], **QUICK["config"]}}
    toy = {"trainable": "toy", "config": {**METHODS["config"], "preset": "small", "a": 1}}
    apart = [opened(study_with(**{**alone, **one})) for one in (other, toy)]
    assert len(apart[0] | apart[1]) == 4
    assert opened(study_with()) == apart[0] | apart[1]


def test_what_differs_from_the_base_is_the_method_and_the_settings_that_are_named() -> None:
    other, toy = (cell.diff for cell in plan(study_with()).cells)
    assert other == {
        "trainable": (None, "other"),
        "supervision": ("full", "none"),
        "config.preset": (None, "quick"),
    }
    assert toy == {"trainable": (None, "toy"), "config.preset": (None, "small"), "config.a": (None, 1)}
    based = plan(
        study_with(trainable="toy", config={"preset": "small"}, factors=methods(toy={}, other=QUICK))
    )
    assert based.cells[0].diff == {}
    assert based.cells[1].diff == {
        "trainable": ("toy", "other"),
        "supervision": ("full", "none"),
        "config.image_size": ([64, 64], [32, 32]),
        "config.preset": ("small", "quick"),
    }


def test_weights_are_counted_by_each_method() -> None:
    gigabytes = plan(study_with()).gigabytes
    assert gigabytes == pytest.approx(0.012, abs=0.004)  # 4 bytes of three million weights


def test_normal_images_are_missed_only_by_the_method_that_needs_them() -> None:
    both = methods(other={"trainable": "other"}, toy={"trainable": "toy"})
    with pytest.raises(InputError) as caught:
        plan(study_with(supervision={"mixed": 5}, factors=both), open_manifest=defective_only)
    assert "toy trains on defective and normal images" in str(caught.value)
    assert "other trains" not in str(caught.value)


def defective_only(spec: DataSpec) -> Manifest:
    parts = [*[("train", i) for i in range(40)], *[("test", i) for i in range(20)]]
    return bare_manifest(
        [
            {"sample": f"{part}{i}", "label": i >= 5 or part == "train", "mask": "m", "split": part}
            for part, i in parts
        ]
    )


# Slips


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"factors": methods(one={"trainable": "othr"})},
            ": factors.method.one.trainable: there is no trainable 'othr'",
        ),
        (
            {"factors": methods(one={**QUICK, "config": {"round": 3}})},
            ": factors.method.one.config.round: unknown key `round`; did you mean `rounds`?",
        ),
        (
            {"config": None, "factors": methods(one={"trainable": "toy"})},
            "factors.method.one.config.image_size: the key `image_size` is missing",
        ),
        (
            {"factors": {**METHODS["factors"], "a": BASIC["factors"]["a"]}},
            "factors.a.off.config.a: unknown key `a`",
        ),
        (
            {"factors": methods(one={**QUICK, "supervision": "full"})},
            "factors.method.one.supervision: other trains with supervision mixed, none, weak; found full",
        ),
    ],
    ids=[
        "unknown method",
        "mistake in its settings",
        "setting that it needs",
        "setting of another factor that it does not have",
        "supervision that it cannot use",
    ],
)
def test_what_a_method_cannot_take_is_named_with_its_place(changes: dict[str, Any], told: str) -> None:
    text = refusal(**changes)
    assert text.startswith("s.yaml:1:")
    assert told in text


def test_two_levels_of_a_cell_do_not_name_different_methods() -> None:
    text = refusal(factors={**methods(one=QUICK), "again": {"x": {"trainable": "toy", "config": {"a": 1}}}})
    assert len(text.splitlines()) == 1
    assert (
        ": factors.again.x: level `x` of again sets trainable to 'toy', level `one` of method to 'other', "
        "and the design combines them: let one factor set it"
    ) in text


def test_a_study_names_a_method() -> None:
    with pytest.raises(InputError, match="trainable: the key `trainable` is missing: name the method here"):
        study_with(factors=None, design=None)


def test_every_cell_has_a_method() -> None:
    assert "design: the cell none has no method" in refusal(factors=methods(one=QUICK, none={}))


def test_without_a_method_beside_it_config_holds_what_every_method_has() -> None:
    with pytest.raises(InputError) as caught:
        study_with(config={"image_size": [64, 64], "lr": 0.1})
    assert "config.lr: without a `trainable` beside it, `config` holds what every method has, " in str(
        caught.value
    )


# What is compared


def compared(**changes: Any) -> list[str]:
    (comparison,) = plan(study_with(**{"comparisons": [{"factor": "method"}], **changes})).comparisons
    return comparison.changes()


def test_methods_are_compared_as_the_bundles_that_their_levels_are() -> None:
    assert compared() == [
        "trainable other → toy",
        "supervision none → full",
        "config.preset quick → small",
        "config.a – → 1",
    ]


def test_the_base_may_be_one_of_the_methods() -> None:
    changes = compared(
        trainable="toy",
        config={"image_size": [64, 64], "epochs": 20},
        factors=methods(toy={}, other=QUICK),
    )
    assert changes == [
        "trainable toy → other",
        "supervision full → none",
        "config.epochs 20 → –",
        "config.preset – → quick",
    ]


def test_two_levels_of_one_method_are_compared_setting_by_setting() -> None:
    first = {"trainable": "toy", "config": {"preset": "small"}}
    second = {"trainable": "toy", "config": {"preset": "small", "lr": 0.5}}
    assert compared(factors=methods(first=first, second=second)) == ["config.lr 0.1 → 0.5"]


def test_a_setting_that_follows_is_no_part_of_a_level_of_the_same_method() -> None:
    first, second = ({"trainable": "toy", "config": {"epochs": number}} for number in (4, 40))
    text = refusal(factors=methods(first=first, second=second), comparisons=[{"factor": "method"}])
    assert "config.warmup   2       20" in text


def test_what_both_methods_have_confounds_where_no_level_sets_it() -> None:
    levels = methods(colour={"trainable": "colour"}, toy={"trainable": "toy"})
    text = refusal(factors=levels, comparisons=[{"factor": "method"}])
    assert "method: colour → toy is confounded" in text
    assert "config.channels   3        1" in text


def test_a_preset_of_the_base_does_not_hide_another_image_size() -> None:
    levels = methods(toy={}, other={"trainable": "other", "supervision": "none", "config": {"rounds": 2}})
    text = refusal(trainable="toy", config={"preset": "large"}, factors=levels)
    assert "image_size" in text


def test_an_override_in_one_of_two_methods_confounds() -> None:
    rows = [{"method": "other"}, {"method": "toy", "override": {"config": {"lr": 0.5}}}]
    text = refusal(design={"rows": rows}, comparisons=[{"factor": "method"}])
    assert text.count("config.lr") == 2  # in the list, and in the hint
    assert "config.preset" not in text


# Searches


SEARCH: dict[str, Any] = {
    "search": {"within": "cell", "points": 2, "objective": {"max": "validation.image_ap"}},
    "space": {"config.lr": {"float": [0.01, 1.0]}},
    "replicate": {"best": 1, "seeds": [10]},
}


def test_each_cell_of_a_search_is_searched_with_its_own_method() -> None:
    made = plan(study_with(**SEARCH))
    points = [
        make_point(
            made.study, find(s.cell.trainable), s, "cpu", index=0, source="tpe", values={"config.lr": 0.5}
        )
        for s in made.searched
    ]
    grown = made.with_points(points)
    assert {(t.cell, t.trainable, t.revision) for t in grown.trials} == {
        ("other #0", "other", 7),
        ("toy #0", "toy", 1),
    }
    assert grown.cells[0].config["rounds"] == 2


def test_a_search_sets_what_the_methods_of_all_its_cells_have() -> None:
    text = refusal(**{**SEARCH, "space": {"config.epochs": {"int": [1, 3]}}})
    assert "space.config.epochs: other has no setting `epochs`; " in text


def test_a_point_is_written_as_a_study_of_its_own_method() -> None:
    made = plan(study_with(**SEARCH, trainable="toy", config={"image_size": [64, 64], "epochs": 3}))
    searched = made.searched[0]
    point = make_point(made.study, OTHER, searched, "cpu", index=0, source="tpe", values={"config.lr": 0.5})
    written = plan(parse_study(study_of_point(made, searched, point, "winner", "It won.")))
    fresh = made.with_points([point]).with_winners([point], complete=True).trials
    assert [t.id for t in written.trials] == [t.id for t in fresh if t.seed == 10]


# On storage, and in an editor


def test_the_plan_comes_back_from_its_table() -> None:
    made = plan(study_with())
    assert plan_of_table(table_of_plan(made)) == made


@pytest.mark.parametrize(
    ("mistake", "sound"),
    [
        ({}, True),
        ({"config": {"image_size": [64, 64], "epochs": 3}}, False),
        ({"factors": methods(one={**QUICK, "config": {"a": 1}})}, False),
        ({"trainable": "toy", "config": {"epochs": 3}}, True),
        ({"trainable": "toy", "factors": methods(one={"config": {"rounds": 2}})}, False),
        ({"trainable": "toy", "factors": methods(one={**QUICK, "config": {"rounds": 2}})}, True),
    ],
)
def test_the_schema_for_editors_knows_the_method_of_a_level(mistake: dict[str, Any], sound: bool) -> None:
    validator = jsonschema.Draft202012Validator(study_schema([TOY, OTHER]))
    assert validator.is_valid({**METHODS, **mistake}) == sound
