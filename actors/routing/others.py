"""Whether several users call: only then does one take anything from others."""

from domain.values import UserId

OTHERS_SECONDS = 1.0  # How long it counts that another user called.


class Others:
    """Who has called lately, in one process."""

    def __init__(self) -> None:
        self._last: UserId | None = None
        self._last_at = 0.0
        self._until = 0.0

    def note(self, user_id: UserId, now: float) -> None:
        """Note that a user calls."""
        if (
            user_id != self._last
            and self._last is not None
            and now < self._last_at + OTHERS_SECONDS
        ):
            self._until = now + OTHERS_SECONDS
        self._last, self._last_at = user_id, now

    def are_calling(self, now: float) -> bool:
        """Whether it was more than one user, lately."""
        return now < self._until
