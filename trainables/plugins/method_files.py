"""Methods that are files of the user's own: ``trainable: ./blur.py:TRAINABLE``, or ``./my_unet.yaml``.

The files are read once, and the bytes that were read are what is hashed, kept and run: a module is made from
them in memory. So a trial's id (the hash is part of the method's name, ``blur@3f9c1d2e4a5b6c7d``) never
speaks of other code than what trained it, and a worker, or a machine that predicts years later, needs no
file at the old place. A method of several files is a folder with an ``__init__.py``.

What the code raises, when it is imported or when a hook of its Trainable is asked, becomes a refusal that
names the line of its file.

A program that a YAML file describes (:mod:`trainables.program`) is kept, hashed and shipped in the same way:
its description and its files are the method's.

Trade-off: of a method in Python only ``.py`` files belong to it. What else it reads at run time (weights,
tables) is not part of its hash, and does not travel. A program's YAML file names what belongs to it.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Self

from trainables.contract import Trainable
from trainables.errors import InputError, text_of
from trainables.plugins.method_shape import HOOKS, broken_rule, refuse_name, refuse_shape, taken
from trainables.program.method import PROGRAM_FILE, program_trainable

__all__ = [
    "MAX_PROGRAM_BYTES",
    "MethodSource",
    "is_file_method",
    "is_file_reference",
    "is_program_reference",
    "load_file_method",
    "load_program",
    "load_source",
    "loaded_method",
    "loaded_source",
    "method_error_line",
    "read_reference",
]

_REFERENCE = re.compile(r"(?P<path>.+):(?P<attribute>[A-Za-z_][A-Za-z0-9_]*)")
_HASH_DIGITS = 16
_MAX_BYTES = 1_000_000
MAX_PROGRAM_BYTES = 16_000_000  # of a program, in any language
_PACKAGE = "__init__.py"


@dataclass(frozen=True)
class MethodSource:
    """The files of a method, by their path: ``blur.py``, or ``blur/__init__.py`` and others there."""

    files: Mapping[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file, or all Python files of a folder; hidden ones are left out. Of a program all files.

        Raises:
            InputError: If there is no such method, or it is larger than source code is.
        """
        # A program's files are those it names; of a method in Python all Python files count, and nothing
        # else.
        if (path / PROGRAM_FILE).is_file():
            paths = sorted(file for file in path.rglob("*") if file.is_file())
        elif path.is_dir():
            paths = sorted(file for file in path.rglob("*.py") if not _is_hidden(file.relative_to(path)))
            if path / _PACKAGE not in paths:
                raise InputError(f"a folder that holds a method has an {_PACKAGE}, found none in {path}")
        elif path.suffix == ".py" and path.is_file():
            paths = [path]
        else:
            raise InputError(
                f"a method lies in a Python file, or a folder with {_PACKAGE}, found neither at {path}"
            )

        # The files are kept with every study and sent to every worker, so a folder with data in it is
        # refused.
        size = sum(file.stat().st_size for file in paths)
        if size > _MAX_BYTES and not (path / PROGRAM_FILE).is_file():
            raise InputError(
                f"the Python files of a method have at most {_MAX_BYTES:,} bytes, found {size:,} in {path}. "
                "Name a folder that holds the method and nothing else"
            )
        return cls({file.relative_to(path.parent).as_posix(): file.read_bytes() for file in paths})

    @property
    def hash(self) -> str:
        """The start of a sha256: of the file itself; of a package, of the lines of ``sha256sum`` on it."""
        digests = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(self.files.items())}
        if not self.is_package:
            return next(iter(digests.values()))[:_HASH_DIGITS]
        lines = "".join(f"{digest}  {path.partition('/')[2]}\n" for path, digest in digests.items())
        return hashlib.sha256(lines.encode()).hexdigest()[:_HASH_DIGITS]

    @property
    def is_program(self) -> bool:
        """True of a program that a YAML file describes."""
        return any(path.count("/") == 1 and path.endswith(f"/{PROGRAM_FILE}") for path in self.files)

    @property
    def is_package(self) -> bool:
        return any("/" in path for path in self.files)

    @property
    def module(self) -> str:
        """The name of its module in this process: other versions of the same file have other names."""
        stem = next(iter(self.files)).partition("/")[0].removesuffix(".py")
        return f"method_{re.sub(r'[^A-Za-z0-9_]', '_', stem)}_{self.hash}"

    def path_of(self, module: str) -> str | None:
        """The file of a module: its own, or one below it; None where there is none."""
        if not self.is_package:
            return next(iter(self.files)) if module == self.module else None
        top = next(iter(self.files)).partition("/")[0]
        place = "/".join([top, *module.split(".")[1:]])
        return next((path for path in (f"{place}/{_PACKAGE}", f"{place}.py") if path in self.files), None)


