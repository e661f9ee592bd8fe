"""The acts: each does one thing that nobody should, looks what came of it, and undoes it where it can."""

import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from bson import ObjectId
from pymongo.database import Database

from tests.patience import PATIENCE_SECONDS
from tests.service.openness import is_loopback, listeners, open_to_others, sockets, written
from tests.service.processes import all_pids
from tests.service.requests import add_credits, charge, status
from tests.service.running import PRICES, RunningService, prices_in, wait_until

BY_TOKENS = {"service_type": "chat", "model_used": "small-1", "token_count": 9000}
OWN_KEY = b"\xa7 expire 6b0a96d692994d6854a54f4a 2027-01-01Z"
LOCK = Path(__file__).parents[2] / "requirements.lock"


class UnexpectedError(Exception):
    """Something else came of an act than must."""


class On(NamedTuple):
    """The service, an operator's connection to it, another program's to its database, its folder."""

    service: RunningService
    http: httpx.Client
    database: Database[dict[str, Any]]
    folder: Path


def must(holds: object, said: object) -> None:
    """Raise UnexpectedError where something does not hold."""
    if not holds:
        raise UnexpectedError(str(said)[:300])


def until(reached: Callable[[], bool], said: str) -> None:
    try:
        wait_until(reached, PATIENCE_SECONDS)
    except AssertionError as error:
        raise UnexpectedError(said) from error


def told(answer: httpx.Response) -> str:
    """Return what an answer says, briefly."""
    code = answer.json().get("code", "") if answer.status_code >= 400 else ""
    return f"{answer.status_code} {code}".strip()


def named_by_a_sweep(on: On, user: str) -> bool:
    return user in on.http.post("/admin/validate").json()["users"]


# --- broken by hand ---------------------------------------------------------------------------


def entry(on: On) -> str:
    """Empty the body of a charge's entry, and take its answer away."""
    user = "owner-of-an-entry"
    add_credits(on.http, user).raise_for_status()
    charge(on.http, user, 30, key="k").raise_for_status()
    where = {"command_id": f"{user} k"}
    before = on.database.allotment_journal.find_one(where)
    must(before, "the charge has no entry")
    on.database.allotment_journal.update_one(where, {"$set": {"body": {}, "answer": 7}})
    must(on.service.command("restart").returncode == 0, "no restart")
    repeat = charge(on.http, user, 30, key="k")
    must(repeat.status_code == 503, repeat.text)
    must(named_by_a_sweep(on, user), "no sweep names the user")
    on.database.allotment_journal.replace_one(where, before or {})
    until(lambda: charge(on.http, user, 30, key="k").status_code == 201, "not mended")
    must(status(on.http, user)["credits_used"] == 30, status(on.http, user))
    return f"a repeat is {told(repeat)}, the sweep names its user; put back, it is answered, once"


def document(on: On) -> str:
    """Make a subscription's total a word."""
    user = str(ObjectId())
    add_credits(on.http, user).raise_for_status()
    until(lambda: bool(on.database.subscriptions.find_one({"user_id": ObjectId(user)})), "no view")
    found = on.database.subscriptions.find_one({"user_id": ObjectId(user)}) or {}
    where = {"_id": found["_id"]}
    on.database.subscriptions.update_one(where, {"$set": {"total_credits": "lots"}})
    until(lambda: charge(on.http, user, 1).status_code != 201, "it is charged all the same")
    refused = charge(on.http, user, 1)
    must(named_by_a_sweep(on, user), "no sweep names the user")
    total = {"$set": {"total_credits": found["total_credits"]}}
    on.database.subscriptions.update_one(where, total)
    until(lambda: charge(on.http, user, 1).status_code == 201, "not mended")
    return f"its user's charge is {told(refused)}, the sweep names them; mended, it is charged"


def price_list(on: On) -> str:
    """Leave half a line of the price list."""
    user = "charged-by-tokens"
    add_credits(on.http, user).raise_for_status()

    def costs() -> int:
        answer = on.http.post("/subscription/usage", json={"user_id": user} | BY_TOKENS)
        return int(answer.json().get("credit_amount", -1))

    before = costs()
    prices_in(on.folder).write_text("[[prices]")
    until(lambda: any("stays in force" in line for line in on.service.output), "nothing is said")
    must(costs() == before, "another price is in force")
    prices_in(on.folder).write_text(PRICES)
    return "the list before stays in force, and the log says so"


# --- sent by callers --------------------------------------------------------------------------


