"""Hostile requests over raw sockets beside normal load, against a service of its own on loopback.

`python -m tests.service.attack --requests 100000 --seconds 120` prints what became of both: the
normal load's p99 alone, beside the same attackers while a sink of their own answers them (they share
the machine with the service, nothing else), and beside the attack; statuses the attackers saw,
processes that were started again, and memory before and after. Load and attackers are processes of
their own. `--cases 5000` lets schemathesis make up requests first.
"""

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.fakes.any_request import attack as run_schemathesis
from tests.service.hostile import BIG, sendings
from tests.service.running import RunningService

ATTACKERS = 64
ANSWER_SECONDS_MAX = 2.0
NORMAL_A_SECOND = 50
SETTLE_SHARE = 0.25  # Of the time without the attack: how long is waited after each part.


@dataclass
class Seen:
    """What the attackers saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Requests that were answered 5xx other than 503."""
    seconds: float = 0.0
    """How long it took to send them."""


async def send(port: int, parts: list[bytes], seen: Seen, name: str) -> None:
    """Send one request over a connection of its own, and note what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.write_eof() if name == "truncated" else None
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            line = await reader.readline()
        status = line.split()[1].decode() if line.startswith(b"HTTP/") else "closed"
    except TimeoutError:
        status = "waits"
    except (OSError, ValueError):
        status = "closed"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    seen.statuses[status] += 1
    if status.startswith("5") and status != "503":
        seen.failures.append(f"{name}: {status}")


async def attack(port: int, key: bytes, requests: int, seconds: float, seed: int) -> Seen:
    """Send so many hostile requests, spread over so many seconds where that is possible."""
    seen, each, started = Seen(), sendings(requests, seed), time.monotonic()

    async def attacker() -> None:
        for number, make in each:
            due = started + seconds * number / requests
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await send(port, make(random.Random(f"{seed} {number}"), key), seen, make.__name__)

    await asyncio.gather(*(attacker() for _ in range(ATTACKERS)))
    seen.seconds = time.monotonic() - started
    return seen


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take what is sent, and refuse it."""
    with contextlib.suppress(OSError):
        await reader.read(BIG)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()


def stand_back() -> None:
    """Take only the processor time that nobody else wants: attackers have machines of their own."""
    if os.getsid(0) != os.getpid():
        os.setsid()
        os.nice(19)
        with contextlib.suppress(OSError):  # Kernels that share time among sessions have it.
            Path("/proc/self/autogroup").write_text("19")
        if hasattr(os, "SCHED_IDLE"):  # Linux lets whoever has a niceness finish its turn.
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def strike(port: int | None, key: bytes, requests: int, seconds: float, seed: int) -> Seen:
    """Attack from a process of its own; without a port, a sink in this process."""
    stand_back()

    async def both() -> Seen:
        if port is not None:
            return await attack(port, key, requests, seconds, seed)
        async with await asyncio.start_server(answer_all, "127.0.0.1", 0) as sink:
            return await attack(sink.sockets[0].getsockname()[1], key, requests, seconds, seed)

    return asyncio.run(both())


async def normal(service: RunningService, until: asyncio.Event) -> list[float]:
    """Ask for statuses and charge at a steady rate; return how long each took, in seconds."""
    took: list[float] = []
    running: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(
        base_url=service.address, headers={"Authorization": f"Bearer {service.key}"}, timeout=30
    ) as http:

        async def one(number: int) -> None:
            began = time.monotonic()
            user = f"u{number % 50}"
            if number % 4:
                answer = await http.get("/subscription/status", params={"user_id": user})
            else:
                body = {"user_id": user, "service_type": "chat", "credit_amount": 0}
                answer = await http.post("/subscription/usage", json=body)
            assert answer.status_code in (200, 201, 402), answer.text
            took.append(time.monotonic() - began)

        for number in itertools.count():
            if until.is_set():
                break
            task = asyncio.create_task(one(number))
            running.add(task)
            await asyncio.sleep(1 / NORMAL_A_SECOND)
        await asyncio.gather(*running)
    return took


def p99_ms(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] * 1000


