"""What a seed decides before anything happens: how many, how often, and which faults.

Each simulation has a few kinds of fault, some of them often: that finds more than all of them
always and everywhere.
"""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.simulation.database import Faults
from tests.simulation.network import Troubles

ZONES = ("UTC", "UTC", "Europe/Berlin", "America/New_York")


@dataclass
class Plan:
    """Shares are of occasions, between 0 and 1."""

    seed: int
    shards: int
    users: int
    edited_users: int
    clients: int
    commands: int
    pause_seconds: float
    accounts_max: int
    max_staleness: float
    zone: str
    cap: int | None
    holds_max: int
    late_seconds: int
    """For how long a hold that has expired can be settled."""
    duels: float
    """Of commands: a hold is settled at the instant at which it is over."""
    start: datetime
    faults: Faults
    troubles: Troubles
    crash_share: float
    slow_calls: float
    kills: float
    sync_kills: float
    zombies: float
    jumps: float
    edit_seconds: float
    sweeps: bool
    janitor_ahead_seconds: float
    stalls: float = 0.0
    """Of occasions: so often a majority confirms nothing for a while, and some of it is rolled back."""
    reshards: float = 0.0
    """Of occasions: so often another number of shards is asked for."""
    janitor_kills: float = 0.0
    step_stalls: float = 0.0
    """Of steps of a resharding: at so many a majority stalls, or a primary is elected."""
    hand_over_lag: float = 0.0
    """Seconds after which a shard is told at most that slots are on their way."""
    low_percents: tuple[tuple[int, ...], ...] = ((),)
    """Thresholds of low credits, the highest 20: of shards that start one after the other, in turns."""


def plan_of(seed: int) -> Plan:
    """Return what a seed decides."""
    dice = random.Random(f"plan {seed}")
    zone, users = dice.choice(ZONES), dice.randrange(3, 9)

    def often(share: float) -> float:
        """Most kinds of fault are not there at all."""
        return dice.uniform(0, share) if dice.random() < 0.4 else 0.0

    edited = dice.randrange(1, users) if dice.random() < 0.5 else 0
    plan = Plan(
        seed=seed,
        shards=dice.randrange(1, 4),
        users=users,
        edited_users=edited,
        clients=dice.randrange(2, 6),
        commands=dice.randrange(8, 25),
        pause_seconds=dice.choice((0.05, 0.3, 1.0)),
        accounts_max=dice.choice((2, 5, 1_000)),
        max_staleness=dice.choice((3.0, 10.0)),
        zone=zone,
        cap=dice.choice((None, None, 0, 50)),
        holds_max=dice.choice((2, 500)),
        late_seconds=random.Random(f"late {seed}").choice((0, 3, 86_400)),
        duels=often(0.2),
        start=_start(dice, zone),
        faults=Faults(
            lost_answers=often(0.3),
            lost_appends=often(0.3),
            late_appends=often(0.3),
            refused_appends=often(0.3),
            unavailable=often(0.2),
            lost_views=often(0.4),
            silent_losses=often(0.3) if edited else 0.0,
            lost_history=often(0.2),
            stream_breaks=often(0.2),
            stream_lag=often(3.0),
        ),
        troubles=Troubles(
            lost_questions=often(0.2),
            lost_answers=often(0.2),
            silent_losses=often(0.5),
            late=often(0.15),
            repeated=often(0.3),
        ),
        crash_share=often(0.02),
        slow_calls=often(0.1),
        kills=often(0.4),
        sync_kills=often(0.3),
        zombies=often(0.3),
        jumps=often(0.3),
        edit_seconds=dice.uniform(0.1, 0.8),
        sweeps=dice.random() < 0.3,
        janitor_ahead_seconds=dice.choice((0.0, 2.0)),
    )
    plan = _on_news(plan) if edited and dice.random() < 0.3 else plan
    return _with_thresholds(_with_stalled_moves(_with_stalls(_with_other_shards(plan))))


