"""The mutations fit the code as it stands, and some of them are caught; `make mutations` runs all."""

import pytest

from tests.simulation.mutating import Caught, catch, run_whole, table
from tests.simulation.mutation import Mutation
from tests.simulation.mutations import MUTATIONS, file_of

SEEDS_MAX = 60  # Each of these was caught after ten at most.
CAUGHT_SOON = {
    "accept-a-taken-key",
    "answer-before-append",
    "apply-a-late-flush-twice",
    "documents-keep-freed-holds",
    "drop-the-idempotency-check",
    "documents-forget-reversals",
    "documents-forget-what-packs-lost",
    "ignore-applied-seq",
    "lapse-what-is-held",
    "loading-forgets-holds-of-packs",
    "packs-before-the-day",
    "packs-keep-expired-holds",
    "publish-before-append",
    "reverse-what-is-back",
    "settle-frees-twice",
    "settle-late-twice",
    "spend-expired-packs",
}
SOON = [mutation for mutation in MUTATIONS if mutation.name in CAUGHT_SOON]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_replaces_is_there_once(mutation: Mutation) -> None:
    text = file_of(mutation).read_text()

    assert text.count(mutation.old) == 1


@pytest.mark.parametrize("mutation", SOON, ids=lambda mutation: mutation.name)
def test_what_breaks_a_promise_soon_is_noticed_soon(mutation: Mutation) -> None:
    found = catch(mutation, SEEDS_MAX)

    assert found.after is not None, mutation.stands_for
    assert found.noticed


def test_of_code_that_is_not_broken_nothing_is_noticed() -> None:
    assert run_whole(2).after is None


def test_the_table_says_what_was_missed() -> None:
    broken, other = MUTATIONS[:2]

    text = table([Caught(broken, 3, "a gap", 1.0), Caught(other, None, "", 1.0)])

    assert text.splitlines()[2:] == [
        f"| {broken.stands_for} | 3 | a gap |",
        f"| {other.stands_for} | not caught |  |",
    ]
