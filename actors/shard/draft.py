"""The draft of a batch: accounts as they will be, the entries that make them so, the replies."""

from collections.abc import Collection, Mapping
from datetime import datetime

from pydantic_core import to_json

from actors.protocol.calls import Call, Outcome, Reply
from actors.protocol.expiry import expire_call
from actors.shard.idempotency import CommandName, FirstAnswer, reply_to
from domain.account import Account
from domain.api.render import answer_text, status_answer
from domain.copies import replace
from domain.decide import decide
from domain.event_rules import enter
from domain.fingerprints import fingerprint, is_fingerprint_of
from domain.holds import ExpireHold, HoldFreed, ReleaseHold, SettleHold
from domain.messages import (
    Change,
    CommandRefused,
    DayOpened,
    Entry,
    Refusal,
    Rejection,
)
from domain.values import Policy, UserId

KEY_REUSED = Reply(Outcome.REFUSED, refusal=Refusal(Rejection.KEY_REUSED))


class Draft:
    """One batch being decided. Nothing outside it changes."""

    def __init__(
        self,
        accounts: Mapping[UserId, Account],
        answers: Mapping[CommandName, FirstAnswer],
        now: datetime,
        policy: Policy,
        unanswered: Collection[CommandName] = (),
    ) -> None:
        """`unanswered`: commands that were done just now, and whose callers have not been told."""
        self._published = accounts
        self._answered = answers
        self._unanswered = set(unanswered)
        self._policy = policy
        self.now = now
        self.accounts: dict[UserId, Account] = {}
        self.entries: list[Entry] = []
        self.answers: dict[CommandName, FirstAnswer] = {}

    def account(self, user_id: UserId) -> Account:
        """Return the account with all that this batch has decided before."""
        return self.accounts.get(user_id) or self._published[user_id]

    def reply(self, user_id: UserId, call: Call | None) -> Reply:
        """Return the reply to a call; without one, to a read."""
        return self.decide(call) if call else self.status(user_id)

    def status(self, user_id: UserId) -> Reply:
        """Return the reply to a read."""
        answer = status_answer(self.account(user_id), self.now, self._policy)
        return Reply(Outcome.DONE, to_json(answer))

    def decide(self, call: Call) -> Reply:
        """Decide one call and return its reply, to be sent once the entries are durable."""
        user_id = call.command.user_id
        digest = fingerprint(call.command)
        repeat = self._repeat(call, digest)
        if repeat is not None:
            return repeat
        if isinstance(call.command, SettleHold | ReleaseHold):
            self._write_expiry(user_id, call.command.hold_id)
        account = self.account(user_id)
        decision = decide(account, call.command, call.key, self.now, self._policy)
        match decision:
            case None:
                return self.status(user_id)  # All is already as the command wants it.
            case DayOpened(opening) if not (opening.first_touch or call.keep_refusal):
                return self.status(user_id)  # The day is open, and no key wants its answer kept.
            # An expiry that comes too early must not spend the key of the one that is due.
            case Refusal() if call.keep_refusal and not isinstance(call.command, ExpireHold):
                return self._enter(account, call, digest, CommandRefused(decision))
            case Refusal():
                return Reply(Outcome.REFUSED, refusal=decision)
            case _:
                return self._enter(account, call, digest, decision)

    def _write_expiry(self, user_id: UserId, hold_id: str) -> None:
        """Write down what is over of a hold before anything else is decided about it."""
        found = self.account(user_id).find_hold(hold_id)
        if found is None or self.now < found.over_at(self.now):
            return
        call = expire_call(user_id, hold_id, of_packs=found.subscription is None)
        if self._repeat(call, fingerprint(call.command)) is None:
            account = self.account(user_id)
            change = decide(account, call.command, call.key, self.now, self._policy)
            assert isinstance(change, HoldFreed), "it is over"
            self._enter(account, call, fingerprint(call.command), change)

    def _repeat(self, call: Call, digest: str) -> Reply | None:
        name = (call.command.user_id, call.key)
        known = self.answers.get(name) or self._answered.get(name)
        if known is None:
            return None
        stored, reply = known
        if not is_fingerprint_of(stored, call.command, digest):
            return KEY_REUSED
        if name in self._unanswered:
            self._unanswered.discard(name)
            return reply
        return reply._replace(replayed=True)

    def _enter(self, account: Account, call: Call, digest: str, change: Change) -> Reply:
        user_id = account.user_id
        entry = Entry(user_id, account.seq + 1, self.now, call.key, digest, change, None, call.by)
        entry, account = enter(account, entry, self._policy)
        if not isinstance(change, CommandRefused):
            entry = replace(entry, answer=answer_text(account, entry, self._policy))
        self.accounts[user_id] = account
        self.entries.append(entry)
        reply = reply_to(entry)
        assert reply is not None, "only refusals have no answer text"
        self.answers[user_id, call.key] = (digest, reply)
        return reply
