"""Every benchmark and every script at its smallest size: it ends well, and says what it is for.

Most are the suite's only runs of their kind: charges and events amid kills, elections, the storm
of Stripe's events, the soak. Their exit code says whether the books are right.
"""

import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from bench.cases import all_cases, without_absent
from tests.patience import PATIENCE_SECONDS
from tests.service.attempted import ACTS
from tests.service.machines import can_have_machines
from tests.service.running import ending_with_us

ROOT = Path(__file__).parents[2]
RUN_SECONDS_MAX = 900.0  # The longest take a minute or two on two idle cores.
STOP_SECONDS_MAX = PATIENCE_SECONDS

CASES, ABSENT = without_absent(all_cases([1]))
BENCHMARKS = {
    "bench --seconds 0.2 --warm-up 0.1 --rounds 1 --connections 1 --users 50": [
        rf"\[1/{len(CASES)}\] status, allotment, 1 connections\n",
        rf"\[{len(CASES)}/{len(CASES)}\] usage, Python client, batches of 256, about 0:00:\d\d left\n",
        *(f"^{re.escape(name)} is skipped: {re.escape(why)}$" for name, why in ABSENT.items()),
        *(
            rf"│ {re.escape(case.job)} +│ {re.escape(case.server)} +│"
            rf" {'batch ' if case.is_python else ''}{case.width} +│"
            r" +[1-9][\d,]* │[^│]+│[^│]+│[^│]+│ +0 │"
            for case in CASES
        ),
        r"│ p50 of usage at 1 / one insert usage at 1 +│ +[\d.]+ │ +<= 1\.5 │",
        "statuses a second, Python, batches of 256",
    ],
    "bench memory --accounts 1000": [r"\] loading 1,000 accounts\n", r"│ all \(target <= 1536\)"],
    "bench sweep --accounts 50 --seconds 0.2 --warm-up 0.1": [
        "a sweep and usage beside each other\n",
        r"│ drift +│ +0 │ +0, after it 0 │",
    ],
    "bench warm --accounts 100": [r"\[9/9\] from memory, round 3", "accounts/CPU s from memory:"],
    "bench growth --accounts 50 --shards 1": [
        "50 accounts, shards: 1\n",
        *(rf"│ {step} +│ 50 +│ 1 +│ +[\d.]+ │" for step in ("warm", "resync", "sweep", "another")),
        r"│ ShardActor +│ +[1-9]\d* │",
    ],
    "bench storage": [
        r"│ a charge, alone +│ allotment_journal +│ +1\.0 │ +1,\d{3} │ +0 │ +3\.0 │",
        r"│ a charge, alone +│ all +│ +4\.0 │",
        r"│ a hold and its settlement, ten at once +│ all +│ +3\.2 │",
    ],
    "bench console --seconds 1 --warm-up 0.2 --rounds 2 --connections 4 --users 50": [
        *(rf"\[{n}/4\] charges, console {what}" for n, what in ((1, "closed"), (2, "open"))),
        r"│ 2 +│ +[1-9][\d,]* │ +[1-9][\d,]* │ +[\d.]+ │",
        r"│ median +│ +[1-9][\d,]* │ +[1-9][\d,]* │ +[\d.]+ │",
        r"│ errors +│ +0 │ +0 │",
        r"looked at: [1-9]\d* pages",
    ],
    "bench events": [r"\[1/15\] charging\n", r"│ crosses the line +│ +1 │"],
}
BESIDE = [
    *("nothing", "lists", "statuses", "charges", "batches of charges", "refused charges"),
    *("unknown users", "a spoilt entry"),
    "grants with the longest texts",
    *("event streams", "idle connections", "HTTP/2 connections"),
    *(["a clock that is 400 days ahead"] if shutil.which("cc") else []),
]
SCRIPTS = {
    "tests.simulation --seeds 2": ["2 seeds, 0 failed"],
    "tests.simulation --seeds 2 --duels": ["2 seeds, 0 failed"],
    "tests.simulation.mutating --only keep-accounts-that-moved --seeds 60": ["1 of 1 caught"],
    "tests.service.isolation --seconds 1": [
        *(rf"^\| {beside} \| \d+ ms \| \d+ ms \| [\d.]+ \| \d+ \| 0 \|" for beside in BESIDE),
        *(["all had what they had"] if shutil.which("cc") else []),
        "shards that were started again: 0",
    ],
    "tests.service.attempts": [
        rf"^\| {re.escape(done)} \| .* \| 0 of \d+ refused \|" for done in ACTS
    ],
    "tests.service.attack --requests 100 --seconds 1 --control 1 --cases 16": [
        "100 hostile requests",
        "answers 5xx but 503: 0",
        r"p99 beside the attack: x[\d.]+ alone",
    ],
    "tests.service.console_speed --users 20 --records 200 --rounds 1": [
        *(rf"^{name} +[\d.]+ ms$" for name in ("overview", "subscriptions", "a user", "audit"))
    ],
    "tests.service.elections --seconds 12 --users 20 --callers 4 --stalls 1": [
        r"^[1-9]\d* elections, 1 stalls; answers: .*'usage 201': [1-9]",
        "^all is as it must be$",
    ],
    "tests.service.events_latency --events 3": [
        '"case": "alone", "events": 3,',
        '"case": "beside three in trouble", "events": 3,',
    ],
    "tests.service.events_run --users 300 --kill-every 1.5 --seed 7": [
        '"users": 300,.*"users_told_wrongly": 0,.*"repeats_with_another_body": 0,'
    ],
    "tests.service.faults --pause 0.2 --only 'shard killed'": [
        r"\| shard killed .*\| 0, 0 \| [\d.]+ s"
    ],
    "tests.service.foreign_edits --documents 8 --edits 10 --users 5 --stopped 2": [
        '"run": "latency", "documents": 8,',
        '"run": "chaos",.*"differing": 0,.*"charges_lost": 0,',
        '"run": "lost",.*"differing": 0,',
    ],
    "tests.service.load --users 400 --seconds 12 --kill-every 4 --seed 1": [
        r'"acknowledged": [1-9].*"killed_answers_after": \[[\d., ]+\].*"agree": true'
    ],
    "tests.service.overload --seconds 1": [
        r"sustained: [1-9]\d* charges a second",
        r"acknowledged [1-9]\d*: .*: agree",
    ],
    "tests.service.reshard --connections 8 --pause 0.1 --through 2,3 --kill yes": [
        r"\| 2 → 3, janitor killed \|.*\| 0, 0 \|",
        r"started again: \d+ moved, 4 shards",
    ],
    "tests.service.soak --minutes 0.25 --every 1": [
        "all is as it must be",
        r"charges [1-9]\d*, records",
        r"edited: .*, charges [1-9]",
        r"faults: \{'",
        r"edits: [1-9]\d*; Stripe's events: [1-9]",
    ],
    "tests.service.stripe_burst --subscriptions 8 --kills 1 --seed 3": [
        "events of 8 subscriptions",
        "^1 kills,",
    ],
    "tests.service.stripe_strangers --strangers 200 --payers 2": [
        r"credits came after .* [12] of them amid it$",
        r"^parked: [1-9]\d* → .* → 0; \d+ requests meanwhile$",
    ],
}
ON_MACHINES = {
    "tests.service.deployed": ["shards are on 2 nodes"],
    "tests.service.nodes --pause 0.2 --only 'node drained'": [r"\| node drained .*\| 0, 0 \|"],
}


