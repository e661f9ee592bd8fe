"""A console of a fake service, and a browser in front of it."""

from collections.abc import Iterator

import pytest

from tests.fakes.browser import Browser, Time, browsing
from tests.fakes.http_service import HttpService


@pytest.fixture
def service() -> HttpService:
    return HttpService()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def stranger(service: HttpService, time: Time) -> Iterator[Browser]:
    """Yield a browser that nobody has signed in."""
    with browsing(service, time=time) as browser:
        yield browser


@pytest.fixture
def operator(stranger: Browser) -> Browser:
    """Return a browser that an operator has signed in."""
    assert stranger.sign_in().status_code == 303
    return stranger
