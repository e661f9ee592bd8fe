"""The first answers to idempotency keys, as far as RAM remembers them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from actors.protocol.calls import Outcome, Reply
from domain.documents.journal import SpoiltEntry
from domain.messages import CommandRefused, Entry
from domain.values import UserId

ANSWERS_MAX = 20_000  # Older ones are found in the journal.

CommandName = tuple[UserId, str]
"""A user and an idempotency key: what names a command."""

FirstAnswer = tuple[str, Reply]
"""The fingerprint of the command, and the reply it was given."""


class FirstAnswers(OrderedDict[CommandName, FirstAnswer]):
    """The newest answers, by their commands."""

    def remember(self, answers: Mapping[CommandName, FirstAnswer]) -> None:
        """Take up answers, in the place of the oldest where there are too many."""
        self.update(answers)
        while len(self) > ANSWERS_MAX:
            self.popitem(last=False)

    def forget(self, user_id: UserId) -> None:
        """Drop the answers of a user."""
        for command in [command for command in self if command[0] == user_id]:
            del self[command]


def answers_of(entries: Iterable[Entry | SpoiltEntry]) -> dict[CommandName, FirstAnswer]:
    """Return the answers that entries have given, as far as they can be read."""
    answers: dict[CommandName, FirstAnswer] = {}
    for entry in entries:
        reply = reply_to(entry)
        if reply is not None and entry.fingerprint is not None and entry.key is not None:
            answers[entry.user_id, entry.key] = (entry.fingerprint, reply)
    return answers


def reply_to(entry: Entry | SpoiltEntry) -> Reply | None:
    """Return the reply an entry gives: the first answer to its key, which is the only one.

    None: it can be read no longer.
    """
    if isinstance(entry, Entry) and isinstance(entry.change, CommandRefused):
        return Reply(Outcome.REFUSED, refusal=entry.change.refusal)
    return None if entry.answer is None else Reply(Outcome.DONE, entry.answer.encode())
