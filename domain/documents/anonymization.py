"""What is left of a user who is anonymised: every text that named them names a random id instead.

Amounts, days, times and the order of the journal stay as they are. `details` and `session_id` are
emptied. Idempotency keys and fingerprints go: a caller's key may say anything, and a fingerprint
of a command without an amount can be computed by whoever guesses the user. What the service
itself asks again later (Stripe, expiries) says what is to be so, so it does no harm twice.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.documents.journal import command_id, entry_id, place_of
from domain.events import event_id
from domain.holds import holder_of, rename_hold_id
from domain.values import UserId, is_object_id

EMPTIED = frozenset({"details", "session_id"})
"""Fields that say nothing afterwards, in whatever document or text they are."""

VOCABULARY = frozenset(
    {
        *("_id", "subscription_id", "grant_id", "usage_id", "pack_id", "timezone", "status"),
        *("kind", "type", "state", "source", "category", "service_type", "model_used", "service"),
        *("model", "currency", "limit", "on_insufficient", "price_id", "freed_packs", "consumer"),
        *("date", "from_day", "last_date", "until", "credits_per_unit"),
        *("allotment_credits", "allotment_days", "allotment_expires_days", "allotment_priority"),
    }
)
"""Fields whose texts are days, numbers or names of other things: what looks like the user is none."""

UNTOUCHED = frozenset({"refusal", "by_kind"})
"""Objects that are made of our own words and numbers alone."""

TELLING_LENGTH = 8  # Characters from which on an id is found inside of words, too.
RANDOM_BYTES = 12  # What makes a random id: 96 bits, as many as an ObjectId has.
SERVICE_KEY = "§anonymized"  # How keys of anonymous entries begin; no caller's key can.
NO_NAME = r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)?)?)?|\d+\.\d+"
"""A month, a day, an instant, or a number with a point: an id may be a number, and these name nobody."""
STRIPE_ID = r"[a-z]{2,8}_(test_|live_)?[0-9A-Za-z]{14,}"
"""An id as Stripe makes them: a short id is no part of it, though a user may be called `test` or `in`."""
_WITHOUT_NAME = re.compile(NO_NAME, re.ASCII)
_HOLD_ID = re.compile(r"[0-9a-f]{24}\.[A-Za-z0-9_-]+\.[0-9a-f]{8}")


def anonymous_id(user_id: UserId, digits: str) -> UserId:
    """Return an id for an anonymous user: `anon-` and 24 random hex digits.

    Who had an ObjectId gets an ObjectId: other programs declare the type of the field.
    """
    return UserId(digits if is_object_id(user_id) else f"anon-{digits}")


def key_digests(key: str, user_id: UserId) -> tuple[str, str]:
    """Return what an idempotency key is found by, and what it was used for.

    The second is keyed by the key itself: who has only the digests cannot test a user's id.
    """
    secret = hashlib.blake2b(key.encode(), digest_size=32).digest()
    found_by = hashlib.blake2b(b"key " + secret, digest_size=16).hexdigest()
    used_for = hashlib.blake2b(user_id.encode(), key=secret, digest_size=16).hexdigest()
    return found_by, used_for


@dataclass(frozen=True)
class Renaming:
    """Puts a new id in the place of an old one. `stored_*`: the ids in a document's own types."""

    old: UserId
    new: UserId
    stored_old: object
    stored_new: object
    _named: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = re.escape(self.old)
        if len(self.old) < TELLING_LENGTH:
            pattern = (
                rf"(?<![0-9A-Za-z])((?P<no_name>{NO_NAME}|{STRIPE_ID})|{pattern})(?![0-9A-Za-z])"
            )
        flags = re.IGNORECASE if is_object_id(self.old) else 0
        object.__setattr__(self, "_named", re.compile(pattern, flags))

    def text(self, text: str) -> str:
        """Return a text without the old id: as such, within a hold's id, or as a word of it."""
        return self._named.sub(self._new_name, _HOLD_ID.sub(self._hold_id, text))

    def value(self, value: Any, name: str = "") -> Any:
        """Return what a document or a text holds under a name, without the old id."""
        if name in EMPTIED:
            return None
        if isinstance(value, list):
            return [self.value(held, name) for held in value]
        if isinstance(value, Mapping) and name not in UNTOUCHED:
            return {key: self.value(held, key) for key, held in value.items()}
        return value if name in VOCABULARY else self._single(value)

    def _single(self, value: Any) -> Any:
        if value is not None and value == self.stored_old:
            return self.stored_new
        if type(value) is not str or _WITHOUT_NAME.fullmatch(value):  # BSON's code is a str, too.
            return value
        return self.text(value)

    def json(self, text: str) -> str:
        """Return a JSON text without the old id. What is no JSON says nothing afterwards."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return ""
        plain = Renaming(self.old, self.new, self.old, self.new)
        return json.dumps(plain.value(said), separators=(",", ":"), ensure_ascii=False)

    def entry(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return an entry of the journal as the new user's, under the same number."""
        place = place_of(document)
        assert place is not None, "it was found by its id"
        seq = place[1]
        key = f"{SERVICE_KEY} {seq}"
        body, answer = document.get("body"), document.get("answer")
        events = document.get("events")
        renamed: dict[str, Any] = self.value(
            {n: v for n, v in document.items() if n not in ("body", "answer")}
        )
        return renamed | {
            "_id": entry_id(self.new, seq),
            "command_id": command_id(self.new, key),
            "user_id": self.stored_new,
            "key": key,
            "fingerprint": SERVICE_KEY,  # No digest: no command has this key again.
            "body": self.json(body) if isinstance(body, str) else self.value(body),
            "answer": self.json(answer) if isinstance(answer, str) else None,
            "events": [
                self.value(event) | {"id": event_id(self.new, seq, index)}
                for index, event in enumerate(events if isinstance(events, list) else ())
                if isinstance(event, Mapping)
            ],
        }

    def event(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event as the new user's, at the same place of the order of all.

        It is no news about a current subscription: no profile is to be made for the new user.
        """
        renamed: dict[str, Any] = self.value(document)
        data = renamed.get("data")
        if isinstance(data, dict) and "current" in data:
            renamed["data"] = data | {"current": False}
        seq, place = document.get("seq"), document.get("place")
        if not (isinstance(seq, int) and isinstance(place, int)):  # Another program's.
            return renamed
        return renamed | {"_id": event_id(self.new, seq, place)}

    def _new_name(self, found: re.Match[str]) -> str:
        return found.groupdict().get("no_name") or self.new

    def _hold_id(self, found: re.Match[str]) -> str:
        hold_id = found.group()
        return rename_hold_id(hold_id, self.new) if holder_of(hold_id) == self.old else hold_id
