"""The program that wrote a bundle: version, source, packages, methods."""

from __future__ import annotations

from importlib.metadata import distributions, version
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.engine.versions import source_version
from assay.extras.bundle import PROGRAM
from assay.storage.files.files import json_bytes
from assay.study import Plan
from trainables.errors import InputError, validation_message

__all__ = ["Program", "installed_packages"]

_OF_REPORTS = ("matplotlib", "pandas", "scipy", "optuna")  # beside those of records


class Program(BaseModel):
    """Facts on which the bytes of a report may hang, and the commit, which only names them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source_hash: str  # sha256 over the source files of assay
    commit: str  # of the checkout; "": there is none
    packages: dict[str, str]  # python and assay among them
    methods: dict[str, int]  # name → revision, of the study's methods

    @classmethod
    def here(cls, plan: Plan) -> Self:
        """The program that is running, for the methods of a plan."""
        source = source_version()
        return cls(
            source_hash=source.source,
            commit=source.commit,
            packages=dict(source.packages) | {name: version(name) for name in _OF_REPORTS},
            methods={cell.trainable: cell.revision for cell in plan.designed},
        )

    @classmethod
    def read(cls, content: bytes) -> Self:
        """The program of which the bytes of a ``program.json`` tell.

        Raises:
            InputError: If they tell of none.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "the content"
            raise InputError(
                f"{PROGRAM} describes no program ({where}: {validation_message(problem)}). "
                "Fetch the bundle again."
            ) from None

    @property
    def version(self) -> str:
        """Version of assay."""
        return self.packages.get("assay", "")

    def differences(self, other: Program) -> list[str]:
        """List what ``other`` has otherwise: ``matplotlib 3.10.8 (here 3.11.0)``."""
        texts = [
            f"{name} {self.packages.get(name, 'none')} (here {other.packages.get(name, 'none')})"
            for name in sorted({*self.packages, *other.packages})
            if self.packages.get(name) != other.packages.get(name)
        ]
        if self.source_hash != other.source_hash:
            texts.append(f"source of assay {self.source_hash[:12]} (here {other.source_hash[:12]})")
        return texts

    def file_bytes(self) -> bytes:
        """The content of ``program.json``."""
        return json_bytes(self.model_dump(mode="json"))


def installed_packages() -> bytes:
    """Write all installed distributions with their versions, a line each, as pip reads them."""
    names = {str(each.metadata["Name"]).lower(): each.version for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(names.items())).encode()
