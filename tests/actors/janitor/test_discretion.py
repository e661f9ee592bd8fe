"""A run that had begun before a user was made anonymous reports of the new id alone."""

from datetime import timedelta

from actors.janitor.discretion import REMEMBERED, DiscreetAgenda
from actors.janitor.jobs import RECONCILE
from actors.protocol.reports import SweepReport
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.memory_agenda import MemoryAgenda
from tests.fakes.shards import Clock

OLD, NEW = UserId("ada"), UserId("anon-0123456789abcdef01234567")


def kept(agenda: DiscreetAgenda) -> SweepReport:
    """Keep a report that names the old id wherever a report may; return what is kept."""
    report = SweepReport(
        sweep_id="run-1",
        job=RECONCILE,
        started_at=NOON,
        elapsed_ms=7,
        users=[OLD, "bob"],
        differences=["sub_1: pays for ada here, 'bob' in its metadata", "sub_2: active here"],
    )
    agenda.keep(report)
    (found,) = agenda.reports(1)
    return found


def test_users_and_differences_name_the_new_id() -> None:
    agenda = DiscreetAgenda(MemoryAgenda(), Clock(NOON))
    agenda.rename(OLD, NEW)

    report = kept(agenda)

    assert report.users == [NEW, "bob"]
    assert report.differences == [
        f"sub_1: pays for {NEW} here, 'bob' in its metadata",
        "sub_2: active here",
    ]


def test_the_old_id_is_forgotten_itself_once_no_such_run_can_be_left() -> None:
    clock = Clock(NOON)
    agenda = DiscreetAgenda(MemoryAgenda(), clock)
    agenda.rename(OLD, NEW)
    clock.now += REMEMBERED + timedelta(seconds=1)
    agenda.rename(UserId("eve"), UserId("anon-1"))

    assert kept(agenda).users == [OLD, "bob"]
