"""The calls of operators about endpoints, and settings of the run time. All need an admin key."""

from collections.abc import Sequence

from allotment_client.call import Call, checked_key, encoded, path_of
from allotment_client.decoding import reader
from allotment_client.endpoint_reports import (
    EndpointRecord,
    EndpointTrial,
    MadeEndpoint,
    SettingsReport,
)


def create_endpoint(
    url: str, *, events: Sequence[str] = (), enabled: bool = True, key: str | None = None
) -> Call[MadeEndpoint]:
    """Make an endpoint that events are sent to, and return the secret that signs them this once.

    `events`: their types; none: all. It is sent what happens from now on.
    """
    body = encoded(url=url, events=list(events), enabled=enabled)
    path, key = "/admin/endpoints", checked_key(key)
    return Call("POST", path, reader(MadeEndpoint), body=body, key=key)


def list_endpoints() -> Call[list[EndpointRecord]]:
    """Return the endpoints: those of the environment, then the others, the oldest first."""
    return Call("GET", "/admin/endpoints", reader(list[EndpointRecord]))


def change_endpoint(
    endpoint_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> Call[EndpointRecord]:
    """Change where events go, which (`[]`: all), or whether any do. What is left out stays."""
    types = None if events is None else list(events)
    body = encoded(url=url, events=types, enabled=enabled)
    return Call(
        "PATCH", path_of("admin", "endpoints", endpoint_id), reader(EndpointRecord), body=body
    )


def rotate_endpoint(endpoint_id: str, *, overlap: int | None = None) -> Call[MadeEndpoint]:
    """Give an endpoint a new secret, and return it this once.

    `overlap`: seconds in which the one before signs, too, a day unless told. It is not repeated where
    its answer is lost: rotate again.
    """
    path, body = path_of("admin", "endpoints", endpoint_id, "rotate"), encoded(overlap=overlap)
    return Call("POST", path, reader(MadeEndpoint), body=body, repeats=False)


def test_endpoint(endpoint_id: str) -> Call[EndpointTrial]:
    """Have one signed test event sent, and return what came of it."""
    path = path_of("admin", "endpoints", endpoint_id, "test")
    return Call("POST", path, reader(EndpointTrial), repeats=False)


def remove_endpoint(endpoint_id: str) -> Call[EndpointRecord]:
    """Remove an endpoint, with its place and its dead letters, and return it."""
    return Call("DELETE", path_of("admin", "endpoints", endpoint_id), reader(EndpointRecord))


def get_settings() -> Call[SettingsReport]:
    """Return what is set while the service runs, beside what its environment says."""
    return Call("GET", "/admin/settings", reader(SettingsReport))


def change_settings(
    *,
    cors_origins: Sequence[str] | None = None,
    low_credits_percents: Sequence[int] | None = None,
) -> Call[SettingsReport]:
    """Set what is named, within five seconds. What is left out stays.

    `cors_origins`: all origins of browsers' pages that may call, beside the environment's.
    `low_credits_percents`: all thresholds of low credits, in place of the environment's; `[]`: that
    one alone.
    """
    origins = None if cors_origins is None else list(cors_origins)
    percents = None if low_credits_percents is None else list(low_credits_percents)
    body = encoded(cors_origins=origins, low_credits_percents=percents)
    return Call("PATCH", "/admin/settings", reader(SettingsReport), body=body)
