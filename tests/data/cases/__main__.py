"""Write the table of cases into docs/data.md."""

from __future__ import annotations

from tests.data.cases import PAGE, written

PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
