"""The first answers to idempotency keys, as far as RAM remembers them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from actors.calls import Outcome, Reply
from domain.messages import CommandRefused, Entry
from domain.values import UserId

ANSWERS_MAX = 20_000  # Older ones are found in the journal.

Command = tuple[UserId, str]
"""A user and an idempotency key: what names a command."""

Answer = tuple[str, Reply]
"""The fingerprint of the command, and the reply it was given."""


class FirstAnswers(OrderedDict[Command, Answer]):
    """The newest answers, by their commands."""

    def remember(self, answers: Mapping[Command, Answer]) -> None:
        """Take up answers, in the place of the oldest where there are too many."""
        self.update(answers)
        while len(self) > ANSWERS_MAX:
            self.popitem(last=False)


def answers_of(entries: Iterable[Entry]) -> dict[Command, Answer]:
    """Return the answers that entries have given."""
    return {(e.user_id, e.key): (e.fingerprint, reply_to(e)) for e in entries}


def reply_to(entry: Entry) -> Reply:
    """Return the reply an entry gives: the first answer to its key, which is the only one."""
    if isinstance(entry.change, CommandRefused):
        return Reply(Outcome.REFUSED, refusal=entry.change.refusal)
    assert entry.answer is not None, "only refusals have no answer text"
    return Reply(Outcome.DONE, entry.answer.encode())
