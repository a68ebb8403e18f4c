"""Commands of a program: what their placeholders become, and that a value stays one word."""

from __future__ import annotations

import pytest

from trainables.data.spec import DataSpec, Supervision
from trainables.program.spec import ProgramSpec, filled, make_config, stored_objections

SPEC = ProgramSpec.model_validate(
    {
        "files": ["t.py"],
        "train": "{python} t.py {data} {out}",
        "predict": "{python} t.py {images} {answers}",
        "settings": {
            "lr": {"float": [0, 1], "default": 0.1},
            "name": {"choice": ["a", "$(rm -rf /)", "x; y"], "default": "a"},
            "aug": {"flag": "--aug/--no-aug", "default": True},
            "deep": {"flag": "--deep", "default": False},
            "layers": {"int": [1, 64], "default": 8},
        },
    }
)


def words(*given: str, **values: object) -> list[str]:
    config = make_config(SPEC).model_validate({"image_size": [8, 8], **values})
    settings = {name: (setting, getattr(config, name)) for name, setting in SPEC.settings.items()}
    return filled(given, {"seed": 3, "out": "/tmp/a b"}, settings)


@pytest.mark.parametrize(
    ("given", "values", "expected"),
    [
        (["{seed}"], {}, ["3"]),
        (["--out={out}/x"], {}, ["--out=/tmp/a b/x"]),
        (["{aug}", "{lr}"], {}, ["true", "0.1"]),
        (["lr={lr}", "{settings}"], {"aug": False}, ["lr=0.1", "--name", "a", "--no-aug", "--layers", "8"]),
        (["{settings}"], {"deep": True}, ["--lr", "0.1", "--name", "a", "--aug", "--deep", "--layers", "8"]),
        (["{name}"], {"name": "$(rm -rf /)"}, ["$(rm -rf /)"]),
        (["{name}{lr}"], {"name": "x; y"}, ["x; y0.1"]),
        (["{ not one }", "{}"], {}, ["{ not one }", "{}"]),
    ],
)
def test_placeholders_are_filled_in_word_by_word(
    given: list[str], values: dict[str, object], expected: list[str]
) -> None:
    assert words(*given, **values) == expected


def test_images_as_stored_are_a_setting_that_changes_no_id_unless_it_is_set() -> None:
    config = make_config(SPEC)
    usual = config.model_validate({"image_size": [32, 32]})
    stored = config.model_validate({"image_size": [32, 32], "images": "stored"})
    assert "images" not in usual.identity()
    assert stored.identity() == usual.identity() | {"images": "stored"}


def test_images_in_tiles_are_not_given_as_stored() -> None:
    config = make_config(SPEC).model_validate({"image_size": [32, 32], "images": "stored"})
    full = Supervision(kind="full", masks=None)
    whole = DataSpec.model_validate({"reader": "synthetic"})
    tiles = DataSpec.model_validate(
        {"reader": "synthetic", "tiles": {"height": 32, "width": 32, "overlap": 0}}
    )
    assert not stored_objections(config, full, whole)
    (objection,) = stored_objections(config, full, tiles)
    assert "found `data.tiles`" in objection.message


def test_a_value_with_braces_is_not_filled_in_again() -> None:
    spec = SPEC.settings["name"].model_copy(update={"choice": ("{seed}",)})
    assert filled(["{name}"], {"seed": 3}, {"name": (spec, "{seed}")}) == ["{seed}"]
