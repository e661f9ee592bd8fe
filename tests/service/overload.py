"""Twice the load that a service can sustain, for a minute, and what becomes of it.

`python -m tests.service.overload --seconds 60` runs a service of its own and, in a process of its
own, one that sends: it finds the rate of charges that is answered without a refusal, offers half of
it, twice it, and half of it again, waiting for no answer, beside statuses at a steady rate. The
service and its load share the machine: what the sender takes of it is printed.
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from bson import ObjectId
from pymongo.database import Database

from bench.load import Load
from bench.machine import facts
from bench.users import AMOUNT, DAYS, user_id
from tests.service.open_loop import Account, Phase, Plan
from tests.service.running import RunningService, wait_until

USERS = 500
CONNECTIONS = 64  # That keep a service busy.
STATUSES_A_SECOND = 20
SECONDS = 60.0  # Of twice the sustained rate. Shares of it are:
TRIAL_SHARE = 0.1  # to find out how much is done at most, and each rate that is tried,
CALM_SHARE = 1 / 6  # half the sustained rate, before,
AFTER_SHARE = 1 / 3  # and after.
TRIALS_MAX = 12
SUSTAINED_P99_SECONDS_MAX = 0.5  # A rate is sustained if its p99 stays within this,
STEP_DOWN = 0.8  # else a lower one is tried.
PAUSE_SECONDS = 2.0
AS_BEFORE = 2.0  # A second is as before if its p99 is at most so many times that before,
AS_BEFORE_SECONDS = 0.2  # or this, which a busy machine makes of anything.
REST_SECONDS_MAX = 120.0
SHARES = (0.5, 2.0, 0.5)  # Of the sustained rate,
NAMES = ("half", "twice", "half again")  # one phase after the other.
COLUMNS = (
    "offered",
    "charges a second",
    "accepted a second",
    "p50 / p99 ms",
    "refused a second",
    "p50 / p99 ms",
    "statuses, p50 / p99 ms",
)

MINE = {"user_id": {"$gte": ObjectId(user_id(0)), "$lt": ObjectId(user_id(USERS))}}

Answer = tuple[float, float, str, str]


@dataclass(frozen=True)
class Result:
    """What was offered, what came of it, and what the books say."""

    rate: float
    phases: list[Phase]
    account: Account
    acknowledged: int
    usages: int
    days: int

    def during(self, number: int, job: str, *codes: str) -> list[float]:
        """Return how long the requests of a phase took that had one of these answers."""
        begin = sum(phase.seconds for phase in self.phases[:number])
        return took(self.account.answers, begin, begin + self.phases[number].seconds, job, codes)

    def others(self) -> dict[str, int]:
        """Return the answers that nobody may get, and requests without any."""
        seen = Counter(f"{job}: {code}" for _, _, job, code in self.account.answers)
        for wanted in ("usage: 201", "usage: overloaded", "status: 200"):
            seen.pop(wanted, None)
        return dict(seen) | self.account.failures

    def seconds_until_as_before(self) -> float:
        """Return after how many seconds behind the overload charges took as long as before it."""
        ended = sum(phase.seconds for phase in self.phases[:2])
        wanted = max(AS_BEFORE_SECONDS, AS_BEFORE * p99(self.during(0, "usage", "201")))
        for second in range(math.ceil(self.phases[2].seconds)):
            begin = ended + second
            codes = ("201", "overloaded")
            answers = self.account.answers
            refused = took(answers, begin, begin + 1, "usage", codes[1:])
            if not refused and p99(took(answers, begin, begin + 1, "usage", codes)) <= wanted:
                return second
        return math.inf

    @property
    def books_agree(self) -> bool:
        """Whether every acknowledged charge is in the database, once."""
        return self.acknowledged == self.usages == self.days


def took(
    answers: Iterable[Answer], begin: float, end: float, job: str, codes: Sequence[str]
) -> list[float]:
    """Return how long the requests took that were due in a span and had one of these answers."""
    return [
        s for at, s, kind, code in answers if begin <= at < end and kind == job and code in codes
    ]


def p99(seconds: list[float]) -> float:
    """Return what 99 of 100 stay within; 0 where there is none."""
    return percentile(seconds, 0.99)


def percentile(seconds: list[float], share: float) -> float:
    """Return what this share of durations stays within; 0 where there is none."""
    return sorted(seconds)[int((len(seconds) - 1) * share)] if seconds else 0.0


async def give_credits(service: RunningService) -> None:
    """Give every user more credits than a run can spend."""
    payment = {"method": "card", "transaction_id": "t", "amount": 0, "currency": "eur"}
    headers = {"Authorization": f"Bearer {service.key}"}
    async with httpx.AsyncClient(base_url=service.address, headers=headers, timeout=60) as http:

        async def give(user: str) -> None:
            body = {"user_id": user, "amount": AMOUNT, "days": DAYS, "payment": payment}
            answer = await http.post("/subscription/credits", json=body)
            assert answer.status_code == 201, answer.text

        for first in range(0, USERS, CONNECTIONS):
            users = range(first, min(first + CONNECTIONS, USERS))
            await asyncio.gather(*(give(user_id(number)) for number in users))


def busy_rate(service: RunningService, seed: int, seconds: float) -> float:
    """Return the charges a second that connections make which always wait for the last one.

    On a busy machine nothing may be answered for a while: then twice as long is tried.
    """
    path = "/subscription/usage"
    for _ in range(TRIALS_MAX):
        load = Load("usage", service.port, path, service.key, CONNECTIONS, USERS, seconds, 0, seed)
        done = json.loads(run_process("bench.load", json.dumps(asdict(load))))
        assert not done["errors"], done["errors"]
        if done["operations"]:
            return float(done["operations"] / seconds)
        seconds *= 2
    raise AssertionError(f"no charge is answered within {seconds / 2:.0f} seconds")


def run_process(module: str, text: str) -> str:
    """Run a module with a text as its input, and return its output."""
    command = [sys.executable, "-m", module]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, text=True).stdout


def offer(service: RunningService, seed: int, phases: list[Phase]) -> Account:
    """Send what is due, phase by phase, and return what came of it."""
    plan = Plan(service.port, service.key, USERS, seed, phases)
    done = json.loads(run_process("tests.service.open_loop", json.dumps(asdict(plan))))
    return Account(**done | {"answers": [tuple(answer) for answer in done["answers"]]})


def sustained_rate(service: RunningService, seed: int, seconds: float) -> float:
    """Return a rate of charges that is answered for so long in time and without refusals."""
    rate = busy_rate(service, seed, seconds)
    for trial in range(1, TRIALS_MAX + 1):
        phases = [Phase(rate, STATUSES_A_SECOND, seconds)]
        found = offer(service, seed + trial, phases)
        slow = p99(took(found.answers, 0, seconds, "usage", ["201"]))
        print(f"{rate:.0f} charges a second: p99 {1000 * slow:.0f} ms", file=sys.stderr)
        codes = {code for _, _, _, code in found.answers}
        if slow <= SUSTAINED_P99_SECONDS_MAX and codes == {"200", "201"} and not found.failures:
            return rate
        time.sleep(PAUSE_SECONDS)
        rate *= STEP_DOWN
    raise AssertionError(f"not even {rate:.0f} charges a second are sustained")


def run(
    service: RunningService, rate: float, lengths: tuple[float, float, float], seed: int
) -> Result:
    """Offer half a rate, twice it and half of it, for so long each; return what came of it."""
    phases = [
        Phase(share * rate, STATUSES_A_SECOND, seconds)
        for share, seconds in zip(SHARES, lengths, strict=True)
    ]
    with service.mongo() as client:
        database = client.allotment
        before = (
            database.allotment_journal.count_documents(MINE) - USERS
        )  # An entry a charge, of 1 credit.
        account = offer(service, seed + TRIALS_MAX + 1, phases)
        acknowledged = sum(code == "201" for _, _, _, code in account.answers)
        with contextlib.suppress(AssertionError):  # Then the books say what differs.
            wait_until(lambda: set(charged(database)) == {before + acknowledged}, REST_SECONDS_MAX)
        usages, days = (credits_ - before for credits_ in charged(database))
    return Result(rate, phases, account, acknowledged, usages, days)


def charged(database: Database[dict[str, Any]]) -> tuple[int, int]:
    """Return the credits in all usages, and in all days."""
    sums = []
    for collection, field in (("usages", "credit_amount"), ("dailycredits", "credits_used")):
        found = database[collection].find(MINE, {field: 1})
        sums.append(sum(int(document[field]) for document in found))
    return sums[0], sums[1]


def told(result: Result) -> str:
    """Return what to print."""
    lines = [
        f"sustained: {result.rate:.0f} charges a second, beside {STATUSES_A_SECOND} statuses",
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
    ]
    for number, (name, phase) in enumerate(zip(NAMES, result.phases, strict=True)):
        charges = result.during(number, "usage", "201")
        refused = result.during(number, "usage", "overloaded")
        statuses = result.during(number, "status", "200")
        cells = (
            f"{name}, {phase.seconds:.0f} s",
            f"{phase.charges:.0f}",
            f"{len(charges) / phase.seconds:.0f}",
            f"{1000 * percentile(charges, 0.5):.0f} / {1000 * p99(charges):.0f}",
            f"{len(refused) / phase.seconds:.0f}",
            f"{1000 * percentile(refused, 0.5):.0f} / {1000 * p99(refused):.0f}",
            f"{1000 * percentile(statuses, 0.5):.0f} / {1000 * p99(statuses):.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    agree = "agree" if result.books_agree else "DIFFER"
    share = result.account.cpu_seconds / sum(phase.seconds for phase in result.phases)
    lines += [
        f"other answers, and none: {result.others() or 'none'}",
        f"not sent, for want of a connection: {result.account.not_sent}",
        f"as before after: {result.seconds_until_as_before()} s",
        f"acknowledged {result.acknowledged}: usages {result.usages}, days {result.days}: {agree}",
        f"the sender took {share:.2f} of a core",
    ]
    return "\n".join(lines)


def main() -> None:
    """Overload a service of its own, and print what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=SECONDS, help="of twice that rate")
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = options.parse_args()
    print(", ".join(f"{name} {value}" for name, value in facts().items()), "seed", chosen.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningService(Path(folder), ALLOTMENT_SHARDS="2") as service,
    ):
        asyncio.run(give_credits(service))
        rate = sustained_rate(service, chosen.seed, TRIAL_SHARE * chosen.seconds)
        time.sleep(PAUSE_SECONDS)
        before, after = (share * chosen.seconds for share in (CALM_SHARE, AFTER_SHARE))
        result = run(service, rate, (before, chosen.seconds, after), chosen.seed)
    print(told(result))
    sys.exit(0 if result.books_agree and not result.others() else 1)


if __name__ == "__main__":
    main()
