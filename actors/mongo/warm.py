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
from actors.mongo.ids import key_of, name_of, others, read_user_id
from actors.mongo.loading import DAY_FIELDS, RECENT, SUBSCRIPTION_FIELDS
from actors.mongo.marks import FENCED, UNREADABLE
from actors.mongo.raw import raw_batches, split
from actors.mongo.references import References, with_ids_spelled
from actors.shards.dormant import RawAccount
from actors.shards.warm_start import RawPage
from domain.recovery import Stored
from domain.values import UserId, is_object_id, user_digest

SUBSCRIPTIONS_PER_PAGE = 1_000  # Read, looked up in the other collections, and handed on together.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER, OPEN = -(2**63), 2**63 - 1  # Milliseconds, before and after every date of BSON.
OBJECT_ID, DATE, INT64 = 0x07, 0x09, 0x12  # Types of BSON.
ID_HEAD = b"\x07_id\0"  # A leading `_id` that is an ObjectId, after the document's length,
ID_AT, ID_END = 9, 21  # and where its bytes are.
_INT64 = struct.Struct("<q")


class Field:
    """Cuts one field out of raw documents. An ObjectId stays 12 bytes, a date milliseconds.

    Where the name occurs anywhere else too, or the type is another, the decoder says. Ids of other
    types are what `key_of` makes of them.
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
        value = bson.decode(document, DECODED).get(self._name)
        if self._is_id:
            return _key_of(value)
        return None if isinstance(value, dict | list | bytes) else value


DECODED: CodecOptions[Mapping[str, Any]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
USER, SUBSCRIPTION = Field("user_id", OBJECT_ID), Field("subscription_id", OBJECT_ID)
END, SEQ = Field("end_date", DATE), Field("applied_seq", INT64)
CHANGED = Field("changed_at", DATE)
CLOSED = [b"\x02" + name.encode() + b"\0" for name in (UNREADABLE, FENCED)]  # As BSON begins them.


class _Owned(NamedTuple):
    """One user's subscriptions, and how documents spell the user."""

    user_id: UserId
    key: Any
    subscriptions: list[bytes]


class _Named(NamedTuple):
    """A subscription whose days are wanted, and its user."""

    user_id: UserId
    document: bytes


