"""A record says in which version a trial had the packages that its method imports."""

from __future__ import annotations

from importlib.metadata import version

from tests.engine.process.odd_method import Odd


def test_a_record_names_what_the_methods_own_files_import(odd: Odd) -> None:
    _, record = odd("import psutil, torch")
    assert record.status == "finished", record.reason
    imports = record.environment.imports
    assert imports["psutil"] == version("psutil")
    assert "torch" not in imports, "it stands among the versions of all records"
