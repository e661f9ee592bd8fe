"""Mail, through a real SMTP server in a process of its own."""

import asyncio
import contextlib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.events.delivery import DeliveryError, RefusedDeliveryError
from actors.events.mail import MailHandler, MailTemplates
from actors.events.records import OrderedEvent
from actors.events.smtp import MESSAGE_SECONDS_MAX, SmtpServer
from bench.processes import free_port
from domain.events import EventRecord, EventType
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.shards import in_loop
from tests.fakes.smtp import SmtpProcess

LOW: dict[str, Any] = {
    "remaining_credits": 10,
    "credits_used": 80,
    "resets_at": "2026-03-11T00:00:00.000Z",
}
SPIKE: dict[str, Any] = {"credits_used": 60, "mean_credits_used": 20.0, "days_with_use": 3}


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpProcess]:
    server = SmtpProcess(tmp_path)
    yield server
    server.stop()


class Addresses:
    """Profiles that know ann's address."""

    def __init__(self, address: str = "ann@example.test") -> None:
        self.address = address

    def email_of(self, user_id: UserId) -> str | None:
        return self.address if user_id == "ann" else None

    def set_subscription(self, *_: object) -> None: ...

    def switch_features(self, *_: object, on: bool) -> None: ...


def event(kind: EventType, user: str = "ann", **data: Any) -> OrderedEvent:
    record = EventRecord(
        id="evt_1", type=kind, created=NOON, user_id=user, subscription_id="s", data=data
    )
    return OrderedEvent(1, 1, record)


def handler_at(port: int, folder: Path | None = None) -> MailHandler:
    return MailHandler(
        SmtpServer("127.0.0.1", port, "none", "", ""),
        Addresses(),
        MailTemplates(folder),
        sender="credits@example.test",
        administrators=["ops@example.test", "boss@example.test"],
    )


def test_low_credits_are_told_to_the_user_and_spikes_to_the_administrators(
    smtp: SmtpProcess,
) -> None:
    @in_loop
    async def send() -> None:
        await handler_at(smtp.port).handle(event(EventType.LOW_CREDITS, **LOW))
        await handler_at(smtp.port).handle(event(EventType.SPIKE, **SPIKE))

    send()

    mails = {mail["To"]: mail for mail in smtp.messages}
    low = mails["ann@example.test"]
    assert low["Subject"] == "Your credits for today are running low"
    assert low["Message-ID"] == "<evt_1@example.test>"
    assert "10 credits are left (you have used 80 of today's)" in str(low.get_payload())
    spike = mails["ops@example.test, boss@example.test"]
    assert spike["Subject"] == "Unusual use of credits by ann"
    assert "60 credits today, where 20.0" in str(spike.get_payload())


def without_subscription(record: EventRecord) -> EventRecord:
    return record.model_copy(update={"subscription_id": None})


def test_every_text_of_ours_says_all_it_names() -> None:
    packs: dict[str, Any] = {
        "pack_credits": 10,
        "remaining_credits": 10,
        "low_credits_percent": 20.0,
    }
    low = event(EventType.LOW_CREDITS, **packs).record
    texts = [
        MailTemplates(None).write(event(EventType.LOW_CREDITS, **LOW).record),
        MailTemplates(None).write(without_subscription(low)),
        MailTemplates(None).write(event(EventType.SPIKE, **SPIKE).record),
    ]

    assert not [text for text in texts if "$" in "".join(text)]
    subject, text = texts[1]
    assert subject == "Your credits are running low"
    assert "10 credits are left." in text


@pytest.mark.parametrize("kind", EventType)
def test_who_is_told_by_mail(kind: EventType) -> None:
    told = MailHandler(
        Outbox(), Addresses(), MailTemplates(None), sender="a@b.test", administrators=[]
    ).wants(event(kind))

    assert told == (kind in {EventType.LOW_CREDITS, EventType.SPIKE})


def test_a_user_without_an_address_gets_none(smtp: SmtpProcess) -> None:
    @in_loop
    async def send() -> None:
        await handler_at(smtp.port).handle(event(EventType.LOW_CREDITS, "bob", **LOW))

    send()

    assert smtp.messages == []


def test_texts_may_be_the_operators_own(smtp: SmtpProcess, tmp_path: Path) -> None:
    (tmp_path / "low_credits.txt").write_text("Nur noch $remaining_credits für $user_id\n\nHallo!")

    @in_loop
    async def send() -> None:
        await handler_at(smtp.port, tmp_path).handle(event(EventType.LOW_CREDITS, **LOW))

    send()

    (mail,) = smtp.messages
    assert "ann" in str(mail["Subject"])
    assert str(mail.get_payload()).strip() == "Hallo!"


