"""Events as mail: low credits to the user, a spike to the administrators."""

import asyncio
import re
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from string import Template
from typing import Protocol

from actors.events.delivery import ATTEMPT_SECONDS_MAX, DeliveryError, RefusedDeliveryError
from actors.events.handlers import Profiles
from actors.events.records import OrderedEvent
from actors.events.smtp import MESSAGE_SECONDS_MAX, MailRefusedError, MailUnavailableError
from actors.protocol.store import StorageUnavailableError
from domain.events import EventRecord, EventType
from domain.values import UserId

TEMPLATES = Path(__file__).with_name("mail_templates")
ADDRESS = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f@,;:<>()\[\]\\\"]+@[^\s\x00-\x1f\x7f-\x9f@,;:<>()\[\]\\\"]+"
)
"""One mailbox and nothing else: no list, no name before it, no line break."""
ENCODED = "=?"  # So begins what readers of headers decode.
ADDRESS_LENGTH_MAX = 254  # As RFC 5321 has it.
LOW_CREDITS, LOW_PACKS, SPIKE = "low_credits.txt", "low_packs.txt", "spike.txt"


def is_address(text: str) -> bool:
    """Say whether a text is the address of one mailbox."""
    is_short = len(text) <= ADDRESS_LENGTH_MAX
    return is_short and ENCODED not in text and ADDRESS.fullmatch(text) is not None


def template_of(record: EventRecord) -> str | None:
    """Return which text tells of an event; None: it is not told by mail."""
    match record.type:
        case EventType.LOW_CREDITS:
            # Without a subscription there is no day to tell of.
            return LOW_PACKS if record.subscription_id is None else LOW_CREDITS
        case EventType.SPIKE:
            return SPIKE
        case _:
            return None


class Mailer(Protocol):
    """The way out."""

    async def send(self, message: EmailMessage) -> None:
        """Hand a message over. Raises MailRefusedError, MailUnavailableError."""


class MailTemplates:
    """Texts with `$fields` of an event: a first line that is the subject, a blank one, the rest."""

    def __init__(self, folder: Path | None) -> None:
        """Read the files; one that the folder lacks is ours. Raises OSError, ValueError."""
        self._texts: dict[str, tuple[Template, Template]] = {}
        for name in (LOW_CREDITS, LOW_PACKS, SPIKE):
            own = folder / name if folder else None
            path = own if own and own.exists() else TEMPLATES / name
            subject, _, rest = path.read_text(encoding="utf-8").partition("\n")
            self._texts[name] = Template(subject.strip()), Template(rest.lstrip("\n"))

    def write(self, record: EventRecord) -> tuple[str, str]:
        """Return subject and text for an event that is told by mail."""
        name = template_of(record)
        assert name is not None, "the handler takes no other"
        envelope = record.model_dump(mode="json", exclude={"data"})
        facts = {name: str(value) for name, value in (record.data | envelope).items()}
        subject, text = self._texts[name]
        one_line = " ".join(subject.safe_substitute(facts).split())
        return one_line, text.safe_substitute(facts)


class MailHandler:
    """Sends mail. Its Message-ID is the event's, the same at each try."""

    name = "mail"
    newest_only = False
    seconds_max = ATTEMPT_SECONDS_MAX + MESSAGE_SECONDS_MAX

    def __init__(
        self,
        mailer: Mailer,
        profiles: Profiles,
        templates: MailTemplates,
        *,
        sender: str,
        administrators: Sequence[str],
    ) -> None:
        self._mailer = mailer
        self._profiles = profiles
        self._templates = templates
        self._sender = sender
        self._administrators = administrators

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether somebody is told by mail."""
        return template_of(event.record) is not None

    async def handle(self, event: OrderedEvent) -> None:
        """Send mail, if there is somebody to send it to. Raises DeliveryError."""
        to = await self._recipients(event.record)
        if not to:
            return
        try:
            message = self._message(event.record, to)
        except ValueError as error:  # That is no fault of the server's.
            raise RefusedDeliveryError(f"no mail can say this: {type(error).__name__}") from None
        try:
            await self._mailer.send(message)
        except MailRefusedError as error:
            raise RefusedDeliveryError(str(error)) from None
        except MailUnavailableError as error:
            raise DeliveryError(f"the mail server: {error}") from None

    async def _recipients(self, record: EventRecord) -> Sequence[str]:
        if record.type is EventType.SPIKE:
            return self._administrators
        try:
            email = await asyncio.to_thread(self._profiles.email_of, UserId(record.user_id))
        except StorageUnavailableError as error:
            raise DeliveryError("the database does not answer") from error
        if email is not None and not is_address(email):
            raise RefusedDeliveryError("what the profile has is not one mail address")
        return [email] if email else []

    def _message(self, record: EventRecord, to: Sequence[str]) -> EmailMessage:
        message = EmailMessage()
        message["Subject"], text = self._templates.write(record)
        message["From"] = self._sender
        message["To"] = ", ".join(to)
        message["Date"] = format_datetime(record.created)
        message["Message-ID"] = f"<{record.id}@{self._sender.rpartition('@')[2] or 'allotment'}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message
