"""Mail, through a real SMTP server in a process of its own."""

import contextlib
import mailbox
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from actors.events.delivering import DeliveryError, RefusedDeliveryError
from actors.events.mail import MailHandler, MailTemplates
from actors.events.records import OrderedEvent
from actors.events.smtp import SmtpServer
from bench.processes import free_port
from domain.events import EventRecord, EventType
from domain.values import UserId
from tests.actors.authors import NOON
from tests.actors.running import in_loop
from tests.service.running import wait_until

LOW: dict[str, Any] = {
    "remaining_credits": 10,
    "credits_used": 80,
    "resets_at": "2026-03-11T00:00:00.000Z",
}
SPIKE: dict[str, Any] = {"credits_used": 60, "mean_credits_used": 20.0, "days_with_use": 3}


class SmtpProcess:
    """A server that keeps mail in a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / "mail"
        listen = f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", listen]
        command += ["-c", "aiosmtpd.handlers.Mailbox", str(self.folder)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 20)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), smtplib.SMTP("127.0.0.1", self.port, timeout=1):
            return True
        return False

    @property
    def messages(self) -> list[Message]:
        return list(mailbox.Maildir(self.folder))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpProcess]:
    server = SmtpProcess(tmp_path)
    yield server
    server.stop()


class Addresses:
    """Profiles that know ann's address."""

    def email_of(self, user_id: UserId) -> str | None:
        return "ann@example.test" if user_id == "ann" else None

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
    assert "10 of today's credits are left" in str(low.get_payload())
    spike = mails["ops@example.test, boss@example.test"]
    assert spike["Subject"] == "Unusual use of credits by ann"
    assert "60 credits today, where 20.0" in str(spike.get_payload())


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