def test_a_name_with_a_line_break_adds_no_header() -> None:
    subject, _ = MailTemplates(None).write(event(EventType.SPIKE, "x\nBcc: all", **SPIKE).record)

    assert "\n" not in subject


class Outbox:
    """Takes what would be sent."""

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []

    async def send(self, message: EmailMessage) -> None:
        self.sent.append(message)


@in_loop
async def deliver(outbox: Outbox, address: str) -> None:
    handler = MailHandler(
        outbox, Addresses(address), MailTemplates(None), sender="a@b.test", administrators=[]
    )
    await handler.handle(event(EventType.LOW_CREDITS, **LOW))


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.test, mallory@example.test",
        "ann@example.test,mallory@example.test",
        "ann@example.test; mallory@example.test",
        "ann@example.test mallory@example.test",
        "ann@example.test\nBcc: mallory@example.test",
        "ann@example.test\r\n\r\nhello",
        "ann@example.test\n",
        "ann@example.test\x00",
        "friends: ann@example.test, bob@example.test;",
        "Ann <ann@example.test>",
        "<ann@example.test>",
        '"a,b"@example.test',
        "@example.test",
        "ann@",
        "ann@@example.test",
        "ann@" + "x" * 260,
        "ann@example.test\u2028",
        "=?utf-8?q?ann=40example.test=2Cbob?=@example.test",
    ],
)
def test_what_is_not_one_address_is_a_dead_letter_and_reaches_nobody(address: str) -> None:
    outbox = Outbox()
    with pytest.raises(RefusedDeliveryError):
        deliver(outbox, address)

    assert outbox.sent == []


@settings(deadline=None)  # Other programs may hold the processor.
@given(st.text(max_size=30) | st.from_regex(r"[a-z,;<> @\n\r\"()]+@[a-z,;<> @\n\r\"()]+"))
def test_nobody_else_gets_mail_whatever_a_profile_says(address: str) -> None:
    outbox = Outbox()
    with contextlib.suppress(RefusedDeliveryError):
        deliver(outbox, address)

    for mail in outbox.sent:
        assert [field.addr_spec for field in mail["To"].addresses] == [address]
        assert mail["Bcc"] is mail["Cc"] is None


@pytest.mark.parametrize("address", ["a+b@example.test", "o'hara@sub.example.test", "ü@ex.test"])
def test_one_address_is_one_however_it_looks(address: str) -> None:
    outbox = Outbox()
    deliver(outbox, address)

    assert outbox.sent[0]["To"] == address


def test_an_address_that_the_server_cannot_spell_is_no_fault_of_the_servers(
    smtp: SmtpProcess,
) -> None:
    @in_loop
    async def send() -> None:
        server = SmtpServer("127.0.0.1", smtp.port, "none", "", "")
        handler = MailHandler(
            server,
            Addresses("ü@example.test"),
            MailTemplates(None),
            sender="a@b.test",
            administrators=[],
        )
        await handler.handle(event(EventType.LOW_CREDITS, **LOW))

    with pytest.raises(RefusedDeliveryError):
        send()


class SlowServer:
    """Takes mail, and thinks about each for a while before it says so."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.taken = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            writer.write(b"220 slow\r\n")
            while line := (await reader.readline()).decode().strip().upper():
                if line == "DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    self.taken += 1
                    await asyncio.sleep(self.seconds)
                writer.write(b"250 well\r\n")


def test_a_server_that_thinks_about_a_mail_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.events.smtp.STEP_SECONDS_MAX", 0.5)
    slow = SlowServer(seconds=1.0)

    @in_loop
    async def send() -> None:
        async with await asyncio.start_server(slow, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await handler_at(port).handle(event(EventType.LOW_CREDITS, **LOW))

    send()

    assert slow.taken == 1
    assert handler_at(1).seconds_max > MESSAGE_SECONDS_MAX


def test_a_server_that_is_away_is_tried_again() -> None:
    @in_loop
    async def send() -> None:
        await handler_at(free_port()).handle(event(EventType.LOW_CREDITS, **LOW))

    with pytest.raises(DeliveryError) as failure:
        send()

    assert not isinstance(failure.value, RefusedDeliveryError)


def test_only_low_credits_and_spikes_are_mailed() -> None:
    handler = handler_at(free_port())

    assert [kind for kind in EventType if handler.wants(event(kind))] == [
        EventType.LOW_CREDITS,
        EventType.SPIKE,
    ]
