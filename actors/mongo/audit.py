"""The audit in MongoDB: `allotment_audit`, a document an act."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from actors.auth.audit import Act, ActOutcome, made_at
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id
from actors.mongo.instants import UNIX_START
from domain.values import UserId

OUTCOMES = frozenset(map(str, ActOutcome))
FIRST, LAST = "0", "g"  # All ids of acts lie between: they are hex digits.


class MongoAudit:
    """Keeps acts. What is written is confirmed by a majority, as everything of ours."""

    def __init__(self, database: Documents) -> None:
        self._acts = database.allotment_audit

    def begin(self, act: Act) -> None:
        """Keep an act that is about to be done."""
        with unavailable_on_error():
            self._acts.insert_one(
                {
                    "_id": act.act_id,
                    "at": act.at,
                    "by": act.by,
                    "action": act.action,
                    "target": act.target,
                    "made": act.made,
                    "outcome": str(act.outcome),
                    **({} if act.user_id is None else {"user_id": stored_id(act.user_id)}),
                }
            )

    def finish(
        self,
        act_id: str,
        outcome: ActOutcome,
        made: str | None = None,
        now_called: UserId | None = None,
    ) -> None:
        """Keep what became of it; `now_called`: the id that its user has from then on."""
        changes: dict[str, Any] = {"outcome": str(outcome), "made": made}
        if now_called is not None:
            changes["user_id"] = stored_id(now_called)
        with unavailable_on_error():
            self._acts.update_one({"_id": act_id}, {"$set": changes})

    def page(self, limit: int, before: str | None, by: str | None) -> Sequence[Act]:
        """Return acts, newest first: those before an act, and of one caller, where that is told."""
        where: dict[str, Any] = {"_id": {"$gte": FIRST, "$lt": before or LAST}}
        if by is not None:
            where = {"by": by} | where
        with unavailable_on_error():
            return list(map(_act, self._acts.find(where).sort("_id", -1).limit(limit)))

    def trim(self, before: datetime) -> int:
        """Remove the acts of before an instant, and count them."""
        with unavailable_on_error():
            where = {"at": {"$gte": UNIX_START, "$lt": before}}
            return self._acts.delete_many(where).deleted_count


def _act(document: Mapping[str, Any]) -> Act:
    """Return an act, as far as it can be read: another program may have edited it."""
    act_id, at, user_id = document["_id"], document.get("at"), document.get("user_id")
    outcome = str(document.get("outcome"))
    return Act(
        act_id,
        at if isinstance(at, datetime) else made_at(act_id),
        str(document.get("by")),
        str(document.get("action")),
        _text(document.get("target")),
        None if user_id is None else UserId(str(user_id)),
        _text(document.get("made")),
        ActOutcome(outcome) if outcome in OUTCOMES else ActOutcome.ASKED,
    )


def _text(said: object) -> str | None:
    return None if said is None else str(said)
