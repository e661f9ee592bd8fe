"""The mutations fit the code as it stands; whether each is caught takes minutes, and is a script."""

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation, file_of


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_replaces_is_there_once(mutation: Mutation) -> None:
    text = file_of(mutation).read_text()

    assert text.count(mutation.old) == 1
