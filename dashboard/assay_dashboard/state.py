"""Query parameters of a link to a page: their names, and the only values that count.

Widgets of a page bind themselves to these names (``bind="query-params"``); a value that is none of their
options is ignored and taken out of the URL. A path never comes from the URL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator as Container
from streamlit.runtime.scriptrunner import get_script_run_ctx

from assay.study import Plan, Trial
from assay.study.planning.repeats import repeat_name

__all__ = [
    "CELL",
    "CELLS",
    "OTHER",
    "REPEAT",
    "STUDY",
    "check_link",
    "choose_one",
    "choose_part_of",
    "choose_several",
    "choose_study",
    "chosen_study",
    "keep_in_url",
    "mlflow_url",
    "of_another_study",
    "read_only",
    "select_rows",
    "settle_study",
    "storage_uri",
    "times_restored",
    "trial_of",
]

Words = Callable[[str], str]  # a name → what a reader reads

STUDY = "study"  # a study of the storage
OTHER = "other"  # another study beside it
CELL = "cell"  # a cell of the study
CELLS = "cells"  # several
REPEAT = "repeat"  # as `repeat_name` writes it
TRIAL, SEED = "trial", "seed"  # other names of a run, which links may have

_NOTED = "_link_noted"  # page and study, and what a link to them named wrongly
_LONGEST = 80  # letters of a name that is repeated

_IN_URL = "_study_in_url"  # what the URL held at the last run
_RESTORED = "_times_restored"
_UNKNOWN = "_study_unknown"  # true after a link to a study that there is not
DEFAULT_MLFLOW = "http://127.0.0.1:5000"  # of `assay mlflow`


def storage_uri() -> str:
    """The storage named on the command line (``--storage URI``), and nowhere else."""
    return _named("--storage") or "./assay-storage"


def mlflow_url() -> str:
    """The address of MLflow's pages (``--mlflow URL`` on the command line), without a slash at the end."""
    return (_named("--mlflow") or DEFAULT_MLFLOW).rstrip("/")


def read_only() -> bool:
    """True where the pages have no buttons that stop trainings (``--read-only`` on the command line)."""
    return "--read-only" in sys.argv[1:]


def _named(option: str) -> str | None:
    given = sys.argv[1:]
    return given[given.index(option) + 1] if option in given[:-1] else None


def settle_study(names: Sequence[str], newest: Callable[[], str | None]) -> None:
    """Settle which study the pages show: that of the URL, else the one chosen before, else the newest.

    A link to a study that there is not shows none, so that nobody takes another study for it.
    """
    # The URL wins where it names a study that is there; else what was chosen on another page.
    named = st.query_params.get(STUDY)
    if named is not None and names:
        st.session_state[_UNKNOWN] = named not in names
    # A select that was not drawn for once, as while the storage was away, has forgotten what was chosen.
    if named in names and (named != st.session_state.get(_IN_URL) or STUDY not in st.session_state):
        st.session_state[STUDY] = named
    if st.session_state.get(STUDY) not in names:
        st.session_state[STUDY] = newest() if names and not st.session_state.get(_UNKNOWN) else None


def choose_study(names: Sequence[str]) -> None:
    """The select of the study, which all pages share and every link names.

    It is not bound to its parameter: a link to another study would then lose against what was chosen before.
    """
    chosen = st.selectbox(
        "Study", names, index=None, key=STUDY, placeholder="Choose a study", label_visibility="collapsed"
    )
    st.session_state[_IN_URL] = chosen
    if _came_by_history():
        st.session_state[_RESTORED] = times_restored() + 1
        return
    if chosen is not None:
        st.query_params[STUDY] = chosen
    elif names and STUDY in st.query_params:  # a storage that has none at the moment may come back
        del st.query_params[STUDY]


def chosen_study() -> str | None:
    """The study that the reader chose, on whatever page."""
    value = st.session_state.get(STUDY)
    return value if isinstance(value, str) else None


def check_link(page: str, plan: Plan) -> list[str]:
    """Sentences on what the URL names and the study does not have; they stay while the page does.

    ``trial=ID`` and ``seed=N`` are understood, too: they become the variant and the repeat that they name.
    """
    params, noted = st.query_params, st.session_state.get(_NOTED)
    if noted is None or noted[0] != (page, plan.study.study):
        noted = ((page, plan.study.study), list[str]())
        st.session_state[_NOTED] = noted

    # Everything that the link names is looked up once, since the widgets will silently drop what they do
    # not know.
    named = [name for key in (CELL, CELLS) for name in params.get_all(key)]
    asked = {("variant", name): any(trial.cell == name for trial in plan.trials) for name in named}
    for name in params.get_all(REPEAT):
        asked["repeat", name] = any(_repeat(trial) == name for trial in plan.trials)

    # Other names of a run become the variant and repeat that the widgets understand.
    if TRIAL in params:
        trial = next((trial for trial in plan.trials if trial.id == params[TRIAL]), None)
        asked["trial", params.pop(TRIAL)] = trial is not None
        if trial is not None:
            st.session_state[CELL], st.session_state[REPEAT] = trial.cell, _repeat(trial)
    if SEED in params:
        repeat = next((_repeat(t) for t in plan.trials if str(t.seed) == params[SEED]), None)
        asked["seed", params.pop(SEED)] = repeat is not None
        if repeat is not None:
            st.session_state[REPEAT] = repeat
    for (what, name), known in asked.items():
        text = f"The link names a {what} that {plan.study.study} does not have: {name[:_LONGEST]}."
        if not known and text not in noted[1]:
            noted[1].append(text)
    return noted[1]


