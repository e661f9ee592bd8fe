"""The janitor's agenda in memory."""

from datetime import datetime

from actors.janitor.agenda import REPORTS_AGE_MAX, JobEntry
from actors.protocol.reports import SweepReport
from actors.protocol.store import StorageUnavailableError


class MemoryAgenda:
    """An `Agenda`."""

    def __init__(self) -> None:
        self.entries: dict[str, JobEntry] = {}
        self.kept: dict[str, SweepReport] = {}
        self.unavailable = False

    def entry(self, job: str, now: datetime) -> JobEntry:
        self._enter()
        return self.entries.setdefault(job, JobEntry(job, 1, now))

    def replace(self, entry: JobEntry) -> bool:
        self._enter()
        if self.entries[entry.job].revision != entry.revision - 1:
            return False
        self.entries[entry.job] = entry
        return True

    def keep(self, report: SweepReport) -> None:
        self._enter()
        self.kept.setdefault(report.sweep_id, report)
        oldest = report.started_at - REPORTS_AGE_MAX
        self.kept = {i: r for i, r in self.kept.items() if r.started_at >= oldest}

    def reports(self, limit: int, job: str | None = None) -> list[SweepReport]:
        self._enter()
        wanted = [r for r in self.kept.values() if job in (None, r.job)]
        newest = sorted(wanted, key=lambda r: r.started_at, reverse=True)
        return newest[:limit]

    def _enter(self) -> None:
        if self.unavailable:
            raise StorageUnavailableError("a fault was asked for")
