"""Breaks our own code in one place at a time: a simulation that does not notice proves nothing.

`make mutations` runs seeds against each of them (`tests/simulation/mutating.py`). A mutation is a text
that is replaced; it must be there once.
"""

import importlib.util
import sys
import types
from pathlib import Path

from tests.simulation.mutation import Mutation
from tests.simulation.pack_mutations import PACK_MUTATIONS

MUTATIONS = (
    Mutation(
        "accept-a-taken-number",
        "tests.fakes.memory_store",
        "if number in self.journal or key in self._keys:",
        "if key in self._keys:",
        "the unique index on user and seq is gone",
    ),
    Mutation(
        "accept-a-taken-key",
        "tests.fakes.memory_store",
        "if number in self.journal or key in self._keys:",
        "if number in self.journal:",
        "the unique index on user and key is gone",
    ),
    Mutation(
        "read-what-no-majority-has",
        "tests.simulation.majority",
        "        if shown is None:\n            yield\n",
        "        if PROCESS:\n            yield\n",
        "reads are given what the primary alone has",
    ),
    Mutation(
        "look-before-a-majority-confirms",
        "tests.simulation.majority",
        "if PROCESS.get() in self._doubtful:",
        "if PROCESS.get() in ():",
        "what is in doubt is looked up while it may still be confirmed",
    ),
    Mutation(
        "publish-before-append",
        "actors.shard.shard",
        "            try:\n                await self._append(draft.entries)\n",
        "            self._publish(draft, whole)\n"
        "            try:\n                await self._append(draft.entries)\n",
        "RAM shows what is not durable",
    ),
    Mutation(
        "answer-before-append",
        "actors.shard.shard",
        "            try:\n                await self._append(draft.entries)\n",
        "            for work, reply in zip(batch, replies, strict=True):\n"
        "                work.answer(reply)\n"
        "            try:\n                await self._append(draft.entries)\n",
        "callers are told before it is durable",
    ),
    Mutation(
        "do-not-forget",
        "actors.shard.failed_append",
        "        for user_id in draft.accounts:\n            self._accounts.forget(user_id)\n",
        "",
        "accounts of a failed append stay in RAM",
    ),
    Mutation(
        "do-not-forget-after-doubt",
        "actors.shard.failed_append",
        "        for user_id in draft.accounts:\n            self._accounts.forget(user_id)\n",
        "        for user_id in () if doubt else draft.accounts:\n"
        "            self._accounts.forget(user_id)\n",
        "accounts of an append in doubt stay in RAM",
    ),
    Mutation(
        "do-not-look-up-what-landed",
        "actors.shard.failed_append",
        "        self._accounts.answers.remember(answers_of(found))\n",
        "",
        "keys that have landed are not found",
    ),
    Mutation(
        "no-doubt-is-a-repeat",
        "actors.shard.failed_append",
        "            repeat(batch)\n",
        "",
        "what may have landed is refused without a trace",
    ),
    Mutation(
        "warm-what-is-in-doubt",
        "actors.shard.filling",
        "if user_id in self._disturbed or user_id in self._in_doubt:",
        "if user_id in self._disturbed:",
        "RAM is filled with accounts that lack entries",
    ),
    Mutation(
        "drop-the-idempotency-check",
        "actors.shard.draft",
        "if not is_fingerprint_of(stored, call.command, digest):",
        "if False:",
        "a key used for another command gets that one's answer",
    ),
    Mutation(
        "ignore-applied-seq",
        "domain.documents.recovery",
        "account = replay(account.with_extra(extra), stored.entries)",
        "account = replay(account.with_extra(extra), ())",
        "entries that no view contains are not replayed",
    ),
    Mutation(
        "apply-a-late-flush-twice",
        "tests.fakes.memory_store",
        "return self._marks.get(view.user_id, 0) != view.after_seq or any(",
        "return False and any(",
        "views are written whatever they contain already",
    ),
    Mutation(
        "keep-the-views-that-others-wrote",
        "actors.shard.view_writer",
        "            for user_id in users:\n                self._follow(user_id, taken.applied_seq[user_id])\n",
        "            for user_id in users:\n                self._drop(user_id, self._lagging[user_id][-1].seq)\n",
        "views that met another writer are thrown away",
    ),
    Mutation(
        "store-the-token-before-acknowledgement",
        "actors.sync.sync",
        "            if not all(notifier.has_told(number) for notifier in self._notifiers):\n"
        "                return\n",
        "            del number\n",
        "a change that a shard has not heard of is passed",
    ),
    Mutation(
        "do-not-count-beats",
        "actors.sync.sync",
        "        if beat.number > before + 1 or (self._beat is not None and beat.number <= before):",
        "        if before < 0:",
        "what the stream leaves out is not noticed",
    ),
    Mutation(
        "publish-what-was-forgotten",
        "actors.shard.shard",
        "            if user_id in self.accounts:  # Else it was forgotten meanwhile, and stays so.",
        "            if user_id in draft.accounts or user_id in self.accounts:",
        "a change told amid a commit is undone by it",
    ),
    Mutation(
        "forget-refusals-of-lost-calls",
        "actors.routing.router",
        "return item._replace(keep_refusal=True) if isinstance(item, Call) else item",
        "return item",
        "a lost call that was done is refused at its repeat",
    ),
    Mutation(
        "yesterday-stays-today",
        "domain.subscription",
        "        return day if self.day is None else max(day, self.day.date)",
        "        return day if self.day is None else self.day.date",
        "midnight is missed by accounts in RAM",
    ),
    Mutation(
        "zones-of-before-are-not-written",
        "domain.documents.eras",
        """    return [{"timezone": era.timezone, "until": era.last_date.isoformat()} for era in eras]""",
        "    return []",
        "after a restart days are read as of another date",
    ),
    Mutation(
        "the-new-midnight-comes-early",
        "domain.eras",
        "        if at >= era.end:\n",
        "        if at >= era.begins_last:\n",
        "after a change of the time zone a day's credits are given before the open day has ended",
    ),
    Mutation(
        "the-open-day-changes-its-zone-again",
        "domain.eras",
        "    known = eras if is_known else (*eras, Era(timezone, today))\n",
        "    known = (*eras, Era(timezone, today))\n",
        "a second change on one date gives its day another zone",
    ),
    Mutation(
        "settle-frees-twice",
        "domain.evolve_holds",
        "gone = freed if placed is None else placed.hold_id",
        'gone = "" if placed is None else placed.hold_id',
        "a hold that was settled or released stays open in RAM",
    ),
    Mutation(
        "expiry-is-not-journaled",
        "domain.decide_holds",
        "    freed = _freed(found, own, found.packs, expired=True)\n",
        "    return CLOSED\n    freed = _freed(found, own, found.packs, expired=True)\n",
        "what is over by the clock is never written down",
    ),
    Mutation(
        "an-early-expiry-spends-its-key",
        "actors.shard.draft",
        "if call.keep_refusal and not isinstance(call.command, ExpireHold):",
        "if call.keep_refusal:",
        "a hold that was asked about too early can never expire",
    ),
    Mutation(
        "later-days-inherit-nothing",
        "domain.evolve_holds",
        "replace(day, rolled_over=rolled_over, used=used, told=told_before)",
        "replace(day, used=used, told=told_before)",
        "what a hold of yesterday frees is lost to today",
    ),
    Mutation(
        "documents-keep-freed-holds",
        "domain.documents.views",
        "        own.freed.append(hold_id)\n",
        "        pass\n",
        "a hold leaves the account and not its document",
    ),
    Mutation(
        "documents-forget-thresholds",
        "domain.documents.days",
        "    return fields | {TOLD_PERCENT: told.percent} if told.percent else fields\n",
        "    return fields\n",
        "a day's document does not say at which threshold low credits were told",
    ),
    Mutation(
        "loading-forgets-holds",
        "domain.documents.recovery",
        "holds = [hold for day in days for hold in day.holds]",
        "holds: list[Hold] = []",
        "an account that is read again has no holds",
    ),
    Mutation(
        "hand-over-at-once",
        "actors.shard.hand_over",
        "        await shard.inbox.settle()\n        # Of these",
        "        # Of these",
        "a shard hands over what it is still working on",
    ),
    Mutation(
        "keep-accounts-that-moved",
        "actors.shard.hand_over",
        "                shard.accounts.forget(user_id)\n",
        "                pass\n",
        "accounts that moved stay in RAM, and are found there when they come back",
    ),
    Mutation(
        "answer-for-slots-on-their-way",
        "actors.protocol.directory",
        "return self.owners[slot] == index and slot not in self.leaving",
        "return self.owners[slot] == index",
        "a new owner answers before the old one has handed over",
    ),
    Mutation(
        "trust-callers-with-the-same-table",
        "actors.shard.ownership",
        "return _is if version == self.table.version and not self.table.leaving else self.owns",
        "return _is if version == self.table.version else self.owns",
        "a new owner answers before that, to callers who have its table",
    ),
    Mutation(
        "follow-a-table-and-read-older",
        "actors.shard.shard",
        "            self._store.hear(seen.moment)\n",
        "            pass\n",
        "a new owner reads users as they were before they were given to it",
    ),
    *PACK_MUTATIONS,
)


def file_of(mutation: Mutation) -> Path:
    """Return the file of a mutation's module."""
    spec = importlib.util.find_spec(mutation.module)
    assert spec is not None, "it is a module of ours"
    assert spec.origin is not None, "it has a file"
    return Path(spec.origin)


def apply(name: str) -> None:
    """Import the module of a mutation as the mutation has it."""
    (mutation,) = [m for m in MUTATIONS if m.name == name]
    file = file_of(mutation)
    text = file.read_text()
    assert text.count(mutation.old) == 1, f"{name}: what it replaces is not there once"
    module = types.ModuleType(mutation.module)
    module.__file__ = str(file)
    sys.modules[mutation.module] = module
    exec(compile(text.replace(mutation.old, mutation.new), file, "exec"), module.__dict__)
    parent, _, child = mutation.module.rpartition(".")
    setattr(sys.modules[parent], child, module)
