"""Settings are checked at start, and what is wrong with them is told without their values."""

import pytest
from pydantic import ValidationError

from actors.auth.token_rules import TokenRules
from actors.settings import Settings, explain
from domain.values import Credits, Policy


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings(_env_file=None)


@pytest.mark.parametrize(("rollover", "cap"), [("full", None), ("none", 0), ("0", 0), ("250", 250)])
def test_rollover_is_a_word_or_a_cap(
    monkeypatch: pytest.MonkeyPatch, rollover: str, cap: Credits | None
) -> None:
    assert settings(monkeypatch, ALLOTMENT_ROLLOVER=rollover).policy == Policy(rollover_cap=cap)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOTMENT_ROLLOVER", "-1"),
        ("ALLOTMENT_ROLLOVER", "some"),
        ("ALLOTMENT_ROLLOVER", str(2**53)),
        ("ALLOTMENT_TIMEZONE", "Mars/Olympus"),
        ("ALLOTMENT_TIMEZONE", "localtime"),
        ("ALLOTMENT_RECONCILE_CRON", "R * * * *"),
        ("ALLOTMENT_SYSTEM_PORTION_BPS", "10001"),
        ("ALLOTMENT_HTTP_PORT", "0"),
        ("ALLOTMENT_CORS_ORIGINS", "app.example"),
        ("ALLOTMENT_CORS_ORIGINS", "https://app.example/"),
        ("ALLOTMENT_CORS_ORIGINS", "https://App.example"),
        ("ALLOTMENT_CORS_ORIGINS", "null"),
        ("ALLOTMENT_CORS_ORIGINS", "https://a.example, ftp://b.example"),
        ("ALLOTMENT_PORTAL_MORE_URL", "javascript:alert(1)"),
        ("ALLOTMENT_PORTAL_MORE_URL", "/pricing"),
        ("ALLOTMENT_PORTAL_FRAMED_BY", "*"),
        ("ALLOTMENT_PORTAL_FRAMED_BY", "https://app.example/"),
        ("ALLOTMENT_PORTAL_FRAMED_BY", "https://app.example; script-src *"),
        ("ALLOTMENT_SHARDS", "0"),
        ("ALLOTMENT_LOW_CREDITS_PERCENT", "101"),
        ("ALLOTMENT_SWEEP_CRON", "every minute"),
        ("ALLOTMENT_EXPIRE_CRON", "* * * *"),
        ("ALLOTMENT_TRIM_CRON", "0 0 31 2 *"),
        ("ALLOTMENT_JOURNAL_DAYS", "29"),
        ("ALLOTMENT_JWT_SECRET", "short"),
        ("ALLOTMENT_JWKS_URL", "http://id.example/keys"),
        ("ALLOTMENT_JWKS_URL", "file:///etc/passwd"),
        ("ALLOTMENT_JWKS_URL", "https://"),
        ("ALLOTMENT_RATE_LIMIT_REQUESTS", "-1"),
        ("ALLOTMENT_RATE_LIMIT_SECONDS", "0"),
        ("ALLOTMENT_TEST_CLOCK", "perhaps"),
        ("ALLOTMENT_USERS_COLLECTION", "usages"),
        ("ALLOTMENT_USERS_COLLECTION", "allotment_accounts"),
        ("ALLOTMENT_USERS_COLLECTION", "system.users"),
        ("ALLOTMENT_USERS_COLLECTION", "us$ers"),
        ("ALLOTMENT_USERS_COLLECTION", ""),
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


def test_tokens_are_taken_where_a_secret_or_a_key_set_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "x" * 32
    assert settings(monkeypatch).token_rules is None

    rules = settings(
        monkeypatch,
        ALLOTMENT_JWT_SECRET=secret,
        ALLOTMENT_JWKS_URL="http://127.0.0.1:9/keys",
        ALLOTMENT_JWT_ISSUER="i",
        ALLOTMENT_JWT_AUDIENCE="a",
    ).token_rules

    assert rules == TokenRules(secret, "http://127.0.0.1:9/keys", "i", "a")
    assert secret not in repr(settings(monkeypatch))


def test_each_replica_has_its_share_of_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch).requests_per_replica == 0

    shared = settings(monkeypatch, ALLOTMENT_RATE_LIMIT_REQUESTS="100", ALLOTMENT_HTTP_REPLICAS="3")

    assert shared.requests_per_replica == 34


@pytest.mark.parametrize("secrets", ["", " ", "whsec_a,", "whsec_a,,whsec_b"])
def test_a_blank_webhook_secret_is_refused_and_none_is_shown(secrets: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, stripe_api_key="sk_test_x", stripe_webhook_secrets=secrets)

    assert "ALLOTMENT_STRIPE_WEBHOOK_SECRETS" in explain(refused.value)
    assert "whsec_a" not in explain(refused.value)


def test_webhook_secrets_come_with_a_key_and_keys_tell_their_mode() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, stripe_webhook_secrets="whsec_a")
    both = Settings(
        _env_file=None, stripe_api_key="rk_live_x", stripe_webhook_secrets=" whsec_a , whsec_b"
    )

    assert "ALLOTMENT_STRIPE_API_KEY" in explain(refused.value)
    assert both.webhook_secrets == ("whsec_a", "whsec_b")
    assert both.stripe_livemode
    assert not Settings(_env_file=None, stripe_api_key="sk_test_x").stripe_livemode
