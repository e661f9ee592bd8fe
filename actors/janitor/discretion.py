"""Keeps users who are made anonymous out of reports of runs that had begun before."""

from collections.abc import Callable
from datetime import datetime, timedelta

from actors.janitor.agenda import Agenda, JobEntry
from actors.protocol.reports import SweepReport
from domain.documents.anonymization import Renaming
from domain.values import UserId

REMEMBERED = timedelta(hours=2)  # A run takes an hour at most.


class DiscreetAgenda:
    """An `Agenda` whose reports name no user who has another name by now."""

    def __init__(self, agenda: Agenda, clock: Callable[[], datetime]) -> None:
        self._agenda = agenda
        self._clock = clock
        self._renamed: dict[UserId, tuple[UserId, datetime]] = {}

    def rename(self, old: UserId, new: UserId) -> None:
        """Have reports that are kept from now on name the new id; the old one is soon forgotten."""
        since = self._clock() - REMEMBERED
        known = {u: named for u, named in self._renamed.items() if named[1] > since}
        self._renamed = known | {old: (new, self._clock())}

    def entry(self, job: str, now: datetime) -> JobEntry:
        """Return how a job stands. One that never was begins now."""
        return self._agenda.entry(job, now)

    def replace(self, entry: JobEntry) -> bool:
        """Put an entry in the place of its predecessor. False: somebody else was faster."""
        return self._agenda.replace(entry)

    def keep(self, report: SweepReport) -> None:
        """Keep the report of a run."""
        renamed = self._renamed
        users = [renamed[UserId(u)][0] if u in renamed else u for u in report.users]
        differences = list(map(self._without_old, report.differences))
        self._agenda.keep(report.model_copy(update={"users": users, "differences": differences}))

    def _without_old(self, text: str) -> str:
        for old, (new, _) in self._renamed.items():
            text = Renaming(old, new, old, new).text(text)
        return text

    def reports(self, limit: int, job: str | None = None) -> list[SweepReport]:
        """Return the newest reports, of one job or of all, newest first."""
        return self._agenda.reports(limit, job)