def is_file_reference(text: str) -> bool:
    """Tell ``./blur.py:TRAINABLE`` or ``./my_unet.yaml`` from the name of an installed method."""
    return text.endswith(".py") or is_program_reference(text) or any(sign in text for sign in "/\\:")


def is_program_reference(text: str) -> bool:
    """Tell ``./my_unet.yaml``, or its content as JSON, from a method in Python."""
    return text.endswith((".yaml", ".yml")) or text.startswith("{")


def is_file_method(name: str) -> bool:
    """Tell the name of a file's method, ``blur@3f9c1d2e4a5b6c7d``, from that of an installed one."""
    return "@" in name


def read_reference(reference: str, folder: Path) -> tuple[PurePosixPath, MethodSource, str]:
    """Read the files that ``./blur.py:TRAINABLE`` names.

    Args:
        reference: As it stands in the study.
        folder: Of the study: the path is relative to it.

    Returns:
        The path below ``folder``, what lies there, and the name that is to be found in it.

    Raises:
        InputError: If the reference is none, or leads nowhere or out of ``folder``.
    """
    # A file outside of the study's folder would not be there on another machine.
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise InputError(f"a method of a file is named like `./blur.py:TRAINABLE`, found `{reference}`")
    root = folder.resolve()
    path = root / parts["path"]
    if Path(parts["path"]).is_absolute() or not path.resolve().is_relative_to(root) or path.resolve() == root:
        raise InputError(
            f"a method's file lies in the folder of its study or below it, found `{parts['path']}`. "
            "Copy it there, or install the method as a package"
        )
    path = path.resolve()

    # The folder itself lies below the study; a link within it may still lead out, and would lead nowhere on
    # another machine.
    source = MethodSource.read(path)
    for file in source.files:
        if not (path.parent / file).resolve().is_relative_to(root):
            raise InputError(
                f"a method's files lie in the folder of its study, found {file}: a link out of it"
            )
    return PurePosixPath(path.relative_to(root).as_posix()), source, parts["attribute"]


def load_file_method(reference: str, folder: Path) -> Trainable[Any]:
    """Load the method that ``./blur.py:TRAINABLE`` names; its name carries its hash.

    Args:
        reference: As it stands in the study.
        folder: Of the study: the path is relative to it.

    Raises:
        InputError: If the reference leads nowhere, the code cannot be imported, or holds no such method or
            two of its name.
    """
    path, source, attribute = read_reference(reference, folder)
    module = _import(source)
    if not hasattr(module, attribute):
        methods = [name for name, value in vars(module).items() if isinstance(value, Trainable)]
        names = f"it has {', '.join(methods)}" if methods else "it has no Trainable at all"
        raise InputError(f"there is no `{attribute}` in {path}: {names}")

    # A worker finds the method by its name, so no second one in the file may have it.
    trainable = getattr(module, attribute)
    if not isinstance(trainable, Trainable):
        raise InputError(
            f"`{attribute}` of {path} is a {type(trainable).__name__}, expected a "
            "trainables.contract.Trainable"
        )
    for name, value in vars(module).items():
        if isinstance(value, Trainable) and value is not trainable and value.name == trainable.name:
            raise InputError(
                f"a worker finds a method in its file by its name, and `{attribute}` and `{name}` of {path} "
                f"are both called {trainable.name}. Give `{attribute}` a `name` of its own"
            )
    return _remember(trainable, source)


def load_program(source: MethodSource) -> Trainable[Any]:
    """Load a program from its packed files; its name carries their hash."""
    return _remember(program_trainable(source.files), source)


def load_source(name: str, source: MethodSource) -> Trainable[Any]:
    """Load a method from a copy of its files, as a worker and a stored model do.

    Raises:
        InputError: If the files are not those that ``name`` tells of, or cannot be imported here.
    """
    if name in _loaded:
        return _loaded[name][0]
    plain, _, wanted = name.partition("@")
    if source.hash != wanted:
        raise InputError(f"the code of {name} has the hash that its name says, found {source.hash}")
    if source.is_program:
        return load_program(source)
    for value in vars(_import(source)).values():
        if isinstance(value, Trainable) and value.name == plain:
            return _remember(value, source)
    raise InputError(f"the code of {name} holds a Trainable called {plain}, found none")


def loaded_method(name: str) -> Trainable[Any]:
    """The method called ``blur@3f9c1d2e4a5b6c7d``, which this process has loaded.

    Raises:
        InputError: If it has not.
    """
    return _loaded_as(name)[0]


def loaded_source(name: str) -> MethodSource:
    """The files of a loaded method.

    Raises:
        InputError: If it is not loaded.
    """
    return _loaded_as(name)[1]


