"""Reads all accounts at once, as raw BSON: what nobody asks for is never decoded.

One cursor goes over the subscriptions in the order of their users. The few fields that sort
them (user, id, end) are cut out of the bytes; where that is not plainly right, the document is
decoded.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.client_session import ClientSession

from actors.mongo.causality import Causality
from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.documents import stored_id
from actors.mongo.loading import DAY_FIELDS, RECENT, SUBSCRIPTION_FIELDS
from actors.mongo.marks import UNREADABLE
from actors.mongo.raw import raw_batches, split
from actors.shards.dormant import RawAccount
from actors.shards.warm_start import RawPage
from domain.recovery import Stored
from domain.values import UserId, parse_user_id, user_digest

SUBSCRIPTIONS_PER_PAGE = 1_000  # Read, looked up in the other collections, and handed on together.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = -(2**63)  # Milliseconds, before every date of BSON.
OBJECT_ID, DATE, INT64 = 0x07, 0x09, 0x12  # Types of BSON.
ID_HEAD = b"\x07_id\0"  # A leading `_id` that is an ObjectId, after the document's length,
ID_AT, ID_END = 9, 21  # and where its bytes are.
_INT64 = struct.Struct("<q")


class Field:
    """Cuts one field out of raw documents. An ObjectId stays 12 bytes, a date milliseconds.

    Where the name occurs anywhere else too, or the type is another, the decoder says.
    """

    def __init__(self, name: str, kind: int) -> None:
        self._name = name
        self._plain = name.encode() + b"\0"
        self._key = bytes((kind,)) + self._plain
        self._length = len(self._key)
        self._is_id = kind == OBJECT_ID

    def of(self, document: bytes) -> Any:
        """Return the value; None where there is none."""
        at = document.find(self._key)
        if at > 0 and document.count(self._plain) == 1:
            at += self._length
            return document[at : at + 12] if self._is_id else _INT64.unpack_from(document, at)[0]
        return _key_of(bson.decode(document, DECODED).get(self._name))


DECODED: CodecOptions[Mapping[str, Any]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
USER, SUBSCRIPTION = Field("user_id", OBJECT_ID), Field("subscription_id", OBJECT_ID)
END, SEQ = Field("end_date", DATE), Field("applied_seq", INT64)
CHANGED = Field("changed_at", DATE)
NOTED = b"\x02" + UNREADABLE.encode() + b"\0"  # How BSON begins a text of this name.


class _Owned(NamedTuple):
    """One user's subscriptions, and how documents spell the user."""

    user_id: UserId
    key: Any
    subscriptions: list[bytes]


