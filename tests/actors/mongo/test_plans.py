"""What operators' pages read is found by an index: the server's own plans of every such query.

They are those of the embedded server, or of the MongoDB that ALLOTMENT_TEST_MONGO_URI names.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pymongo
import pymongo.monitoring
import pytest

from actors.mongo.accounts.overview import MongoOverview
from actors.mongo.accounts.reads import MongoReads
from actors.mongo.audit import MongoAudit
from actors.mongo.embedded_wire import Documents
from actors.mongo.events import MongoEvents
from actors.mongo.jobs.agenda import MongoAgenda
from actors.mongo.prices import MongoPrices
from actors.mongo.stripe import MongoStripe
from actors.protocol.queries import (
    HistoryQuery,
    RefusalPageQuery,
    SubscriptionPageQuery,
    UsageQuery,
)
from domain.values import Status, UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.setups import MongoSetup, in_utc

ADA = UserId("ada")
OLD_ID = "5" + "a" * 23
MONTH = (NOON - timedelta(days=30), NOON + timedelta(days=1))
EXPLAINED = ("find", "aggregate")
OF_THE_CALL = {"lsid", "$db", "$clusterTime", "txnNumber", "$readPreference", "maxTimeMS"}
PAGES: dict[str, Callable[[Documents], object]] = {
    "users": lambda d: MongoOverview(d, "UTC").subscription_page(
        SubscriptionPageQuery(None, 2, None), NOON
    ),
    "users of a status": lambda d: MongoOverview(d, "UTC").subscription_page(
        SubscriptionPageQuery(Status.ACTIVE, 2, None), NOON
    ),
    "more users": lambda d: MongoOverview(d, "UTC").subscription_page(
        SubscriptionPageQuery(None, 2, f"o{OLD_ID}"), NOON
    ),
    "refusals": lambda d: MongoOverview(d, "UTC").refusal_page(RefusalPageQuery(1, None), NOON),
    "older refusals": lambda d: MongoOverview(d, "UTC").refusal_page(
        RefusalPageQuery(1, "1773144000000.ada 9"), NOON
    ),
    "whose a subscription is": lambda d: MongoOverview(d, "UTC").owner_of("a" * 24),
    "whose a charge was": lambda d: MongoOverview(d, "UTC").charged("a" * 24),
    "a user's subscriptions": lambda d: MongoReads(d).subscriptions_of(ADA),
    "a user's packs": lambda d: MongoReads(d).packs_of(ADA),
    "a user's records": lambda d: MongoReads(d).usage_page(UsageQuery(ADA, *MONTH, 1, None), NOON),
    "a user's usage": lambda d: MongoReads(d).usage_sums(ADA, MONTH, "UTC"),
    "a user's history": lambda d: MongoReads(d).history(HistoryQuery(ADA, 25, None)),
    "the audit": lambda d: MongoAudit(d).page(50, None, None),
    "the audit of one": lambda d: MongoAudit(d).page(50, None, "key:1"),
    "sweeps of a job": lambda d: MongoAgenda(d).reports(1, "sweep"),
    "the price list": lambda d: MongoPrices(d).read(),
    "dead letters": lambda d: MongoEvents(d).dead(50),
    "Stripe's events": lambda d: MongoStripe(d).unapplied(50),
}


class Commands(pymongo.monitoring.CommandListener):
    """Keeps the commands that read."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        if event.command_name in EXPLAINED:
            told = event.command.items()
            self.seen.append({name: value for name, value in told if name not in OF_THE_CALL})

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass


def stages(plan: object) -> list[str]:
    """Return the names of all stages of a plan."""
    if isinstance(plan, list):
        return [stage for one in plan for stage in stages(one)]
    if not isinstance(plan, dict):
        return []
    own = [plan["stage"]] if isinstance(plan.get("stage"), str) else []
    return own + [stage for child in plan.values() for stage in stages(child)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_reads_by_an_index(embedded: MongoSetup, mongo_uri: str, page: str) -> None:
    author = Author("ada")
    write(embedded.store, [author.add(), author.use(5), author.use(900), author.use(901)])
    commands = Commands()
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        mongo_uri, event_listeners=[commands], retryWrites=False
    )
    with client:
        PAGES[page](in_utc(client, embedded.database.name))

    assert commands.seen
    for command in commands.seen:
        told = embedded.database.command("explain", command, verbosity="queryPlanner")
        found = stages(told)
        assert found, told
        assert "COLLSCAN" not in found, command
