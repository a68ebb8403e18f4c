"""The filesystem that a storage's URI names, opened so that each request ends soon.

pyarrow's S3 client tries a silent server for 100 s before it says a word. So it is built a second time, with
fewer tries. That loses options which pyarrow's URIs know and its constructor does not: a URI that has one of
them keeps pyarrow's own patience.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

__all__ = ["open_filesystem"]

# S3: small objects go up in one request; begun at once, each would be an upload of parts, in three.
# Google's client tries for 15 minutes itself, in C++, where no signal is heard.
_GCS_OPTION = ("retry_limit_seconds", "5")
_OPTIONS = {"s3": ("allow_delayed_open", "true"), "gs": _GCS_OPTION, "gcs": _GCS_OPTION}
_S3_TRIES = 4  # of 3 s each, with pauses: 15 s where a server is silent
_OF_URIS_ALONE = {"tls_verify_certificates", "tls_ca_dir_path", "smart_defaults"}


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
