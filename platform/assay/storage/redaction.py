"""Text without the credentials of the URIs in it, for everything that is shown or written.

>>> redact("s3://key:secret@bucket")
's3://***@bucket'
"""

from __future__ import annotations

import re

__all__ = ["redact"]

_USER_INFO = re.compile(r"(://)[^/\s\"'@]+@")
_SECRET_PARAMETER = re.compile(
    r"([?&;](?:password|passwd|token|secret|access_key|secret_key|session_token|signature|sig)=)[^&;\s\"']+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """``text`` without the credentials of any URI in it: ``s3://key:secret@bucket`` → ``s3://***@bucket``."""
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFO.sub(r"\1***@", text))
