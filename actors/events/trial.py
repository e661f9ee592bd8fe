"""One signed test event to one endpoint: whether it arrives, and how long that takes."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from datetime import datetime

from actors.events.endpoint_reports import EndpointTrial
from actors.events.http_client import UnreachableError
from actors.events.webhooks import Post, Target
from domain.events import iso_text

TRIAL_SECONDS_MAX = 5.0  # How long an endpoint may take; what takes longer has failed.
TRIAL_TYPE = "endpoint.test"


async def tried(
    target: Target,
    endpoint_id: str,
    http: Post,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float] = time.monotonic,
) -> EndpointTrial:
    """Send a test event once, and tell what came of it."""
    event_id, now = f"test_{secrets.token_hex(16)}", clock()
    body = {
        "id": event_id,
        "type": TRIAL_TYPE,
        "created": iso_text(now),
        "user_id": None,
        "subscription_id": None,
        "data": {"endpoint_id": endpoint_id},
    }
    began = monotonic()
    status, error = None, None
    try:
        async with asyncio.timeout(TRIAL_SECONDS_MAX):
            status = await target.send(http, event_id, json.dumps(body), now)
    except TimeoutError:
        error = f"no answer within {TRIAL_SECONDS_MAX:.0f} seconds"
    except UnreachableError as failure:
        error = f"the endpoint cannot be reached: {failure}"
    return EndpointTrial(
        endpoint_id=endpoint_id,
        delivered=status is not None and 200 <= status < 300,
        status=status,
        milliseconds=round((monotonic() - began) * 1000),
        error=error,
    )
