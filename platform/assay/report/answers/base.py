"""The form that all answers share, and the answer of a command that failed."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from assay.storage.redaction import redact_values

__all__ = ["Answer", "Change", "ErrorAnswer", "Value", "schema_name"]


def _number(value: Any) -> Any:
    """A number as JSON has it: none for NaN and infinity, Python's for numpy's."""
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


Value = Annotated[float | None, BeforeValidator(_number)]
Change = tuple[Any, Any]  # (value in the base, value here)


def schema_name(name: str) -> Any:
    """The field that names an answer's schema, ``schema`` in JSON."""
    return Field(name, alias="schema", description="Name and version of this answer's schema.")


class Answer(BaseModel):
    """Answer of a command."""

    model_config = ConfigDict(frozen=True)

    def text(self, indent: int | None = 1) -> str:
        """JSON, without credentials; None: in one line."""
        content = redact_values(self.model_dump(mode="json", by_alias=True))
        return json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False)


class ErrorAnswer(Answer):
    """Answer of a command that could not answer."""

    schema_: Literal["assay/error/1"] = schema_name("assay/error/1")
    error: str = Field(description="Rule, value found and way out, as on standard error.")
    exit_code: int
