"""The commit before reads what this one writes, or refuses the database: a rollback loses nobody.

It reads a database in a process of its own, from a copy of its code. A change of ours that it would
misread needs another number in `actors/mongo/stored_format.py`.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.mongo.stored_format import FORMAT
from domain.documents.journal import KINDS, entry_document
from domain.messages import CommandRefused, GrantFromStripe
from domain.pricing import Price, PriceList
from domain.stripe import VoidGrants
from domain.values import Credits
from tests.builders.authors import views_of
from tests.builders.ledger import NOON, USER, Ledger, pay
from tests.builders.lives import KINDS as STEP_KINDS
from tests.builders.lives import Step, live
from tests.fakes.setups import MongoSetup
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]
CODE = ("actors", "domain")
LATER = NOON + timedelta(days=400)

READ = """
import json, sys
from datetime import datetime
from importlib import import_module

def part(name, *places):
    # The commit before may have it elsewhere.
    for place in places:
        try:
            return getattr(import_module(place), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(name)

connect = part("connect", "actors.mongo.connection")
MongoStore = part("MongoStore", "actors.mongo.accounts.store", "actors.mongo.store")
UnsuitableDatabaseError = part(
    "UnsuitableDatabaseError", "actors.protocol.store", "actors.mongo.connection"
)
check_format = part("check_format", "actors.mongo.stored_format")
status_answer = part("status_answer", "domain.api.render", "domain.answering")
recover = part("recover", "domain.documents.recovery", "domain.recovery")
Policy = part("Policy", "domain.values")

uri, name, user, now, *keys = sys.argv[1:]
database, now = connect(uri, name), datetime.fromisoformat(now)
try:
    check_format(database)
except UnsuitableDatabaseError as error:
    print(json.dumps({"refused": str(error)}))
    sys.exit()
store = MongoStore(database)
(stored,) = store.load([user], now)
status = status_answer(recover(stored, now, Policy()).account, now, Policy())
found = store.find_entries([(user, key) for key in keys])
print(json.dumps({
    "status": json.loads(status.model_dump_json()),
    "answers": {e.key: e.answer for e in found},
}))
"""


def git(*arguments: str) -> bytes:
    """Return what git says. Skips where there is no history to ask."""
    run = subprocess.run(
        ["git", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    if run.returncode:
        pytest.skip("there is no commit before this one here")
    return run.stdout


@pytest.fixture(scope="session")
def code_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the code of the commit before, be this one committed or not."""
    changed = git("status", "--porcelain", "--", *CODE)
    archive = git("archive", "HEAD" if changed else "HEAD~1", *CODE)
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def life(seed: int) -> Ledger:
    """Return a life with every kind of entry."""
    ledger, dice = Ledger(), Random(seed)
    ledger.policy = replace(
        ledger.policy, prices=PriceList((Price("chat", "m-*", Decimal("0.3"), 10),))
    )
    begin = [Step(1, kind, 200, 9) for kind in ("add", "paid by stripe", "hold", "hold")]
    steps = [
        Step(
            dice.choice((0, 1, 30)),
            dice.choice(STEP_KINDS),
            dice.randrange(300),
            1 + dice.randrange(9),
        )
        for _ in range(200)
    ]
    now = live(ledger, [*begin, *steps])
    refund_and_return(ledger, now)
    return ledger


def refund_and_return(ledger: Ledger, now: datetime) -> None:
    """Void half of a payment, give it back on another day, and void the whole of another."""
    for name in ("in_a", "in_b"):
        period = now, now + timedelta(days=30)
        ledger.do(GrantFromStripe(USER, Credits(900), *period, pay(name), "sub_9"), now)
        ledger.do(VoidGrants(USER, name, 1, 2, 1), now)
    later = now + timedelta(days=3)
    ledger.do(VoidGrants(USER, "in_a", 2, 2, 2), later)
    ledger.do(VoidGrants(USER, "in_b", 0, 2, 2), later)


def read_with(code: Path, setup: MongoSetup, uri: str, keys: list[str]) -> dict[str, Any]:
    """Return what this code makes of the database."""
    run = subprocess.run(
        [sys.executable, "-c", READ, uri, setup.database.name, USER, LATER.isoformat(), *keys],
        cwd=code,
        env=os.environ | {"PYTHONPATH": str(code)},
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert run.returncode == 0, run.stderr.decode()
    found: dict[str, Any] = json.loads(run.stdout)
    return found


OF_THIS_FORMAT = {"pack_added", "pack_expired", "usage_reversed", "credits_adjusted"}
"""Kinds of entries that came with the format: versions before it refuse the whole database."""


@pytest.mark.parametrize("in_views", [0, 100, -1, None])
def test_the_commit_before_goes_on_with_what_this_one_wrote(
    embedded: MongoSetup, mongo_uri: str, code_before: Path, in_views: int | None
) -> None:
    entries = life(seed=7).entries
    assert {entry_document(entry)["kind"] for entry in entries} == set(KINDS) - OF_THIS_FORMAT
    embedded.store.append(entries)
    if in_views != 0:  # None: all.
        embedded.store.write_views(views_of(*entries[:in_views]))
    keys = [entry.key for entry in entries]

    before = read_with(code_before, embedded, mongo_uri, keys)

    if "refused" in before:
        assert f"format {FORMAT}" in before["refused"]
        return
    now = read_with(ROOT, embedded, mongo_uri, keys)
    known = before["status"].keys() & now["status"].keys()
    assert {n: before["status"][n] for n in known} == {n: now["status"][n] for n in known}
    assert before["answers"] == now["answers"]
    refusals = {e.key for e in entries if isinstance(e.change, CommandRefused)}
    assert {key for key, answer in now["answers"].items() if answer is None} == refusals
