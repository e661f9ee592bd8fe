"""Anonymisations in memory: a ledger, and documents of which only the number is known."""

from collections.abc import Mapping
from datetime import datetime

from actors.janitor.anonymization_job import Anonymization, Step


class MemoryAnonymizations:
    """A `Ledger`."""

    def __init__(self) -> None:
        self.jobs: dict[str, Anonymization] = {}
        self.keys: dict[str, str] = {}

    def begin(self, job: Anonymization, found_by: str | None) -> Anonymization:
        known = self.jobs.get(self.keys.get(found_by or "", ""))
        for other in self.running():
            known = known or (other if other.user_id == job.user_id else None)
        if known is None:
            known = self.jobs[job.anonymization_id] = job
            self.keys |= {found_by: job.anonymization_id} if found_by else {}
        return known

    def running(self) -> list[Anonymization]:
        return [job for job in self.jobs.values() if job.step is not Step.DONE]

    def find(self, anonymization_id: str) -> Anonymization | None:
        return self.jobs.get(anonymization_id)

    def newest(self, limit: int) -> list[Anonymization]:
        return [*reversed(self.jobs.values())][:limit]

    def advance(self, job: Anonymization) -> None:
        known = self.jobs[job.anonymization_id]
        self.jobs[job.anonymization_id] = job._replace(documents=known.documents)

    def finish(self, job: Anonymization, at: datetime) -> None:
        known = self.jobs[job.anonymization_id]
        done = known._replace(step=Step.DONE, finished_at=at, user_id=None)
        self.jobs[job.anonymization_id] = done

    def forget_keys(self, before: datetime) -> None:
        for job in self.jobs.values():
            if job.finished_at is not None and job.finished_at < before:
                self.keys = {
                    k: name for k, name in self.keys.items() if name != job.anonymization_id
                }


class MemoryPapers:
    """`Papers` that name each user in one document."""

    def __init__(self, ledger: MemoryAnonymizations) -> None:
        self.steps: list[str] = []
        self._ledger = ledger
        self._renamed: set[str] = set()

    def fence(self, job: Anonymization) -> None:
        self.steps.append("fence")

    def seal(self, job: Anonymization) -> None:
        self.steps.append("seal")

    def settle(self, job: Anonymization) -> None:
        self.steps.append("settle")

    def rename(self, job: Anonymization) -> Mapping[str, int]:
        self.steps.append("rename")
        assert job.user_id is not None
        if job.user_id in self._renamed:
            return {}
        self._renamed.add(job.user_id)
        known = self._ledger.jobs[job.anonymization_id]
        self._ledger.jobs[job.anonymization_id] = known._replace(documents={"usages": 1})
        return {"usages": 1}

    def lift(self, job: Anonymization) -> None:
        self.steps.append("lift")
