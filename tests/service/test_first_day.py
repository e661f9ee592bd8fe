"""The first day with Allotment: what a new user does, over HTTP."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.service.requests import PAYMENT, add_credits, charge, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

REVOCATION_SECONDS_MAX = 5.0


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """Return the name of a user nobody else charges."""
    name: str = request.node.name
    return name[-100:].replace("[", "-").replace("]", "")


def test_three_thousand_credits_over_thirty_days_are_ninety_a_day(
    http: httpx.Client, user: str
) -> None:
    added = add_credits(http, user)
    charged = charge(http, user, 30)

    assert added.status_code == 201
    assert added.json()["created"] is True
    assert added.json()["subscription"]["daily_credit_limit"] == 90
    assert charged.status_code == 201
    assert charged.json()["remaining_credits"] == 60
    assert status(http, user)["remaining_credits"] == 60


def test_a_user_without_subscription_has_status_none_and_nothing_to_spend(
    http: httpx.Client, user: str
) -> None:
    refused = charge(http, user, 1)

    shown = status(http, user)
    assert shown["status"] == "none"
    assert shown["subscription_id"] is None
    assert shown["remaining_credits"] == shown["total_credits"] == 0
    assert refused.status_code == 402
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "no_active_subscription"


def test_a_charge_past_the_day_is_refused_and_says_when_it_would_pass(
    http: httpx.Client, user: str
) -> None:
    add_credits(http, user)

    refused = charge(http, user, 100)

    problem = refused.json()
    assert refused.status_code == 402
    assert problem["code"] == "insufficient_credits"
    assert problem["limit"] == "daily"
    assert (problem["remaining_credits"], problem["required_credits"]) == (90, 100)
    assert problem["available_at"] == status(http, user)["resets_at"]


def test_a_repeat_gets_the_first_answer_and_another_body_is_refused(
    http: httpx.Client, user: str
) -> None:
    add_credits(http, user)

    first = charge(http, user, 50, key="k")
    again = charge(http, user, 50, key="k")
    other = charge(http, user, 51, key="k")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert status(http, user)["remaining_credits"] == 40


def test_a_kept_refusal_is_repeated_even_after_credits_were_added(
    http: httpx.Client, user: str
) -> None:
    first = charge(http, user, 50, key="k")

    add_credits(http, user)
    again = charge(http, user, 50, key="k")

    assert first.status_code == 402
    assert (again.status_code, again.content) == (402, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert charge(http, user, 50).status_code == 201


def test_a_payment_adds_its_credits_once_whatever_the_key(http: httpx.Client, user: str) -> None:
    add_credits(http, user)

    again = add_credits(http, user)

    assert (again.status_code, again.json()["code"]) == (422, "duplicate_payment")
    assert status(http, user)["total_credits"] == 3000


def test_a_batch_decides_every_record_on_its_own(http: httpx.Client, user: str) -> None:
    add_credits(http, user)
    record = {"user_id": user, "service_type": "chat", "credit_amount": 40}
    records = [record, record | {"credit_amount": -1}, record, record]

    answer = http.post("/subscription/usage/batch", json={"records": records})

    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [result["status"] for result in results] == [201, 422, 201, 402]
    assert results[2]["record"]["remaining_credits"] == 10
    assert results[3]["problem"]["code"] == "insufficient_credits"


def test_lists_and_months_see_every_acknowledged_charge(http: httpx.Client, user: str) -> None:
    add_credits(http, user)
    ids = [charge(http, user, amount).json()["usage_id"] for amount in (1, 2, 3)]

    page = http.get("/subscription/usage", params={"user_id": user, "limit": 2}).json()
    rest = http.get(
        "/subscription/usage", params={"user_id": user, "cursor": page["next_cursor"]}
    ).json()
    month = http.get(
        "/subscription/usage/monthly",
        params={"user_id": user, "month": f"{datetime.now(UTC):%Y-%m}"},
    ).json()

    listed = [item["usage_id"] for item in (*page["items"], *rest["items"])]
    assert sorted(listed) == sorted(ids)
    assert rest["next_cursor"] is None
    assert (month["records"], month["credit_amount"]) == (3, 6)
    assert month["by_service"]["chat"]["credit_amount"] == 6


def test_subscriptions_show_their_grants(http: httpx.Client, user: str) -> None:
    add_credits(http, user)
    add_credits(http, user, amount=100, days=1, payment=PAYMENT | {"transaction_id": "t-2"})

    listed = http.get(f"/subscriptions/{user}").json()["subscriptions"]

    assert len(listed) == 1
    assert [grant["amount"] for grant in listed[0]["grants"]] == [3000, 100]
    assert listed[0]["total_credits"] == 3100


def test_nothing_is_answered_without_a_key_but_the_probes_and_the_schema(
    service: RunningService,
) -> None:
    with httpx.Client(base_url=service.address) as stranger:
        open_paths = [
            stranger.get(path).status_code for path in ("/healthz", "/readyz", "/openapi.json")
        ]
        closed = [
            stranger.get("/subscription/status?user_id=ada"),
            stranger.post("/subscription/usage", json={}),
            stranger.get("/subscriptions/ada"),
            stranger.get("/admin/shards"),
        ]

    assert open_paths == [200, 200, 200]
    assert [answer.status_code for answer in closed] == [401] * 4
    assert {answer.json()["code"] for answer in closed} == {"unauthorized"}


def test_keys_are_made_listed_and_revoked_beside_the_running_service(
    service: RunningService,
) -> None:
    key = service.command("keys", "create", "--scope", "read", "--name", "panel").stdout.strip()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=service.address, headers=headers) as reader:
        reads = reader.get("/subscription/status?user_id=ada").status_code
        writes = reader.post("/subscription/usage", json={"user_id": "ada"})
        listed = service.command("keys", "list").stdout
        key_id = next(line.split("\t")[0] for line in listed.splitlines() if "panel" in line)
        revoked = service.command("keys", "revoke", key_id)

        wait_until(
            lambda: reader.get("/subscription/status?user_id=ada").status_code == 401,
            REVOCATION_SECONDS_MAX,
        )

    assert (reads, writes.status_code, writes.json()["code"]) == (200, 403, "forbidden")
    assert revoked.returncode == 0
    assert key not in listed
    assert key not in "".join(service.output)


def test_the_status_command_prints_a_row_a_shard(service: RunningService) -> None:
    printed = service.command("status")

    assert printed.returncode == 0, printed.stderr
    assert "shard-000" in printed.stdout
    assert "shard-001" in printed.stdout


def test_the_service_listens_on_loopback_only(service: RunningService) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}") as client:
        assert client.get("/healthz").status_code == 200

    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].split(":")[1], 16) == service.port
    ]
    assert listening == [f"0100007F:{service.port:04X}"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ALLOTMENT_MONGO_URI": "mongodb://127.0.0.1:9/"}, "MongoDB does not answer"),
        ({"ALLOTMENT_ROLLOVER": "some"}, "ALLOTMENT_ROLLOVER"),
        ({"ALLOTMENT_PRICES": "/no/list"}, "ALLOTMENT_PRICES: /no/list: it cannot be read"),
        ({"ALLOTMENT_PRICES": "Makefile"}, "ALLOTMENT_PRICES: Makefile: it is not TOML"),
    ],
)
def test_what_is_wrong_at_start_is_said_in_a_sentence(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    said = RunningService(tmp_path, **settings).command("up")

    assert said.returncode == 1
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr


def test_a_taken_port_and_a_locked_data_directory_are_said_in_a_sentence(
    service: RunningService, tmp_path: Path
) -> None:
    locked = service.command("up")
    beside = RunningService(tmp_path)
    beside.port = service.port
    taken = beside.command("up")

    assert (locked.returncode, taken.returncode) == (1, 1)
    assert "data directory" in locked.stderr
    assert f"Port {service.port}" in taken.stderr
