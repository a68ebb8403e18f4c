"""Buttons that ask a run to stop, as `assay stop` does, and take that back. They write nothing else."""

from __future__ import annotations

from functools import partial

import streamlit as st

from assay.storage import Store
from assay.storage.lease import StopKind, clear_stop, holder, request_stop, stop_requested
from assay_dashboard.layout import plain
from assay_dashboard.state import read_only

__all__ = ["stop_button"]

_WHEN: dict[StopKind, str] = {"study": "within seconds", "trial": "after its epoch"}


def stop_button(store: Store, study: str, kind: StopKind, name: str) -> None:
    """A button that stops a study that runs, or one of its trials; then one that lets it go on.

    Nothing where nobody runs the study. Without a button where the pages are read-only.

    Args:
        store: Where the study runs.
        study: Its name.
        kind: Of what is stopped.
        name: Of the study, or the trial's id.
    """
    note = holder(store, study)
    if note is None:
        return
    pending = stop_requested(store, kind, name, note.token)
    if pending:
        plain(f"Asked to stop: the {kind} ends {_WHEN[kind]}. `assay run` goes on with it.", "quiet")
    if read_only():
        return
    label, icon = (
        ("Go on", ":material/play_circle:") if pending else (f"Stop {kind}", ":material/stop_circle:")
    )
    act = (
        partial(clear_stop, store, kind, name)
        if pending
        else partial(request_stop, store, kind, name, note.token)
    )
    st.button(label, icon=icon, key=f"stop-{kind}", on_click=act, type="tertiary")
