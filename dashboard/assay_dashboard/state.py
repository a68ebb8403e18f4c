"""Query parameters of a link to a page: their names, and the only values that count.

Widgets of a page bind themselves to these names (``bind="query-params"``); a value that is none of their
options is ignored and taken out of the URL. A path never comes from the URL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from assay.study import Trial
from assay.study.planning.repeats import repeat_name

__all__ = [
    "CELL",
    "CELLS",
    "OTHER",
    "REPEAT",
    "STUDY",
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

STUDY = "study"  # a study of the storage
OTHER = "other"  # another study beside it
CELL = "cell"  # a cell of the study
CELLS = "cells"  # several
REPEAT = "repeat"  # as `repeat_name` writes it

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


def keep_in_url(name: str, values: Sequence[str]) -> None:
    """The parameter ``name`` of the URL becomes ``values``; none of them: it has no such parameter.

    To be called in every run, not in a callback: of a run that the next one interrupts, the URL may be lost.
    """
    if _came_by_history():
        return
    if values and st.query_params.get_all(name) != list(values):
        st.query_params[name] = values
    elif not values and name in st.query_params:
        del st.query_params[name]


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
