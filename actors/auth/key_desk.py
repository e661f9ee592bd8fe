"""Makes, lists, rotates and revokes keys for callers: within what each caller's own key may do."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from actors.auth.api_keys import ApiKey, KeyStore, make_key, make_successor
from actors.auth.caller import Caller, Scope
from actors.auth.limits import KeyLimits
from domain.values import to_instant

KEYS_MAX = 5_000  # Kept at once, revoked ones too: every HTTP process reads all of them,
LIMITED_KEYS_MAX = 1_000  # and of those that a limited key may make: it leaves room for others.


class WiderKeyError(Exception):
    """The key would be for users or services that its maker's key is not for."""


class TooManyKeysError(Exception):
    """So many keys are kept already, as `args` say."""


class UnknownKeyError(Exception):
    """There is no such key in force, or it is wider than the caller's own."""


class KeyDesk:
    """What callers may do about keys. Every method blocks; may raise StorageUnavailableError."""

    def __init__(
        self, store: KeyStore, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._clock = clock

    def make(
        self,
        caller: Caller,
        name: str,
        scope: Scope,
        lifetime: timedelta | None,
        limits: KeyLimits | None,
    ) -> tuple[str, ApiKey]:
        """Make a key; return its text and what is kept. Raises WiderKeyError, TooManyKeysError."""
        if not admits(caller, limits):
            raise WiderKeyError
        return self._keep(caller, make_key(name, scope, self._now(), lifetime, limits))

    def list(self, caller: Caller) -> list[ApiKey]:
        """Return the keys that are no wider than the caller's, the oldest first."""
        return [key for key in self._store.list() if admits(caller, key.limits)]

    def rotate(
        self, caller: Caller, key_id: str, overlap: timedelta, lifetime: timedelta | None
    ) -> tuple[str, ApiKey]:
        """Make a key that may do the same; the old one is refused after the overlap.

        Raises UnknownKeyError, TooManyKeysError.
        """
        now = self._now()
        found = [key for key in self.list(caller) if key.key_id == key_id and key.in_force(now)]
        if not found:
            raise UnknownKeyError
        successor = make_successor(found[0], now, lifetime)
        made = self._keep(caller, successor)  # First: never none at all.
        self._store.expire(key_id, now + overlap)
        return made

    def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revoke a key, and return it. Raises UnknownKeyError."""
        known = any(key.key_id == key_id for key in self.list(caller))
        if not known or not self._store.revoke(key_id, self._now()):
            raise UnknownKeyError
        (revoked,) = (key for key in self._store.list() if key.key_id == key_id)
        return revoked

    def _keep(self, caller: Caller, made: tuple[str, ApiKey]) -> tuple[str, ApiKey]:
        kept = self._store.list()
        if len(kept) >= KEYS_MAX:
            raise TooManyKeysError(KEYS_MAX)
        theirs = [key for key in kept if admits(caller, key.limits)]
        if caller.limits is not None and len(theirs) >= LIMITED_KEYS_MAX:
            raise TooManyKeysError(LIMITED_KEYS_MAX)
        self._store.insert(made[1])
        return made

    def _now(self) -> datetime:
        return to_instant(self._clock())


def admits(caller: Caller, limits: KeyLimits | None) -> bool:
    """Whether a key with these limits is no wider than the caller's."""
    return caller.limits is None or caller.limits.admits_all_of(limits or KeyLimits())
