"""Users' tokens: whose they are, what makes them worthless, and keys that change or go away."""

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.warnings import InsecureKeyLengthWarning

from actors.auth.caller import Scope
from actors.auth.token_rules import TokenRules
from actors.auth.tokens import (
    FRESH_SECONDS,
    KEY_SET_BYTES_MAX,
    TOKEN_LENGTH_MAX,
    TRUSTED_SECONDS_MAX,
    UNKNOWN_KEY_SECONDS,
    Tokens,
    UncheckableTokenError,
    fetch_key_set,
)
from domain.values import UserId
from tests.builders.tokens import CLAIMS, RULES, SECRET, now, token
from tests.fakes.shards import in_loop, until


async def subject(tokens: Tokens, text: str) -> str | None:
    caller = await tokens.caller_of(text)
    return None if caller is None else caller.user_id


@pytest.mark.parametrize("user", ["ada", "0123456789ABCDEFabcdef01", "ü"])
@in_loop
async def test_a_token_reads_the_data_of_its_subject_only(user: str) -> None:
    caller = await Tokens(RULES).caller_of(token({"sub": user}))

    assert caller is not None
    assert caller.user_id == (user.lower() if len(user) == 24 else user)
    assert caller.name == f"user:{caller.user_id}"
    assert caller.admits_user(UserId(str(caller.user_id)))
    assert not caller.admits_user(UserId("bob"))
    assert not any(caller.has(scope) for scope in Scope)


WORTHLESS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expired": ({"exp": now() - 120}, {}),
    "without an end": ({"exp": None}, {}),
    "an end that is no number": ({"exp": "soon"}, {}),
    "not yet": ({"nbf": now() + 3600}, {}),
    "another issuer": ({"iss": "https://other.example"}, {}),
    "no issuer": ({"iss": None}, {}),
    "another audience": ({"aud": "mail"}, {}),
    "no audience": ({"aud": None}, {}),
    "no subject": ({"sub": None}, {}),
    "an empty subject": ({"sub": ""}, {}),
    "a subject with a space": ({"sub": "a b"}, {}),
    "a subject that is no text": ({"sub": 7}, {}),
    "another secret": ({}, {"key": "another secret that is also long enough"}),
    "no algorithm": ({}, {"key": None, "algorithm": "none"}),
}


@pytest.mark.parametrize("kind", WORTHLESS)
@in_loop
async def test_what_a_token_must_not_be(kind: str) -> None:
    claims, options = WORTHLESS[kind]

    assert await Tokens(RULES).caller_of(token(claims, **options)) is None


@in_loop
async def test_clocks_may_differ_by_a_minute() -> None:
    assert await subject(Tokens(RULES), token({"exp": now() - 50})) == "ada"


@pytest.mark.parametrize(
    "text",
    ["", "..", "a.b.c", "e30.e30.", "x" * (TOKEN_LENGTH_MAX + 1), "\u00ff.\u00ff.\u00ff"],
)
@in_loop
async def test_what_is_no_token_is_nobodys(text: str) -> None:
    assert await Tokens(RULES).caller_of(text) is None


@in_loop
async def test_a_header_nested_without_end_is_nobodys() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 4000).rstrip(b"=").decode()

    assert await Tokens(RULES).caller_of(f"{deep}.e30.e30") is None


@in_loop
async def test_a_token_for_somebody_is_refused_where_no_audience_is_named() -> None:
    tokens = Tokens(TokenRules(secret=SECRET))

    assert await subject(tokens, token({"aud": None})) == "ada"
    assert await subject(tokens, token()) is None


# --- keys that an issuer publishes ------------------------------------------------------------


class Issuer:
    """An issuer that can be away, counts how often it is asked, and changes its keys."""

    def __init__(self) -> None:
        self.private: dict[str, PrivateKeyTypes] = {}
        self.more: list[object] = []
        self.away = False
        self.asked = 0
        self.seconds = 0.0

    def make_key(self, key_id: str, kind: str = "EC") -> None:
        self.private[key_id] = (
            ec.generate_private_key(ec.SECP256R1())
            if kind == "EC"
            else rsa.generate_private_key(65537, 2048)
        )

    def fetch(self) -> bytes:
        self.asked += 1
        if self.away:
            raise OSError("away")
        return json.dumps({"keys": [*map(self._published, self.private), *self.more]}).encode()

    def token(self, key_id: str, *, kid: str | None = None, **changes: Any) -> str:
        key = self.private[key_id]
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        headers = {"kid": kid or key_id}
        return token(changes, key=key, algorithm=algorithm, headers=headers)

    def tokens(self) -> Tokens:
        rules = TokenRules(None, "https://id.example/keys", RULES.issuer, RULES.audience)
        return Tokens(rules, self.fetch, monotonic=lambda: self.seconds)

    def _published(self, key_id: str) -> dict[str, Any]:
        key = self.private[key_id]
        elliptic = isinstance(key, ec.EllipticCurvePrivateKey)
        algorithm = jwt.get_algorithm_by_name("ES256" if elliptic else "RS256")
        public: Any = key.public_key()
        return {**json.loads(algorithm.to_jwk(public)), "kid": key_id, "use": "sig"}


@pytest.mark.parametrize("kind", ["EC", "RSA"])
@in_loop
async def test_keys_are_read_once_and_rotate_without_a_restart(kind: str) -> None:
    issuer = Issuer()
    issuer.make_key("old", kind)
    tokens = issuer.tokens()
    together = await asyncio.gather(*(subject(tokens, issuer.token("old")) for _ in range(20)))
    asked = issuer.asked

    issuer.seconds = UNKNOWN_KEY_SECONDS
    issuer.make_key("new", kind)
    rotated = await subject(tokens, issuer.token("new"))

    assert set(together) == {"ada"}
    assert rotated == "ada"
    assert (asked, issuer.asked) == (1, 2)


