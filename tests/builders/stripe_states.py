"""Every event of Stripe's that we handle in every state of its owner, and what becomes of it.

`python -m tests.builders.stripe_states` writes the table into docs/stripe.md.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.stripe.applier import APPLIED, IGNORED
from actors.stripe.records import EventState, StripeEvent
from domain.values import UserId
from tests.builders.id_types import forgotten
from tests.builders.stripe_news import (
    LATER,
    NAMED,
    NEWS,
    OTHER,
    OVER_DAYS,
    PACK,
    SALE,
    SECOND,
    SESSION,
    charge,
    kind_of,
)
from tests.fakes.stripe_world import ADA, BEGAN, StripeWorld, event, invoice, stripe_world
from tests.fakes.stripe_world import subscription as described

DOCS = Path(__file__).parents[2] / "docs" / "stripe.md"
BEGIN, END = (
    "<!-- events: made by python -m tests.builders.stripe_states -->\n",
    "<!-- end of events -->",
)

# --- states of the owner ------------------------------------------------------------------

Prepare = Callable[[StripeWorld], Awaitable[None]]


def _sell(world: StripeWorld, *prices: dict[str, Any]) -> None:
    """Let the checkouts be of these prices, each of one."""
    for number, price in enumerate(prices, 1):
        world.stripe.lines[f"cs_{number}"] = [{"id": "li_1", "price": price, "quantity": 1}]


async def _waits(world: StripeWorld) -> None:
    await world.settle(
        event("begun", "customer.subscription.created", described(user=None)),
        event("first", "invoice.paid", invoice(total=2900), 1),
    )


async def _is_known(world: StripeWorld) -> None:
    world.stripe.objects["cus_1"] = NAMED


async def _is_active(world: StripeWorld) -> None:
    await _is_known(world)
    await world.settle(
        event("begun", "customer.subscription.created", described()),
        event("first", "invoice.paid", invoice(total=2900), 1),
    )


async def _is_paused(world: StripeWorld) -> None:
    await _is_active(world)
    held = described(status="paused")
    world.stripe.objects["sub_1"] = held
    await world.settle(event("held", "customer.subscription.paused", held, LATER - 120))


async def _is_cancelled(world: StripeWorld) -> None:
    await _is_active(world)
    gone = described(status="canceled", ended_at=BEGAN + 60)
    world.stripe.objects["sub_1"] = gone
    await world.settle(event("gone", "customer.subscription.deleted", gone, 60))


async def _has_expired(world: StripeWorld) -> None:
    await _is_active(world)
    world.clock.advance(days=60)


async def _has_another(world: StripeWorld) -> None:
    await _is_known(world)
    world.stripe.objects["sub_2"] = described("sub_2")
    await world.settle(
        event("other", "customer.subscription.created", described("sub_2")),
        event("paid", "invoice.paid", invoice("in_9", of="sub_2"), 1),
    )


async def _is_another_products(world: StripeWorld) -> None:
    for price in ("price_1", "over_days", "pack"):
        world.stripe.objects[price] = {"id": price, "metadata": {}}
    _sell(world, {"id": "over_days"}, {"id": "pack"})


async def _is_another_products_customer(world: StripeWorld) -> None:
    await _is_known(world)
    await _is_another_products(world)


async def _knows_newer(world: StripeWorld) -> None:
    await _is_active(world)
    newer = described(status="past_due")
    world.stripe.objects["sub_1"] = newer
    await world.settle(event("newer", "customer.subscription.updated", newer, LATER + 300))


async def _was_deleted(world: StripeWorld) -> None:
    await _is_active(world)
    await forgotten(world.shard)
    world.store.collections["subscriptions"].clear()
    world.store.collections["dailycredits"].clear()
    await world.status()


async def _has_a_mistake_in_its_price(world: StripeWorld) -> None:
    await _is_active(world)
    for price in ("price_1", "over_days", "pack"):
        world.stripe.objects[price] = {"id": price, "metadata": {"allotment_credits": "3,000"}}
    _sell(world, {"id": "over_days"}, {"id": "pack"})
    world.restart()  # Prices are remembered for a minute.


STATES: dict[str, Prepare] = {
    "unknown user, a period is paid": _waits,
    "known, no subscription": _is_known,
    "active": _is_active,
    "paused": _is_paused,
    "cancelled": _is_cancelled,
    "expired": _has_expired,
    "another of Stripe's": _has_another,
    "another product's, unknown user": _is_another_products,
    "another product's, known user": _is_another_products_customer,
    "active, the price says 3,000": _has_a_mistake_in_its_price,
    "repeated": _is_active,
    "newer is known": _knows_newer,
    "document deleted": _was_deleted,
}


# --- what becomes of it -------------------------------------------------------------------


@dataclass(frozen=True)
class Fate:
    """What became of one event in one state."""

    outcome: str
    credits_before: int
    credits_after: int
    status_before: str
    status_after: str
    others: int
    """Credits that anybody else has got."""

    @property
    def changes(self) -> bool:
        before, after = (
            (self.credits_before, self.status_before),
            (self.credits_after, self.status_after),
        )
        return before != after

    def __str__(self) -> str:
        if not self.changes:
            return "=" if self.outcome == "applied" else self.outcome
        more, status = self.credits_after - self.credits_before, self.status_after
        said = [] if self.outcome == "applied" else [self.outcome]
        said += [f"{more:+,}"] if more else []
        said += [f"→ {status}"] if status != self.status_before else []
        return ", ".join(said)


def _outcome(world: StripeWorld, told: StripeEvent) -> str:
    if told.state is EventState.FAILED:
        return "dead letter"
    if told.state is EventState.RECEIVED:
        return "parked" if told.parked else "waits"
    said = world.ledger.outcomes[told.event_id]
    return {APPLIED: "applied", IGNORED: "ignored"}.get(said, said)


async def _credits(world: StripeWorld, user: str = ADA) -> tuple[int, str]:
    """Return what all subscriptions and packs of a user give, and the status that is shown."""
    shown = await world.status(user)
    await world.shard.settle()
    documents = [
        one
        for of in ("subscriptions", "packs")
        for one in world.store.documents_of(of, UserId(user))
    ]
    return sum(one["spendable_credits"] for one in documents), str(shown.status)


async def fate(told: str, name: str) -> Fate:
    """Return what becomes of one piece of news in one state."""
    news, kind = NEWS[told], kind_of(told)
    async with stripe_world() as world:
        world.stripe.objects |= {
            "sub_1": described(user=None),
            "in_1": invoice(total=2900),
            "in_2": SECOND,
            "cs_1": SESSION,
            "cs_2": SALE,
            "ch_1": charge(0),
            "ch_2": charge(0, of=2),
        }
        world.stripe.invoices_of["pi_1"] = "in_1"
        world.stripe.checkouts_of["pi_2"] = "cs_2"
        _sell(world, OVER_DAYS, PACK)
        await STATES[name](world)
        for number, (earlier, about) in enumerate(news.before):
            world.stripe.objects[about["id"]] = about
            await world.settle(event(f"earlier{number}", earlier, about, LATER - 60 + number))
        before, status_before = await _credits(world)
        ended = name in ("cancelled", "newer is known")  # What Stripe says then it goes on saying.
        for about in (news.about, *news.known):
            if not (ended and about["id"] == "sub_1"):
                world.stripe.objects[about["id"]] = about
        bodies = [event("1", kind, news.about, LATER)]
        if name == "repeated":  # The same event again, and the same news under another id.
            bodies += [bodies[0], event("2", kind, news.about, LATER), bodies[0]]
        for body in bodies:
            await world.settle(body)
        after, status_after = await _credits(world)
        others, _ = await _credits(world, "eve")
        outcome = _outcome(world, world.ledger.events["evt_1"])
        return Fate(outcome, before, after, status_before, status_after, others)


def fates() -> dict[tuple[str, str], Fate]:
    """Return what becomes of each (news, state)."""

    async def all_of_them() -> dict[tuple[str, str], Fate]:
        return {(kind, name): await fate(kind, name) for kind in NEWS for name in STATES}

    return asyncio.run(all_of_them())


# --- the table ----------------------------------------------------------------------------


def table(found: dict[tuple[str, str], Fate]) -> str:
    """Return the table as Markdown: a row an event, events of one fate and news together."""
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    says = ""
    for kind, news in NEWS.items():
        says = says if news.says == "the same" else news.says
        cells = tuple(str(found[kind, name]) for name in STATES)
        rows.setdefault((says, cells), []).append(kind_of(kind))
    head = ["event", "says", *STATES]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for (said, cells), kinds in rows.items():
        names = ", ".join("any other" if kind == OTHER else f"`{kind}`" for kind in kinds)
        lines.append(f"| {' | '.join((names, said, *cells))} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """Return the table that the docs have."""
    return DOCS.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    before, _, rest = DOCS.read_text().partition(BEGIN)
    text = table(fates())
    DOCS.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")
    sys.stdout.write(f"{DOCS} is written\n")


if __name__ == "__main__":
    main()
