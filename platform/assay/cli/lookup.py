"""From what a user types to what is stored: a study by name or file, a trial by the start of its id."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from assay.cli.options import as_path
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.storage import Store

__all__ = ["study_name", "study_results", "trial_id"]


def study_results(storage: str, text: str) -> StudyResults:
    """The study that was run into the storage at a URI; ``text`` is its name or its file.

    Raises:
        InputError: If no such study was ever run there, or what is there cannot be read.
    """
    import assay

    opened = assay.open(storage)
    return opened.study(study_name(opened.store, text)).results


def study_name(store: Store, text: str) -> str:
    """The name of a study that has a folder in ``store``; ``text`` is that name or the study's file.

    Raises:
        InputError: If no such study was ever run here.
    """
    name = text
    if text.endswith((".yaml", ".yml")):
        from assay.study import read_study

        name = read_study(as_path(text)).study
    if name in store.study_folders():  # of one without a plan the reader says more
        return name
    known = store.studies()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"It holds: {', '.join(known[:20]) or 'none'}."
    raise InputError(
        f"the storage {store.uri} holds no study {name}. {hint} `assay run` trains a study, and --storage "
        "names another storage."
    )


def trial_id(store: Store, text: str, *, with_model: bool = False) -> str:
    """The id of the one stored trial that starts with ``text``. ``with_model``: the model is what is wanted.

    Raises:
        InputError: If no trial starts so, or several do.
    """
    trials = [known for known in store.trials() if text and known.startswith(text)]
    if len(trials) == 1:
        return trials[0]
    if not trials:
        way_out = ""
        if with_model:
            from assay.production.model import models_named

            way_out = models_named(store)
        raise InputError(
            f"no trial in {store.uri} has an id that starts with {text!r}. "
            f"{way_out or '`assay plan STUDY` lists them.'}"
        )
    raise InputError(
        f"{len(trials)} trials have an id that starts with {text!r}: {', '.join(trials[:5])} … "
        "Type more of it."
    )