def processes(service: RunningService) -> Iterator[tuple[int, str, int]]:
    """Yield pid, name and resident kilobytes of every process of the service."""
    mark = f"ALLOTMENT_DATA_DIR={service.data_dir}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
                status = (folder / "status").read_text()
                kilobytes = [line for line in status.splitlines() if line.startswith("VmRSS")]
                yield int(folder.name), name, int(kilobytes[0].split()[1]) if kilobytes else 0


async def beside(service: RunningService, name: str, attack: Awaitable[Seen]) -> tuple[float, Seen]:
    """Return the p99 of the normal load while something goes on, and what that has seen."""
    over, used = asyncio.Event(), cpu_seconds(service)
    load = asyncio.create_task(normal(service, over))
    seen = await attack
    over.set()
    took = await load
    p50 = statistics.median(took) * 1000
    print(f"normal load {name}: {len(took)} requests, p50 {p50:.1f} p99 {p99_ms(took):.1f} ms")
    print("  CPU seconds used:", difference(cpu_seconds(service), used))
    return p99_ms(took), seen


async def run(
    service: RunningService, requests: int, seconds: float, control: float, seed: int
) -> bool:
    actors = {pid for pid, name, _ in processes(service) if name.startswith("ray::")}
    replica = {pid for pid, name, _ in processes(service) if "ServeReplica" in name}
    memory = [sum(kb for _, _, kb in processes(service))]
    key, loop = service.key.encode(), asyncio.get_running_loop()
    few = int(requests * control / seconds)  # As many a second.
    p99s: list[float] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:

        def start(port: int | None, number: int, span: float) -> Awaitable[Seen]:
            return loop.run_in_executor(pool, strike, port, key, number, span, seed)

        parts: dict[str, Callable[[], Awaitable[Seen]]] = {
            "alone": lambda: asyncio.sleep(control, Seen()),
            "beside a sink": lambda: start(None, few, control),
            "beside the attack": lambda: start(service.port, requests, seconds),
        }
        for name, attack_of in parts.items():
            p99, seen = await beside(service, name, attack_of())
            p99s.append(p99)
            await asyncio.sleep(SETTLE_SHARE * control)
            memory.append(sum(kb for _, _, kb in processes(service)))
    alive = {pid for pid, _, _ in processes(service)}
    print(f"p99 beside the attack: x{p99s[2] / p99s[0]:.2f} alone, x{p99s[2] / p99s[1]:.2f} sink")
    print(f"{requests} hostile requests in {seen.seconds:.0f} seconds")
    print(f"attackers saw: {dict(seen.statuses.most_common())}")
    print(f"answers 5xx but 503: {len(seen.failures)} {Counter(seen.failures)}")
    print(f"processes that ended: {len(actors - alive)}; replicas: {len(replica - alive)}")
    print(f"memory MB at start and after each: {[kb // 1024 for kb in memory]}")
    return not seen.failures and replica <= alive


def cpu_seconds(service: RunningService) -> dict[str, float]:
    """Return the CPU seconds that processes of the service have used, by name."""
    used: dict[str, float] = defaultdict(float)
    for pid, name, _ in processes(service):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            short = name.rpartition("/")[2].split(":http:")[0]
            used[short] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """Return what was used in between, by those who used most."""
    used = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    most = sorted(used, key=lambda name: used[name], reverse=True)[:6]
    return {name: round(used[name], 1) for name in most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--control", type=float, default=20.0, help="seconds alone, and beside the sink"
    )
    parser.add_argument(
        "--cases", type=int, default=0, help="of schemathesis, all operations together"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with RunningService(directory, ALLOTMENT_SHARDS="2", ALLOTMENT_TEST_CLOCK="1") as service:
            if options.cases:
                each = options.cases // 16
                asked = (service.address, service.key, each, options.seed, directory)
                # A machine has no room for hundreds of shards: their number is not made up.
                code, printed = run_schemathesis(*asked, "--exclude-path", "/admin/reshard")
                print(printed[-3_000:])
                well = code == 0
            if options.requests:
                arguments = (options.requests, options.seconds, options.control, options.seed)
                well = asyncio.run(run(service, *arguments)) and well
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
