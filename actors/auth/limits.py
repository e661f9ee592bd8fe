"""To which users and services a key is limited, and how that is told.

A key without limits is for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.values import USER_ID_LENGTH_MAX, UserId

USER_IDS_MAX = 100  # Of one key: whoever has more has a prefix, or another key.
SERVICES_MAX = 100  # Of one key.
SERVICE_LENGTH_MAX = 256
NAME_LENGTH_MAX = 100  # Characters of what a key is for.


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What narrows a key. What is None narrows nothing; users are those of the list or the prefix."""

    user_ids: frozenset[UserId] | None = None
    """Empty: no user, unless the prefix names some."""
    user_id_prefix: str | None = None
    services: frozenset[str] | None = None
    """The only services to which it charges. What is about all services is not for it."""

    @property
    def has_users(self) -> bool:
        """Whether it is for some users only."""
        return self.user_ids is not None or self.user_id_prefix is not None

    def admits_user(self, user_id: UserId) -> bool:
        """Whether a user is one of those that it is for."""
        if not self.has_users:
            return True
        prefix = self.user_id_prefix
        return user_id in (self.user_ids or ()) or bool(prefix and user_id.startswith(prefix))

    def shown(self) -> dict[str, list[str] | str | None]:
        """Return the limits as documents and answers have them."""
        return {
            "user_ids": None if self.user_ids is None else sorted(self.user_ids),
            "user_id_prefix": self.user_id_prefix,
            "services": None if self.services is None else sorted(self.services),
        }

    def admits_all_of(self, other: "KeyLimits") -> bool:
        """Whether nothing that the other limits admit is refused by these."""
        return self._admits_users_of(other) and (
            self.services is None
            or (other.services is not None and other.services <= self.services)
        )

    def _admits_users_of(self, other: "KeyLimits") -> bool:
        if not self.has_users:
            return True
        if not other.has_users:
            return False
        prefix, theirs = self.user_id_prefix, other.user_id_prefix
        if theirs is not None and not (prefix and theirs.startswith(prefix)):
            return False
        return all(map(self.admits_user, other.user_ids or ()))


def limits_of(
    user_ids: Sequence[str] | None, prefix: str | None, services: Sequence[str] | None
) -> KeyLimits | None:
    """Return the limits that are told; None: none are. All of it is checked before."""
    if user_ids is prefix is services is None:
        return None
    return KeyLimits(
        None if user_ids is None else frozenset(map(UserId, user_ids)),
        prefix,
        None if services is None else frozenset(services),
    )


def check_name(text: str) -> str:
    """Return what a key is for: it fits into a line of a list. Raises ValueError."""
    if not text.strip() or len(text) > NAME_LENGTH_MAX or not text.isprintable():
        raise ValueError(f"give 1 to {NAME_LENGTH_MAX} printable characters")
    return text


def check_prefix(text: str) -> str:
    """Return what ids of users may begin with. Raises ValueError."""
    if not 1 <= len(text) <= USER_ID_LENGTH_MAX or " " in text or not text.isprintable():
        raise ValueError(f"give 1 to {USER_ID_LENGTH_MAX} printable characters without spaces")
    return text


def check_service(text: str) -> str:
    """Return a service's name. Raises ValueError."""
    if not 1 <= len(text) <= SERVICE_LENGTH_MAX or not text.isprintable():
        raise ValueError(f"a service has 1 to {SERVICE_LENGTH_MAX} printable characters")
    return text


def distinct(
    texts: Sequence[str] | None, length_max: int, check: Callable[[str], str]
) -> list[str] | None:
    """Return texts that are checked, each once. Raises ValueError: none or too many are told."""
    if texts is None:
        return None
    if not 1 <= len(texts) <= length_max:
        raise ValueError(f"give 1 to {length_max}, or leave it out")
    return list(dict.fromkeys(map(check, texts)))
