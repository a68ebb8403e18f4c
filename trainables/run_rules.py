"""Rules of what a method asks of its run: epochs that it logs, and batches."""

from __future__ import annotations

from collections.abc import Collection

from trainables.errors import InputError

__all__ = ["refuse_log", "refuse_small_batch"]


def refuse_log(epoch: int, metrics: Collection[str], last: float) -> None:
    """Refuse what is no further row of a learning curve.

    Numbers that start at 1 or leave epochs out are a curve as well.

    Args:
        epoch: That is logged.
        metrics: Their names.
        last: The epoch that was logged before, or whose state is kept already; −∞ for none.

    Raises:
        InputError: If the epoch does not come after ``last``, or a metric would take its place.
    """
    if epoch <= last:
        raise InputError(
            "run.log is told each epoch once, in order, and before run.checkpoint keeps the state after it, "
            f"found epoch {epoch} where {last:.0f} was logged or kept. Mend the method's `fit`; in a "
            "notebook, give each training a LocalRun of its own."
        )
    if "epoch" in metrics:
        raise InputError(
            "a metric of run.log has another name than the epoch's, found `epoch`. Rename it in the method's "
            "`fit`."
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
