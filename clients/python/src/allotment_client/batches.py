"""Many charges at once: each record has a key of its own, and those not decided are sent again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from allotment_client.accounts import USAGE
from allotment_client.answers import UsageRecordResponse
from allotment_client.call import Call, checked_key, encoded
from allotment_client.errors import (
    AllotmentError,
    InvalidRequestError,
    NotFoundError,
    TryAgainError,
)
from allotment_client.problems import error_of

BATCH_RECORDS_MAX = 1000

Record = dict[str, Any]
Result = UsageRecordResponse | AllotmentError


def record_usages(
    records: Sequence[Mapping[str, Any]], *, key: str | None = None
) -> Call[list[UsageRecordResponse | AllotmentError]]:
    """Charge up to 1000 records, each on its own: an answer or an error, in order.

    A record has the arguments of `record_usage`, and its key as `idempotency_key`; without one it
    has `<key>.<place>`, places counted from 0. So `key` has at most 251 characters. Where a
    TryAgainError is among the results: call again with the same records and `key`, or send that
    record with its error's `key` as its `idempotency_key`.
    """
    if not 1 <= len(records) <= BATCH_RECORDS_MAX:
        raise InvalidRequestError(f"a batch has 1 to {BATCH_RECORDS_MAX} records")
    key = checked_key(key)
    checked_key(f"{key}.{BATCH_RECORDS_MAX - 1}")
    return _batch(key, [_record(one, f"{key}.{at}") for at, one in enumerate(records)], {})


def _batch(key: str, records: list[Record], decided: Mapping[int, Result]) -> Call[list[Result]]:
    """Return the call of the records that are not decided. It answers for all of them."""
    places = [place for place in range(len(records)) if place not in decided]

    def read(answer: Any) -> list[Result]:
        results = dict(decided)
        for place, one in zip(places, answer["results"], strict=True):
            results[place] = _result(one, records[place])
        return [results[place] for place in range(len(records))]

    def rest(results: list[Result]) -> Call[list[Result]] | None:
        now = {at: one for at, one in enumerate(results) if not isinstance(one, TryAgainError)}
        return None if len(now) == len(records) else _batch(key, records, now)

    body = encoded(records=[records[place] for place in places])
    return Call("POST", "/subscription/usage/batch", read, body=body, key=key, rest=rest)


def _record(record: Mapping[str, Any], key: str) -> Record:
    moment, own = record.get("timestamp"), record.get("idempotency_key")
    told = {"timestamp": moment.isoformat()} if isinstance(moment, datetime) else {}
    return {**record, **told, "idempotency_key": key if own is None else own}


def _result(one: Mapping[str, Any], record: Record) -> Result:
    if "record" in one:
        return USAGE(one["record"])
    error = error_of(one["problem"], NotFoundError)
    error.key = record["idempotency_key"]
    return error
