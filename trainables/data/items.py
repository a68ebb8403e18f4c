"""The physical item of each image, by a pattern of file names such as ``{part}_{view}``.

A name in braces stands for one sign or more, but no slash. ``{part}`` takes as many as it can, the others as
few. A pattern is compared with the file's name without its ending. With a slash it is compared with as many
folders before it. What ``{part}`` matches is the item. Where it stands twice (``{part}/{part}_{view}``) both
together are.

``augmented`` stands for no pattern: the item is what is left of an image's name, in its folder, without what
tools add to the names of copies that they make (``a_flip``, ``a_aug3``, ``a_jpg.rf.0f3a….jpg``). Of a number
alone (``a (1)``, ``a_0_1234``) nobody knows whether it is a copy's: it is taken off where there is an image
``a``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePath, PurePosixPath

from trainables.errors import InputError

__all__ = ["AUGMENTED", "check_pattern", "item_of", "items_of", "propose_pattern"]

AUGMENTED = "augmented"
_CHANGES = (
    r"aug(?:mented)?|copy|(?:[hv]|lr|ud|horizontal|vertical)?[_-]?flip(?:ped)?(?:[_-]?(?:h|v|lr|ud|x|y))?"
    r"|mirror(?:ed)?|rot(?:ate|ated|ation)?|transposed?|bright(?:er|ness)?|darker|contrast|nois[ey]|gaussian|blur(?:red)?"
)
_COPY = re.compile(
    rf"""(?P<end>.+?)(?:
        (?:_(?:jpe?g|png|bmp|tiff?|webp))?\.rf\.[0-9a-z]{{6,}}      # Roboflow
        |[ _.-]+(?:{_CHANGES})[ _-]?-?\d*(?:[ ]?\(\d+\))?)
    |(?:{_CHANGES})[ _-]?\d*[ _-]+(?P<start>.+)""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERED = re.compile(r"(.+?)(?:[ ]?\(\d+\)|_\d+_\d{1,7})")  # of a system, of Keras
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
    if pattern == AUGMENTED:
        return pattern
    if "{part}" not in pattern:
        fault = "has no {part}"
    elif re.search(r"\}\{", pattern):
        # Two names side by side could share a text between them in any way, so neither would mean anything.
        fault = "has two names without text between them"
    elif set("{}") & set(_NAME.sub("", pattern)):
        fault = "has a brace that belongs to no name"
    elif pattern.startswith("/"):
        fault = "starts with a slash"
    if fault:
        raise ValueError(
            f"a pattern of file names is like {{part}}_{{view}}, found {pattern!r}, which {fault}. "
            f"`{AUGMENTED}` is for names of augmented copies"
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
    if pattern == AUGMENTED:
        # Tools copy copies: endings are taken off until none is left.
        name = image.stem
        while match := _COPY.fullmatch(name):
            name = match["end"] or match["start"]
        return (image.parent / name).as_posix()
    depth = pattern.count("/") + 1
    match = _compiled(pattern).fullmatch("/".join(image.with_suffix("").parts[-depth:]))
    return None if match is None else "/".join(match.groups())


def items_of(pattern: str, images: Sequence[str]) -> list[str]:
    """The item of each image, by its path.

    Raises:
        InputError: If the pattern matches none or only some of them.
    """
    items = [item_of(pattern, PurePosixPath(image)) for image in images]
    if pattern == AUGMENTED:
        # A number behind a name may be the part's own; it counts as a copy's only where the image without
        # it is there.
        names = {PurePosixPath(image).with_suffix("").as_posix() for image in images}
        bases = {item: match[1] for item in items if item and (match := _NUMBERED.fullmatch(item))}
        items = [base if item and (base := bases.get(item)) in names else item for item in items]
    others = [image for image, item in zip(images, items, strict=True) if item is None]
    if others:
        raise InputError(
            f"data.item: {pattern!r} matches the name of every image, found {len(others)} of {len(images)} "
            f"that it does not match: {', '.join(others[:_SHOWN])}. Correct the pattern or rename the files, "
            "or leave data.item out: every image is then an item of its own."
        )
    return [item for item in items if item is not None]


def propose_pattern(images: Iterable[str]) -> str | None:
    """The pattern that the names show; None where they show none.

    Nearly every part has the same few views, and there are many parts. Or some images are called augmented
    copies of others.
    """
    paths = [PurePosixPath(image) for image in images]
    pattern = next((pattern for pattern in _PROPOSED if _shows(pattern, paths)), None)
    if pattern is None and len(set(items_of(AUGMENTED, [str(path) for path in paths]))) < len(paths):
        return AUGMENTED
    return pattern


def _shows(pattern: str, paths: Sequence[PurePosixPath]) -> bool:
    views: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        item = item_of(pattern, path)
        if item is None:
            return False
        views[item].append(path.stem.removeprefix(item))
    # The same few views of nearly every part: a coincidence of names shows no such table.
    kinds = Counter(view for several in views.values() for view in several)
    complete = sum(set(several) == set(kinds) and len(several) == len(kinds) for several in views.values())
    return (
        2 <= len(kinds) <= _MOST_VIEWS
        and len(views) >= max(_FEWEST_PARTS, len(kinds))
        and complete >= _COMPLETE * len(views)
    )
