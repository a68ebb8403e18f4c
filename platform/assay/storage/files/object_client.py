"""Clients of object stores: pyarrow's, with our patience, and obstore's for the same bucket.

obstore is used for conditional writes alone (``conditional.py``), with the options of the URI, environment,
profile and role that pyarrow takes. pyarrow reads and writes all else, and its URI decides.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, S3Config, S3Credential

__all__ = ["KeysOutOfReachError", "Patience", "object_client", "open_filesystem"]

_TIMEOUT = "20s"  # of a request: a lease that is not renewed for a minute is lost
_FRESH_MINUTES = 30  # for which a profile's keys are kept before they are read again
_PROFILE = "default"


class KeysOutOfReachError(Exception):
    """Keys that pyarrow's client finds and obstore's does not."""


def object_client(kind: str, uri: str, root: str, region: str | None) -> Any:
    """obstore's client of the folder that a URI names.

    Args:
        kind: pyarrow's name of the store: ``s3``, ``gcs`` or ``abfs``.
        uri: As pyarrow opened it, options and all.
        root: Bucket and path, as pyarrow read them from there.
        region: That pyarrow connects to; of S3 only.

    Raises:
        KeysOutOfReachError: If an AWS profile takes its keys from single sign-on or another role.
    """
    from obstore.store import AzureStore, GCSStore, S3Store

    options = dict(parse_qsl(urlsplit(uri).query))
    bucket, _, prefix = root.partition("/")
    endpoint = _endpoint(kind, uri, options)

    # The client gives up early, as the patience of this program decides how long a store may be away.
    of_all: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": _client_options(endpoint, options),
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
    }
    match kind:
        case "s3":
            s3: S3Config = {"region": region or "us-east-1", "disable_bulk_delete": True}
            if endpoint:
                s3["endpoint"] = endpoint
            return S3Store(bucket, config=s3, credential_provider=_profile_keys(), **of_all)
        case "gcs":
            gcs: GCSConfig = {"base_url": endpoint} if endpoint else {}
            return GCSStore(bucket, config=gcs, **of_all)
        case _:
            host = urlsplit(uri).hostname or ""
            azure: AzureConfig = {"account_name": host.partition(".")[0]}
            if endpoint:
                azure["endpoint"] = endpoint
            return AzureStore(bucket, config=azure, **of_all)


def _endpoint(kind: str, uri: str, options: Mapping[str, str]) -> str | None:
    """Server that is not the provider's own, with its scheme; None: the provider's."""
    given = options.get("endpoint_override")
    if kind == "s3" and not given:
        given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")

    # Azure's account is part of the host where the store is the provider's, and of the path where it is
    # another one, as of an emulator.
    if kind == "abfs":
        authority = options.get("blob_storage_authority")
        if authority is None or authority.startswith("."):
            return None
        scheme = "http" if options.get("enable_tls") == "false" else "https"
        account = (urlsplit(uri).hostname or "").partition(".")[0]
        return f"{scheme}://{authority}/{account}"
    if not given or "://" in given:
        return given or None
    return f"{options.get('scheme', 'https')}://{given}"


def _client_options(endpoint: str | None, options: Mapping[str, str]) -> ClientConfig:
    client: ClientConfig = {"timeout": _TIMEOUT}
    if endpoint is not None and endpoint.startswith("http://"):
        client["allow_http"] = True
    if options.get("tls_verify_certificates") == "false":
        client["allow_invalid_certificates"] = True
    if certificate := options.get("tls_ca_file_path"):
        client["root_certificate"] = Path(certificate).read_bytes()
    return client


def _profile_keys() -> Callable[[], S3Credential] | None:
    """Keys of an AWS profile; None where obstore finds them itself: in the environment, by a role."""
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return None
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or _PROFILE

    # What is handed on is a way to the keys and not the keys: the file or the program that has them may renew
    # them while a run lasts.
    settings = _profile(profile)
    if "aws_access_key_id" in settings:
        return lambda: _static_keys(_profile(profile))
    if "credential_process" in settings:
        return lambda: _printed_keys(settings["credential_process"])
    if unread := sorted({"sso_session", "sso_start_url", "role_arn"} & settings.keys()):
        raise KeysOutOfReachError(
            f"the AWS profile {profile} takes its keys from {unread[0]}, out of reach of conditional "
            "requests: `aws configure export-credentials --format env` prints them for the environment"
        )
    return None


def _profile(name: str) -> dict[str, str]:
    """Settings of a profile in the config file and, above them, in the file of credentials."""
    home = Path(os.environ.get("HOME") or Path.home()) / ".aws"
    settings: dict[str, str] = {}
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == _PROFILE else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        parser = configparser.RawConfigParser()
        parser.read(Path(os.environ.get(variable) or home / file).expanduser())
        if parser.has_section(section):
            settings |= dict(parser.items(section))
    return settings


def _static_keys(settings: Mapping[str, str]) -> S3Credential:
    access, secret = settings["aws_access_key_id"], settings["aws_secret_access_key"]
    return _credential(access, secret, settings.get("aws_session_token"))


def _printed_keys(command: str) -> S3Credential:
    """Keys that a profile's ``credential_process`` prints."""
    printed = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, check=True).stdout
    keys = json.loads(printed)
    return _credential(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"), keys.get("Expiration")
    )


def _credential(access: str, secret: str, token: str | None, expiry: str | None = None) -> S3Credential:
    soon = datetime.now(UTC) + timedelta(minutes=_FRESH_MINUTES)
    return {
        "access_key_id": access,
        "secret_access_key": secret,
        "token": token,
        "expires_at": datetime.fromisoformat(expiry) if expiry else soon,
    }


# Patience -----------------------------------------------------------------------------------------
#
# Patience with a store that is silent: of each request, and one for all who ask it together.
#
# Were it counted for each request anew, a run whose requests come one after the other would outlast a server
# that is gone by many minutes. A request has no more than that for itself: a store may answer who reads while
# it takes nothing.
#
# pyarrow's S3 client tries a silent server for 100 s before it says a word. So it is built a second time,
# with fewer tries. That loses options which pyarrow's URIs know and its constructor does not: a URI that has
# one of them keeps pyarrow's own patience.


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
    """Add to ``uri`` the options of pyarrow that its kind of store needs, where it names none itself."""
    option, value = _OPTIONS.get(urlsplit(uri).scheme, ("", ""))
    if not option or f"{option}=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{option}={value}"
