"""Text without credentials, for everything that is printed, logged, recorded or sent.

Credentials belong into environment variables, and are refused in what a user types
(:func:`holds_credentials`). So what may turn up in a text is known: the values of this process's own secret
variables, wherever they stand. Besides, a method's error may quote anything: the user info of URIs is blotted
out, and what is assigned to a secret name (``password=…``, ``"secret_access_key": "…"``, ``token: a1…``).
Half a surrogate pair, which no file can store, is written as its escape.

>>> redact("cannot open s3://key:sec/ret@bucket/a?api_key=abc")
'cannot open s3://***@bucket/a?api_key=***'

Trade-off: a URI with a port and an ``@`` in its path loses its host. A word behind ``token:`` is a message
about a folder, class or level of that name, unless it has digits and letters.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, unquote

__all__ = ["holds_credentials", "is_secret_name", "redact", "redact_values"]

_BLOT = "***"
_SHORTEST = 8  # characters of a variable's value that is looked for: shorter ones are words of other texts
_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|signature"
    r"|(?:access|api|account|private|secret)[-_]?key(?:[-_]?id)?)"
)
_SECRET_NAME = re.compile(rf"{_NAME}$|^x-(?:amz|goog)", re.IGNORECASE)
# A shell's PWD and OLDPWD are folders.
_SECRET_VARIABLE = re.compile(rf"^(?!(?:old)?pwd$).*(?:webhook|{_NAME})$", re.IGNORECASE)

# A password may hold any sign: it ends at the last @ before a space or a quotation mark. A path that was made
# of a URI has one slash.
_USER_INFO = re.compile(
    r"""((?<![a-z0-9+.-])(?:[a-z][a-z0-9+.-]{0,40}:// | (?:s3|gs|gcs|abfss?|https?|postgresql|mysql|ray):/))
    (?: [^\s/?\#:@"'`<>]{0,256} : [^\s"`<>]{0,256} @          # user:password@
      | [^\s/?\#:@"'`<>]{0,256} @ (?:[^\s"`<>]{0,256} @)?)    # user@""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED = re.compile(
    rf"""({_NAME}(?:\\{{0,9}}["'])?[ ]?(?:={{1,2}}|:)[ ]?b?(\\{{0,9}}["']))(?!\2).{{1,4096}}?(?<!\\)(?=\2)""",
    re.IGNORECASE | re.VERBOSE,
)
_BARE = re.compile(
    rf"""({_NAME}(?:={{1,2}}+ | (?: :[ ] | [ ]=[ ]) (?=[^\s"'=]{{0,256}}\d)(?=[^\s"'=]{{0,256}}[a-z])))
    (?!\*\*\*)[^\s"'&;,<>\\)\]}}]{{1,4096}}""",
    re.IGNORECASE | re.VERBOSE,
)
_PARAMETER = re.compile(
    r"([?&](?:key|auth|sig|x-(?:amz|goog)-[\w-]{1,40})=)(?!\*\*\*)[^\s\"'&;<>]+", re.IGNORECASE
)
_BEARER = re.compile(r"(\b(?:bearer|basic|digest)[ ]+)(?=[\w.~+/-]{0,256}\d)[\w.~+/-]{16,}=*", re.IGNORECASE)


def redact(text: str) -> str:
    """Take credentials out of ``text``, as a file can store it; such text comes back as it is."""
    return _redact(text, _secrets_here())


def _redact(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _BLOT)
    text = _USER_INFO.sub(lambda match: match[0] if _is_container(match) else f"{match[1]}{_BLOT}@", text)
    for pattern in (_QUOTED, _BARE, _PARAMETER, _BEARER):
        text = pattern.sub(rf"\1{_BLOT}", text)
    # A method may raise any text, and one that could be neither logged nor recorded would lose its trial.
    return text.encode(errors="backslashreplace").decode()


def redact_values(value: Any) -> Any:
    """A JSON value with each of its texts redacted; keys stay."""
    secrets = _secrets_here()  # once: an answer has thousands of texts

    def redacted(value: Any) -> Any:
        match value:
            case str():
                return _redact(value, secrets)
            case Mapping():
                items = cast(Mapping[Any, Any], value).items()
                return {key: redacted(inner) for key, inner in items}
            case list() | tuple():
                return [redacted(inner) for inner in cast(Sequence[Any], value)]
            case _:
                return value

    return redacted(value)


def holds_credentials(text: str) -> bool:
    """True where a URI in ``text`` carries credentials, or a secret of the environment stands in it.

    A user's name alone is none, but for web servers, where it may be a token.
    """
    return (
        any(
            ":" in match[0][len(match[1]) :] or match[1].startswith("http")
            for match in _USER_INFO.finditer(text)
        )
        # As a word of its own: a password may be a word of others, as `postgres`.
        or any(re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text) for secret in _secrets_here())
        or any(_BARE.search(part) or _PARAMETER.search(part) for part in re.findall(r"://\S+", text))
    )


def _is_container(match: re.Match[str]) -> bool:
    """True for the user info of Azure's ``abfss://container@account…``, which is no secret."""
    return match[1].startswith("abfs") and ":" not in match[0][len(match[1]) :]


def is_secret_name(name: str) -> bool:
    """True where a setting of this name holds a credential: ``api_key``, ``X-Amz-Signature``."""
    return _SECRET_NAME.search(unquote(name)) is not None


def _secrets_here() -> list[str]:
    """Values of secret variables of this process and passwords of URIs in others, the longest first."""
    secrets: set[str] = set()
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.search(name):
            if not (value.startswith("/") and os.path.exists(value)):  # the path of a file of credentials
                secrets.add(value.strip())
        elif (match := _USER_INFO.match(value)) is not None:
            secrets.add(match.group().partition("://")[2].removesuffix("@").partition(":")[2])

    # A secret may stand in a text as it is, or quoted as in a URI. The longest go first, so that no piece of
    # one is left behind another.
    spellings = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""))}
    return sorted((form for form in spellings if len(form) >= _SHORTEST), key=len, reverse=True)
