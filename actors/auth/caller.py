"""Who sends a request, and what that caller may do."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from actors.auth.limits import KeyLimits
from domain.values import UserId


class Scope(IntEnum):
    """What a key may do; each includes the ones before."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever has shown a key or a token that is in force."""

    name: str
    """How the journal names the caller: `key:` and the key's id, or `user:` and the user."""
    scope: Scope | None
    """What a key may do. None: a user's own token, which reads that user's data only."""
    user_id: UserId | None = None
    """Whose token it is."""
    limits: KeyLimits | None = None
    """What the caller's key is limited to; None: it is for all users and services."""
    ends_at: datetime | None = field(default=None, compare=False)
    """Until when it is in force; None: that is asked of whoever keeps the keys."""
    made_by: str | None = field(default=None, compare=False)
    """The caller who had a stream token made: it is in force no longer than that one's key."""

    def has(self, scope: Scope) -> bool:
        """Whether the caller's key has at least this scope, be it for some users or services only."""
        return self.scope is not None and self.scope >= scope

    def has_for_all(self, scope: Scope) -> bool:
        """Whether the caller's key has at least this scope, for all users and services."""
        return self.limits is None and self.has(scope)

    def admits_user(self, user_id: UserId) -> bool:
        """Whether the caller may have to do with a user at all: read what that user has."""
        if self.scope is None:
            return self.user_id == user_id
        return self.limits is None or self.limits.admits_user(user_id)

    def admits_all_services(self) -> bool:
        """Whether the caller may have to do with all services."""
        return self.limits is None or self.limits.services is None
