"""A service as the console sees it: HTTP that answers from a table, without Ray, RAM or a database."""

import json
from typing import Any, NamedTuple

import httpx
from pydantic import BaseModel

from actors.auth.audit import ActPage
from actors.auth.key_records import KeyPage, MadeKey
from actors.events.endpoint_reports import EndpointRecord, EndpointTrial, MadeEndpoint
from actors.events.reports import EventsReport
from actors.protocol.ranking import RankedUsers
from actors.protocol.reports import ReshardReport, ShardReport, SweepReport, SyncReport
from domain.api.answers import CreditStatusResponse, SubscriptionPage, UserSubscriptions
from domain.api.history_answers import HistoryPage
from domain.api.hold_answers import OpenHolds
from domain.api.price_answers import PriceListRecord
from domain.api.refusal_answers import RefusalPage
from domain.api.usage_answers import RecentUsage, UsagePage
from tests.builders.examples import example

ADMIN_KEY = "allot_the-operator"
READ_KEY = "allot_a-reader"
NOWHERE = "http://service.invalid"
MODELS: list[type[BaseModel]] = [
    *(ShardReport, SyncReport, SweepReport, EventsReport, ReshardReport),
    *(CreditStatusResponse, UserSubscriptions, SubscriptionPage, OpenHolds, UsagePage),
    *(RecentUsage, HistoryPage, KeyPage, MadeKey, ActPage),
    *(RefusalPage, PriceListRecord, EndpointRecord, MadeEndpoint, EndpointTrial),
    RankedUsers,
]
EXAMPLES = {model.__name__: example(model) for model in MODELS}
"""What the interface's document shows of each answer."""


class Asked(NamedTuple):
    """One request that was made."""

    method: str
    path: str
    params: dict[str, str]
    body: Any
    key: str
    idempotency_key: str | None


def problem(status: int, code: str, title: str) -> httpx.Response:
    return httpx.Response(status, json={"status": status, "code": code, "title": title})


class HttpService:
    """Answers the interface's examples, what a test puts in their place, and 404 for the rest."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.is_away = False
        self.revoked: set[str] = set()
        self.answers: dict[tuple[str, str], Any] = {
            ("GET", "/readyz"): {"status": "ready"},
            ("GET", "/admin/shards"): [EXAMPLES["ShardReport"]],
            ("GET", "/admin/sync"): EXAMPLES["SyncReport"],
            ("GET", "/admin/sweeps"): [EXAMPLES["SweepReport"]],
            ("GET", "/admin/events"): EXAMPLES["EventsReport"],
            ("GET", "/admin/endpoints"): [EXAMPLES["EndpointRecord"]],
            ("GET", "/admin/reshard"): EXAMPLES["ReshardReport"],
            ("GET", "/admin/users"): EXAMPLES["RankedUsers"],
            ("GET", "/admin/refusals"): EXAMPLES["RefusalPage"],
            ("GET", "/admin/prices"): EXAMPLES["PriceListRecord"],
            ("GET", "/admin/keys"): EXAMPLES["KeyPage"],
            ("GET", "/admin/audit"): EXAMPLES["ActPage"],
            ("GET", "/subscriptions"): EXAMPLES["SubscriptionPage"],
            ("GET", "/subscription/status"): EXAMPLES["CreditStatusResponse"],
            ("GET", "/subscriptions/ada"): EXAMPLES["UserSubscriptions"],
            ("GET", "/subscription/holds"): EXAMPLES["OpenHolds"],
            ("GET", "/subscription/usage"): EXAMPLES["UsagePage"],
            ("GET", "/subscription/usage/recent"): EXAMPLES["RecentUsage"],
            ("GET", "/subscriptions/ada/history"): EXAMPLES["HistoryPage"] | {"next_cursor": None},
        }

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    @property
    def writes(self) -> list[Asked]:
        return [one for one in self.asked if one.method != "GET"]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("nobody listens")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.url.path != "/readyz":
            if key not in (ADMIN_KEY, READ_KEY) or key in self.revoked:
                return problem(401, "unauthorized", "The key is not known")
            if key == READ_KEY and request.url.path.startswith("/admin"):
                return problem(403, "forbidden", "The key has not the scope admin")
            self._note(request, key)
        path = request.url.raw_path.decode().partition("?")[0]
        found = self.answers.get((request.method, path))
        if found is None:
            return problem(404, "not_found", "There is no such thing")
        found = found() if callable(found) else found
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    def _note(self, request: httpx.Request, key: str) -> None:
        path = request.url.raw_path.decode().partition("?")[0]
        body = json.loads(request.content) if request.content else None
        params = dict(request.url.params)
        once = request.headers.get("Idempotency-Key")
        self.asked.append(Asked(request.method, path, params, body, key, once))
