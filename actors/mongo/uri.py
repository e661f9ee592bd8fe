"""What the URI may say, and which servers will do. A problem is one sentence for an operator.

The URI says where the database is and how to sign in. How we read, write and wait is ours.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OURS: Mapping[str, str | None] = {
    "readPreference": "primary",
    "readConcernLevel": "majority",
    "w": "majority",
    "journal": "true",
    "j": "true",
    "retryWrites": "true",
    "retryReads": "true",
    "loadBalanced": "false",
    "readPreferenceTags": None,
    "maxStalenessSeconds": None,
    "fsync": None,
    "timeoutMS": None,
    "socketTimeoutMS": None,
    "connectTimeoutMS": None,
    "serverSelectionTimeoutMS": None,
    "wTimeoutMS": None,
    "waitQueueTimeoutMS": None,
}
"""Options that are ours. What Atlas puts into the URIs that it gives may stand there all the same."""

_NAMES = {name.lower(): name for name in OURS}

OTHER_MAKERS: Mapping[str, str] = {
    ".cosmos.azure.com": "Azure Cosmos DB",
    ".docdb.amazonaws.com": "Amazon DocumentDB",
    ".docdb-elastic.amazonaws.com": "Amazon DocumentDB",
    ".docdb.amazonaws.com.cn": "Amazon DocumentDB",
    ".firestore.goog": "Google Firestore",
}
"""By the ends of their hosts' names, and by what only they say of their build:"""
BUILDS: Mapping[str, str] = {"ferretdb": "FerretDB", "_t": "Azure Cosmos DB"}
EMBEDDED_SET_NAME = "secantus"  # What the server calls its replica set.


def problem_of_options(uri: str) -> str | None:
    """Return what is wrong with the options of a URI; None: nothing is.

    Names alone are told: values may be secrets, of a URI that is not well formed.
    """
    refused = [name for name, value in _ours_in(uri) if value != OURS[name]]
    if not refused:
        return None
    return (
        f"ALLOTMENT_MONGO_URI sets {', '.join(dict.fromkeys(refused))}: how Allotment reads, writes"
        " and waits is its own, so leave that out."
    )


def _ours_in(uri: str) -> Iterable[tuple[str, str]]:
    for option in uri.partition("?")[2].replace(";", "&").split("&"):
        name, _, value = option.partition("=")
        if name.lower() in _NAMES:
            yield _NAMES[name.lower()], value.lower()


def problem_of_server(
    hello: Mapping[str, Any], build: Mapping[str, Any], hosts: Iterable[str], *, is_direct: bool
) -> str | None:
    """Return why a server will not do, by what it says of itself and its build; None: it will."""
    maker = _other_maker(build, hosts)
    if maker is not None:
        return f"This is {maker}, which Allotment was never tried with: it needs a MongoDB."
    if hello.get("msg") == "isdbgrid":
        return (
            "This is a mongos: Allotment needs a replica set, and follows its changes too slowly"
            " through a sharded cluster."
        )
    if not hello.get("setName"):
        return "MongoDB runs without change streams: Allotment needs a replica set."
    if is_direct and hello["setName"] != EMBEDDED_SET_NAME:
        return (
            "ALLOTMENT_MONGO_URI sets directConnection: with one member alone there is no answer"
            " after an election, so leave that out and name the members as they name each other."
        )
    return None


def _other_maker(build: Mapping[str, Any], hosts: Iterable[str]) -> str | None:
    for mark, maker in BUILDS.items():
        if mark in build:
            return maker
    for host in hosts:
        name = host.rpartition(":")[0] or host
        for ending, maker in OTHER_MAKERS.items():
            if name.lower().rstrip(".").endswith(ending):
                return maker
    return None
