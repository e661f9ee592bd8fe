"""A service and a model to test adapters with, both over HTTP.

ALLOTMENT_URL and ALLOTMENT_API_KEY name a running service.
"""

import secrets
from collections.abc import Iterator

import pytest
from model_server import Model, serving

from allotment_client import Allotment

PAYMENT = {"method": "card", "amount": 2900, "currency": "eur"}


@pytest.fixture
def model() -> Iterator[Model]:
    with serving() as model:
        yield model


@pytest.fixture
def allotment() -> Iterator[Allotment]:
    with Allotment.connect() as allotment:
        yield allotment


@pytest.fixture
def user(allotment: Allotment) -> str:
    """Return a user with 90 credits today."""
    user = f"user-{secrets.token_hex(8)}"
    allotment.add_credit(user, 3000, 30, PAYMENT | {"transaction_id": user})
    return user
