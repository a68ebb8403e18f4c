"""Patience with a store that is silent: of each request, and one for all who ask it together.

Were it counted for each request anew, a run whose requests come one after the other would outlast a server
that is gone by many minutes. A request has no more than that for itself: a store may answer who reads while
it takes nothing.

pyarrow's S3 client tries a silent server for 100 s before it says a word. So it is built a second time, with
fewer tries. That loses options which pyarrow's URIs know and its constructor does not: a URI that has one of
them keeps pyarrow's own patience.
"""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

__all__ = ["Patience", "open_filesystem"]

# S3: small objects go up in one request; begun at once, each would be an upload of parts, in three.
# Google's client tries for 15 minutes itself, in C++, where no signal is heard.
_GCS_OPTION = ("retry_limit_seconds", "5")
_OPTIONS = {"s3": ("allow_delayed_open", "true"), "gs": _GCS_OPTION, "gcs": _GCS_OPTION}
_S3_TRIES = 4  # of 3 s each, with pauses: 15 s where a server is silent
_OF_URIS_ALONE = {"tls_verify_certificates", "tls_ca_dir_path", "smart_defaults"}


class Patience:
    """Counts from the first request without an answer, whoever asked, until the next answer.

    Args:
        seconds: For which a store that does not answer is asked again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._silent_since: float | None = None

    def renew(self) -> None:
        """Note an answer."""
        self._silent_since = None

    def is_over(self, began: float) -> bool:
        """Note a request without an answer, first made at ``began`` (monotonic); True: it lasted too long."""
        before = self._silent_since
        self._silent_since = since = began if before is None else min(before, began)
        return time.monotonic() - since >= self._seconds


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The filesystem, and the path of ``uri`` in it.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: If pyarrow does not know such a URI.
        OSError: If it has to be asked something to be opened, and does not answer.
    """
    filesystem, root = fs.FileSystem.from_uri(_with_our_options(uri))
    if filesystem.type_name == "s3" and _OF_URIS_ALONE.isdisjoint(dict(parse_qsl(urlsplit(uri).query))):
        build, (options,) = filesystem.__reduce__()  # as pickle does: its one way to tell all it was given
        filesystem = build({**options, "retry_strategy": fs.AwsStandardS3RetryStrategy(_S3_TRIES)})
    return filesystem, root


def _with_our_options(uri: str) -> str:
    """``uri`` with the options of pyarrow that its kind of store needs, where it names none itself."""
    option, value = _OPTIONS.get(urlsplit(uri).scheme, ("", ""))
    if not option or f"{option}=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{option}={value}"
