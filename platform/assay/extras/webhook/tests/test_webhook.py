"""The webhook: whom it tells of what, and that whatever goes wrong there is a line at the end and no more."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from assay.analysis.results.followed import FollowedStudy
from assay.extras import EXTRAS
from assay.extras.webhook.webhook import VARIABLE, Webhook, listener
from assay.report.answers import answer_schema
from assay.storage import Environment, Store
from assay.study import Plan, parse_study, plan_study
from tests.cli.small_study import STUDY, finished, run_elsewhere
from tests.cli.test_run_json import run
from trainables.errors import InputError

DECIDING = STUDY.replace("seeds: [0, 1]", "decide: [6, 8]").replace(
    "comparisons", "resolve: 0.05\ncomparisons"
)


@dataclass
class Hook:
    """A server on this machine that answers with ``codes``, the last one for ever."""

    url: str = ""
    codes: list[int] = field(default_factory=lambda: [204])
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)

    @property
    def events(self) -> list[str]:
        return [call["event"] for call in self.calls]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    hook.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.calls.append(json.loads(body))
            hook.headers.append(dict(self.headers))
            hook.answers.wait()
            self.send_response(hook.codes.pop(0) if len(hook.codes) > 1 else hook.codes[0])
            self.send_header("Location", f"{hook.url}/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield hook
        hook.answers.set()
        server.shutdown()
        thread.join()


def test_the_end_of_a_study_is_told_with_its_status(hook: Hook, store: Store, plan: Plan) -> None:
    with Webhook(f"{hook.url}/services/T00", store) as webhook:
        webhook.see(FollowedStudy(store, plan.study.study, plan=plan).state())
    assert webhook.trouble is None
    (call,) = hook.calls
    jsonschema.Draft202012Validator(answer_schema("webhook", EXTRAS["webhook"].answers)).validate(call)
    assert call["schema"] == "assay/webhook/1"
    assert (call["event"], call["study"], call["done"], call["held"]) == ("ended", "small", 3, False)
    assert hook.headers[0]["Content-Type"] == "application/json"


def test_a_study_that_stands_still_is_told_of_once_until_it_moves(
    hook: Hook, store: Store, plan: Plan
) -> None:
    now = [0.0]
    run_elsewhere(store)
    followed = FollowedStudy(store, plan.study.study, plan=plan)
    with Webhook(hook.url, store, stalled_after=60, clock=lambda: now[0]) as webhook:
        for now[0] in (0, 59, 60, 200):
            webhook.see(followed.state())
        store.begin_attempt(plan.trials[3].id, Environment(host="here"))  # a sign of life
        for now[0] in (201, 230):
            webhook.see(followed.state())
    assert hook.events == ["stalled", "ended"]


@pytest.mark.parametrize(("seeds", "told"), [(6, ["settled", "ended"]), (5, ["ended"])])
def test_a_study_that_decides_tells_when_nothing_is_undecided(
    hook: Hook, store: Store, seeds: int, told: list[str]
) -> None:
    plan = plan_study(parse_study(DECIDING, "deciding.yaml"), None, "cpu")
    followed = FollowedStudy(store, plan.study.study, plan=plan)
    with Webhook(hook.url, store) as webhook:
        webhook.see(followed.state())
        for trial in plan.trials:
            if trial.seed < seeds:
                gain = (0.2 + 0.001 * trial.seed) * (trial.levels["balance"] == "on")
                finished(trial, store, image_ap=0.7 + gain)
        webhook.see(followed.state())
        webhook.see(followed.state())
    assert hook.events == told


@pytest.mark.parametrize(
    ("codes", "calls", "trouble"),
    [
        ([500, 503, 204], 3, None),
        ([500], 3, "`ended`: HTTP 500"),
        ([404], 3, "`ended`: HTTP 404"),
        ([302], 3, "`ended`: HTTP 302"),  # nobody else is told
    ],
    ids=str,
)
def test_a_call_is_tried_three_times_and_what_failed_is_said(  # noqa: PLR0917 - three fixtures, three facts
    hook: Hook, store: Store, plan: Plan, codes: list[int], calls: int, trouble: str | None
) -> None:
    hook.codes = codes
    with Webhook(hook.url, store, pause=0.01) as webhook:
        webhook.see(FollowedStudy(store, plan.study.study, plan=plan).state())
    assert len(hook.calls) == calls
    assert webhook.trouble == (trouble and f"the webhook at {webhook.host} was not told of {trouble}")


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_a_server_that_is_away_is_said_and_the_secret_is_not(store: Store, plan: Plan, place: str) -> None:
    with Webhook(f"{place}/services/hunter2", store, pause=0.01) as webhook:
        webhook.see(FollowedStudy(store, plan.study.study, plan=plan).state())
    assert webhook.trouble
    assert "hunter2" not in webhook.trouble
    assert webhook.trouble.startswith(f"the webhook at {place.partition('//')[2]} was not told of `ended`: ")


def test_nobody_waits_for_a_server_that_never_answers(hook: Hook, store: Store, plan: Plan) -> None:
    hook.answers.clear()
    with Webhook(hook.url, store, stalled_after=0) as webhook:
        seen = FollowedStudy(store, plan.study.study, plan=plan).state()
        webhook.see(seen)
        webhook.see(seen)
        webhook.interrupt()
    assert webhook.trouble  # the first call is still under way
    assert webhook.trouble.endswith("was not told of `ended`: no answer within 2 s")
    hook.answers.set()


def test_user_and_password_go_into_the_header(hook: Hook, store: Store, plan: Plan) -> None:
    with Webhook(hook.url.replace("//", "//me:hunter%322@"), store) as webhook:
        webhook.see(FollowedStudy(store, plan.study.study, plan=plan).state())
    scheme, _, login = hook.headers[0]["Authorization"].partition(" ")
    assert (scheme, b64decode(login)) == ("Basic", b"me:hunter22")
    assert "hunter" not in webhook.host


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/hunter2", "found the scheme 'ftp'"),
        ("file:///etc/hunter2", "found the scheme 'file' and no host"),
        ("host/hunter2", "found the scheme 'none'"),
        ("https://", "no host"),
        ("https://[host/hunter2", "that is no URL"),
        ("https://host:port/hunter2", "that is no URL"),
        ("https://host/a b", "found the scheme 'https' and a host"),
    ],
)
def test_what_is_no_url_of_http_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, store: Store, url: str, words: str
) -> None:
    monkeypatch.setenv(VARIABLE, url)
    with pytest.raises(InputError) as refused:
        listener(store)
    assert words in str(refused.value)
    assert str(refused.value).endswith("Correct ASSAY_WEBHOOK.")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", [None, ""])
def test_a_run_has_no_webhook_unless_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch, store: Store, url: str | None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if url is not None:
        monkeypatch.setenv(VARIABLE, url)
    assert listener(store) is None


def test_a_run_that_was_refused_tells_nobody(hook: Hook, store: Store) -> None:
    with Webhook(hook.url, store) as webhook:
        pass  # no state was seen
    assert (hook.calls, webhook.trouble) == ([], None)


def test_a_webhook_that_refuses_is_one_line_at_the_end_of_a_run(
    tmp_path: Path, cache_root: Path, hook: Hook
) -> None:
    hook.codes = [500]
    code, events, errors = run(tmp_path, cache_root, ASSAY_WEBHOOK=f"{hook.url}/hunter2")
    assert (code, events[-1]["event"]) == (1, "ended"), errors
    assert hook.events == ["ended"] * 3
    assert errors.count("was not told of `ended`: HTTP 500") == 1
    assert "hunter2" not in errors
    written = (path for path in (tmp_path / "storage").rglob("*") if path.is_file())
    assert not [path for path in written if b"hunter2" in path.read_bytes()]
