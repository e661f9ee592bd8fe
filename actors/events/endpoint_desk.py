"""Makes, lists, changes, rotates and removes endpoints for administrators."""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from actors.events.destinations import check_destination
from actors.events.endpoint_reports import (
    EndpointRecord,
    MadeEndpoint,
    endpoint_record,
    environment_records,
    made_endpoint,
)
from actors.events.endpoints import (
    ENDPOINTS_MAX,
    Endpoint,
    EndpointStore,
    FirstAnswer,
    UnknownEndpointError,
    make_endpoint,
    rotated,
)
from actors.events.settings import WebhookEndpoint
from actors.protocol.errors import IdempotencyKeyReusedError
from domain.values import to_instant


class RefusedUrlError(ValueError):
    """Events may not be sent there. Its text says why, without the address."""


class TooManyEndpointsError(Exception):
    """So many endpoints are kept already."""


class EnvironmentEndpointError(Exception):
    """It is one of the environment's, and changed there alone."""


class EndpointDesk:
    """What administrators may do about endpoints.

    Every method blocks; may raise StorageUnavailableError.
    """

    def __init__(
        self,
        store: EndpointStore,
        environment: Sequence[WebhookEndpoint] = (),
        hosts: Collection[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`hosts`: those that may be http, and anywhere."""
        self._store = store
        self._environment = environment_records(environment)
        self._hosts = frozenset(hosts)
        self._clock = clock

    def list(self) -> list[EndpointRecord]:
        """Return all endpoints: those of the environment, then the others, the oldest first."""
        now = self._now()
        return [*self._environment, *(endpoint_record(one, now) for one in self._store.list())]

    def make(
        self, url: str, events: Collection[str], key: str | None, *, enabled: bool
    ) -> tuple[str, bool]:
        """Make an endpoint; return the text of a `MadeEndpoint`, and whether it is the first answer again.

        Raises RefusedUrlError, TooManyEndpointsError, IdempotencyKeyReusedError.
        """
        fingerprint = fingerprint_of(url, events, enabled=enabled)
        if key is not None and (known := self._store.first_answer(key)):
            return repeated(known, fingerprint), True
        self._check(url)
        if len(self._store.list()) >= ENDPOINTS_MAX:
            raise TooManyEndpointsError
        now = self._now()
        endpoint = make_endpoint(url, events, now, enabled=enabled)
        text = made_endpoint(endpoint, now).model_dump_json()
        first = None if key is None else FirstAnswer(key, fingerprint, text)
        if self._store.insert(endpoint, first):
            return text, False
        return self.make(url, events, key, enabled=enabled)  # One with this key was faster.

    def change(
        self,
        endpoint_id: str,
        url: str | None = None,
        events: Collection[str] | None = None,
        *,
        enabled: bool | None = None,
    ) -> EndpointRecord:
        """Change what is told. Raises UnknownEndpointError, EnvironmentEndpointError, RefusedUrlError."""
        if url is not None:
            self._check(url)

        def changed(old: Endpoint) -> Endpoint:
            return replace(
                old,
                url=old.url if url is None else url,
                events=old.events if events is None else tuple(sorted(set(events))),
                enabled=old.enabled if enabled is None else enabled,
            )

        return endpoint_record(self._replace(endpoint_id, changed), self._now())

    def rotate(self, endpoint_id: str, overlap: timedelta) -> MadeEndpoint:
        """Give an endpoint a new secret; the one before signs, too, for so long.

        Raises UnknownEndpointError, EnvironmentEndpointError.
        """
        now = self._now()
        new = self._replace(
            endpoint_id,
            lambda old: replace(old, secrets=rotated(old.secrets, now, now + overlap)),
        )
        return made_endpoint(new, now)

    def remove(self, endpoint_id: str) -> EndpointRecord:
        """Remove an endpoint, and return it. Raises UnknownEndpointError, EnvironmentEndpointError."""
        removed = self._find(endpoint_id)
        if not self._store.remove(endpoint_id):
            raise UnknownEndpointError
        return endpoint_record(removed, self._now())

    def _replace(self, endpoint_id: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        while True:
            old = self._find(endpoint_id)
            new = replace(change(old), changed_at=self._now(), version=old.version + 1)
            if self._store.replace(old, new):
                return new

    def _find(self, endpoint_id: str) -> Endpoint:
        if any(record.endpoint_id == endpoint_id for record in self._environment):
            raise EnvironmentEndpointError
        found = self._store.find(endpoint_id)
        if found is None:
            raise UnknownEndpointError
        return found

    def _check(self, url: str) -> None:
        try:
            check_destination(url, self._hosts)
        except ValueError as error:
            raise RefusedUrlError(str(error)) from None

    def _now(self) -> datetime:
        return to_instant(self._clock())


def repeated(known: FirstAnswer, fingerprint: str) -> str:
    """Return the first answer to a key. Raises IdempotencyKeyReusedError."""
    if known.fingerprint != fingerprint:
        raise IdempotencyKeyReusedError
    return known.text


def fingerprint_of(url: str, events: Collection[str], *, enabled: bool) -> str:
    """Return the digest of what a request asks for."""
    told = json.dumps([url, sorted(set(events)), enabled])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
