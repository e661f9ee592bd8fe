"""What hostile clients send over a raw socket: split, truncated, pipelined, oversized, made up."""

import itertools
import json
import random
from collections.abc import Callable, Iterator

BIG = 1_200_000
PIPELINED = 20  # Requests in one sending.
TRAILED = b"2\r\n{}\r\n0\r\nIdempotency-Key: late\r\n\r\n"

Make = Callable[[random.Random, bytes], list[bytes]]
"""Returns the parts in which one request is sent; the key is the admin's."""


def whole(method: str, target: str, headers: list[bytes], body: bytes = b"") -> bytes:
    """Return a request that says how long it is."""
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1", "replace"), b"Host: a", *headers]
    lines.append(f"Content-Length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def charge(rng: random.Random, key: bytes) -> bytes:
    body = {"user_id": f"u{rng.randrange(50)}", "service_type": "chat", "credit_amount": 0}
    bearer = b"Authorization: Bearer " + key
    headers = [bearer, b"Content-Type: application/json"]
    return whole("POST", "/subscription/usage", headers, json.dumps(body).encode())


def noise(rng: random.Random, key: bytes) -> list[bytes]:
    return [rng.randbytes(rng.randrange(1, 2_000)) + b"\r\n\r\n"]


def mutated(rng: random.Random, key: bytes) -> list[bytes]:
    text = bytearray(charge(rng, key))
    for _ in range(rng.randrange(1, 12)):
        text[rng.randrange(len(text))] = rng.randrange(256)
    return [bytes(text)]


def split(rng: random.Random, key: bytes) -> list[bytes]:
    text = charge(rng, key)
    cuts = sorted(rng.sample(range(1, len(text)), 5))
    return [text[i:j] for i, j in itertools.pairwise([0, *cuts, len(text)])]


def truncated(rng: random.Random, key: bytes) -> list[bytes]:
    text = charge(rng, key)
    return [text[: rng.randrange(1, len(text))]]


def pipelined(rng: random.Random, key: bytes) -> list[bytes]:
    return [b"".join(charge(rng, key) for _ in range(PIPELINED)) + rng.randbytes(50)]


def oversized(rng: random.Random, key: bytes) -> list[bytes]:
    shown = rng.choice([key, b"allot_stranger"])
    headers = [b"Authorization: Bearer " + shown, b"Content-Type: application/json"]
    return [whole("POST", "/subscription/usage", headers, b"[" * BIG)]


def many_headers(rng: random.Random, key: bytes) -> list[bytes]:
    headers = [b"X-%d: %s" % (n, rng.randbytes(20).hex().encode()) for n in range(200)]
    return [whole("GET", "/subscription/status?user_id=a", headers)]


def odd_target(rng: random.Random, key: bytes) -> list[bytes]:
    target = "/subscription/status?user_id=" + "".join(
        rng.choice(["%ff", "%00", "ü", "a", "/", "%", "&user_id=", "\x7f"]) for _ in range(30)
    )
    return [whole("GET", target, [b"Authorization: Bearer " + key])]


def odd_body(rng: random.Random, key: bytes) -> list[bytes]:
    bodies = [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 9_000,
        b"\xff" * 500,
        b"NaN",
        b'{"\\ud800":1}',
    ]
    path = rng.choice(["/subscription/usage", "/subscription/usage/batch", "/admin/sync"])
    headers = [b"Authorization: Bearer " + key, b"Content-Type: application/json"]
    return [whole("POST", path, headers, rng.choice(bodies))]


def odd_chunks(rng: random.Random, key: bytes) -> list[bytes]:
    head = b"POST /subscription/usage HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    head += b"Authorization: Bearer " + key + b"\r\n\r\n"
    return [
        head
        + rng.choice(
            [b"zz\r\n", b"ffffffffffff\r\n", b"-1\r\n\r\n", b"5\r\nab\r\n0\r\n\r\n", TRAILED]
        )
    ]


MAKERS: list[Make] = [
    *(noise, mutated, split, truncated, pipelined, many_headers, odd_target, odd_chunks),
    *(odd_body, mutated, split, truncated, oversized),
]


def sendings(requests: int, seed: int) -> Iterator[tuple[int, Make]]:
    """Yield who makes each sending, and how many requests the ones before it are."""
    rng, sent = random.Random(seed), 0
    while sent < requests:
        make = rng.choice(MAKERS)
        yield sent, make
        sent += PIPELINED if make is pipelined else 1
