"""What comes over the network: frames between nodes, keys and tokens, and Stripe's events."""

import asyncio
import contextlib
import json
import struct
from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

import bson
import jwt

from actors.auth.api_keys import KEY_PREFIX, ApiKey, KeyRing, hash_of
from actors.auth.caller import Scope
from actors.auth.token_rules import TokenRules
from actors.auth.tokens import Tokens, UncheckableTokenError, read_key_set
from actors.edge.backend import Backend
from actors.edge.credentials import authenticate
from actors.edge.problems import RequestRefused
from actors.mongo.documents.stripe import link_document
from actors.routing import wire
from actors.stripe import payloads
from actors.stripe.api import BadSignatureError, verify_signature
from actors.stripe.objects import Invoice, Subscription, UnreadablePayloadError
from actors.stripe.prices import times
from tests.builders.ledger import NOON
from tests.fakes.stripe_world import event, invoice, subscription
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

HEAD = struct.Struct("<II")
SECRET = "a secret of the application, long enough"
CLAIMS: dict[str, Any] = {"sub": "ada", "exp": 2**32, "iss": "https://id.example", "aud": "credits"}
RULES = TokenRules(secret=SECRET, issuer="https://id.example", audience="credits")
KEY = KEY_PREFIX + "k" * 43


@lru_cache
def runner() -> asyncio.Runner:
    """Return the loop that all inputs share: a new one takes longer than an input."""
    return asyncio.Runner()


def frames() -> Sequence[bytes]:
    bodies = [b"", b"body", b"a longer body" * 9]
    each = [HEAD.pack(number, len(body)) + body for number, body in enumerate(bodies)]
    return [*each, b"".join(each), HEAD.pack(1, wire.FRAME_BYTES_MAX + 1)]


