"""The price list in force follows its file, and a file that is spoilt changes nothing."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from actors.mongo.prices import MongoPrices
from actors.runtime import price_list
from actors.runtime.price_list import PriceFile, PriceStore, decide_by, follow_prices, in_force
from domain.pricing import NO_PRICES, PriceList, read_prices
from domain.values import Policy
from tests.fakes.memory_prices import MemoryPrices
from tests.fakes.setups import MongoSetup, mongomock_setup
from tests.fakes.shards import in_loop, until
from tests.patience import PATIENCE_SECONDS
from tests.service.running import wait_until

FOLLOWS_SECONDS_MAX = PATIENCE_SECONDS  # On a machine that is busy with much else.

ONE = "[[prices]]\ncredits_per_unit = 1\nunit_size = 1000\n"
TWO = "[[prices]]\ncredits_per_unit = 2\nunit_size = 1000\n"


@dataclass
class Decider:
    policy: Policy = Policy()  # noqa: RUF009 - it is frozen

    def take(self, prices: PriceList) -> None:
        self.policy = replace(self.policy, prices=prices)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(ONE)
    return path


def look_twice(file: PriceFile, store: PriceStore) -> None:
    """Look at a file that has stayed the same for long enough."""
    file.look(store)
    file.look(store)


# --- the file -----------------------------------------------------------------------------


def test_a_changed_file_is_in_force_once_it_was_the_same_at_two_looks(path: Path) -> None:
    file, store = PriceFile(path), MemoryPrices(ONE)
    path.write_text(TWO)

    file.look(store)
    after_one = store.text
    file.look(store)

    assert (after_one, store.text, file.is_invalid) == (ONE, TWO, False)


def test_a_file_that_is_being_written_is_not_taken_for_whole(path: Path) -> None:
    path.write_text(ONE + TWO)
    file, store = PriceFile(path), MemoryPrices(ONE + TWO)

    path.write_text(ONE)  # Its beginning is a list, too.
    file.look(store)
    path.write_text(ONE + TWO + ONE)
    look_twice(file, store)

    assert store.text == ONE + TWO + ONE


@pytest.mark.parametrize("spoilt", ["", "prices = 3", "[[prices]", None])
def test_a_spoilt_file_keeps_the_list_before_and_is_told_once_until_it_is_mended(
    path: Path, caplog: pytest.LogCaptureFixture, spoilt: str | None
) -> None:
    file, store = PriceFile(path), MemoryPrices(ONE)
    if spoilt is None:
        path.unlink()
    else:
        path.write_text(spoilt)

    with caplog.at_level(logging.WARNING):
        look_twice(file, store)
        look_twice(file, store)
    during = (store.text, file.is_invalid)
    path.write_text(TWO)
    look_twice(file, store)

    assert during == (ONE, True)
    assert caplog.text.count("the price list before stays in force") == 1
    assert (store.text, file.is_invalid) == (TWO, False)


def test_a_file_that_is_put_back_as_it_was_is_valid_again(path: Path) -> None:
    file, store = PriceFile(path), MemoryPrices(ONE)
    path.write_text("spoilt")
    look_twice(file, store)
    path.write_text(ONE)

    look_twice(file, store)

    assert (store.text, file.is_invalid) == (ONE, False)


def test_a_list_that_could_not_be_kept_is_kept_when_the_database_is_back(path: Path) -> None:
    file, store = PriceFile(path), MemoryPrices(ONE)
    path.write_text(TWO)
    store.is_away = True
    look_twice(file, store)
    store.is_away = False

    file.look(store)

    assert store.text == TWO


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b"prices = 3", "prices: Input should be a valid list"),
        (b"\xff", "it is not UTF-8"),
        (b"#" * (price_list.FILE_BYTES_MAX + 1), "it has more than 262144 bytes"),
    ],
)
def test_a_service_does_not_start_with_a_file_that_is_not_valid(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "prices.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ValueError, match=f"^{told}"):
        PriceFile(path)


def test_a_service_without_a_file_has_no_prices() -> None:
    store, seen = MemoryPrices(ONE), list[PriceFile]()

    with in_force(None, store, seen.append):
        kept = store.text

    assert (kept, seen) == ("", [])


def test_the_file_is_watched_as_long_as_the_block(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_list, "LOOK_SECONDS", 0.001)
    store, invalid, file = MemoryPrices(), list[object](), PriceFile(path)

    with in_force(file, store, lambda seen: invalid.append(seen.is_invalid)):
        first = store.text
        path.write_text(TWO)
        wait_until(lambda: store.text == TWO, FOLLOWS_SECONDS_MAX)

    assert first == ONE
    assert not any(invalid)


# --- the shards ---------------------------------------------------------------------------


@in_loop
async def test_who_decides_follows_what_is_kept_and_outlives_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(price_list, "LOOK_SECONDS", 0.001)
    store, decider = MemoryPrices(ONE), Decider()
    decide_by(ONE, decider.take)
    first = decider.policy.prices
    store.is_away = True
    following = asyncio.create_task(follow_prices(store, ONE, decider.take))
    store.text, store.is_away = TWO, False

    await until(lambda: decider.policy.prices == read_prices(TWO))
    store.text = ""
    await until(lambda: decider.policy.prices == NO_PRICES)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following

    assert first == read_prices(ONE)


def test_what_is_kept_and_is_no_list_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    decider = Decider()
    decide_by(ONE, decider.take)

    decide_by("another program was here", decider.take)

    assert decider.policy.prices == read_prices(ONE)
    assert "cannot be read" in caplog.text


# --- MongoDB ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["mongomock", "embedded"])
def test_the_text_that_was_kept_last_is_read(where: str, embedded: MongoSetup) -> None:
    setup = embedded if where == "embedded" else mongomock_setup()
    store = MongoPrices(setup.database)
    before = store.read()

    store.keep(ONE)
    store.keep(TWO)

    assert (before, store.read()) == ("", TWO)
    store.keep("")
    assert store.read() == ""
