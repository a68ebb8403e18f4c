"""Everything of one kind that is installed, by name: a file in a folder each, and other packages' plug-ins.

A kind is a :class:`Registry`, and that is all there is to declare::

    READERS = Registry(Reader, noun="reader", group="assay.readers", package="trainables.data.readers",
                       attribute="READER")

``READERS["mtd"]`` is then the ``READER`` of ``trainables/data/readers/mtd.py``. A new reader is a new file:
there is no list of them. Another distribution adds one by an entry point, whose name is the reader's::

    [project.entry-points."assay.readers"]
    scratches = "my_package.scratches:READER"

A registry is a mapping. ``name in READERS`` and ``sorted(READERS)`` tell which there are, ``READERS[name]``
is one of them (``KeyError`` where there is none), and ``READERS.find(name)`` refuses an unknown name with the
nearest one. A folder may hold other files, too: one without the attribute declares nothing. Where what is
declared is a few lines, a file has a tuple of them (``several``).

Trade-off: files are imported to see what they declare, and never read as text. So a file of a registry loads
heavy libraries where it uses them, not at its top.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from trainables.errors import InputError, nearest

__all__ = ["Named", "Registry"]


class Named(Protocol):
    """Anything with a name of its own."""

    @property
    def name(self) -> str: ...


ThingT = TypeVar("ThingT", bound=Named)


class Registry(Mapping[str, ThingT]):
    """All declarations of one kind by name: those of a folder in its order, then those of plug-ins.

    Args:
        kind: Class of a declaration.
        noun: Name of the kind in messages: "reader".
        group: Entry points of other distributions: "assay.readers".
        package: Package whose files (or folders) declare one each: "trainables.data.readers".
        attribute: Name of the declaration in a file: "READER".
        folders: True: only the package's folders declare one, and its files are other things.
        several: True: a file declares a tuple of them, whatever the file's name.
    """

    def __init__(
        self,
        kind: type[ThingT],
        *,
        noun: str,
        group: str,
        package: str,
        attribute: str,
        folders: bool = False,
        several: bool = False,
    ) -> None:
        self.kind, self.noun, self.group = kind, noun, group
        self.package, self.attribute, self.folders, self.several = package, attribute, folders, several

    def find(self, name: str) -> ThingT:
        """The declaration called ``name``.

        Raises:
            InputError: If there is none, with the nearest name. If two have this name. If a plug-in cannot
                be loaded.
        """
        try:
            return self[name]
        except KeyError:
            raise InputError(f"there is no {self.noun} {name!r}; {nearest(name, self)}") from None

    def plugin(self, name: str) -> EntryPoint | None:
        """The entry point of another distribution's declaration; None for a built-in one and for none."""
        points = self._plugins().get(name, ())
        return points[0] if points and self._built_in(name) is None else None

    def __getitem__(self, name: str) -> ThingT:
        built_in, points = self._built_in(name), self._plugins().get(name, ())
        # Two declarations of one name are refused and not ranked: which of them a study meant would depend
        # on the machine.
        places = [] if built_in is None else [f"{self.package}{'' if self.several else f'.{name}'}"]
        places += [_place(point) for point in points]
        if len(places) > 1:
            raise InputError(
                f"a name is that of one {self.noun}, and {name!r} is that of {len(places)}: "
                f"{' and '.join(places)}. Rename one, or uninstall its distribution."
            )
        if built_in is not None:
            return built_in
        if not points:
            raise KeyError(name)
        return self._load(points[0])

    def __iter__(self) -> Iterator[str]:
        # The order of the folder, then plug-ins by name: it is the order of every list that a user sees.
        files = self._together if self.several else self._files()
        built_in = [name for name in files if self._built_in(name) is not None]
        return iter(dict.fromkeys([*built_in, *sorted(self._plugins())]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._plugins() or self._built_in(name) is not None)

    def _plugins(self) -> Mapping[str, tuple[EntryPoint, ...]]:
        return _entry_points(self.group, tuple(sys.path))

    def _files(self) -> tuple[str, ...]:
        return _modules(self.package, self.folders)

    def _built_in(self, name: str) -> ThingT | None:
        """The declaration of this name in the package; None where there is none."""
        if self.several:
            return self._together.get(name)
        if name not in self._files():
            return None
        module = importlib.import_module(f"{self.package}.{name}")
        thing = getattr(module, self.attribute, None)
        return None if thing is None else self._checked(thing, name, f"{module.__name__}:{self.attribute}")

    @cached_property
    def _together(self) -> Mapping[str, ThingT]:
        """All declarations of files that have several, by name, sorted."""
        things: dict[str, ThingT] = {}
        for file in self._files():
            module = importlib.import_module(f"{self.package}.{file}")
            for thing in getattr(module, self.attribute, ()):
                things[thing.name] = self._checked(thing, thing.name, f"{module.__name__}:{self.attribute}")
        return dict(sorted(things.items()))

    def _load(self, point: EntryPoint) -> ThingT:
        try:
            thing = point.load()
        except (Exception, SystemExit) as error:
            raise InputError(
                f"the {self.noun} {point.name!r} cannot be loaded from {_place(point)}: "
                f"{type(error).__name__}: {error}. Repair or uninstall that distribution."
            ) from error
        return self._checked(thing, point.name, _place(point))

    def _checked(self, thing: object, name: str, place: str) -> ThingT:
        if not isinstance(thing, self.kind):
            raise InputError(
                f"the {self.noun} {name!r} is a {type(thing).__name__}, expected a "
                f"{self.kind.__module__}.{self.kind.__name__}: {place}."
            )
        # Two names for one thing would part what a study asks for from what its records tell.
        if thing.name != name:
            raise InputError(
                f"a {self.noun} has one name: it is found as {name!r} and calls itself {thing.name!r}: "
                f"{place}. Rename one of the two."
            )
        return thing


def _place(point: EntryPoint) -> str:
    distribution = (
        "an unnamed distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    )
    return f"{point.value} of {distribution}"


@lru_cache(maxsize=64)
def _entry_points(group: str, path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Entry points by name, as Python's own ``path`` has them: reading takes a hundredth of a second."""
    points: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        points[point.name] = (*points.get(point.name, ()), point)
    return points


@lru_cache(maxsize=64)
def _modules(package: str, folders: bool) -> tuple[str, ...]:
    """Names of a package's modules, sorted."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if module.ispkg or not folders))