@in_loop
async def test_a_key_that_was_withdrawn_is_refused_after_the_next_reading() -> None:
    issuer = Issuer()
    issuer.make_key("stolen")
    issuer.make_key("good")
    tokens = issuer.tokens()
    stolen = issuer.token("stolen")
    assert await subject(tokens, stolen) == "ada"

    del issuer.private["stolen"]
    issuer.seconds = FRESH_SECONDS + 1
    await subject(tokens, issuer.token("good"))
    await until(lambda: issuer.asked == 2 and tokens._keys and tokens._keys._reading is None)

    assert await subject(tokens, stolen) is None


@in_loop
async def test_an_issuer_that_is_away_is_told_apart_from_a_worthless_token() -> None:
    issuer = Issuer()
    issuer.make_key("k")
    issuer.away = True
    tokens = issuer.tokens()

    with pytest.raises(UncheckableTokenError):
        await tokens.caller_of(issuer.token("k"))
    with pytest.raises(UncheckableTokenError):  # It is not asked at every token.
        await tokens.caller_of(issuer.token("k"))

    assert issuer.asked == 1
    issuer.away, issuer.seconds = False, UNKNOWN_KEY_SECONDS
    assert await subject(tokens, issuer.token("k")) == "ada"


@in_loop
async def test_known_keys_count_for_an_hour_while_the_issuer_is_away() -> None:
    issuer = Issuer()
    issuer.make_key("k")
    tokens = issuer.tokens()
    await subject(tokens, issuer.token("k"))
    issuer.away = True

    issuer.seconds = TRUSTED_SECONDS_MAX
    assert await subject(tokens, issuer.token("k")) == "ada"
    issuer.seconds += UNKNOWN_KEY_SECONDS + 1
    with pytest.raises(UncheckableTokenError):
        await tokens.caller_of(issuer.token("k"))


@in_loop
async def test_unknown_keys_do_not_make_us_ask_the_issuer_again_and_again() -> None:
    issuer = Issuer()
    issuer.make_key("k")
    tokens = issuer.tokens()

    found = [await subject(tokens, issuer.token("k", kid=f"guess {n}")) for n in range(50)]

    assert set(found) == {None}
    assert issuer.asked == 1


@in_loop
async def test_a_published_key_is_never_taken_for_a_secret() -> None:
    issuer = Issuer()
    issuer.make_key("k", "RSA")
    public: Any = issuer.private["k"].public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k"}').rstrip(b"=")
    claims = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"exp": now() + 300}).encode())
    signed = header + b"." + claims.rstrip(b"=")
    forged = jwt.get_algorithm_by_name("HS256")
    signature = base64.urlsafe_b64encode(forged.sign(signed, pem)).rstrip(b"=")

    assert await subject(issuer.tokens(), (signed + b"." + signature).decode()) is None


@in_loop
async def test_a_key_that_is_too_short_is_no_key() -> None:
    issuer = Issuer()
    issuer.private["weak"] = rsa.generate_private_key(65537, 1024)
    with pytest.warns(InsecureKeyLengthWarning):
        signed = issuer.token("weak")

    assert await subject(issuer.tokens(), signed) is None


@in_loop
async def test_symmetric_and_broken_keys_of_a_set_are_passed_over() -> None:
    issuer = Issuer()
    issuer.make_key("k")
    secret = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    issuer.more = [{"kty": "oct", "k": secret, "kid": "s"}, {"kty": "EC"}, 7, None]
    tokens = issuer.tokens()

    assert await subject(tokens, issuer.token("k")) == "ada"
    assert await subject(tokens, token(headers={"kid": "s"})) is None


@contextlib.contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Answer every request of the block with this; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            with contextlib.suppress(OSError):  # The client may have read enough.
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()


@in_loop
async def test_a_key_set_is_fetched_over_http() -> None:
    issuer = Issuer()
    issuer.make_key("k")

    with answering(200, issuer.fetch()) as url:
        tokens = Tokens(TokenRules(None, url, RULES.issuer, RULES.audience))
        assert await subject(tokens, issuer.token("k")) == "ada"


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"x" * (KEY_SET_BYTES_MAX + 1)), (302, b""), (404, b""), (500, b"")]
)
def test_what_is_no_key_set_is_an_os_error(status: int, body: bytes) -> None:
    with answering(status, body) as url, pytest.raises(OSError, match="key set"):
        fetch_key_set(url)


def test_a_host_that_is_away_is_an_os_error() -> None:
    with pytest.raises(OSError, match="cannot be read"):
        fetch_key_set("http://127.0.0.1:9/keys")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"7", b"{}", b'{"keys": 7}', b'{"keys": []}', b"[" * 100_000, b"\xff"),
        b'{"keys": [{"kty": "oct"}]}',
        b'{"keys": [{"kty": "oct", "k": 5, "kid": []}]}',
    ],
)
@in_loop
async def test_an_answer_that_is_no_key_set_counts_as_none(text: bytes) -> None:
    issuer = Issuer()
    issuer.make_key("k")
    rules = TokenRules(None, "https://id.example/keys", RULES.issuer, RULES.audience)

    with pytest.raises(UncheckableTokenError):
        await Tokens(rules, lambda: text).caller_of(issuer.token("k"))
