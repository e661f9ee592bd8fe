"""What Stripe's webhook takes, and what it refuses without a trace."""

import json
import logging
from random import Random
from typing import Any

import httpx
import pytest
import stripe

from actors.edge.backend import StripeDesk
from actors.edge.gate import BODY_BYTES_MAX
from actors.stripe.records import EventState
from tests.builders.authors import NOON
from tests.fakes.edge import LocalBackend, edge
from tests.fakes.memory_stripe import MemoryStripe
from tests.fakes.shards import Clock, in_loop
from tests.fakes.stripe_world import event, subscription

BODY = event("1", "customer.subscription.created", subscription())
PATH = "/stripe/webhook"
FUZZ_SEEDS = 40  # Each with some 25 bodies; `tests/service/stripe_fuzz.py` runs more.


def signed(body: str, secret: str = "whsec_new", at: float = 0.0) -> str:
    stamp = int(NOON.timestamp() + at)
    header: str = stripe.WebhookSignature.generate_signature_header(body, secret, stamp)
    return header


async def send(
    http: httpx.AsyncClient, body: str | bytes, header: str | bytes | None
) -> httpx.Response:
    headers: dict[str, Any] = {} if header is None else {"Stripe-Signature": header}
    return await http.post(PATH, content=body, headers=headers)


def ledger_of(backend: LocalBackend) -> MemoryStripe:
    assert isinstance(backend.stripe.store, MemoryStripe)
    return backend.stripe.store


@pytest.mark.parametrize("secret", ["whsec_old", "whsec_new"])
@in_loop
async def test_an_event_is_kept_before_it_is_answered(secret: str) -> None:
    async with edge() as (http, backend):
        answer = await send(http, BODY, signed(BODY, secret))

        (kept,) = ledger_of(backend).events.values()
        assert answer.status_code == 200
        assert (kept.event_id, kept.subject, kept.body) == ("evt_1", "sub_1", BODY)
        assert kept.state is EventState.RECEIVED


@in_loop
async def test_an_event_is_kept_once_however_often_it_comes() -> None:
    async with edge() as (http, backend):
        answers = [await send(http, BODY, signed(BODY)) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200] * 3
        assert len(ledger_of(backend).events) == 1


@in_loop
async def test_several_signatures_in_one_header_are_fine() -> None:
    async with edge() as (http, _):
        stale = "v1=" + "0" * 64
        answer = await send(http, BODY, f"{signed(BODY)},{stale},v0=nonsense")

        assert answer.status_code == 200


REFUSED: dict[str, tuple[str | bytes, str | bytes | None]] = {
    "no signature": (BODY, None),
    "another secret": (BODY, signed(BODY, "whsec_evil")),
    "an empty secret": (BODY, signed(BODY, "x").replace("v1=", "v1=0")),
    "too old": (BODY, signed(BODY, at=-301)),
    "too new": (BODY, signed(BODY, at=301)),
    "another body": (BODY.replace("active", "paused"), signed(BODY)),
    "no time": (BODY, signed(BODY).partition(",")[2]),
    "a time that is none": (BODY, "t=soon," + signed(BODY).partition(",")[2]),
    "not UTF-8": (b"\xff\xfe{}", signed(BODY)),
    "a signature that is not ASCII": (BODY, f"t={int(NOON.timestamp())},v1=é".encode()),
    "nothing": ("", signed("")),
    "no JSON": ("{", signed("{")),
    "a list": ("[]", signed("[]")),
    "null": ("null", signed("null")),
    "a number": ("7", signed("7")),
    "deep": ("[" * 50_000, signed("[" * 50_000)),
    "no id": ('{"type": "x"}', signed('{"type": "x"}')),
    "an id that is none": ('{"id": 7, "type": "x"}', signed('{"id": 7, "type": "x"}')),
    "no time of its own": ('{"id": "e", "type": "x"}', signed('{"id": "e", "type": "x"}')),
}


@pytest.mark.parametrize("name", REFUSED)
@in_loop
async def test_what_stripe_has_not_signed_is_refused_without_a_trace(name: str) -> None:
    body, header = REFUSED[name]
    async with edge() as (http, backend):
        answer = await send(http, body, header)

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")
        assert not ledger_of(backend).events


@in_loop
async def test_a_body_past_the_limit_is_413_even_if_it_is_signed() -> None:
    async with edge() as (http, backend):
        long = json.dumps({"id": "evt_1", "pad": "x" * BODY_BYTES_MAX})
        answer = await send(http, long, signed(long))

        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert not ledger_of(backend).events


@in_loop
async def test_nothing_is_acknowledged_that_could_not_be_kept() -> None:
    async with edge() as (http, backend):
        ledger_of(backend).unavailable = True
        away = await send(http, BODY, signed(BODY))
        ledger_of(backend).unavailable = False
        again = await send(http, BODY, signed(BODY))

        assert (away.status_code, away.json()["code"]) == (503, "storage_unavailable")
        assert again.status_code == 200


@in_loop
async def test_without_secrets_there_is_no_webhook() -> None:
    async with edge() as (_, backend):
        assert backend.stripe.secrets
    off = StripeDesk(MemoryStripe(), (), Clock(NOON))
    async with edge(stripe=off) as (http, backend):
        answer = await send(http, BODY, signed(BODY, "x"))

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@in_loop
async def test_operators_see_dead_letters_first() -> None:
    async with edge() as (http, backend):
        other = BODY.replace("evt_1", "evt_2")
        for body in (BODY, other):
            await send(http, body, signed(body))
        ledger_of(backend).fail(["evt_2"], "it cannot be")

        answer = await http.get("/admin/events")

        rows = answer.json()["stripe"]
        assert [row["id"] for row in rows] == ["evt_2", "evt_1"]
        assert rows[0]["last_error"] == "it cannot be"
        assert "body" not in rows[0]
        counts = {"fresh": 1, "found": 0, "parked": 0, "dead": 1}
        assert answer.json()["stripe_waiting"] == counts


def mutated(random: Random, text: bytes) -> bytes:
    changed = bytearray(text)
    for _ in range(random.randint(1, 6)):
        place = random.randrange(len(changed))
        match random.randrange(3):
            case 0:
                changed[place] = random.randrange(32, 256)
            case 1:
                del changed[place : place + random.randint(1, 9)]
            case _:
                changed[place:place] = random.randbytes(3).replace(b"\n", b" ").replace(b"\r", b"")
        changed = changed or bytearray(b"x")
    return bytes(changed)


@pytest.mark.parametrize("seed", range(FUZZ_SEEDS))
@in_loop
async def test_fuzzed_bodies_and_signatures_are_400_and_leave_no_trace(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(seed)
    async with edge() as (http, backend):
        with caplog.at_level(logging.WARNING):
            for _ in range(25):
                body, header = BODY.encode(), signed(BODY).encode()
                if random.random() < 0.5:
                    body = mutated(random, body)
                else:
                    header = printable(mutated(random, header))
                if (body, header) == (BODY.encode(), signed(BODY).encode()):
                    continue
                answer = await send(http, body, header)
                known = answer.status_code == 200 and body == BODY.encode()
                assert known or answer.status_code == 400, (body, header, answer.text)

        assert set(ledger_of(backend).events) <= {"evt_1"}
        assert not caplog.records


def printable(header: bytes) -> bytes:
    """Return a header as it can be sent: without control characters."""
    return bytes(byte for byte in header if byte >= 32 and byte != 127).strip() or b"x"