class Heard:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    async def drain(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        raise AssertionError("no answer has failed")


def answer_frames(data: bytes) -> None:
    """Answer each whole frame with its own body, and end where there is none."""
    heard = Heard()

    async def told() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        await wire._answer_all(reader, cast("asyncio.StreamWriter", heard), echo)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    runner().run(told())
    answered = sorted(heard.frames)
    assert answered == sorted(whole_frames(data))


async def echo(body: bytes) -> bytes:
    return body


def whole_frames(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    while len(data) >= HEAD.size:
        length = HEAD.unpack_from(data)[1]
        frame, data = data[: HEAD.size + length], data[HEAD.size + length :]
        if length > wire.FRAME_BYTES_MAX or len(frame) < HEAD.size + length:
            break
        found.append(frame)
    return found


def tokens() -> Sequence[bytes]:
    token = jwt.encode(CLAIMS, SECRET, "HS256").encode()
    return [b"\0" + token, *(b"\1" + json.dumps(CLAIMS | changes).encode() for changes in ODD)]


ODD: Sequence[dict[str, Any]] = (
    {},
    {"nbf": 1, "iat": 1, "jti": "x"},
    {"exp": float("inf")},
    {"aud": ["credits", 5]},
    {"sub": "A" * 24},
)


def check_a_token(data: bytes) -> None:
    """Check a text that nobody has signed, or claims that the issuer has."""
    checks = Tokens(RULES)
    try:
        if data[:1] == b"\1":
            text = jwt.api_jws.encode(data[1:], SECRET, "HS256")
            runner().run(checks.caller_of(text))
        else:
            caller = runner().run(checks.caller_of(data[1:].decode("latin-1")))
            assert caller is None or caller.user_id == "ada", "nobody has signed it"
            assert caller is None or caller.scope is None
    except UncheckableTokenError:
        pass


class OneKey:
    """A store of one key."""

    def list(self) -> list[ApiKey]:
        return [ApiKey("1", "fuzz", Scope.READ, KEY[:12], hash_of(KEY), NOON)]


@lru_cache
def backend() -> Backend:
    ring = KeyRing(cast("Any", OneKey()))
    ring._take(OneKey().list())
    return cast("Backend", SimpleNamespace(keys=ring, tokens=Tokens(RULES)))


def headers() -> Sequence[bytes]:
    return [f"Bearer {KEY}".encode(), b"Bearer " + tokens()[0][1:], b"bearer  x", b"Basic eDp5"]


def check_a_header(data: bytes) -> None:
    """Let in who shows the key or a signed token, and refuse everybody else."""
    given = {"method": "GET", "path": "/x", "headers": [(b"authorization", data)]}
    with contextlib.suppress(RequestRefused):
        caller = runner().run(authenticate(backend(), cast("Any", given)))
        if caller.user_id is None:
            assert data.split(b" ", 1)[1].strip(b" \t") == KEY.encode()
        else:
            assert caller.user_id == "ada", "nobody else has a token"


def key_sets() -> Sequence[bytes]:
    keys = [
        {"kty": "oct", "kid": "1", "k": "AAAA", "use": "sig", "alg": "HS256"},
        {"kty": "EC", "kid": "2", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "RSA", "kid": "3", "n": "AQAB", "e": "AQAB"},
        {"kty": "OKP", "kid": "4", "crv": "Ed25519", "x": "A" * 43},
    ]
    return [json.dumps({"keys": some}).encode() for some in (keys, *([one] for one in keys))]


def check_a_key_set(data: bytes) -> None:
    """Read a key set; an issuer's nonsense is one of the errors that count as none."""
    with contextlib.suppress(ValueError, jwt.PyJWTError, RecursionError):
        read_key_set(data)


def stripe_events() -> Sequence[bytes]:
    line = {"id": "il_1", "amount": 5, "period": {"start": 5, "end": 9}, "quantity": 2}
    bodies = [
        event("1", "customer.subscription.updated", subscription()),
        event("2", "invoice.paid", invoice()),
        event("3", "invoice.paid", invoice(lines={"data": [line]})),
        event("4", "charge.refunded", {"id": "ch_1", "amount": 9, "amount_refunded": 4}),
        event("5", "checkout.session.completed", {"id": "cs_1", "subscription": "sub_1"}),
        event("6", "v1.invoice.paid", {}, object=payloads.THIN, created="2026-03-02T12:00:00Z"),
    ]
    return [body.encode() for body in bodies]


def read_an_event(data: bytes) -> None:
    """Read a body that Stripe has signed: it can be kept, or it is refused."""
    body = data.decode("utf-8", "replace")
    with contextlib.suppress(UnreadablePayloadError):
        found = payloads.read_event(body, NOON)
        bson.encode({"_id": found.event_id, "type": found.type, "subject": found.subject})
        bson.encode({"customer_id": found.customer_id, "created": bson.Int64(found.created)})
        match payloads.read_back(found).about:
            case Invoice(lines=lines):
                for line in lines:
                    line.period()
                    times(5, line.quantity)
            case Subscription() as about:
                bson.encode(link_document(about.state()))


def check_a_signature(data: bytes) -> None:
    """Refuse a signature that no secret has made."""
    choices = Choices(data)
    header = choices.take(choices.number(80)).decode("latin-1")
    with contextlib.suppress(BadSignatureError):
        verify_signature(choices.rest(), header, [SECRET], NOON.timestamp())
        raise AssertionError("nobody has signed it")


def signatures() -> Sequence[bytes]:
    header = f"t={int(NOON.timestamp())},v1={'0' * 64}".encode()
    return [bytes([len(header)]) + header + body for body in stripe_events()]


TARGETS = (
    Target("frames", frames, answer_frames),
    Target("tokens", tokens, check_a_token),
    Target("headers", headers, check_a_header),
    Target("key-sets", key_sets, check_a_key_set),
    Target("stripe-events", stripe_events, read_an_event),
    Target("stripe-signatures", signatures, check_a_signature),
)
