"""Rules of what a method asks of its run: epochs and metrics that it logs, states that it keeps, batches."""

from __future__ import annotations

from collections.abc import Iterable

from trainables.errors import InputError

__all__ = ["refuse_checkpoint", "refuse_log", "refuse_small_batch"]

_TAKEN = ("epoch", "seconds", "time")  # columns that every learning curve has


def refuse_log(epoch: int, names: Iterable[str], epochs: int, last: int) -> None:
    """Refuse what is no further line of a learning curve.

    Args:
        epoch: That is logged, from 0.
        names: Of its metrics.
        epochs: In all.
        last: The epoch that was logged before, −1 for none.

    Raises:
        InputError: If the epoch is none of them or was logged, or a metric's name is taken or no line.
    """
    if not last < epoch < epochs:
        before = f" after epoch {last}" if last >= 0 else ""
        raise InputError(
            f"run.log is told each epoch once, in order, from 0 to {epochs - 1}, found {epoch}{before}. "
            "Mend the method's `fit`; in a notebook, give each training a LocalRun of its own."
        )
    for name in names:
        if name in _TAKEN or not name or not name.isprintable():
            raise InputError(
                f"a metric of run.log has a name in one line, and none of {', '.join(_TAKEN)}, found "
                f"{name!r}. Rename it in the method's `fit`."
            )


def refuse_checkpoint(epoch: int, last: int) -> None:
    """Refuse a state after ``epoch`` finished epochs of which the last one was not logged.

    Raises:
        InputError: If it was not: a training that goes on from the state would have a gap in its curve.
    """
    if epoch != last + 1:
        raise InputError(
            f"run.checkpoint keeps the state after an epoch that was logged, found {epoch} finished epochs "
            f"and {last + 1} logged. Call run.log(epoch, …) before run.checkpoint(epoch + 1, …)."
        )


def refuse_small_batch(batch_size: int, world_size: int) -> None:
    """Refuse a batch size with which some workers would never have an image.

    Raises:
        InputError: If the global batch is smaller than the number of workers.
    """
    if batch_size < world_size:
        raise InputError(
            f"a global batch has at least one image per worker: batch of {batch_size}, {world_size} workers. "
            "Raise the batch size or lower resources.workers."
        )
