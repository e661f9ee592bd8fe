"""The short version of the storm: everything fails at once, and the books agree afterwards."""

from pathlib import Path

import pytest

from tests.service.stripe_burst import run

SEED = 3


@pytest.mark.service
def test_a_storm_of_events_ends_as_stripe_says_with_every_invoice_granted_once(
    tmp_path: Path,
) -> None:
    told: list[str] = []

    storm = run(tmp_path, subscriptions=8, kills=1, seed=SEED, report=told.append)

    assert storm.problems == [], f"seed {SEED}"
    assert storm.kills == 1
    assert storm.events > 50
