"""Events as webhooks, to real endpoints over real sockets, signed by the specification."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from actors.events import http_client, trial
from actors.events.delivery import DeliveryError, RefusedDeliveryError
from actors.events.http_client import HttpOut
from actors.events.records import OrderedEvent
from actors.events.settings import WebhookEndpoint
from actors.events.signatures import Signer
from actors.events.webhooks import WebhookHandler, target_of
from actors.settings import Settings, explain
from domain.events import EventRecord, EventType
from tests.builders.authors import NOON
from tests.fakes.shards import in_loop
from tests.service.receiver import SECRET, Receiver

OTHER_SECRET = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIHRoZSBlbmRwb2ludCAh"
EVENT = OrderedEvent(
    1,
    7,
    EventRecord(
        id="evt_1",
        type=EventType.LOW_CREDITS,
        created=NOON,
        user_id="ünï",
        subscription_id="s",
        data={"remaining_credits": 3, "text": 'ä "quoted" \u2028'},
    ),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Nowhere:
    """A way out that leads nowhere."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        raise AssertionError("nothing is sent")

    async def close(self) -> None:
        pass


def endpoint_of(receiver: Receiver, **changes: Any) -> WebhookEndpoint:
    return WebhookEndpoint.model_validate(receiver.config("crm", **changes))


@in_loop
async def send(endpoint: WebhookEndpoint, times: int) -> None:
    http = HttpOut(4)
    try:
        handler = WebhookHandler(target_of(endpoint), http, lambda: datetime.now(UTC))
        for _ in range(times):
            await handler.handle(EVENT)
    finally:
        await http.close()


def deliver(receiver: Receiver, times: int = 1) -> None:
    send(endpoint_of(receiver), times)


def test_an_event_arrives_signed_and_the_same_at_each_try(receiver: Receiver) -> None:
    deliver(receiver, 2)

    first, second = receiver.received
    assert first.event == json.loads(EVENT.record.model_dump_json())
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "evt_1"
    assert first.headers["content-type"] == "application/json"


def test_a_tampered_body_does_not_verify(receiver: Receiver) -> None:
    deliver(receiver)
    (one,) = receiver.received

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(one.body.replace(b"3", b"4"), one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER_SECRET).verify(one.body, one.headers)


def test_while_secrets_are_rotated_both_verify() -> None:
    body = EVENT.record.model_dump_json()
    headers = Signer([(OTHER_SECRET, None), (SECRET, None)]).headers(
        "evt_1", datetime.now(UTC), body
    )

    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(body, headers) == json.loads(body)


@pytest.mark.parametrize("manner", ["500", "503", "429", "408", "close"])
def test_what_may_pass_later_is_tried_again(receiver: Receiver, manner: str) -> None:
    receiver.manner = manner

    with pytest.raises(DeliveryError) as failure:
        deliver(receiver)

    assert not isinstance(failure.value, RefusedDeliveryError)


@pytest.mark.parametrize("manner", ["400", "404", "410", "redirect"])
def test_what_the_endpoint_refuses_is_refused(receiver: Receiver, manner: str) -> None:
    receiver.manner = manner

    with pytest.raises(RefusedDeliveryError):
        deliver(receiver)

    assert receiver.attempts == 1  # A redirect is not followed.


def test_an_endpoint_that_is_not_there_is_unreachable_and_its_address_stays_secret() -> None:
    with Receiver() as gone:
        url = gone.url + "?token=hidden"
    endpoint = WebhookEndpoint(url=url, secrets=(SECRET,))

    with pytest.raises(DeliveryError) as failure:
        send(endpoint, 1)

    assert "hidden" not in str(failure.value)
    assert "hidden" not in endpoint.shown
    assert "hidden" not in repr(endpoint)