def method_error_line(name: str, error: BaseException) -> str:
    """An error in a line, of a file's method with its place there: ``blur.py:12: ValueError: too few``."""
    if name in _loaded:
        return _error_line(error, _loaded[name][1])
    return f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")


def _loaded_as(name: str) -> tuple[Trainable[Any], MethodSource]:
    if name not in _loaded:
        raise InputError(
            f"{name} is a method of a file, and its code is not loaded here. A study names the file: "
            f"`trainable: ./{name.partition('@')[0]}.py:TRAINABLE`"
        )
    return _loaded[name]


def _remember(trainable: Trainable[Any], source: MethodSource) -> Trainable[Any]:
    refuse_name(trainable.name)
    refuse_shape(trainable)
    # Hooks are wrapped once, so wherever one fails the message names the line of the user's file.
    hooks = {
        name: _Hook(name, hook, source) for name in HOOKS if (hook := getattr(trainable, name)) is not None
    }
    named = replace(trainable, name=f"{trainable.name}@{source.hash}", **hooks)
    return _loaded.setdefault(named.name, (named, source))[0]


@dataclass(frozen=True)
class _Hook:
    """A hook of a method, whose errors are refusals that name the line of its file."""

    name: str
    function: Callable[..., Any]
    source: MethodSource

    def __call__(self, *arguments: Any) -> Any:
        rule = f"the method's code fails in `{self.name}`"
        try:
            answer = taken(self.name, self.function(*arguments))
        except (Exception, SystemExit) as error:
            raise InputError(f"{rule}: {_error_line(error, self.source)}") from error
        if broken := broken_rule(self.name, answer):
            raise InputError(f"{rule}: {self._start()}: {broken}")
        return answer

    def _start(self) -> str:
        """``blur.py:12``: the first line of the hook."""
        code, start = getattr(self.function, "__code__", None), _folder(self.source)
        if code is None or not code.co_filename.startswith(start):
            return next(iter(self.source.files))
        return f"{code.co_filename.removeprefix(start)}:{code.co_firstlineno}"


def _import(source: MethodSource) -> ModuleType:
    """Run the code, once per process and version.

    Raises:
        InputError: With the line at which it fails.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    _FINDER.sources[source.module] = source
    try:
        return import_module(source.module)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the code cannot be imported: {_error_line(error, source)}{_advice(error, source)}"
        ) from error


def _error_line(error: BaseException, source: MethodSource) -> str:
    """``blur.py:12: ValueError: no such file``, in one line."""
    text = " ".join(str(getattr(error, "msg", None) or text_of(error)).split())
    return f"{_place(error, source)}: {type(error).__name__}" + (f": {text}" if text else "")


def _place(error: BaseException, source: MethodSource) -> str:
    """``blur.py:12``: the innermost line of the method's own files."""
    start = _folder(source)
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(start):
        return f"{(error.filename or '').removeprefix(start)}:{error.lineno}"
    # The last of its own lines is where the user can look; below it are libraries, above it this program.
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{f.filename.removeprefix(start)}:{f.lineno}" for f in frames if f.filename.startswith(start)]
    return lines[-1] if lines else next(iter(source.files))


def _advice(error: BaseException, source: MethodSource) -> str:
    if not isinstance(error, ModuleNotFoundError) or source.is_package:
        return ""
    return (
        f". A method of several files is a folder with {_PACKAGE}, and imports them as `from .other import …`"
    )


def _folder(source: MethodSource) -> str:
    """Start of file names in tracebacks: a place that is nowhere, so that no other file is shown."""
    return f"method-{source.hash}/"


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


class _SourceLoader(InspectLoader):
    """Runs a module from the bytes that were read."""

    def __init__(self, source: MethodSource, path: str) -> None:
        self._source, self._path = source, path

    def get_source(self, fullname: str) -> str:
        return self._source.files[self._path].decode("utf-8-sig")

    def get_code(self, fullname: str) -> Any:
        return compile(self._source.files[self._path], _folder(self._source) + self._path, "exec")

    def is_package(self, fullname: str) -> bool:
        return self._path.endswith(_PACKAGE)

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


@dataclass
class _Finder(MetaPathFinder):
    """Finds the modules of methods that were read, by their names: pickles and threads may ask again."""

    sources: dict[str, MethodSource] = field(default_factory=dict)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        source = self.sources.get(fullname.partition(".")[0])
        place = source.path_of(fullname) if source is not None else None
        if source is None or place is None:
            return None
        spec = spec_from_loader(fullname, _SourceLoader(source, place), origin=_folder(source) + place)
        assert spec is not None, "a loader of source has a spec"
        spec.has_location = True  # `__file__` is set: libraries ask where a class was written
        return spec


# As sys.modules and sys.meta_path, which they serve: one for the process.
_FINDER = _Finder()
_loaded: dict[str, tuple[Trainable[Any], MethodSource]] = {}
