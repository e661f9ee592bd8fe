"""The two Python clients have the same face: what differs between them is listed here."""

import dataclasses
import inspect
from enum import Enum
from typing import Any

import pytest

import actors.client
import actors.protocol.errors
import allotment_client
from actors.client import Allotment
from allotment_client import answers, errors, lists, reports

ONLY_IN_THE_CLUSTER = {
    "wait",  # Its calls run on a loop in a thread; these block by themselves.
    "get_or_create_daily_credits",  # The interface opens no day without a charge.
    "check_and_update_expired_subscriptions",  # The interface expires nothing on demand.
}
ONLY_OVER_HTTP = {
    "send",  # What all methods are made of.
    "usage",
    "make_stream_token",  # A browser has no way into the cluster.
    "get_anonymizations",
    "list_subscriptions",
    "get_history",
    "change_subscription",
    "get_sweeps",
    "get_shards",
    "get_sync",
    "get_events_report",
    "redeliver",
    "reshard",
    "get_resharding",
    "reconcile_stripe",
    "get_stripe_reconciliation",
    "set_test_clock",
    "create_key",
    "list_keys",
    "rotate_key",
    "revoke_key",
    "get_audit",
    "create_endpoint",
    "list_endpoints",
    "change_endpoint",
    "rotate_endpoint",
    "test_endpoint",
    "remove_endpoint",
    "get_settings",
    "change_settings",
    "list_refusals",
    "list_users",
    "get_prices",
}
ASYNC_ONLY = {"aclose", "finished"}
ERRORS_ONLY_OVER_HTTP = {
    "BadSignatureError",
    "ForbiddenError",
    "InternalError",
    "MethodNotAllowedError",
    "RateLimitedError",
    "RequestTimeoutError",
    "ReshardRunningError",
    "ServiceAwayError",
    "TooLargeError",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "UnsupportedMediaTypeError",
}


def methods_of(client: type) -> dict[str, Any]:
    return {name: getattr(client, name) for name in dir(client) if not name.startswith("_")}


def arguments_of(method: Any) -> list[tuple[str, Any, Any]]:
    """Return names, kinds and defaults, without `self`."""
    parameters = list(inspect.signature(method).parameters.values())
    return [(p.name, p.kind, plain_default(p.default)) for p in parameters[1:]]


def plain_default(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


# `Allotment` of the cluster wraps the methods of `AsyncAllotment`, which have the arguments.
CLUSTER, HTTP = methods_of(actors.client.AsyncAllotment), methods_of(allotment_client.Allotment)
SHARED = sorted((CLUSTER.keys() & HTTP.keys()) - {"connect"})


def test_both_have_the_same_methods_but_for_those_listed() -> None:
    cluster = methods_of(Allotment).keys()

    assert cluster - HTTP.keys() == ONLY_IN_THE_CLUSTER
    assert HTTP.keys() - cluster == ONLY_OVER_HTTP


@pytest.mark.parametrize("name", SHARED)
def test_a_method_takes_the_same_arguments(name: str) -> None:
    assert arguments_of(HTTP[name]) == arguments_of(CLUSTER[name])
    assert inspect.getdoc(HTTP[name])


def test_they_differ_in_how_they_are_connected() -> None:
    cluster = inspect.signature(Allotment.connect).parameters
    http = inspect.signature(allotment_client.Allotment.connect).parameters

    assert list(cluster) == ["address", "namespace", "timeout_seconds"]
    assert list(http) == ["url", "api_key", "timeout_seconds", "tries_max"]


def test_the_asynchronous_one_is_the_same() -> None:
    blocking, asynchronous = HTTP, methods_of(allotment_client.AsyncAllotment)

    assert asynchronous.keys() - blocking.keys() == ASYNC_ONLY
    assert blocking.keys() - asynchronous.keys() == {"close"}
    for name in blocking.keys() & asynchronous.keys():
        assert arguments_of(asynchronous[name]) == arguments_of(blocking[name]), name


def tree_of(module: Any) -> dict[str, tuple[str, str, str]]:
    """Return every error of a module: what it is a kind of, its code and its title."""
    kinds: list[Any] = [kind for kind in vars(module).values() if inspect.isclass(kind)]
    return {
        kind.__name__: (kind.__bases__[0].__name__, kind.code, kind.title)
        for kind in kinds
        if issubclass(kind, module.AllotmentError)
    }


def test_every_error_of_the_cluster_is_there_with_its_code_and_in_its_place() -> None:
    cluster, http = tree_of(actors.protocol.errors), tree_of(errors)

    assert http.keys() - cluster.keys() == ERRORS_ONLY_OVER_HTTP
    for name, facts in cluster.items():
        assert http[name] == facts


def test_errors_have_the_same_fields() -> None:
    cluster = actors.protocol.errors.InsufficientCreditsError()
    http = errors.InsufficientCreditsError()

    assert set(vars(cluster)) <= {name for name in dir(http) if not name.startswith("_")}
    assert {f.name for f in dataclasses.fields(errors.Shortfall)} == {
        "limit",
        "remaining_credits",
        "required_credits",
        "available_at",
    }


def test_what_the_issue_calls_insufficient_credits_is_that_error() -> None:
    assert allotment_client.InsufficientCredits is errors.InsufficientCreditsError


def answers_of_the_cluster() -> dict[str, Any]:
    """Return the types that the cluster's methods answer with, and what is in them."""
    found: dict[str, Any] = {}
    waiting = [kind for method in CLUSTER.values() for kind in within(signature_answer(method))]
    while waiting:
        kind = waiting.pop()
        if hasattr(kind, "model_fields") and kind.__name__ not in found:
            found[kind.__name__] = kind
            waiting += [k for f in kind.model_fields.values() for k in within(f.annotation)]
    return found


def signature_answer(method: Any) -> Any:
    try:
        return inspect.signature(method).return_annotation
    except (TypeError, ValueError):
        return None


def within(annotation: Any) -> list[Any]:
    inner = [kind for part in getattr(annotation, "__args__", ()) for kind in within(part)]
    return [annotation, *inner]


@pytest.mark.parametrize(("name", "kind"), sorted(answers_of_the_cluster().items()))
def test_an_answer_has_the_same_fields(name: str, kind: Any) -> None:
    (here,) = {
        getattr(module, name) for module in (answers, lists, reports) if hasattr(module, name)
    }

    assert [field.name for field in dataclasses.fields(here)] == list(kind.model_fields)
