"""Code of methods that are files of a user's: a copy of each version that trained, under its hash.

::

    methods/<name>@<hash>/   blur.py, or blur/__init__.py and what else belongs to it

Workers, `assay predict` and `assay export` run the copy: none of them needs the file that the study named.
What is run is compared with the hash in the method's name, which is part of the trial's id. Commands that
only read results (report, status, dashboard) never run it.
"""

from __future__ import annotations

from collections.abc import Iterable

from assay.storage.store import Store
from trainables.errors import InputError
from trainables.plugins.method_files import MethodSource, is_file_method, load_source, loaded_source

__all__ = ["keep_methods", "load_methods", "read_method"]


def keep_methods(store: Store, names: Iterable[str]) -> None:
    """Write the code of those among ``names`` that are files, unless it lies there already.

    Raises:
        InputError: If a method is not loaded in this process.
    """
    for name in filter(is_file_method, names):
        source = loaded_source(name)
        if _files(store, name) != source.files:
            for path, data in source.files.items():
                store.write_bytes(f"{_folder(name)}/{path}", data)


def read_method(store: Store, name: str) -> MethodSource:
    """The code of ``blur@3f9c1d2e4a5b6c7d``, as it was when it trained.

    Raises:
        InputError: If it is not there, or was changed since.
    """
    source = MethodSource(_files(store, name))
    wanted = name.partition("@")[2]
    if not source.files or source.hash != wanted:
        state = f"{len(source.files)} files with the hash {source.hash}" if source.files else "nothing"
        raise InputError(
            f"the code of {name} lies in {_folder(name)} of {store.uri}, found {state}. Run the study again "
            "with the file as it was: that writes the code, and trains nothing anew."
        )
    return source


def load_methods(store: Store, names: Iterable[str]) -> None:
    """Load those among ``names`` that are files, from the copies in ``store``.

    Raises:
        InputError: If a copy is not there, was changed, or cannot be imported here.
    """
    for name in filter(is_file_method, names):
        load_source(name, read_method(store, name))


def _folder(name: str) -> str:
    return f"methods/{name}"


def _files(store: Store, name: str) -> dict[str, bytes]:
    root = _folder(name)
    return {path.removeprefix(f"{root}/"): store.read_bytes(path) for path in store.below(root)}
