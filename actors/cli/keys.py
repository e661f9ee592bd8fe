"""The commands about API keys: make, list, rotate, revoke. They work on a resting database, too."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from actors.auth.api_keys import ApiKey
from actors.auth.caller import Caller, Scope
from actors.auth.first_key import renew_kept
from actors.auth.key_desk import KeyDesk, TooManyKeysError, UnknownKeyError
from actors.auth.key_records import shown
from actors.auth.limits import (
    SERVICES_MAX,
    USER_IDS_MAX,
    check_name,
    check_prefix,
    check_service,
    distinct,
    limits_of,
)
from actors.cli.key_store import database_told, key_store
from actors.cli.terminal import AsJson, errors, fail, load_settings, out, print_json, print_table
from domain.values import parse_user_id

DURATION = re.compile(r"([0-9]{1,5})([mhd])")
OPERATOR = Caller("command", Scope.ADMIN)
UNITS = {"m": "minutes", "h": "hours", "d": "days"}

keys = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke API keys.")


class ScopeName(StrEnum):
    """What a key may do; each includes the ones before."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def name_of(text: str) -> str:
    """Refuse a name that would not fit into a line of the list."""
    try:
        return check_name(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def duration_of(text: str | None) -> timedelta | None:
    """Return how long `90d`, `24h` or `30m` are."""
    if text is None:
        return None
    found = DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter("give a number and m, h or d, such as 90d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def lifetime_of(text: str | None) -> timedelta | None:
    """Return how long a key lives: a while."""
    lifetime = duration_of(text)
    if lifetime is not None and not lifetime:
        raise typer.BadParameter("a key that lives for no time is of no use")
    return lifetime


def users_of(texts: list[str] | None) -> list[str] | None:
    """Return users' ids as keys are limited to them."""
    try:
        return distinct(texts, USER_IDS_MAX, parse_user_id)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def prefix_of(text: str | None) -> str | None:
    """Return what the ids of users begin with."""
    try:
        return text if text is None else check_prefix(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def services_of(texts: list[str] | None) -> list[str] | None:
    """Return services as keys are limited to them."""
    try:
        return distinct(texts, SERVICES_MAX, check_service)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Expires = Annotated[
    timedelta | None,
    typer.Option(parser=lifetime_of, metavar="90d", help="How long it is in force; else for ever."),
]


@keys.command("create")
def create_key(  # noqa: PLR0913 - an option each
    scope: Annotated[ScopeName, typer.Option(help="What the key may do.")],
    name: Annotated[str, typer.Option(help="What the key is for.", callback=name_of)],
    *,
    expires: Expires = None,
    user: Annotated[
        list[str] | None,
        typer.Option(callback=users_of, help="Limit it to this user; may be given again."),
    ] = None,
    user_prefix: Annotated[
        str | None,
        typer.Option(callback=prefix_of, help="Limit it to users whose ids begin so."),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(callback=services_of, help="Limit it to this service; may be given again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: it is shown this once."""
    settings = load_settings()
    limits = limits_of(user or None, user_prefix, service or None)
    with database_told(), key_store(settings) as kept, kept.act("keys create") as made:
        try:
            text, key = KeyDesk(kept.keys).make(OPERATOR, name, Scope[scope.name], expires, limits)
        except TooManyKeysError as error:
            fail(f"{error} keys are kept already.")
        made.append(key.key_id)
    show_key(text, key, as_json=as_json)


def show_key(text: str, key: ApiKey, *, as_json: bool) -> None:
    """Print a new key, this once."""
    if as_json:
        print_json(key_row(key) | {"key": text})
        return
    scope = key.scope.name.lower()
    errors.print(f"key {key.key_id} ({scope}) is made; it is shown this once:", highlight=False)
    out.print(text, highlight=False, soft_wrap=True)


@keys.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """Print all keys, without their secrets."""
    settings = load_settings()
    with database_told(), key_store(settings) as kept:
        rows = [key_row(key) for key in kept.keys.list()]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "name", "scope", "limits", "begins with", "created", "last used", "state")
    print_table(columns, map(cells_of, rows))


def cells_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a key as tables show it."""
    named = (row["key_id"], row["name"], row["scope"], limits_cell(row), row["prefix"])
    revoked = row["revoked_at"]
    state = f"revoked {short(revoked)}" if revoked else state_by(row["expires_at"])
    return (*named, short(row["created_at"]), short(row["last_used_at"]), state)


def limits_cell(row: Mapping[str, Any]) -> str:
    """Return what a key is limited to, in one line."""
    users, prefix, services = row["user_ids"], row["user_id_prefix"], row["services"]
    if users is prefix is services is None:
        return "none"
    names = [*(users or ()), *([f"{prefix}*"] if prefix else ())]
    said = [f"users: {', '.join(names) or 'nobody'}"] if users is not None or prefix else []
    return "; ".join([*said, *([f"services: {', '.join(services)}"] if services else ())])


def state_by(expires_at: str | None) -> str:
    """Return how a key that nobody has revoked is."""
    if expires_at is None:
        return "in force"
    over = expires_at <= instant(datetime.now(UTC))
    return f"expired {short(expires_at)}" if over else f"until {short(expires_at)}"


def key_row(key: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a key."""
    return {
        name: instant(value) if isinstance(value, datetime) else value
        for name, value in shown(key).items()
    }


def instant(moment: datetime) -> str:
    """Return a moment, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def short(moment: str | None) -> str:
    """Return a moment as tables show it: to the minute, in UTC."""
    return moment[:16].replace("T", " ") if moment else "never"


@keys.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument(help="The id that `keys list` shows.")],
    *,
    overlap: Annotated[
        timedelta,
        typer.Option(parser=duration_of, metavar="24h", help="How long the old key goes on."),
    ] = "24h",  # type: ignore[assignment]  # The parser reads it.
    expires: Expires = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that may do the same, and print it; the old one is refused after the overlap.

    It lives as long as the old one was to live, unless --expires says otherwise.
    """
    settings, caller = load_settings(), OPERATOR
    with database_told(), key_store(settings) as kept, kept.act("keys rotate", key_id) as made:
        before = next((key for key in kept.keys.list() if key.key_id == key_id), None)
        try:
            text, key = KeyDesk(kept.keys).rotate(caller, key_id, overlap, expires)
        except UnknownKeyError:
            fail(f"There is no key {key_id} in force.")
        except TooManyKeysError as error:
            fail(f"{error} keys are kept already.")
        made.append(key.key_id)
    assert before is not None, "it was rotated"
    if renew_kept(settings.data_dir, before, text):
        errors.print("the new key is kept in admin.key", highlight=False)
    show_key(text, key, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id that `keys list` shows.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: it is refused everywhere within five seconds."""
    settings = load_settings()
    with database_told(), key_store(settings) as kept, kept.act("keys revoke", key_id):
        try:
            row = key_row(KeyDesk(kept.keys).revoke(OPERATOR, key_id))
        except UnknownKeyError:
            fail(f"There is no key {key_id} in force.")
    if as_json:
        print_json(row)
        return
    out.print(f"key {key_id} is revoked", highlight=False)
