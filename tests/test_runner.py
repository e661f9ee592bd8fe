"""What `make test` says is true, and it runs everything there is."""

from collections import Counter

import pytest

from tests.__main__ import files_of, parsed
from tests.parts import CHECK, ROOT, TEST
from tests.progress import Estimate, Outcome
from tests.units_of_work import SCRIPTS, longest_first, unit_of


def test_every_file_of_tests_is_in_one_part() -> None:
    run = Counter(file for part in TEST for path in part.paths for file in files_of(ROOT / path))

    assert run == Counter(files_of(ROOT / "tests"))


def test_what_make_check_leaves_out_is_left_to_make_test_which_leaves_out_nothing() -> None:
    paths = {path for part in TEST for path in part.paths}
    commands = {command for part in TEST for command in part.commands}

    assert not any(part.without or part.marked for part in TEST)
    assert all(paths.issuperset(part.paths) for part in CHECK)
    assert all(commands.issuperset(part.commands) for part in CHECK)
    assert all((ROOT / file).is_file() for part in CHECK for file in part.without)


def test_how_long_files_take_is_not_remembered_of_parts_of_them() -> None:
    assert parsed(["--remember"]).remember
    with pytest.raises(SystemExit):
        parsed(["--check", "--remember"])


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


def test_the_longest_unit_goes_first_and_stays_in_its_order() -> None:
    scripts = [f"{SCRIPTS}::test[{name}]" for name in ("quick", "slow", "new")]
    tests = ["tests/a.py::1", "tests/b.py::1", "tests/b.py::2", *scripts, "tests/service/c.py::1"]
    seconds = {
        "tests/a.py": 3.0,
        "tests/b.py": 40.0,
        "tests/service/c.py": 70.0,
        SCRIPTS: 90.0,
        scripts[0]: 11.0,
        scripts[1]: 60.0,
    }

    order = longest_first(tests, seconds)

    assert order == [
        "tests/service/c.py::1",
        scripts[1],
        *("tests/b.py::1", "tests/b.py::2"),
        scripts[2],  # It was not measured: a share of its file.
        scripts[0],
        "tests/a.py::1",
    ]


def test_files_that_share_a_service_are_one_unit() -> None:
    assert unit_of("tests/service/test_holds.py::x") == "service"
    assert unit_of("tests/service/test_trust.py::x[post]") == "rehearsal"
    assert unit_of("tests/service/test_shared_machine.py::x[rehearsal]") == "rehearsal"
    assert unit_of("tests/service/test_shared_machine.py::x[service]") == "service"
    assert unit_of("tests/service/test_listening.py::x[rehearsal]") == "rehearsal"
    assert unit_of("tests/service/test_stripe.py::x") == "tests/service/test_stripe.py"
    assert unit_of("tests/actors/test_cron.py::x") == "tests/actors/test_cron.py"


def test_what_takes_long_is_written_down_by_its_own_name() -> None:
    outcome = Outcome()
    outcome.took("tests/a.py::quick", 1.0)
    outcome.took("tests/a.py::slow", 30.0)

    assert outcome.seconds == {"tests/a.py": 31.0, "tests/a.py::slow": 30.0}
