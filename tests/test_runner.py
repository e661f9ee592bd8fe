"""What `make test` says is true, and it runs everything there is."""

from collections import Counter

from tests.__main__ import files_of
from tests.parts import ROOT, TEST
from tests.progress import Estimate, Outcome


def test_every_file_of_tests_is_in_one_part() -> None:
    run = Counter(file for part in TEST for path in part.paths for file in files_of(ROOT / path))

    assert run == Counter(files_of(ROOT / "tests"))


def test_what_is_left_is_told_at_the_speed_seen_so_far() -> None:
    now = [0.0]
    estimate = Estimate(6000.0, lambda: now[0])

    assert estimate.left == "about 100 minutes left"

    now[0], estimate.done = 6000.0, 3000.0  # Half as fast as the machine that was measured.
    assert estimate.left == "about 99 minutes left"

    estimate.done = 6000.0
    assert estimate.left == "less than a minute left"


def test_a_first_test_that_waits_for_a_service_says_little_of_the_speed() -> None:
    now = [0.0]
    estimate = Estimate(600.0, lambda: now[0])

    now[0], estimate.done = 20.0, 0.5  # Forty times as slow so far.

    assert estimate.left == "about 13 minutes left"


def test_the_last_line_counts_each_failed_test_once() -> None:
    outcome = Outcome(passed=3)
    outcome.fail("a", "in its call")
    outcome.fail("a", "in its teardown")

    assert str(outcome) == "3 passed, 1 failed"
    outcome.skipped["b"] = "no root"
    assert str(outcome) == "3 passed, 1 failed, 1 skipped"
