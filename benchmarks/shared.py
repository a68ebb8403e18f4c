"""Shared parts of all benchmarks: their command line, and how figures of several rounds are written."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence

__all__ = ["parser_of", "ratio_text", "spread_text"]


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose ``--help`` begins with ``doc`` as it stands."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def spread_text(values: Sequence[float]) -> str:
    """``1.62 (1.50–2.04)``: median, least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def ratio_text(times: Iterable[float], others: Iterable[float]) -> str:
    """The spread of times over others, round by round."""
    return spread_text([time / other for time, other in zip(times, others, strict=True)])
