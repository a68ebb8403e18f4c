"""The page of all settings in Markdown: `docs/settings.md`, made by ``assay settings --output``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from assay.study.setting_table import (
    Setting,
    preset_values,
    settings_of_block,
    settings_of_method,
    study_blocks,
)
from assay.study.settings import AnyTrainable
from trainables.data.readers.base import Reader

__all__ = ["settings_page"]

_TITLES = ("setting", "default", "may be", "meaning")
_OPENING = """\
# Settings

This page lists everything that a study may set, with default, allowed values and meaning. `assay settings`
shows the same in the terminal. `assay settings METHOD --preset PRESET` puts a preset beside the defaults, and
`assay settings METHOD NAME` says all about one setting. `make settings` makes this page.

Names are as in a study. `config.delta` is `config: {delta: 0.5}` in the base, in a level of a factor or in a
row, and `config.delta` in the space of a search.
"""


def settings_page(methods: Iterable[AnyTrainable], readers: Iterable[Reader] | None = None) -> str:
    """The page of ``methods`` and of all blocks of the study file.

    Args:
        methods: Methods that are on the page.
        readers: Readers whose options are on it; default: all that are installed.
    """
    ordered = sorted(methods, key=lambda method: method.name)
    return "\n".join([_OPENING, *(line for method in ordered for line in _method(method)), *_blocks(readers)])


def _method(method: AnyTrainable) -> Iterator[str]:
    yield f"## Method `{method.name}`"
    yield ""
    yield f"{method.title}. Supervision: {', '.join(sorted(method.supervisions))}."
    yield ""
    if method.source:
        yield "Published in:"
        yield ""
        yield from (f"- {source}" for source in method.source.split("; "))
        yield ""
    yield from _table(_TITLES, list(settings_of_method(method).values()))
    if not method.presets:
        return
    yield "Presets replace defaults:"
    yield ""
    yield from _table(("preset", "sets"), [(name, _preset(method, name)) for name in method.presets])


def _preset(method: AnyTrainable, name: str) -> str:
    values = preset_values(method, name)
    return ", ".join(f"`{path.removeprefix('config.')}: {value}`" for path, value in values.items())


def _blocks(readers: Iterable[Reader] | None) -> Iterator[str]:
    for block, text in study_blocks().items():
        yield f"## Block `{block}`"
        yield ""
        yield text
        yield ""
        yield from _table(_TITLES, settings_of_block(block, readers))


def _table(titles: Sequence[str], rows: Sequence[Setting] | Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        name, *cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| `{name}` | {' | '.join(cells)} |"
    yield ""
