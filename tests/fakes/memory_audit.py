"""The audit in memory."""

from collections.abc import Sequence
from dataclasses import replace

from actors.auth.audit import Act, ActOutcome
from actors.protocol.store import StorageUnavailableError
from domain.values import UserId


class MemoryAudit:
    """An `Audit` that can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, Act] = {}
        self.away = False

    @property
    def acts(self) -> list[Act]:
        """All acts, the oldest first."""
        return list(self.kept.values())

    def begin(self, act: Act) -> None:
        self._enter()
        self.kept[act.act_id] = act

    def finish(
        self,
        act_id: str,
        outcome: ActOutcome,
        made: str | None = None,
        now_called: UserId | None = None,
    ) -> None:
        self._enter()
        act = self.kept[act_id]
        user_id = act.user_id if now_called is None else now_called
        self.kept[act_id] = replace(act, outcome=outcome, made=made, user_id=user_id)

    def page(self, limit: int, before: str | None, by: str | None) -> Sequence[Act]:
        self._enter()
        wanted = [a for a in self.acts if by in (None, a.by) and a.act_id < (before or "g")]
        return sorted(wanted, key=lambda act: act.act_id, reverse=True)[:limit]

    def _enter(self) -> None:
        if self.away:
            raise StorageUnavailableError("away")