def own_key(on: On) -> str:
    """Send a key as the service itself would."""
    body = {"user_id": "taker", "service_type": "chat", "credit_amount": 0}
    headers = {b"Idempotency-Key": OWN_KEY}
    answer = on.http.post("/subscription/usage", json=body, headers=headers)
    must(answer.status_code == 422, answer.text)
    return told(answer)


def key_in_a_trailer(on: On) -> str:
    """Show an admin key behind the body alone."""
    body = b'{"user_id": "trailed", "amount": 1, "days": 1}'
    sent = b"POST /subscription/credits HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    sent += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(body), body)
    sent += f"Authorization: Bearer {on.service.key}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", on.service.port), PATIENCE_SECONDS) as connection:
        connection.sendall(sent)
        line = connection.makefile("rb").readline().decode()
    must(line.split()[1] in {"400", "401"}, line)
    must(status(on.http, "trailed")["status"] == "none", "it was done")
    return line.split()[1]


def path_of_serves_own(on: On) -> str:
    """Ask for Serve's routes, encoded otherwise."""
    answers = {httpx.get(f"{on.service.address}{path}").status_code for path in OWN_PATHS}
    must(answers == {401}, answers)
    return "401"


OWN_PATHS = ["/-/routes", "/%2d/routes", "/-%2Froutes", "/%2D%2f%72outes"]


def name_that_moves_a_terminal(on: On) -> str:
    """Call a key as a table's markup would be, and list the keys."""
    name = "[/x]oops"
    made = on.http.post("/admin/keys", json={"name": name, "scope": "read"})
    listed = on.service.command("keys", "list")
    must((made.status_code, listed.returncode) == (201, 0), made.text + listed.stderr)
    must(name in listed.stdout, listed.stdout)
    return "it is listed as it is"


def key_after_its_time(on: On) -> str:
    """Go on with a key whose second is over."""
    made = on.http.post("/admin/keys", json={"name": "brief", "scope": "read", "expires_in": 1})
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    path = f"{on.service.address}/subscription/status?user_id=ada"
    until(lambda: httpx.get(path, headers=headers).status_code == 401, "it goes on")
    return told(httpx.get(path, headers=headers))


# --- on the machine, and on the way to it -------------------------------------------------------


def another_user_of_the_machine(on: On) -> str:
    """Look what another user could open, and from where ports can be reached."""
    pids = all_pids(on.service)
    found = {*sockets(pids), *written(pids)}
    opened = [path for path in found if open_to_others(path)]
    outside = [place for place in listeners(on.service) if not is_loopback(place.address)]
    mode = stat.S_IMODE(on.service.data_dir.stat().st_mode)
    must((opened, outside, mode) == ([], [], 0o700), (opened, outside, oct(mode)))
    return f"0 of {len(found)} files and sockets can be opened, no port is beyond loopback"


def package_replaced(on: On) -> str:
    """Offer another file under the name and version of a locked package."""
    folder = on.folder / "index"
    folder.mkdir()
    locked = next(line for line in LOCK.read_text().splitlines() if line.startswith("typer=="))
    version = locked.removeprefix("typer==").split()[0]
    (folder / f"typer-{version}-py3-none-any.whl").write_bytes(b"something else")
    install = (
        *(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--dry-run"),
        *("--ignore-installed", "--find-links", folder, "--require-hashes"),
        *("--requirement", lock_of("typer", folder)),
    )
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    must(done.returncode != 0 and "HASH" in done.stderr.upper(), done.stdout + done.stderr)
    return "pip does not install it: its hash is not the lock's"


def lock_of(package: str, folder: Path) -> Path:
    """Write the lines of the lock that are about one package; return where."""
    lines = LOCK.read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"{package}=="))
    end = begin
    while lines[end].endswith("\\"):
        end += 1
    file = folder / "one.lock"
    file.write_text("\n".join(lines[begin : end + 1]) + "\n")
    return file


ACTS: dict[str, Callable[[On], str]] = {
    "an entry of the journal emptied by hand": entry,
    "a subscription's total set to a word": document,
    "half a price list": price_list,
    "a caller sends a key of the service's own": own_key,
    "an admin key in a trailer": key_in_a_trailer,
    "Serve's own paths, encoded": path_of_serves_own,
    "a key called `[/x]oops`": name_that_moves_a_terminal,
    "a key after its time": key_after_its_time,
    "another user of the machine": another_user_of_the_machine,
    "a package replaced at the index": package_replaced,
}
