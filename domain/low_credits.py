"""Low credits: the thresholds, in percent of what day and packs gave, and which of them were told.

The environment names one (`low_credits_percent`). Those that are set while the service runs take
its place (`low_credits_percents`), and their events name all of them: so whoever replays the
journal knows at which percent was told, whatever is in force by then.
"""

import json
from typing import Any, TypeGuard

from domain.events import Event
from domain.told import Told
from domain.values import Credits, Policy

PERCENT_MAX = 99
ONE, ALL = "low_credits_percent", "low_credits_percents"


def is_low(remaining: Credits, given: Credits, policy: Policy) -> bool:
    """Say whether so little is left of what day and packs gave that it is called low."""
    percents = policy.low_credits_percents
    highest = percents[0] if percents else policy.low_credits_percent
    return remaining * 100 <= highest * given


def has_reached(percent: int, remaining: Credits, given: Credits) -> bool:
    """Say whether what is left is at or below a threshold."""
    return remaining * 100 <= percent * given


def lowest_reached(remaining: Credits, given: Credits, policy: Policy) -> int:
    """Return the lowest threshold that was reached, where what is left is low."""
    for percent in reversed(policy.low_credits_percents):
        if has_reached(percent, remaining, given):
            return percent
    return policy.low_credits_percent


def is_told(told: Told, percent: int, policy: Policy) -> bool:
    """Say whether a threshold, or a lower one, was told of a day."""
    last = told.low_at(policy.low_credits_percent)
    return last is not None and last <= percent


def threshold_facts(percent: int, policy: Policy) -> dict[str, Any]:
    """Return what an event says of the threshold that was reached."""
    if not policy.low_credits_percents:
        return {ONE: percent}
    return {ONE: percent, ALL: policy.low_credits_percents}


def told_at(event: Event) -> Told:
    """Return what an event of low credits has told of its day."""
    if f'"{ALL}"' not in event.data:  # At the environment's; to read JSON takes its time.
        return Told.LOW_CREDITS
    percent = json.loads(event.data).get(ONE)
    return Told.LOW_CREDITS.at(percent) if is_percent(percent) else Told.LOW_CREDITS


def is_percent(value: object) -> TypeGuard[int]:
    """Say whether a value is a percent that a threshold may have."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= PERCENT_MAX
