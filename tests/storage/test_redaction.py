"""Credentials in text: each way in which they come is blotted out, and nothing else is."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.storage.files import json_bytes
from assay.storage.redaction import holds_credentials, is_ambiguous, redact

CANARY = "CANARY-7d1f"
SIGNS = st.text("aZ0/@:?#+=%&;.,-_~!*()[]'", max_size=12)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("s3://key:secret@bucket/a", "s3://***@bucket/a"),
        ("s3://key:se/cr/et@bucket/a", "s3://***@bucket/a"),
        ("s3://key:se@cret@bucket/a", "s3://***@bucket/a"),
        ("s3://key:a@b/c@bucket", "s3://***@bucket"),
        ("S3:/key:secret@bucket/a", "S3:/***@bucket/a"),
        ("postgresql://me@host/db", "postgresql://***@host/db"),
        ("postgresql://me:pa#s?s@host/db?sslpassword=x", "postgresql://***@host/db?sslpassword=***"),
        ("http://me:pa'ss word@host/x", "http://***@host/x"),
        ("http://me:cut-off", "http://***"),
        ("http://h/x?token=abc&y=1", "http://h/x?token=***&y=1"),
        ("s3://b?secret_access_key=abc&region=eu", "s3://b?secret_access_key=***&region=eu"),
        ("http://h/x?API-Key=abc;access_token=d", "http://h/x?API-Key=***;access_token=***"),
        ("http://h/x?X-Amz-Signature=0f&X-Amz-Credential=A%2Fb", "http://h/x?X-Amz-Signature=***&X-Amz-Credential=***"),
        ("http://h/x#access_token=abc&state=1", "http://h/x#access_token=***&state=1"),
        ("http://h/x?next=http%3A%2F%2Fu%3Ap%40k", "http://h/x?next=***"),
        ("jdbc:postgresql://u:p@h and s3://a:b@c", "jdbc:postgresql://***@h and s3://***@c"),
        ("{'aws_secret_access_key': 'a,b', 'n': 1}", "{'aws_secret_access_key': '***', 'n': 1}"),
        ('{"password": "a b"}', '{"password": "***"}'),
        ("Authorization: Bearer abc.def, ok", "Authorization: *** ok"),
        ("AWS_SECRET_ACCESS_KEY=abc MODE=1", "AWS_SECRET_ACCESS_KEY=*** MODE=1"),
    ],
)  # fmt: skip
def test_credentials_are_blotted_out(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "plain 3 @ 4, a://b",
        "s3://bucket/run@3/x?endpoint_override=127.0.0.1:9000&scheme=http",
        "sqlite:////home/me@work/mlflow.db",
        "see http://127.0.0.1:8265, or write to me@host",
        "http://[::1]:8080/x?y=1#top",
        "blur@3f9c1d2e: 12:30 at https://host/a",
        "http://[broken",
    ],
)
def test_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert not holds_credentials(text)


@given(before=SIGNS, after=SIGNS, place=st.sampled_from(["bucket", "host:5432/db", "h/p?x=1#f"]))
def test_a_password_of_any_signs_is_blotted_out(before: str, after: str, place: str) -> None:
    secret = before + CANARY + after
    shown = redact(f"could not open s3://key:{secret}@{place}, try again")
    assert CANARY not in shown
    assert shown.startswith("could not open s3://***@")


@given(text=st.text(max_size=80))
def test_redacted_text_is_not_changed_again(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(value=st.recursive(st.text(max_size=30), lambda inner: st.dictionaries(st.text(max_size=5), inner)))
def test_a_json_value_stays_one(value: object) -> None:
    assert json.loads(json_bytes([value, f"s3://a:{CANARY}@b"]))[1] == "s3://***@b"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("AWS_SECRET_ACCESS_KEY", f"{CANARY}/x", f"the key {CANARY}/x is refused"),
        ("MLFLOW_TRACKING_PASSWORD", CANARY, f"({CANARY})"),
        ("RAY_AUTH_TOKEN", f"a+{CANARY}", f"token a%2B{CANARY}"),
        ("DATABASE_URL", f"mysql://me:{CANARY}@host/db", f"access denied with {CANARY}"),
    ],
)
def test_secrets_of_the_environment_are_blotted_out_wherever_they_stand(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    assert redact(text) == text
    monkeypatch.setenv(name, value)
    assert CANARY not in redact(text)


def test_a_short_value_of_a_secret_variable_is_a_word_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "finish")
    assert redact("it finished") == "it finished"


@pytest.mark.parametrize(
    ("uri", "ambiguous"),
    [
        ("http://me:pass@host:5000/x", False),
        ("sqlite:////home/me@work/mlflow.db", False),
        ("http://me:pa%2Fss%40@host", False),
        ("http://me:pa/ss@host", True),
        ("http://me:pa@ss@host", True),
        ("postgresql://me:pa?ss@host/db", True),
    ],
)
def test_a_uri_whose_host_is_a_matter_of_opinion_is_known(uri: str, ambiguous: bool) -> None:
    assert is_ambiguous(uri) == ambiguous


@pytest.mark.parametrize(
    "piece", ["a://", "http://x:y ", "s3://k:s@", "token=", "http://h?u=http://", "a" * 50]
)
def test_megabytes_of_text_take_no_time(piece: str) -> None:
    begin = time.process_time()
    redact(piece * (1_000_000 // len(piece)))
    assert time.process_time() - begin < 20
