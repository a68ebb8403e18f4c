"""The search of the toy method that tests of plans ask for, and its points."""

from __future__ import annotations

from typing import Any

from assay.study import Plan, Point, Study
from assay.study.search.points import make_point
from tests.study.toy import TOY, study_with

SEARCH: dict[str, Any] = {
    "factors": {},
    "design": None,
    "search": {"points": 6, "batch": 2, "objective": {"max": "validation.image_ap"}},
    "space": {
        "config.lr": {"float": [0.01, 1.0], "log": True},
        "config.a": {"int": [0, 2]},
        "config.b": {"int": [1, 3], "when": {"config.a": 1}},
    },
    "start": ["preset"],
    "replicate": {"best": 2, "seeds": [10, 11, 12]},
}


def search_with(**changes: Any) -> Study:
    """The search with other blocks; of `search` itself what is named."""
    chosen = {**SEARCH, **changes}
    if chosen["search"] is not None:
        chosen["search"] = {**SEARCH["search"], **chosen["search"]}
    return study_with(**{key: value for key, value in chosen.items() if value is not None or key == "design"})


def points_of(made: Plan, *drawn: dict[str, Any]) -> list[Point]:
    """Points with these values, in turn in each searched cell."""
    return [
        make_point(made.study, TOY, searched, "cpu", index=index, source="tpe", values=values)
        for index, values in enumerate(drawn)
        for searched in made.searched
    ]
