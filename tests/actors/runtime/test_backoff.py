"""The pause before something is tried again."""

import pytest

from actors.runtime.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.5), (1, 1.0), (4, 8.0), (10, 300.0), (10_000, 300.0)]
)
def test_it_doubles_up_to_the_longest_and_is_shortened_by_half_at_most(
    failures: int, seconds: float
) -> None:
    pauses = [backoff(failures, 0.5, 300.0) for _ in range(100)]

    assert all(seconds / 2 <= pause <= seconds for pause in pauses)
    assert len(set(pauses)) > 1