def _repeat(trial: Trial) -> str:
    return repeat_name(trial.seed, trial.fold)


def keep_in_url(name: str, values: Sequence[str]) -> None:
    """The parameter ``name`` of the URL becomes ``values``; none of them: it has no such parameter.

    To be called in every run, not in a callback: of a run that the next one interrupts, the URL may be lost.
    """
    # The value before is remembered as well: while it is on its way to the browser it must not be taken for
    # a link.
    if list(values) != (written := st.session_state.get(f"_{name} in URL", [])):
        st.session_state[f"_{name} before"] = written
    st.session_state[f"_{name} in URL"] = list(values)
    if _came_by_history():
        return
    if values and st.query_params.get_all(name) != list(values):
        st.query_params[name] = values
    elif not values and name in st.query_params:
        del st.query_params[name]


def choose_one(
    place: Container | ModuleType,
    label: str,
    names: Sequence[str],
    *,
    key: str,
    usual: str,
    words: Words,
    **more: Any,
) -> str:
    """A select of one of ``names`` that shows them in words; the URL keeps the name itself."""
    _settle(key, names, [usual], most=1)
    return _keep_chosen(place.selectbox(label, names, key=key, format_func=words, **more), key, usual)


def choose_part_of(page: str, names: Sequence[str]) -> str:
    """Buttons that choose which part of ``page`` is shown, at first the first; the URL keeps its name."""
    _settle(page, names, names[:1], most=1)
    label = "Part of the page"
    chosen = st.segmented_control(label, names, required=True, key=page, label_visibility="collapsed")
    return _keep_chosen(chosen or names[0], page, names[0])


def _keep_chosen(chosen: str, key: str, usual: str) -> str:
    keep_in_url(key, [] if chosen == usual else [chosen])
    st.session_state[f"_{key} chosen"] = [chosen]
    return chosen


def choose_several(
    place: Container | ModuleType,
    label: str,
    names: Sequence[str],
    *,
    key: str,
    usual: Sequence[str],
    words: Words,
    most: int | None = None,
    **more: Any,
) -> list[str]:
    """A select of several of ``names``, of ``most`` at most; the URL keeps the names themselves."""
    _settle(key, names, usual, most)
    chosen = place.multiselect(label, names, key=key, format_func=words, max_selections=most, **more)
    keep_in_url(key, [] if chosen == list(usual) else chosen)
    st.session_state[f"_{key} chosen"] = chosen
    return chosen


def _settle(key: str, names: Sequence[str], usual: Sequence[str], most: int | None) -> None:
    """Give a widget the value of a link, or of Back and Forward; else what was chosen, here or elsewhere."""
    # A widget's value may come from a link, from this page, from another page, or be the usual one; in this
    # order.
    asked, written = st.query_params.get_all(key), st.session_state.get(f"_{key} in URL", [])
    chosen = st.session_state.get(key, st.session_state.get(f"_{key} chosen"))
    if chosen is not None and not isinstance(chosen, list):
        chosen = [chosen]
    # Where another page or study begins with other values, only what the reader chose is taken along.
    run = get_script_run_ctx()
    here = run.page_script_hash if run is not None else "", st.session_state.get(STUDY)
    place, began = st.session_state.get(f"_{key} began", (None, []))
    if place != here:
        chosen = None if chosen in ([], began) else chosen
        began = list(usual)
    st.session_state[f"_{key} began"] = here, began

    # What was written before may still be on its way to the browser: it is no link.
    is_link = asked and asked not in (written, st.session_state.get(f"_{key} before"))
    if is_link or (asked != written and _came_by_history()):
        chosen = asked or None

    # What this study does not have falls out. An empty choice stays empty where nothing has to be chosen.
    kept = [name for name in dict.fromkeys(chosen or ()) if name in names][:most]
    value = kept or (list(usual) if chosen != [] or most == 1 else [])
    st.session_state[key] = value[0] if most == 1 else value


def _came_by_history() -> bool:
    """True where Back or Forward led to the page.

    A parameter that was written then would be a new entry of the history, from which Back leads here again.
    """
    run = get_script_run_ctx()
    return run is not None and run.is_history_navigation


def times_restored() -> int:
    """Times that Back or Forward led to a page. What the browser draws then takes over what the URL says."""
    return st.session_state.get(_RESTORED, 0)


def of_another_study(part: str, study: str) -> bool:
    """True where a part of a page was last drawn for another study.

    The values of its widgets then belong to that study, but Streamlit would keep them: a widget with a key
    stays the same one whatever its usual value is. When nothing was drawn yet, the URL's values count.
    """
    before = st.session_state.get(f"_{part}_of")
    st.session_state[f"_{part}_of"] = study
    return before not in (None, study)


def select_rows(key: str, rows: Iterable[int]) -> None:
    """Mark rows of the table ``key``, drawn next: by itself it keeps the places that were clicked.

    A place holds another row as soon as the order changes or a record comes.
    """
    wanted = sorted(rows)
    state = st.session_state.get(key)
    if wanted != sorted(state["selection"]["rows"] if state is not None else []):
        st.session_state[key] = {"selection": {"rows": wanted, "columns": [], "cells": []}}


def trial_of(trials: Iterable[Trial], cell: str, repeat: str) -> Trial | None:
    """The trial of a cell at a repeat; None where there is none."""
    of_cell = (trial for trial in trials if trial.cell == cell)
    return next((trial for trial in of_cell if repeat_name(trial.seed, trial.fold) == repeat), None)
