"""Who sends a request, and what that caller may do."""

from dataclasses import dataclass
from enum import IntEnum

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

    def has(self, scope: Scope) -> bool:
        """Whether the caller's key has at least this scope."""
        return self.scope is not None and self.scope >= scope

    def may_read(self, user_id: UserId) -> bool:
        """Whether the caller may read one user's own data."""
        return self.has(Scope.READ) or self.user_id == user_id
