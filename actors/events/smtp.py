"""Mail over SMTP."""

from dataclasses import dataclass
from email.message import EmailMessage

import aiosmtplib

STEP_SECONDS_MAX = 10.0  # How long the server may take to be connected to, and for most steps,
MESSAGE_SECONDS_MAX = 120.0  # and to take a message: one that is given up then may come twice.


class MailRefusedError(Exception):
    """The server will not take this message, whenever it comes."""


class MailUnavailableError(Exception):
    """The server could not take the message now."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail goes. `tls` is `none`, `starttls` or `tls`."""

    host: str
    port: int
    tls: str
    user: str
    password: str

    async def send(self, message: EmailMessage) -> None:
        """Hand a message over. Raises MailRefusedError, MailUnavailableError."""
        try:
            async with aiosmtplib.SMTP(
                hostname=self.host,
                port=self.port,
                username=self.user or None,
                password=self.password or None,
                use_tls=self.tls == "tls",
                start_tls=self.tls == "starttls",
                timeout=STEP_SECONDS_MAX,
            ) as client:
                await client.send_message(message, timeout=MESSAGE_SECONDS_MAX)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            if all(code >= 500 for code in codes):
                raise MailRefusedError(f"the server refuses the address ({codes})") from None
            raise MailUnavailableError(f"the server puts the address off ({codes})") from None
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= 500 and not isinstance(error, aiosmtplib.SMTPAuthenticationError):
                raise MailRefusedError(f"the server answers {error.code}") from None
            raise MailUnavailableError(f"the server answers {error.code}") from None
        except aiosmtplib.SMTPNotSupported as error:
            if str(message["To"]).isascii():  # It is about the connection.
                raise MailUnavailableError(type(error).__name__) from None
            raise MailRefusedError("the server takes ASCII addresses only") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnavailableError(type(error).__name__) from None