@in_loop
async def test_a_test_event_is_not_waited_for_for_long(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS_MAX", 0.1)
    receiver.manner = "hang"
    http = HttpOut(1)
    told = await trial.tried(
        target_of(endpoint_of(receiver)), "ep_1", http, lambda: datetime.now(UTC)
    )
    await http.close()

    assert (told.delivered, told.status, told.error) == (False, None, "no answer within 0 seconds")
    assert told.milliseconds >= 100


@pytest.mark.parametrize("manner", ["hang", "drip"])
def test_an_endpoint_that_never_ends_its_answer_keeps_nobody_for_long(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    monkeypatch.setattr(http_client, "ANSWER_SECONDS_MAX", 0.2)
    monkeypatch.setattr(http_client, "BODY_SECONDS_MAX", 0.2)
    receiver.manner = manner

    if manner == "hang":
        with pytest.raises(DeliveryError):
            deliver(receiver)
    else:
        deliver(receiver, 2)  # Its status was good, and only that matters.

    assert receiver.attempts == (1 if manner == "hang" else 2)


def test_an_endpoint_gets_what_its_filter_names(receiver: Receiver) -> None:
    def wants(**changes: Any) -> bool:
        endpoint = endpoint_of(receiver, **changes)
        return WebhookHandler(target_of(endpoint), Nowhere(), lambda: NOON).wants(EVENT)

    assert wants()
    assert wants(events=["subscription.low_credits"])
    assert not wants(events=["usage.spike"])


@pytest.mark.parametrize(
    "change",
    [
        {"url": "ftp://example.test"},
        {"secrets": ["plain"]},
        {"secrets": []},
        {"events": ["unknown"]},
        {"name": "with space"},
        {"more": 1},
    ],
)
def test_settings_of_an_endpoint_are_checked(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    fields = {"url": "https://example.test/hook", "secrets": [SECRET]}
    monkeypatch.setenv("ALLOTMENT_WEBHOOKS", json.dumps([fields]))
    assert Settings(_env_file=None).webhooks[0].shown == "example.test/hook"

    monkeypatch.setenv("ALLOTMENT_WEBHOOKS", json.dumps([fields | change]))

    with pytest.raises(ValidationError) as failure:
        Settings(_env_file=None)
    assert SECRET not in str(failure.value.errors(include_input=False))


def test_what_is_no_json_is_named_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTMENT_WEBHOOKS", f'[{{"secrets": ["{SECRET}"')

    with pytest.raises(ValidationError) as failure:
        Settings(_env_file=None)

    assert explain(failure.value) == "ALLOTMENT_WEBHOOKS: Value error, is not JSON"


def test_a_folder_of_texts_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTMENT_MAIL_TEMPLATES", "/nowhere/at/all")

    with pytest.raises(ValidationError) as failure:
        Settings(_env_file=None)

    assert explain(failure.value).startswith("ALLOTMENT_MAIL_TEMPLATES: ")


def test_lists_of_words_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTMENT_FEATURES", "chat, export")
    monkeypatch.setenv("ALLOTMENT_ALERT_TO", "ops@example.test")
    monkeypatch.setenv("ALLOTMENT_SPIKE_FACTOR", "2.5")

    settings = Settings(_env_file=None)

    assert settings.features == ("chat", "export")
    assert settings.alert_to == ("ops@example.test",)
    assert str(settings.policy.spike_factor) == "2.5"


VERIFY = """
const { Webhook } = require(process.env.MODULE);
const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
try { console.log(JSON.stringify(new Webhook(secret).verify(body, headers))); }
catch (error) { console.log(error.name); }
"""


@pytest.fixture(scope="session")
def node_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the specification's library for Node, or skip where that cannot be."""
    if shutil.which("npm") is None:
        pytest.skip("there is no node here")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "standardwebhooks@1"]
    installed = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    if installed.returncode:
        pytest.skip("the library for node cannot be installed here")
    return folder / "node_modules" / "standardwebhooks"


def test_the_library_of_another_language_verifies_and_refuses(
    receiver: Receiver, node_library: Path
) -> None:
    deliver(receiver)
    (one,) = receiver.received
    body = one.body.decode()

    def verified(body: str) -> str:
        given = json.dumps({"secret": SECRET, "headers": one.headers, "body": body})
        done = subprocess.run(
            ["node", "-e", VERIFY],
            input=given,
            env=os.environ | {"MODULE": str(node_library)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()

    assert json.loads(verified(body)) == one.event
    assert verified(body.replace("3", "4", 1)) == "WebhookVerificationError"
