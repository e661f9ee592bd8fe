"""Events over HTTP: nothing missed and nothing twice, however often a stream breaks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from actors.auth.caller import Scope
from allotment_client import Allotment, AsyncAllotment, InvalidRequestError, ServiceAwayError
from allotment_client.call import Reply
from allotment_client.following import AWAY_SECONDS_MAX, Following
from tests.builders.tokens import token
from tests.clients.faces import PAYMENT
from tests.fakes.interface import Listening, listening
from tests.fakes.shards import Seconds, in_loop


def text_of(number: int, note: str = "") -> bytes:
    event = {
        "id": f"evt_{number}",
        "type": "usage.spike",
        "created": "2026-03-10T12:00:00Z",
        "user_id": "ada",
        "subscription_id": None,
        "data": {"number": number, "note": note},
    }
    data = json.dumps(event, ensure_ascii=False)
    return f"id: evt_{number}\nevent: usage.spike\ndata: {data}\n\n".encode()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_read_whatever_pieces_they_come_in(size: int) -> None:
    # U+2028 ends a line for many, but not in this format.
    text = b"retry: 1000\n\n" + text_of(1, "a\u2028b") + b": nothing new\n\n" + text_of(2)
    following = Following((), None, None, Seconds())
    following.begin()

    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    heard = [record for piece in pieces for record in following.heard(piece)]

    assert [(record.id, record.data["note"]) for record in heard] == [
        ("evt_1", "a\u2028b"),
        ("evt_2", ""),
    ]
    assert following.begin() == {"after": "evt_2"}


def test_half_an_event_of_a_broken_stream_is_forgotten() -> None:
    following = Following(["usage.spike"], "ada", "evt_0", Seconds())
    assert list(following.heard(text_of(1)[:-5])) == []
    following.lost(None)

    assert following.begin() == {"types": "usage.spike", "user_id": "ada", "after": "evt_0"}
    assert [record.id for record in following.heard(text_of(1))] == ["evt_1"]


def test_a_service_that_is_away_for_a_minute_is_told() -> None:
    clock = Seconds()
    following = Following((), None, None, clock)
    assert following.lost(httpx.ConnectError("refused")) == 0.1
    assert following.refused(Reply(503, b"", {"retry-after": "3"})) == 3.0

    clock.now += AWAY_SECONDS_MAX + 1
    with pytest.raises(ServiceAwayError):
        following.lost(httpx.ConnectError("refused"))


def test_what_its_consumer_takes_is_no_absence_of_the_service() -> None:
    clock = Seconds()
    following = Following((), None, None, clock)
    list(following.heard(text_of(1)))

    clock.now += AWAY_SECONDS_MAX + 1  # The consumer works on the event; the stream ends meanwhile.
    assert following.lost(None) == 0.1
    clock.now += AWAY_SECONDS_MAX
    assert following.lost(None) == 0.2
    clock.now += 1
    with pytest.raises(ServiceAwayError):
        following.lost(None)

    list(following.heard(text_of(2)))
    assert following.lost(None) == 0.1


class Breaking(httpx.SyncByteStream):
    def __init__(self, text: bytes) -> None:
        self.text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self.text
        raise httpx.ReadError("broken")


def test_a_stream_that_breaks_goes_on_behind_what_was_heard() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after")
        asked.append(after)
        number = 1 if after is None else int(after.removeprefix("evt_")) + 1
        return httpx.Response(200, stream=Breaking(text_of(number) + text_of(number + 1)[:-9]))

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://allotment")
    stream = Allotment(http).events()

    assert [next(stream).id for _ in range(3)] == ["evt_1", "evt_2", "evt_3"]
    assert asked == [None, "evt_1", "evt_2"]


def test_a_stream_that_breaks_before_its_first_event_goes_on_where_it_began() -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("after"))
        told = text_of(1) if len(asked) > 1 else b""
        return httpx.Response(200, stream=Breaking(b"retry: 1000\nid: at_7\n\n" + told))

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://allotment")

    assert next(Allotment(http).events()).id == "evt_1"
    assert asked == [None, "at_7"]


@pytest.fixture(scope="module")
def interface() -> Iterator[Listening]:
    with listening() as interface:
        yield interface


def test_events_come_from_the_beginning_and_after_one(interface: Listening) -> None:
    with Allotment.connect(interface.address, interface.keys[Scope.ADMIN]) as allotment:
        allotment.add_credit("ada", 3000, 30, PAYMENT)
        allotment.record_usage("ada", "chat", 90)
        first = next(allotment.events(user_id="ada", after="beginning"))
        second = next(allotment.events(["credits.depleted"], "ada", first.id))
        with pytest.raises(InvalidRequestError):
            next(allotment.events(after="nobody's"))
        with pytest.raises(InvalidRequestError):
            next(allotment.events(types=["nonsense"]))

    assert (first.type, first.data["created"]) == ("subscription.changed", True)
    assert (second.type, second.data["remaining_credits"]) == ("credits.depleted", 0)


@in_loop
async def test_the_asynchronous_client_follows_and_pages_as_well() -> None:
    with listening() as interface:
        key = interface.keys[Scope.ADMIN]
        async with AsyncAllotment.connect(interface.address, key) as allotment:
            await allotment.add_credit("eve", 3000, 30, PAYMENT)
            charged = {(await allotment.record_usage("eve", "chat", 1)).usage_id for _ in range(7)}
            event = await anext(allotment.events(user_id="eve", after="beginning"))
            listed = [record.usage_id async for record in allotment.usage("eve", limit=3)]

    assert event.type == "subscription.changed"
    assert len(listed) == 7
    assert set(listed) == charged


def test_a_browser_follows_with_the_token_that_is_made_for_it(interface: Listening) -> None:
    with Allotment.connect(interface.address, interface.keys[Scope.WRITE]) as allotment:
        made = allotment.make_stream_token("ada")
        with pytest.raises(InvalidRequestError):
            allotment.make_stream_token()
    with Allotment.connect(interface.address, token()) as of_ada:
        own = of_ada.make_stream_token()
    answers = [
        httpx.head(f"{interface.address}/events", params={"token": one.token})
        for one in (made, own)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (made.user_id, own.user_id, made.stream_seconds) == ("ada", "ada", 900)
    assert made.expires_at > datetime.now(UTC)


def test_usage_is_read_page_by_page(interface: Listening) -> None:
    with Allotment.connect(interface.address, interface.keys[Scope.ADMIN]) as allotment:
        allotment.add_credit("bob", 3000, 30, PAYMENT)
        charged = {allotment.record_usage("bob", "chat", 1).usage_id for _ in range(7)}
        listed = [record.usage_id for record in allotment.usage("bob", limit=3)]
        with allotment.holding("bob", "chat", 20) as holding:
            holding.report(5)

    assert len(listed) == 7
    assert set(listed) == charged
    assert holding.usage is not None
    assert holding.usage.credits_used == 12