def duels_of(seed: int) -> Plan:
    """Return a plan of which most is settlements that meet expiries, under the faults of a seed."""
    plan = plan_of(seed)
    return replace(
        plan,
        edited_users=0,
        clients=5,
        commands=20,
        pause_seconds=0.05,
        holds_max=500,
        duels=0.9,
        jumps=0.0,
    )


def _with_other_shards(plan: Plan) -> Plan:
    """Let the number of shards change in some plans, with dice of its own: the rest stays.

    Not beside two owners: leases are not simulated, and an old incarnation that answers on under
    an old table is what they are there for.
    """
    dice = random.Random(f"reshards {plan.seed}")
    if dice.random() < 0.6:
        return plan
    return replace(
        plan,
        zombies=0.0,
        reshards=dice.choice((0.1, 0.5)),
        janitor_kills=dice.choice((0.0, 0.0, 0.3)),
        hand_over_lag=dice.choice((0.0, 0.0, 2.0)),
    )


def _with_stalls(plan: Plan) -> Plan:
    """Let majorities stall in some plans, with dice of its own: the rest stays.

    Not beside two owners, of whom one is in no doubt about what the other has written. Where the
    number of shards changes they do so at its steps: see `_with_stalled_moves`.
    """
    dice = random.Random(f"stalls {plan.seed}")
    if plan.reshards or dice.random() < 0.5:
        return plan
    return replace(plan, zombies=0.0, stalls=dice.choice((0.1, 0.3, 0.6)))


def _with_thresholds(plan: Plan) -> Plan:
    """Let shards go by several thresholds in half of the plans, with dice of its own: the rest stays.

    Each start has others: so shards differ, as while a change is on its way, and what one has told
    is read back by one that goes by others.
    """
    dice = random.Random(f"thresholds {plan.seed}")
    if dice.random() < 0.5:
        return plan
    sets = ((20, 10, 5), (20, 15), (20,), ())
    return replace(plan, low_percents=tuple(dice.sample(sets, dice.randrange(1, len(sets)))))


def _with_stalled_moves(plan: Plan) -> Plan:
    """Let majorities stall at the steps of some plans' reshardings, with dice of its own."""
    dice = random.Random(f"stalled moves {plan.seed}")
    if not plan.reshards or dice.random() < 0.5:
        return plan
    plan = replace(plan, step_stalls=dice.choice((0.1, 0.3, 0.6)))
    return _calm(plan) if dice.random() < 0.5 else plan


def _calm(plan: Plan) -> Plan:
    """Return a plan in which hardly anything else happens: moves come far, and users are many."""
    return replace(
        plan,
        users=12,
        clients=5,
        commands=40,
        pause_seconds=0.5,
        accounts_max=1_000,
        duels=0.0,
        faults=Faults(stream_lag=3.0),
        troubles=Troubles(),
        crash_share=0.0,
        kills=0.0,
        jumps=0.0,
        reshards=0.5,
        step_stalls=0.8,
        janitor_kills=0.0,
        hand_over_lag=0.0,
        sweeps=False,
    )


def _on_news(plan: Plan) -> Plan:
    """Return a plan in which news get lost and their sender dies, and little else happens.

    A shard that restarts, and a stream that is lost, would hide what was not told.
    """
    return replace(
        plan,
        accounts_max=1_000,
        faults=Faults(stream_lag=plan.faults.stream_lag),
        troubles=Troubles(lost_questions=0.3, lost_answers=0.1, silent_losses=0.8),
        crash_share=0.0,
        kills=0.0,
        zombies=0.0,
        sync_kills=0.4,
        sweeps=False,
    )


def _start(dice: random.Random, zone: str) -> datetime:
    """Return an instant of some day, often a few seconds before midnight."""
    day = datetime(2026, dice.randrange(1, 13), dice.randrange(1, 28), tzinfo=ZoneInfo(zone))
    before = timedelta(seconds=dice.randrange(1, 12))
    if dice.random() < 0.6:
        return (day - before).astimezone(UTC)
    return (day + timedelta(seconds=dice.randrange(86_400))).astimezone(UTC)