class WarmReader:
    """The accounts in one database."""

    def __init__(self, database: Documents, causality: Causality | None = None) -> None:
        """`causality`: of the process that reads, which may have written."""
        self._database = database
        self._causality = causality or Causality(database)
        self._has_texts: bool | None = None
        """Whether some day names its subscription by a text; None: nobody has looked yet."""

    def read(self, user_id: UserId, account: RawAccount) -> Stored:
        """Return what is stored of a user whose views are complete."""
        subscriptions = [dict(bson.decode(d, DECODED)) for d in split(account.subscriptions)]
        references = References(document["_id"] for document in subscriptions)
        days = [dict(bson.decode(d, DECODED)) for d in split(account.days)]
        return Stored(
            user_id,
            account.applied_seq,
            [*map(with_ids_spelled, subscriptions)],
            [*references.read(days)],
        )

    def pages(self, is_mine: Callable[[UserId], bool], now: datetime) -> Iterator[RawPage]:
        """Yield the accounts with a subscription that has not ended, of users that are mine."""
        now_ms = (now - EPOCH) // timedelta(milliseconds=1)
        taken: set[bytes] = set()
        with unavailable_on_error(), self._causality.reading() as session:
            self._has_texts = None
            for users in self._users(session):
                own = [*self._merged(users, taken, session)]
                yield self._page([o for o in own if is_mine(o.user_id)], now_ms, session)

    def _merged(
        self,
        users: Iterable[tuple[Any, list[bytes]]],
        taken: set[bytes],
        session: ClientSession,
    ) -> Iterator[_Owned]:
        """Yield users, each once: some are named by a text in one document, by an ObjectId in others.

        Texts come first, and the other documents with them; `taken` says whose those were.
        """
        named = [(key, user, ds) for key, ds in users if (user := _user_id(key)) is not None]
        texts = [ObjectId(user) for key, user, _ in named if key == user and is_object_id(user)]
        more: dict[bytes, list[bytes]] = {}
        for batch in self._find("subscriptions", "user_id", texts, SUBSCRIPTION_FIELDS, session):
            for document in batch:
                more.setdefault(USER.of(document), []).append(document)
        for key, user_id, documents in named:
            mark_key = bytes.fromhex(user_id) if is_object_id(user_id) else key
            if key not in taken:
                yield _Owned(user_id, mark_key, documents + more.get(mark_key, []))
        taken.update(more)

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
        with_days: dict[Any, _Named] = {}
        for owned in users:
            ends = [_end(document) for document in owned.subscriptions]
            if max(ends) <= now_ms:
                continue
            current.append(owned)
            for document, end in zip(owned.subscriptions, ends, strict=True):
                if end > since or _moment(CHANGED, document) > since:
                    with_days[_id(document)] = _Named(owned.user_id, document)
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
        self, subscriptions: Mapping[Any, _Named], session: ClientSession
    ) -> dict[UserId, list[bytes]]:
        """Return the days by user. One that names its subscription in another type is its, too."""
        days: dict[UserId, list[bytes]] = {}
        owners = {key: named.user_id for key, named in subscriptions.items()}
        ids = [_value(key, named.document) for key, named in subscriptions.items()]
        if ids and self._has_texts is None:
            texts = {"subscription_id": {"$gte": ""}}
            found = self._database.dailycredits.find_one(texts, ["_id"], session=session)
            self._has_texts = found is not None
        for i in ids.copy():
            if self._has_texts or not isinstance(i, ObjectId):
                new = [other for other in others(i) if _key_of(other) not in owners]
                owners |= dict.fromkeys(map(_key_of, new), owners[_key_of(i)])
                ids += new
        for batch in self._find("dailycredits", "subscription_id", ids, DAY_FIELDS, session):
            for document in batch:
                days.setdefault(owners[SUBSCRIPTION.of(document)], []).append(document)
        return days

    def _marks(self, keys: Sequence[Any], session: ClientSession) -> dict[Any, int | None]:
        """Return the marks; None: nobody knows what was decided about the account."""
        fields = ("applied_seq", UNREADABLE, FENCED)
        return {
            _id(document): _mark(document)
            for batch in self._find(
                "allotment_accounts", "_id", [*map(_stored, keys)], fields, session
            )
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
            where = {field: {"$in": values[start : start + SUBSCRIPTIONS_PER_PAGE]}}
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
    return None if any(field in document for field in CLOSED) or not is_known else mark


def _end(document: bytes) -> int:
    """Return an end in milliseconds; where there is none, it is open."""
    return OPEN if END.of(document) is None else _moment(END, document)


def _id(document: bytes) -> Any:
    if document.startswith(ID_HEAD, 4):
        return document[ID_AT:ID_END]
    return _key_of(bson.decode(document, DECODED)["_id"])


def _foreign_ids(user_id: UserId, documents: Iterable[bytes]) -> list[str]:
    """Return the ids that do not carry the user's mark (`mark_of`, here on bytes)."""
    mark = user_digest(user_id)[:4]
    names = []
    for document in documents:
        if not document.startswith(ID_HEAD, 4):
            names.append(name_of(bson.decode(document, DECODED)["_id"]))
        elif document[ID_AT + 4 : ID_AT + 8] != mark:
            names.append(document[ID_AT:ID_END].hex())
    return names


def _key_of(value: Any) -> Any:
    """Return what is equal for a decoded id and for one that was cut out."""
    return value.binary if isinstance(value, ObjectId) else key_of(value)


def _stored(key: Any) -> Any:
    return ObjectId(key) if isinstance(key, bytes) else key


def _value(key: Any, document: bytes) -> Any:
    return ObjectId(key) if isinstance(key, bytes) else bson.decode(document, DECODED)["_id"]


def _user_id(raw: Any) -> UserId | None:
    """Return the user as accounts are named; None: the document is nobody's."""
    if isinstance(raw, bytes):
        return UserId(raw.hex())
    try:
        return read_user_id(raw)
    except ValueError:
        return None
