"""Write the table of cases into docs/data.md; with ``--count`` make all cases, and count their outcomes."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.data.cases import PAGE, TITLED, written
from tests.data.cases.case import run_case


def count() -> None:
    """Print for each part of the table how many inputs are read, warned of, refused, and not as stated."""
    sys.stdout.write(f"{'inputs':>7}{'read':>7}{'warned':>7}{'refused':>8}{'misread':>8}\n")
    for title, cases in TITLED.items():
        outcomes: Counter[str] = Counter()
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                result = run_case(case, Path(folder, "root"), Path(folder, "cache"))
            as_stated = result.outcome == case.outcome and all(part in result.text for part in case.says)
            outcomes[result.outcome if as_stated else "misread"] += 1
            if not as_stated:
                sys.stderr.write(f"misread: {case.name}: {result.outcome}: {result.text}\n")
        read, warned, refused, misread = (outcomes[key] for key in ("read", "warned", "refused", "misread"))
        sys.stdout.write(f"{len(cases):>7}{read:>7}{warned:>7}{refused:>8}{misread:>8}  {title}\n")


if "--count" in sys.argv:
    count()
else:
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
