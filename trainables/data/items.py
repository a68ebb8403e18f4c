"""The physical item of each image, by a pattern of file names such as ``{part}_{view}``.

A name in braces stands for one sign or more, but no slash. ``{part}`` takes as many as it can, the others as
few. A pattern is compared with the file's name without its ending. With a slash it is compared with as many
folders before it. What ``{part}`` matches is the item. Where it stands twice (``{part}/{part}_{view}``) both
together are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePath, PurePosixPath

from trainables.errors import InputError

__all__ = ["check_pattern", "item_of", "items_of", "propose_pattern"]

_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")
_SHOWN = 3
_PROPOSED = ("{part}_{view}", "{part}-{view}", "{part}.{view}", "{part}/{view}")
_MOST_VIEWS = 16
_FEWEST_PARTS = 8
_COMPLETE = 0.9  # share of the parts that have every view


def check_pattern(pattern: str) -> str:
    """``pattern`` itself.

    Raises:
        ValueError: If it is none: no ``{part}``, names without text between, or single braces.
    """
    fault = ""
    if "{part}" not in pattern:
        fault = "has no {part}"
    elif re.search(r"\}\{", pattern):
        fault = "has two names without text between them"
    elif set("{}") & set(_NAME.sub("", pattern)):
        fault = "has a brace that belongs to no name"
    elif pattern.startswith("/"):
        fault = "starts with a slash"
    if fault:
        raise ValueError(
            f"a pattern of file names is like {{part}}_{{view}}, found {pattern!r}, which {fault}"
        )
    return pattern


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = _NAME.split(pattern)  # text and names in turn
    for at in range(1, len(pieces), 2):
        pieces[at] = "([^/]+)" if pieces[at] == "part" else "[^/]+?"
    for at in range(0, len(pieces), 2):
        pieces[at] = re.escape(pieces[at])
    return re.compile("".join(pieces))


def item_of(pattern: str, image: PurePath) -> str | None:
    """The item of an image file; None where its name is not of the pattern."""
    depth = pattern.count("/") + 1
    match = _compiled(pattern).fullmatch("/".join(image.with_suffix("").parts[-depth:]))
    return None if match is None else "/".join(match.groups())


def items_of(pattern: str, images: Sequence[str]) -> list[str]:
    """The item of each image, by its path.

    Raises:
        InputError: If the pattern matches none or only some of them.
    """
    items = [item_of(pattern, PurePosixPath(image)) for image in images]
    others = [image for image, item in zip(images, items, strict=True) if item is None]
    if others:
        raise InputError(
            f"data.item: {pattern!r} matches the name of every image, found {len(others)} of {len(images)} "
            f"that it does not match: {', '.join(others[:_SHOWN])}. Correct the pattern or rename the files, "
            "or leave data.item out: every image is then an item of its own."
        )
    return [item for item in items if item is not None]


def propose_pattern(images: Iterable[str]) -> str | None:
    """The pattern that the names show: nearly every part has the same few views, and there are many parts."""
    paths = [PurePosixPath(image) for image in images]
    return next((pattern for pattern in _PROPOSED if _shows(pattern, paths)), None)


def _shows(pattern: str, paths: Sequence[PurePosixPath]) -> bool:
    views: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        item = item_of(pattern, path)
        if item is None:
            return False
        views[item].append(path.stem.removeprefix(item))
    kinds = Counter(view for several in views.values() for view in several)
    complete = sum(set(several) == set(kinds) and len(several) == len(kinds) for several in views.values())
    return (
        2 <= len(kinds) <= _MOST_VIEWS
        and len(views) >= max(_FEWEST_PARTS, len(kinds))
        and complete >= _COMPLETE * len(views)
    )
