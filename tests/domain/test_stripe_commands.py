"""What Stripe's actor sends a shard, across a version of ours."""

import pickle

import pytest

from domain.stripe import VoidGrants
from domain.values import UserId

NOW = VoidGrants(UserId("ada"), "in_1", 1, 2, 7)


class OfBefore:
    """Pickles as the command did that knew no version."""

    def __reduce__(self) -> tuple[object, ...]:
        empty = (VoidGrants,)
        return object.__new__, empty, [NOW.user_id, NOW.transaction_id, NOW.kept, NOW.parts]


@pytest.mark.parametrize(
    ("sent", "version"), [(NOW, NOW.version), (OfBefore(), 0)], ids=["now", "before"]
)
def test_a_command_is_read_that_the_version_before_has_sent(sent: object, version: int) -> None:
    found = pickle.loads(pickle.dumps(sent))

    assert found == VoidGrants(NOW.user_id, NOW.transaction_id, NOW.kept, NOW.parts, version)
