"""Numbers, times and names as the pages write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from assay_dashboard.study_view import StudyEntry

__all__ = ["ago", "counted", "duration", "escaped", "progress_bar"]

_MARK_UP = re.compile(r"([\\`*_{}\[\]()#+.!|~$:<>&-])")
# Of addresses Markdown makes links, whatever is escaped: a word joiner, which nobody sees, parts them.
_ADDRESS = re.compile(r"https?:(?=//)|www(?=\.)|@", re.IGNORECASE)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def escaped(text: str) -> str:
    """Escape ``text`` for a place that reads Markdown, which then shows it as it is."""
    return _MARK_UP.sub(r"\\\1", _ADDRESS.sub("\\g<0>\u2060", text))


def duration(seconds: float) -> str:
    """``40 s``, ``5 min``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def ago(then: datetime) -> str:
    """``5 min ago``."""
    return f"{duration(max(0.0, (datetime.now(UTC) - then).total_seconds()))} ago"


def counted(entry: StudyEntry) -> str:
    """``17 of 24 finished · 2 running · 1 failed · 4 planned``."""
    parts = [f"{entry.counts.get('finished', 0)} of {entry.total} finished"]
    others = {name: entry.counts.get(name, 0) for name in ("failed", "diverged", "pruned")}
    others = {"running": entry.running, **others, "planned": entry.planned}
    parts += [f"{number} {name}" for name, number in others.items() if number]
    if entry.planned and not entry.held:
        parts.append("nobody runs it")
    return " · ".join(parts)


def progress_bar(entry: StudyEntry) -> str:
    """Shares of what is finished, pruned, lost and running, as HTML made of numbers only."""
    numbers = {name: entry.counts.get(name, 0) for name in ("finished", "pruned")}
    numbers |= {"lost": entry.done - sum(numbers.values()), "running": entry.running}
    total = max(1, entry.total)
    pieces = "".join(
        f'<i class="{name}" style="width:{100 * number / total:.3f}%"></i>'
        for name, number in numbers.items()
    )
    label = f"{numbers['finished']} of {entry.total} finished"
    return f'<div class="bar" role="img" aria-label="{label}">{pieces}</div>'
