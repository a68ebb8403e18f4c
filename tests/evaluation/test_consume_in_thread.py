"""Metrics beside prediction: the same order and results, and neither side's end is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from trainables.evaluation.evaluate import consume_in_thread


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_items_are_worked_on_in_their_order(count: int) -> None:
    seen: list[int] = []
    consume_in_thread(seen.append, range(count))
    assert seen == list(range(count))


def test_the_next_item_is_made_while_one_is_worked_on() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    def work(item: int) -> None:
        assert item or made.wait(timeout=10), "the second item waits for the first's work"

    consume_in_thread(work, items())


def test_items_are_made_in_the_callers_thread_and_worked_on_in_one_other() -> None:
    workers: list[int] = []
    makers = [threading.get_ident()]

    def items() -> Iterator[int]:
        for i in range(3):
            makers.append(threading.get_ident())
            yield i

    consume_in_thread(lambda _item: workers.append(threading.get_ident()), items())
    assert len(set(makers)) == len(set(workers)) == 1
    assert set(makers) != set(workers)


@pytest.mark.parametrize("last", [True, False])
def test_an_error_of_the_work_ends_it(last: bool) -> None:
    seen: list[int] = []

    def work(item: int) -> None:
        if item == 2:
            raise ValueError("2 is odd enough")
        seen.append(item)

    with pytest.raises(ValueError, match="odd"):
        consume_in_thread(work, range(3 if last else 10))
    assert seen == [0, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_an_error_of_the_items_ends_it_when_the_work_in_hand_is_done(error: type[BaseException]) -> None:
    seen: list[int] = []

    def items() -> Iterator[int]:
        yield 0
        raise error

    with pytest.raises(error):
        consume_in_thread(seen.append, items())
    assert seen == [0]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("consume")]
