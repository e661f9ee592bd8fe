"""Every collection that is written is in a table that says how it names users, or that it does not."""

import re
from pathlib import Path

from actors.mongo.indexes import wanted_indexes
from actors.mongo.jobs.named_collections import BY_FENCES, NAMED, NAMELESS
from domain.documents.anonymization import Renaming
from domain.values import UserId

ACTORS = Path(__file__).parents[4] / "actors"
COLLECTION = re.compile(
    r"""(?:database\.|_database\.|database\[")(\w+)|["'](allotment_[a-z_]+)["']"""
)
SHARED = {"subscriptions", "dailycredits", "usages", "packs"}
NO_COLLECTIONS = {"allotment_credits", "allotment_days"}  # Names in Stripe's metadata.


def named_in_code() -> set[str]:
    """Return the names of collections that any code of ours speaks of."""
    found: set[str] = set()
    for path in ACTORS.glob("**/*.py"):
        if "mongo" not in path.read_text():
            continue
        for attribute, quoted in COLLECTION.findall(path.read_text()):
            name = attribute or quoted
            if name.startswith("allotment_") or name in SHARED:
                found.add(name)
    metrics = {name for name in found if name.startswith("allotment_") and name.endswith("_")}
    return found - NO_COLLECTIONS - metrics


def test_each_collection_that_the_code_names_is_in_one_table() -> None:
    tables = (NAMED.keys(), NAMELESS.keys(), BY_FENCES.keys())
    known = [name for table in tables for name in table]

    assert sorted(known) == sorted(set(known))
    assert named_in_code() | wanted_indexes(embedded=True).keys() <= set(known)


def test_the_tables_name_no_collection_that_nobody_writes() -> None:
    coming = {"packs", "allotment_lapsed_holds"}

    for name in {*NAMED, *NAMELESS, *BY_FENCES} - coming:
        assert name in named_in_code(), name


def test_dead_letters_come_after_their_events_which_take_them_along() -> None:
    names = list(NAMED)

    assert names.index("allotment_events") < names.index("allotment_dead_letters")


def test_a_report_names_users_as_before_whose_ids_only_have_the_renamed_one_in_them() -> None:
    report = {"_id": "sweep-1", "users": ["10", "team-10"], "differences": ["sub_1: pays for 10"]}

    renamed = NAMED["allotment_sweeps"].renamed(
        Renaming(UserId("10"), UserId("anon-1"), "10", "anon-1"), report
    )

    assert renamed == report | {
        "users": ["anon-1", "team-10"],
        "differences": ["sub_1: pays for anon-1"],
    }
