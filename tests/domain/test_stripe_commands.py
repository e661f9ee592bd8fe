"""What Stripe's actor sends a shard, across a version of ours."""

import pickle

import pytest

from domain.messages import AddCredit
from domain.payments import Payment
from domain.stripe import VoidGrants
from domain.values import Credits, UserId

NOW = VoidGrants(UserId("ada"), "in_1", 1, 2, 7)


SALE = AddCredit(UserId("ada"), Credits(7), 3, Payment("stripe", "cs_1", 900, "eur"))


class SaleOfBefore:
    """Pickles as the command did that did not say who was paid."""

    def __reduce__(self) -> tuple[object, ...]:
        state = [SALE.user_id, SALE.amount, SALE.days, SALE.payment, SALE.timezone]
        return object.__new__, (AddCredit,), state


class OfBefore:
    """Pickles as the command did that knew no version."""

    def __reduce__(self) -> tuple[object, ...]:
        empty = (VoidGrants,)
        return object.__new__, empty, [NOW.user_id, NOW.transaction_id, NOW.kept, NOW.parts]


def test_credits_are_read_that_the_version_before_has_sent() -> None:
    sent = pickle.loads(pickle.dumps([SALE, SaleOfBefore()]))

    assert sent == [SALE, SALE]


@pytest.mark.parametrize(
    ("sent", "version"), [(NOW, NOW.version), (OfBefore(), 0)], ids=["now", "before"]
)
def test_a_command_is_read_that_the_version_before_has_sent(sent: object, version: int) -> None:
    found = pickle.loads(pickle.dumps(sent))

    assert found == VoidGrants(NOW.user_id, NOW.transaction_id, NOW.kept, NOW.parts, version)
