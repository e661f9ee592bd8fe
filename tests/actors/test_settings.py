"""Settings are checked at start, and what is wrong with them is told without their values."""

import pytest
from pydantic import ValidationError

from actors.settings import Settings, explain
from domain.values import Policy


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings(_env_file=None)


@pytest.mark.parametrize(("rollover", "cap"), [("full", None), ("none", 0), ("0", 0), ("250", 250)])
def test_rollover_is_a_word_or_a_cap(
    monkeypatch: pytest.MonkeyPatch, rollover: str, cap: int | None
) -> None:
    assert settings(monkeypatch, ALLOTMENT_ROLLOVER=rollover).policy == Policy(rollover_cap=cap)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOTMENT_ROLLOVER", "-1"),
        ("ALLOTMENT_ROLLOVER", "some"),
        ("ALLOTMENT_ROLLOVER", str(2**53)),
        ("ALLOTMENT_TIMEZONE", "Mars/Olympus"),
        ("ALLOTMENT_SYSTEM_PORTION_BPS", "10001"),
        ("ALLOTMENT_HTTP_PORT", "0"),
        ("ALLOTMENT_SHARDS", "0"),
        ("ALLOTMENT_LOW_CREDITS_PERCENT", "101"),
        ("ALLOTMENT_SWEEP_CRON", "every minute"),
        ("ALLOTMENT_EXPIRE_CRON", "* * * *"),
        ("ALLOTMENT_TRIM_CRON", "0 0 31 2 *"),
        ("ALLOTMENT_JOURNAL_DAYS", "29"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, **{name: value})

    assert explain(refused.value).startswith(f"{name}: ")


def test_the_password_of_the_database_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "mongodb://ann:geheim@127.0.0.1/"

    shown = settings(monkeypatch, ALLOTMENT_MONGO_URI=uri)

    assert "geheim" not in repr(shown)
    assert "geheim" not in str(shown.model_dump())


def test_a_blank_uri_means_the_embedded_database(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, ALLOTMENT_MONGO_URI="").mongo_uri is None