def run(command: str) -> str:
    """Run a module to its end, as a user whose terminal is a file; return what it prints."""
    process = subprocess.Popen(
        ending_with_us("-m", *shlex.split(command)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, said = process.communicate(timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # It stops what it has started.
        printed, said = process.communicate(timeout=STOP_SECONDS_MAX)
        said += f"\nit did not end within {RUN_SECONDS_MAX:.0f} seconds"
    assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{printed}\n{said}"
    return printed


def check(command: str, wanted: list[str]) -> None:
    printed = run(command)
    for pattern in wanted:
        assert re.search(pattern, printed, re.MULTILINE), f"{pattern!r} is not in:\n{printed}"


@pytest.mark.service
@pytest.mark.parametrize("command", BENCHMARKS)
def test_a_benchmark_measures_every_case_without_an_error(command: str) -> None:
    check(command, BENCHMARKS[command])


@pytest.mark.service
@pytest.mark.parametrize("command", SCRIPTS)
def test_a_script_ends_well_and_prints_what_it_found(command: str) -> None:
    check(command, SCRIPTS[command])


@pytest.mark.service
@pytest.mark.skipif(not can_have_machines(), reason="namespaces of Linux need root")
@pytest.mark.parametrize("command", ON_MACHINES)
def test_a_script_for_several_machines_ends_well(command: str) -> None:
    check(command, ON_MACHINES[command])


def test_every_script_is_run_here() -> None:
    helpers = {"dying_client", "open_loop", "receiver_process"}  # Run by tests and by scripts.
    there = {
        path.stem
        for path in (ROOT / "tests" / "service").glob("*.py")
        if '__name__ == "__main__"' in path.read_text() and not path.name.startswith("test_")
    }

    run_here = {command.split()[0].rpartition(".")[2] for command in {**SCRIPTS, **ON_MACHINES}}
    assert there - helpers <= run_here
