"""What our actors are called in Ray."""

import re

import ray

from actors.remote.options import NAMESPACE

EVENTS = "events"
JANITOR = "janitor"
LISTS = "lists"
STRIPE = "stripe"
SYNC_NAME = "sync"
SUPERVISOR = "supervisor"
SHARD_NAMES = re.compile(r"shard-\d+")
SINGLETONS = re.compile(rf"{JANITOR}|{LISTS}|{SYNC_NAME}|{EVENTS}|{STRIPE}|{SUPERVISOR}")
"""Names of the actors of which there is one."""
WATCHED = re.compile(rf"(?!{SUPERVISOR})({SINGLETONS.pattern}|{SHARD_NAMES.pattern})")
"""Names of the actors that are watched. Programs that joined may have named others in our
namespace; and the supervisor, where it is an actor, does not watch itself."""


def names_of_ours() -> list[str]:
    """Return the names in our namespace, whichever this process works in."""
    named: list[dict[str, str]] = ray.util.list_named_actors(all_namespaces=True)
    return [one["name"] for one in named if one["namespace"] == NAMESPACE]
