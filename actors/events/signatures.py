"""Signatures of webhooks by the Standard Webhooks specification."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64  # By the specification.


def check_secret(secret: str) -> None:
    """Raise ValueError where a text is no secret. The text is not in the message."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX) + "==", validate=False)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"a secret is {PREFIX} and 24 to 64 bytes in base64")


class Signer:
    """Signs with all of an endpoint's secrets, so that each of them verifies."""

    def __init__(self, secrets: Sequence[tuple[str, datetime | None]]) -> None:
        """`secrets`: each with the instant from which on it signs no more."""
        self._webhooks = [(Webhook(secret), until) for secret, until in secrets]

    def headers(self, event_id: str, at: datetime, body: str) -> dict[str, str]:
        """Return the headers that prove a body."""
        moment = at.astimezone(UTC)
        signatures = [
            webhook.sign(event_id, moment, body)
            for webhook, until in self._webhooks
            if until is None or moment < until
        ]
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
