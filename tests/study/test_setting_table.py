"""What a study may set, as it is shown to users: complete, true, and up to date on its page."""

from __future__ import annotations

import pytest

from assay.study import Study
from assay.study.settings.setting_table import (
    TOP,
    format_default,
    preset_values,
    presets_by_value,
    settings_of_block,
    settings_of_method,
    study_blocks,
)
from trainables.plugins.catalogue import TRAINABLES

# Those of this package: the tests install plug-ins beside them.
METHODS = {name: method for name, method in TRAINABLES.items() if TRAINABLES.plugin(name) is None}


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_a_method_has_a_meaning_and_its_method_a_source(method: str) -> None:
    settings = settings_of_method(METHODS[method])
    assert [path.removeprefix("config.") for path in settings] == list(METHODS[method].Config.model_fields)
    assert [path for path, setting in settings.items() if not setting.meaning.endswith(".")] == []
    assert METHODS[method].source


@pytest.mark.parametrize("block", study_blocks())
def test_every_setting_of_a_block_has_a_meaning(block: str) -> None:
    assert [row.setting for row in settings_of_block(block) if not row.meaning] == []
    assert study_blocks()[block]


def test_the_blocks_hold_every_key_of_a_study() -> None:
    top = {row.setting for row in settings_of_block(TOP)}
    assert top | study_blocks().keys() - {TOP} | {TOP} == Study.model_fields.keys()


@pytest.mark.parametrize(
    ("method", "path", "default", "may_be", "meaning"),
    [
        ("segdec", "config.balance", "linear", "none, linear, power", "λ of Eq. 1"),
        ("segdec", "config.channel_scale", "1.0", "0.0625 to 2", "Factor on"),
        ("segdec", "config.balance_power", "1.0", "above 0, at most 10", "Exponent"),
        ("segdec", "config.batch_size", "1", "whole number, 1 to 1,024", "Images per step"),
        ("segdec", "config.gradient_stop", "true", "true, false", "Keep the classification"),
        ("cam", "config.layers", "[-1]", "list of: whole number", "Stages of resnet18s"),
        ("cam", "config.weights_file", "not set", "text", "State dict of a published"),
        ("cam", "config.image_size", "required", "list of 2: whole number", "Input height"),
    ],
)
def test_a_setting_says_its_default_and_its_values_in_words(
    method: str, path: str, default: str, may_be: str, meaning: str
) -> None:
    shown = settings_of_method(METHODS[method])[path]
    assert (shown.setting, shown.default, shown.may_be) == (path, default, may_be)
    assert shown.meaning.startswith(meaning)


@pytest.mark.parametrize(
    ("path", "default", "values"),
    [
        ("data.validation", "{share: 0.2, by: item}", "a block"),
        ("data.validation.share", "0.2", "above 0, below 1"),
        ("data.test.share", "0.3", "above 0, below 1"),  # the block's default, not that of its type
        ("data.options.difficulty", "0.4", "0 to 1"),
    ],
)
def test_a_block_names_what_is_below_it_by_dotted_paths(path: str, default: str, values: str) -> None:
    (row,) = (row for row in settings_of_block("data") if row.setting == path)
    assert (row.default, row.may_be) == (default, values)


@pytest.mark.parametrize(("path", "value"), [("config.delta", "0.01"), ("config.image_size", "[1408, 512]")])
def test_a_preset_is_read_per_setting(path: str, value: str) -> None:
    assert preset_values(METHODS["segdec"], "ksdd")[path] == value


def test_a_setting_is_read_per_preset() -> None:
    segdec = METHODS["segdec"]
    by_value = presets_by_value(segdec, "config.delta")
    assert by_value["0.01"] == ("ksdd", "ksdd_as_published")
    assert {name for names in by_value.values() for name in names} == set(segdec.presets)
    assert presets_by_value(segdec, "config.sf_kernel") == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not set"),
        ((), "not set"),
        ("", "empty"),
        (False, "false"),
        (0, "0"),
        (0.01, "0.01"),
        ((704, 256), "[704, 256]"),
        ({"share": 0.2, "by": "item"}, "{share: 0.2, by: item}"),
    ],
)
def test_values_are_shown_as_a_study_writes_them(value: object, text: str) -> None:
    assert format_default(value) == text
