"""The short version of the soak: everything is broken in turn, and the books agree afterwards."""

from pathlib import Path

import pytest

from tests.seeds import SEED
from tests.service.soak import run


@pytest.mark.service
@pytest.mark.parametrize("seed", [SEED])
def test_whatever_is_killed_amid_mixed_work_the_books_agree_at_rest(
    tmp_path: Path, seed: int
) -> None:
    on, problems = run(tmp_path, seconds=8.0, every=1.0, seed=seed)

    assert problems == []
    assert on.faults.total() > 0
    assert on.edits > 0
    assert on.storm.events > 0
    assert len(on.workers.books.charged) > 0
    assert on.workers.books.charged_edited