class WarmReader:
    """The accounts in one database."""

    def __init__(self, database: Documents, causality: Causality | None = None) -> None:
        """`causality`: of the process that reads, which may have written."""
        self._database = database
        self._causality = causality or Causality(database)

    def read(self, user_id: UserId, account: RawAccount) -> Stored:
        """Return what is stored of a user whose views are complete."""
        return Stored(
            user_id,
            account.applied_seq,
            [bson.decode(d, DECODED) for d in split(account.subscriptions)],
            [bson.decode(d, DECODED) for d in split(account.days)],
        )

    def pages(self, is_mine: Callable[[UserId], bool], now: datetime) -> Iterator[RawPage]:
        """Yield the accounts with a subscription that has not ended, of users that are mine."""
        now_ms = (now - EPOCH) // timedelta(milliseconds=1)
        with unavailable_on_error(), self._causality.reading() as session:
            for users in self._users(session):
                own = []
                for key, documents in users:
                    user_id = _user_id(key)
                    if user_id is not None and is_mine(user_id):
                        own.append(_Owned(user_id, key, documents))
                yield self._page(own, now_ms, session)

    def _users(self, session: ClientSession) -> Iterator[list[tuple[Any, list[bytes]]]]:
        """Yield users with all their subscriptions, a batch of the cursor's at a time."""
        batches = raw_batches(
            self._database,
            "subscriptions",
            {},
            SUBSCRIPTION_FIELDS,
            sort="user_id",
            batch_size=SUBSCRIPTIONS_PER_PAGE,
            session=session,
        )
        held: list[tuple[Any, list[bytes]]] = []
        for batch in batches:
            documents = ((USER.of(d), d) for d in batch)
            for user, group in groupby(documents, key=lambda pair: pair[0]):
                subscriptions = [document for _, document in group]
                if held and held[-1][0] == user:  # They began in the batch before.
                    held[-1][1].extend(subscriptions)
                else:
                    held.append((user, subscriptions))
            yield held[:-1]
            del held[:-1]
        yield held

    def _page(self, users: Iterable[_Owned], now_ms: int, session: ClientSession) -> RawPage:
        """Add the marks and the days to the subscriptions of users."""
        since = now_ms - RECENT // timedelta(milliseconds=1)
        current: list[_Owned] = []
        with_days: dict[Any, UserId] = {}
        for owned in users:
            ends = [_moment(END, document) for document in owned.subscriptions]
            if max(ends) <= now_ms:
                continue
            current.append(owned)
            for document, end in zip(owned.subscriptions, ends, strict=True):
                if end > since or _moment(CHANGED, document) > since:
                    with_days[_id(document)] = owned.user_id
        days = self._days(with_days, session)
        marks = self._marks([owned.key for owned in current], session)
        accounts, foreign_ids = {}, {}
        for user_id, key, subscriptions in current:
            mark = marks.get(key, 0)
            if mark is None:
                continue
            own_days = days.get(user_id, [])
            accounts[user_id] = RawAccount(mark, b"".join(subscriptions), b"".join(own_days))
            foreign_ids[user_id] = _foreign_ids(user_id, (*subscriptions, *own_days))
        return RawPage(accounts, foreign_ids)

    def _days(
        self, subscriptions: Mapping[Any, UserId], session: ClientSession
    ) -> dict[UserId, list[bytes]]:
        days: dict[UserId, list[bytes]] = {}
        for batch in self._find(
            "dailycredits", "subscription_id", [*subscriptions], DAY_FIELDS, session
        ):
            for document in batch:
                days.setdefault(subscriptions[SUBSCRIPTION.of(document)], []).append(document)
        return days

    def _marks(self, keys: Sequence[Any], session: ClientSession) -> dict[Any, int | None]:
        """Return the marks; None: nobody knows what was decided about the account."""
        fields = ("applied_seq", UNREADABLE)
        return {
            _id(document): _mark(document)
            for batch in self._find("allotment_accounts", "_id", keys, fields, session)
            for document in batch
        }

    def _find(
        self,
        collection: str,
        field: str,
        values: Sequence[Any],
        fields: Sequence[str],
        session: ClientSession,
    ) -> Iterator[list[bytes]]:
        """Yield the documents whose field is one of the values, a batch at a time."""
        for start in range(0, len(values), SUBSCRIPTIONS_PER_PAGE):
            part = [_stored(value) for value in values[start : start + SUBSCRIPTIONS_PER_PAGE]]
            where = {field: {"$in": part}}
            yield from raw_batches(self._database, collection, where, fields, session=session)


# --- fields of raw documents ------------------------------------------------------------


def _moment(field: Field, document: bytes) -> int:
    """Return a date in milliseconds; what is none is before all others."""
    moment = field.of(document)
    if isinstance(moment, datetime):
        return (moment - EPOCH) // timedelta(milliseconds=1)
    return moment if isinstance(moment, int) else NEVER


def _mark(document: bytes) -> int | None:
    mark = SEQ.of(document)
    is_known = isinstance(mark, int) and not isinstance(mark, bool) and mark >= 0
    return mark if is_known and NOTED not in document else None


def _id(document: bytes) -> Any:
    if document.startswith(ID_HEAD, 4):
        return document[ID_AT:ID_END]
    return _key_of(bson.decode(document, DECODED)["_id"])


def _foreign_ids(user_id: UserId, documents: Iterable[bytes]) -> list[str]:
    """Return the ids that do not carry the user's mark (`mark_of`, here on bytes)."""
    mark = user_digest(user_id)[:4]
    ids = map(_id, documents)
    return [_text(i) for i in ids if not (isinstance(i, bytes) and i[4:8] == mark)]


def _key_of(value: Any) -> Any:
    """Return a decoded value as it is looked up; of what is no id or date, nothing."""
    if isinstance(value, ObjectId):
        return value.binary
    return None if isinstance(value, dict | list | bytes) else value


def _stored(key: Any) -> Any:
    return ObjectId(key) if isinstance(key, bytes) else key


def _text(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)


def _user_id(raw: Any) -> UserId | None:
    """Return the user as accounts are named; None: the document is nobody's."""
    if isinstance(raw, bytes):
        return UserId(raw.hex())
    if not isinstance(raw, str):
        return None
    try:
        user_id = parse_user_id(raw)
    except ValueError:
        return None
    # A text that spells an ObjectId is not what the account's documents are found by.
    return user_id if stored_id(user_id) == raw else None
