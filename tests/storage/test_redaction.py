"""Credentials in text: each way in which they come is blotted out, and nothing else is."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.storage.files.files import json_bytes
from assay.storage.redaction import holds_credentials, redact

CANARY = "CANARY-7d1f"
SIGNS = st.text("aZ0/@:?#+=%&;.,-_~!*()[]'", max_size=12)
WORDS = ["password", "token", "secret", "key", "signature", "sig", "authorization", "basic", "pwd", "is", "a"]
PIECES = [
    *WORDS, *"=:,;?&@/{}()#% \\\"'\n", "***", "://", "b'", "--token", "cookie", "bearer abcdefgh12345678",
    "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
]  # fmt: skip


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
        ("http://h/x?token=abc&y=1", "http://h/x?token=***&y=1"),
        ("s3://b?secret_access_key=abc&region=eu", "s3://b?secret_access_key=***&region=eu"),
        ("http://h/x?API-Key=abc;access_token=d", "http://h/x?API-Key=***;access_token=***"),
        ("http://h/x?X-Amz-Signature=0f&X-Amz-Credential=A%2Fb", "http://h/x?X-Amz-Signature=***&X-Amz-Credential=***"),
        ("http://h/x#access_token=abc&state=1", "http://h/x#access_token=***&state=1"),
        ("jdbc:postgresql://u:p@h and s3://a:b@c", "jdbc:postgresql://***@h and s3://***@c"),
        ("{'aws_secret_access_key': 'a,b', 'n': 1}", "{'aws_secret_access_key': '***', 'n': 1}"),
        ('{"password": "a b"}', '{"password": "***"}'),
        ("AWS_SECRET_ACCESS_KEY=abc MODE=1", "AWS_SECRET_ACCESS_KEY=*** MODE=1"),
        ("Server=h;Uid=u;Pwd=abc;", "Server=h;Uid=u;Pwd=***;"),
        ("retries exceeded with url: /?sig=abc/api (Caused", "retries exceeded with url: /?sig=*** (Caused"),
        ('<a href="/a?n=1&amp;X-Goog-Credential=abc">', '<a href="/a?n=1&amp;X-Goog-Credential=***">'),
        ("if token == 'abc':", "if token == '***':"),
        ("sent Bearer eyJhbGciOi.J9eyJzdWIi-x to it", "sent Bearer *** to it"),
        ("half a pair \udcff, s3://a:b\udcff@c", "half a pair \\udcff, s3://***@c"),
    ],
)  # fmt: skip
def test_credentials_are_blotted_out(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize("password", ["abc", 'a"b', 'a\\"b c', "'"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_json_in_json_stays_json(password: str, depth: int) -> None:
    text, clean = ({"password": each, "user": "me"} for each in (password, "***"))
    for _ in range(depth):
        text, clean = ({"message": json.dumps(each)} for each in (text, clean))
    assert json.loads(redact(json.dumps(text))) == clean


@pytest.mark.parametrize(
    "text",
    [
        "plain 3 @ 4, a://b",
        "s3://bucket/run@3/x?endpoint_override=127.0.0.1:9000&scheme=http",
        "sqlite:////home/me@work/mlflow.db",
        "sqlite:///runs@2/mlflow.db",
        "mounted from nas:/export@daily/photos, and d:/me@work",
        "abfss://container@account.dfs.core.windows.net/assay",
        "see http://127.0.0.1:8265, or write to me@host",
        "http://[::1]:8080/x?y=1#top",
        "blur@3f9c1d2e: 12:30 at https://host/a",
        "http://[broken",
        'one of "password", "token": {"password": ""}',
        "give --password, or `--token` (or --api-key [KEY]); the bearer internationalisation; cookie: ",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "which key? sig=3, key=4; num_tokens=196, signature: (config, data, run)",
    ],
)
def test_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
    assert not holds_credentials(text)


NAMES = [
    "api_key", "auth", "authorization", "bearer", "cookie", "credential", "key", "passphrase", "password",
    "private_key", "pwd", "secret", "session", "token",
]  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, "Token", "lot_secret"])
@pytest.mark.parametrize(
    "message",
    [
        "/data/{}: choose one of (none here); found none chosen.",
        "/data/{}: No such file or directory",
        "/data/{0}/{0}: Is a directory",
        "/data/{}: mask_above=127 is no class",
        "../{}: photos are missing",
        r"C:\data\{}: Permission denied",
        "{}: no image",
        "images/{}: 12 of 13 masks are missing",
        "{}/good/a.png: the file is truncated",
        "the cell {}: expected 3 trials, found 2.",
        "duplicate id {}: 2 images have it",
        "the data set {0} holds {0}; unknown class {0}. Known: {0}, {0}2",
        "factors: {}: {{config: {{lr: 0.1}}}}",
    ],
)
def test_a_message_about_a_thing_with_a_secrets_name_stays_as_it_is(name: str, message: str) -> None:
    text = message.format(name)
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/run/secrets/password: hunter2", "/run/secrets/password: ***"),
        ("/data/token: has token=abc", "/data/token: has token=***"),
        ("/data/token: found s3://key:secret@bucket", "/data/token: found s3://***@bucket"),
        ("authorization: has token=abc", "authorization: has token=***"),
        ("password: hunter2 is refused", "password: *** is refused"),
        ("password: no-4-one", "password: ***"),
        ("user/password: hunter2 is refused", "user/password: *** is refused"),
        ("http://h/x/password: hunter2 is refused", "http://h/x/password: *** is refused"),
        ("/x?a=b&/password: hunter2 is refused", "/x?a=b&/password: *** is refused"),
        ("/data/password: 'no words'", "/data/password: '***'"),
    ],
)
def test_a_secret_behind_a_message_or_a_word_is_blotted_out(text: str, clean: str) -> None:
    assert redact(text) == clean


@given(before=SIGNS, after=SIGNS, place=st.sampled_from(["bucket", "host:5432/db", "h/p?x=1#f"]))
def test_a_password_of_any_signs_is_blotted_out(before: str, after: str, place: str) -> None:
    secret = before + CANARY + after
    shown = redact(f"could not open s3://key:{secret}@{place}, try again")
    assert CANARY not in shown
    assert shown.startswith("could not open s3://***@")


@given(words=st.lists(st.sampled_from(WORDS)), sign=st.sampled_from(["", ",", ".", "?", "!", ";", " (", ")"]))
def test_a_sentence_about_secrets_stays_as_it_is(words: list[str], sign: str) -> None:
    text = f"{sign} ".join(words)
    assert redact(text) == text


@given(text=st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_redacted_text_is_not_changed_again(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(value=st.dictionaries(st.text(max_size=5), st.text(max_size=30) | st.lists(st.text(max_size=30))))
def test_a_json_value_stays_one(value: object) -> None:
    assert json.loads(json_bytes([value, f"s3://a:{CANARY}@b"]))[1] == "s3://***@b"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("DB_PWD", CANARY, f"({CANARY})"),
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


def test_a_user_without_a_password_is_no_credential_but_a_token_of_a_web_server_is() -> None:
    assert not holds_credentials("postgresql://mlflow@db/mlflow")
    assert holds_credentials("https://ghp_16C7e42F292c6912@host/lab/surfaces")


def test_a_secret_that_is_part_of_a_longer_word_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    assert not holds_credentials("postgresql://db/mlflow")
    assert holds_credentials("mlflow --password postgres")


def test_the_path_of_a_file_of_credentials_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "account.json"
    key.touch()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    assert redact(f"cannot read {key}") == f"cannot read {key}"


def test_the_line_end_of_a_secret_is_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{CANARY}\n")
    assert CANARY not in redact(f"({CANARY})")


def test_a_line_of_a_profile_is_blotted_out() -> None:
    assert redact("aws_secret_access_key = wJalrXUtnFEMI7") == "aws_secret_access_key = ***"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD"])
def test_the_folder_that_a_shell_names_is_no_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/home/me/surfaces")
    assert redact("reading /home/me/surfaces/a.yaml") == "reading /home/me/surfaces/a.yaml"


def test_a_short_value_of_a_secret_variable_is_a_word_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "finish")
    assert redact("it finished") == "it finished"


@pytest.mark.parametrize(
    "piece",
    [
        "a://",
        "http://x:y ",
        "s3://k:s@",
        "token=",
        "http://h?u=http://",
        "a" * 50,
        'token="\\"',
        "token=\\",
        "/data/token: ",
        "/data/token: a",
        "token: is ",
        "-",
        "--token ",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_long_texts_take_no_time(piece: str) -> None:
    begin = time.process_time()
    redact(piece * (300_000 // len(piece)))
    assert time.process_time() - begin < 6
