"""The load of a Python program: one thread that calls `actors.client.Allotment`, again and again.

A process of its own, as a client is. Reads a `PythonLoad` as JSON from standard input and
writes a `Result` as JSON to standard output.
"""

import gc
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from actors.client import Allotment
from actors.protocol.errors import AllotmentError
from actors.remote.loopback import join
from bench.load import Result, cpu_seconds
from bench.users import user_id


@dataclass(frozen=True, slots=True)
class PythonLoad:
    """What to call, for whom, how many in one batch (1: no batch) and for how long."""

    job: str
    """`status` or `usage`."""
    ray_address: str
    batch: int
    users: int
    seconds: float
    warm_up_seconds: float
    seed: int


def usage_of(user: str) -> dict[str, Any]:
    """Return the fields that charge one credit to a user."""
    return {
        "user_id": user,
        "service_type": "chat",
        "credit_amount": 1,
        "token_count": 512,
        "model_used": "bench-1",
    }


def calls_of(client: Allotment, load: PythonLoad) -> Callable[[list[str]], list[Any]]:
    """Return what does the load's job for some users: answers or errors, one a user."""
    if load.batch > 1 and load.job == "status":
        return client.check_daily_allocations
    if load.batch > 1:
        return lambda users: client.record_usages([usage_of(user) for user in users])
    if load.job == "status":
        return lambda users: [client.check_daily_allocation(users[0])]
    return lambda users: [client.record_usage(**usage_of(users[0]))]


def run(load: PythonLoad) -> Result:
    """Return what was measured."""
    join(load.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    client = Allotment.connect()
    gc.freeze()  # As docs/python.md advises: full collections pass over all that was imported.
    call = calls_of(client, load)
    users = [user_id(index) for index in range(load.users)]
    choose = random.Random(load.seed).choices
    repeat_until(
        time.perf_counter() + load.warm_up_seconds, call, lambda: choose(users, k=load.batch)
    )
    cpu, began = cpu_seconds(), time.perf_counter()
    result = repeat_until(began + load.seconds, call, lambda: choose(users, k=load.batch))
    result.seconds = time.perf_counter() - began
    result.load_cpu_seconds = cpu_seconds() - cpu
    client.close()
    return result


def repeat_until(
    end: float, call: Callable[[list[str]], list[Any]], choose: Callable[[], list[str]]
) -> Result:
    """Call until the end, and return what came of it."""
    result = Result()
    errors: Counter[str] = Counter()
    while (began := time.perf_counter()) < end:
        try:
            answers = call(choose())
        except AllotmentError as error:
            answers = [error]
        result.latencies_us.append(int((time.perf_counter() - began) * 1e6))
        failed = [type(answer).__name__ for answer in answers if isinstance(answer, AllotmentError)]
        errors.update(failed)
        result.operations += len(answers) - len(failed)
    result.errors = dict(errors)
    return result


if __name__ == "__main__":
    json.dump(asdict(run(PythonLoad(**json.load(sys.stdin)))), sys.stdout)
