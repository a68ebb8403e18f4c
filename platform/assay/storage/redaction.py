"""Text without credentials, for everything that is shown, stored or sent.

Blotted out are what a URI carries (user info, secret parameters of its query and fragment, also where its
path stands alone), what stands behind a name such as ``password:``, ``secret_access_key=`` or ``--token``,
bearer tokens, cookies, private keys, and the values of this process's own secret environment variables,
wherever they turn up. Half a surrogate pair, which no file can store, is written as its escape.

Folders, classes and levels may be called ``token`` or ``cookie``. A message about one of them stays: a
sentence behind an absolute path (``/data/token: no images``), or one that begins with a word such as ``no``,
``has`` or ``expected``. Cookies are pairs such as ``session=…``, or one long value.

>>> redact("cannot open s3://key:sec/ret@bucket/a?api_key=abc")
'cannot open s3://***@bucket/a?api_key=***'

Trade-off: in doubt more is blotted out than is secret: a URI with a port and an ``@`` in its path loses
its host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

__all__ = ["holds_credentials", "is_ambiguous", "is_secret_name", "redact", "redact_values"]

_BLOT = "***"
_MARK = re.compile(r":/{1,3}")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*$")
_SCHEME_CHARACTERS = 40
# Written with one slash by mistake, or by a path library that takes two for one.
_COMMON_SCHEMES = {"s3", "gs", "gcs", "abfs", "abfss", "http", "https", "postgresql", "mysql", "ray"}
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://.*@")
_SPACE = re.compile(r"\s")
_END = re.compile(r"[\s\"'`<>]")
_PARAMETER = re.compile(r"[^&;]+")
_SECRET_PARTS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "accesskey", "apikey", "accountkey",
    "privatekey", "signature", "credential",
)  # fmt: skip
_SECRET_PARAMETERS = {"sig", "key", "pass", "auth", "authorization"}  # of a query; elsewhere they are words
_SIGNED = ("xamz", "xgoog")  # parameters of a link that is signed for its bearer
# Of an address that lost its scheme and host, as in messages of urllib3.
_QUERY = re.compile(r"""(?<=[?&;])([\w.%-]+)=([^\s"'`<>&;#]*[^\s"'`<>&;#\\])""")
_NAMES = "password|passwd|passphrase|secret|token|(?:access|api|account|private|secret)[-_]?key(?:[-_]?id)?"
# The marks are escaped where JSON lies in JSON: one escaped once more ends the text only if no other does.
_QUOTED = r"""(?P<mark>(?P<escape>\\*)["'])(?!(?P=mark))
    (?:(?:[^\n]*?[^\\\n])??(?:(?:(?P=escape)\\){2})*|[^\n]*?)(?P=mark)"""
_BARE = r"""[^\s"'&;]*[^\s"'&;\\{[(]"""  # whose end is no bracket or escape of a quote behind it
_ASSIGNED = re.compile(
    rf"""(?P<name>
        (?:(?P<header>authorization)|pwd|{_NAMES})\\*["']?[ \t]*[=:]=?[ \t]*(?:b(?=["']))?
        |\(b?["'][\w-]*(?:authorization|pwd|{_NAMES})["'],[ ]b?(?=["'][^"'\n]*["']\))  # in a pair
    )
    (?:(?(header)[\w:-]+|(?:bearer|basic))[ ]+)?                # scheme of an authorization
    (?:{_QUOTED}
        |\{{[^}}"'\n]*\}}(?:{_BARE})?                           # as ODBC quotes
        |{_BARE}(?(header)(?:(?:;|(?<=,)[ ]*[\w-]+=){_BARE})*)  # Credential=…, Signature=…
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# Of a command line, as a shell or as Python writes it.
_OPTION = re.compile(
    rf"""((?<![\w-])--[\w-]{{0,40}}?(?:pwd|{_NAMES})(?:["'],[ ]?["']|[ ]+(?!\*{{3}})))
    (?:(?<=["'])[^"'\n]+|(["'])[^"'\n]+\2|[^\s"'`\-\[<(][^\s"'`]*)""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER = re.compile(r"(\bbearer[ ]+)(?=[a-z._~+/-]*\d)[\w.~+/-]{16,}=*", re.IGNORECASE)
_COOKIE = re.compile(
    r"""((?<![/\\])\bcookie["']?[ ]?:[ ]*["']?)
    (?:[\w!#$%&*+.^|~-]+=[^"'\r\n\\]*|[^\s"'\\]{16,}(?=["'\r\n\\]|$))""",  # a=b; c=d, or one long value
    re.IGNORECASE | re.VERBOSE,
)
# What stands behind the name of a folder, class or level in a message: words that begin a sentence, a small
# number and what it counts, or a map of settings.
_SENTENCE = re.compile(
    r"""(?:a|all|an|and|are|at|by|cannot|could|does|each|every|expected|found|from|has|have|holds|in|is|it|its
        |more|must|names?|needs|no|none|nor|not|nothing|of|on|one|only|or|shows?|that|the|there|they|this|to
        |too|two|unknown|was|were|which|with|without
        |annotations?|class|classes|files?|folders?|images?|items?|labels?|masks?|parts?)
      (?=[ ]|[.,;]?(?:\s|$))
    |\d{1,3}[ ]+(?:of[ ]|×[ ]|[a-z]{3,})
    |\{[ ]?[\w-]+:""",
    re.IGNORECASE | re.VERBOSE,
)
# Two words, of which the second is no assignment and no URI.
_WORDS = re.compile(r"""[^\s"']\S*[ ]+[^\s=:@/]+(?![^\s.,;])""")
_ABSOLUTE = re.compile(r"""[\"'`(<\[]*(?:[a-z]:[/\\]|~?/|\.\.?/)[^?&=]*""", re.IGNORECASE)
_PATH_CHARACTERS = 1024  # before a name, that are searched for the beginning of its path
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)"
    r"(?:(?>(?:[^-]|-(?!----))+)(?=-----END )|(?:[A-Za-z0-9+/=\s]|\\+[nr])+)"
)
_SECRET_VARIABLE = re.compile(rf"(?:webhook|_pwd|{_NAMES})$", re.IGNORECASE)
_DEEPEST = 8  # URIs inside URIs that are taken apart; what lies deeper is blotted out
_TURNS = 3  # until nothing changes: what one kind leaves may look like another
_PASSWORD_CHARACTERS = 256  # that are searched for the @ behind them
_SHORTEST = 8  # characters of a variable's value that is looked for: shorter ones are words of other texts


def redact(text: str) -> str:
    """``text`` without credentials, as a file can store it; such text comes back as it is."""
    return _redacted(text, _secrets_here())


def redact_values(value: Any) -> Any:
    """A JSON value with each of its texts redacted; keys stay."""
    return _redacted_values(value, _secrets_here())


def holds_credentials(text: str) -> bool:
    """True where a URI in ``text`` carries credentials, or a secret of the environment stands in it."""
    return _without_credentials(text, _secrets_here()) != text


def is_ambiguous(uri: str) -> bool:
    """True where programs take different parts of ``uri`` for its host: ``@`` or ``/`` in a password."""
    rest = uri.partition("://")[2]
    authority = _authority(rest)
    return (_has_user_info(rest) and rest.count("@") > authority.count("@")) or authority.count("@") > 1


def is_secret_name(name: str) -> bool:
    """True where a setting of this name holds a credential: ``api_key``, ``X-Amz-Signature``."""
    plain = re.sub(r"[^a-z0-9]", "", unquote(name).lower())
    return plain.startswith(_SIGNED) or any(part in plain for part in _SECRET_PARTS)


def _redacted_values(value: Any, secrets: Sequence[str]) -> Any:
    match value:
        case str():
            return _redacted(value, secrets)
        case Mapping():
            items = cast(Mapping[Any, Any], value).items()
            return {key: _redacted_values(inner, secrets) for key, inner in items}
        case list() | tuple():
            return [_redacted_values(inner, secrets) for inner in cast(Sequence[Any], value)]
        case _:
            return value


def _redacted(text: str, secrets: Sequence[str], depth: int = 0) -> str:
    for _ in range(_TURNS):
        before, text = text, _redacted_once(text, secrets, depth)
        if text == before:
            break
    return text


def _redacted_once(text: str, secrets: Sequence[str], depth: int) -> str:
    text = "".join(_without_assigned(_without_credentials(text, secrets, depth)))
    for pattern in (_OPTION, _BEARER, _COOKIE, _PRIVATE_KEY):
        text = pattern.sub(rf"\g<1>{_BLOT}", text)
    # A method may raise any text, and one that could be neither logged nor recorded would lose its trial.
    return _QUERY.sub(_blotted_parameter, text).encode(errors="backslashreplace").decode()


def _blotted_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}={_BLOT}" if _is_secret_parameter(match[1]) else match[0]


def _without_assigned(text: str) -> Iterator[str]:
    """The text in pieces, values behind names such as ``password:`` blotted out."""
    place = 0
    while (match := _ASSIGNED.search(text, place)) is not None:
        yield text[place : match.end("name")]
        place = match.end("name")
        if not _is_message(text, match):  # of which only the name is passed over: a secret may stand in it
            mark = match["mark"] or ""
            yield f"{mark}{_BLOT}{mark}"
            place = match.end()
    yield text[place:]


def _is_message(text: str, match: re.Match[str]) -> bool:
    """True where a sentence about a thing of that name follows, and no value."""
    start = match.end("name")
    if not match["name"].endswith(": "):
        return False
    if _SENTENCE.match(text, start):
        return True
    before = text[max(0, match.start() - _PATH_CHARACTERS) : match.start()]
    path = before[max(before.rfind(space) for space in " \t\n") + 1 :]
    return _ABSOLUTE.fullmatch(path) is not None and _WORDS.match(text, start) is not None


def _secrets_here() -> tuple[str, ...]:
    """Values of secret variables of this process and passwords of URIs in others, the longest first."""
    secrets: set[str] = set()
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.search(name):
            secrets.add(value)
        elif _URI.match(value):
            secrets.add(value.partition("://")[2].rpartition("@")[0].partition(":")[2])
    spellings = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""))}
    return tuple(sorted((form for form in spellings if len(form) >= _SHORTEST), key=len, reverse=True))


def _without_credentials(text: str, secrets: Sequence[str], depth: int = 0) -> str:
    for secret in secrets:
        text = text.replace(secret, _BLOT)
    return "".join(_parts(text, secrets, depth))


def _parts(text: str, secrets: Sequence[str], depth: int) -> Iterator[str]:
    """The text in pieces, its URIs redacted."""
    place = 0
    while (mark := _MARK.search(text, place)) is not None:
        before = text[max(place, mark.start() - _SCHEME_CHARACTERS) : mark.start()]
        scheme = _SCHEME.search(before)
        single = len(mark.group()) == len(":/")
        if scheme is None or (single and scheme.group().lower() not in _COMMON_SCHEMES):
            yield text[place : mark.end()]
            place = mark.end()
            continue
        end = _end(text, mark.end())
        yield text[place : mark.end()]
        yield _redacted_rest(text[mark.end() : end], secrets, depth)
        place = end
    yield text[place:]


def _end(text: str, start: int) -> int:
    """End of the URI whose authority begins at ``start``: a space or a quote, unless a password holds it."""
    end = _first(_END, text, start)
    rest, stop = text[start:end], text[end : end + 1]
    reach, furthest = end, end + _PASSWORD_CHARACTERS
    opened = _opens_password(rest) or (rest.endswith(":") and bool(stop) and not stop.isspace())
    if opened and "@" not in rest:
        newline = text.find("\n", end, furthest)
        reach = furthest if newline < 0 else newline
    elif set(_authority(rest)) & {":", "@"}:  # a quote that is followed by an @ before the next space
        reach = min(_first(_SPACE, text, end), furthest)
    at = text.rfind("@", end, reach)
    return end if at < 0 else _first(_END, text, at)


def _first(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.search(text, start)
    return len(text) if match is None else match.start()


def _opens_password(rest: str) -> bool:
    """True where what follows the host's colon is no port: ``user:secr…``, cut by what no URI has."""
    authority = _authority(rest.rstrip(".,;:!?)]}\\"))
    host, colon, port = authority.rpartition(":")
    return bool(colon) and not host.startswith("[") and not port.isdecimal() and port != _BLOT


def _authority(rest: str) -> str:
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _has_user_info(rest: str) -> bool:
    authority = _authority(rest)
    return "@" in rest and (":" in authority or "@" in authority)


def _redacted_rest(rest: str, secrets: Sequence[str], depth: int) -> str:
    """Authority, path, query and fragment, redacted.

    User info may hold any sign, also those that end an authority: it reaches to the last ``@`` wherever the
    authority has a colon or an ``@`` at all.
    """
    user_info = ""
    if _has_user_info(rest):
        user_info, rest = f"{_BLOT}@", rest.rpartition("@")[2]
    elif _opens_password(rest) or depth > _DEEPEST:
        return _BLOT
    try:
        parts = urlsplit(f"//{rest}")
    except ValueError:  # a bracket that is not closed: nobody can say what is what
        return user_info + _BLOT if "?" in rest or "#" in rest else user_info + rest
    redacted = parts._replace(
        path="".join(_parts(parts.path, secrets, depth + 1)),
        query=_redacted_parameters(parts.query, secrets, depth),
        fragment=_redacted_parameters(parts.fragment, secrets, depth),
    )
    return user_info + (rest if redacted == parts else urlunsplit(redacted).removeprefix("//"))


def _redacted_parameters(text: str, secrets: Sequence[str], depth: int) -> str:
    """A query or fragment; a value is secret by its name, or holds credentials itself."""

    def blotted(match: re.Match[str]) -> str:
        name, sign, value = match.group().partition("=")
        if not sign:
            return match.group()
        plain = unquote(value)
        if _is_secret_parameter(name) or _redacted(plain, secrets, depth + 1) != plain:
            return f"{name}={_BLOT}"
        return match.group()

    return _PARAMETER.sub(blotted, text)


def _is_secret_parameter(name: str) -> bool:
    return is_secret_name(name) or unquote(name).lower() in _SECRET_PARAMETERS
