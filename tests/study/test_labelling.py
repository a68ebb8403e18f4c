"""`labelling`: what a label takes is checked like everything else, and is no part of what is trained."""

from __future__ import annotations

import pytest

from assay.study import parse_study, plan_study
from tests.analysis.label_studies import LINE
from trainables.errors import InputError

COSTS = "labelling: {image_label_seconds: 3, mask_seconds: 90}\n"


def ids(text: str) -> list[str]:
    return [trial.id for trial in plan_study(parse_study(text), None, "cpu").trials]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{image_label_seconds: 3}", "mask_seconds"),
        ("{image_label_seconds: 0, mask_seconds: 90}", "greater than 0"),
        ("{image_label_seconds: 3, mask_seconds: 100000}", "86400"),
        ("{image_label_seconds: 3, mask_secs: 90}", "mask_seconds"),
    ],
)
def test_costs_that_are_none_are_refused_with_their_line(block: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse_study(LINE.replace(COSTS, f"labelling: {block}\n"), "costs.yaml")
    line = LINE[: LINE.index("labelling:")].count("\n") + 1
    assert f"costs.yaml:{line}:" in str(refused.value)


def test_costs_change_no_trial() -> None:
    assert ids(LINE) == ids(LINE.replace(COSTS, "")) == ids(LINE.replace("90}", "1}"))
