"""Pickled lists are read as data: nothing that a pickle can run is run."""

from __future__ import annotations

import collections
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import pytest

from trainables.data.files.pickles import read_plain_pickle
from trainables.errors import InputError

LISTS = (
    [[("kos35", True), ("kos16", False)], []],
    [[("kos02", True)], [("ä" * 300, 3, 2.5, -1, 70_000, 1 << 40)]],
    (),
    [(str(number % 7), number % 2 == 0) for number in range(2_000)],  # texts that are used again
)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_lists_of_every_protocol_are_what_unpickling_gives(protocol: int) -> None:
    content = pickle.dumps(LISTS, protocol)
    assert read_plain_pickle(content, "split.pyb") == LISTS
    assert read_plain_pickle(pickletools.optimize(content), "split.pyb") == LISTS


def test_texts_of_python_2_are_read() -> None:
    assert read_plain_pickle(b"(lp0\n(S'kos01'\nI01\ntp1\na.", "split.pyb") == [("kos01", True)]


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_a_function_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    content = pickle.dumps([("kos01", Runs(tmp_path / "made"))], protocol)
    with pytest.raises(
        InputError, match=r"split\.pyb is never unpickled.* found the instruction \w*GLOBAL\."
    ):
        read_plain_pickle(content, "split.pyb")
    assert not (tmp_path / "made").exists()
    pickle.loads(content)
    assert (tmp_path / "made").exists()  # as it would have been


@pytest.mark.parametrize(
    "value",
    [
        {"kos01": True},
        {"kos01"},
        None,
        b"kos01",
        collections.OrderedDict(),
        frozenset(),
        1j,
        [{}],
        bytearray(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_list_text_number_or_truth_value_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="found the instruction"):
        read_plain_pickle(pickle.dumps(value), "split.pyb")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_ends_too_early_is_refused_at_any_byte(protocol: int) -> None:
    content = pickle.dumps(([[("kos01", True), ("kos02", False)]], 2.5, 300), protocol)
    for end in range(len(content)):
        with pytest.raises(InputError, match="no whole pickle of lists"):
            read_plain_pickle(content[:end], "split.pyb")


@pytest.mark.parametrize(
    "content",
    [b".", b"t.", b"e.", b"\x85.", b"g5\n.", b"I1\n(I2\ne.", b"Ix\n.", b"not a pickle", b"K\x01a."],
    ids=repr,
)
def test_instructions_that_fit_nothing_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"no whole pickle of lists|found the instruction"):
        read_plain_pickle(content, "split.pyb")


@pytest.mark.parametrize(
    "value",
    [[[("kos01", True)]] * 2, [("a", "b", "c", "d")] * 2, [(("kos01", True),)] * 2],
    ids=["list", "long tuple", "tuple of tuples"],
)
def test_a_small_file_cannot_stand_for_an_endless_list(value: Any) -> None:
    with pytest.raises(InputError, match="uses one list several times"):
        read_plain_pickle(pickle.dumps(value), "split.pyb")
