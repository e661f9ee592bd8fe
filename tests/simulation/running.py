"""Runs one seed and says how it went."""

import random
import traceback as tracebacks
from dataclasses import dataclass, field

from tests.fakes import memory_store
from tests.simulation.plan import duels_of, plan_of
from tests.simulation.world import World


@dataclass
class Verdict:
    """`did` counts what happened; `error` is empty where all promises held."""

    seed: int
    error: str = ""
    traceback: str = ""
    did: dict[str, int] = field(default_factory=dict)
    met: list[tuple[str, str, str]] = field(default_factory=list)
    """What troubled the steps of reshardings: which, when, how it ended."""


def rolled_hex(length: int | None = None) -> str:
    """Return so many bytes of the dice, as `secrets.token_hex` does of the system."""
    assert length is not None, "who asks says how many"
    return f"{random.getrandbits(8 * length):0{2 * length}x}"


def world_of(seed: int, *, duels: bool = False) -> World:
    """Return what a seed decides, the dice that are shared by all modules included."""
    random.seed(seed)  # The pauses of router and lanes are rolled with these.
    setattr(memory_store, "token_hex", rolled_hex)  # noqa: B010 - it imports the name
    return World(duels_of(seed) if duels else plan_of(seed))


def simulate(seed: int, *, duels: bool = False) -> Verdict:
    """Run one seed; `duels`: most of it settlements that meet the expiry of their hold."""
    world = world_of(seed, duels=duels)
    try:
        tally = world.run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        text = f"{type(error).__name__}: {error}"
        return Verdict(seed, text[:2000], tracebacks.format_exc())
    did = {
        "entries": tally.entries,
        "replies": tally.replies,
        "reads": tally.reads,
        "deaths": tally.deaths,
        "two owners": tally.two_owners,
        "reshards": tally.reshards,
        "foreign edits": tally.edits,
        "resyncs": tally.resyncs,
        "jumps to another day": tally.days,
        "virtual seconds": round(tally.virtual_seconds),
        "drifted accounts": tally.drifted,
        "stalls": tally.stalls,
        "rollbacks": tally.rollbacks,
        "stalls at steps of reshardings": world.step_stalls.met.total(),
        "elections": world.store.elections.held,
        "reads of the past": world.store.elections.shown_old,
        "settled in time": tally.settled_in_time,
        "settled too late": tally.settled_too_late,
    }
    met = sorted(+world.step_stalls.met)
    return Verdict(seed, did=did | dict(world.auditor.kinds), met=met)
