"""LiteLLM behind credits: a hook of its proxy, and a callback of its SDK.

    hook = CreditsHook(AsyncAllotment.connect(), hold=20)

In the proxy's configuration `litellm_settings: {callbacks: module.hook}` names it. In a program,
`litellm.callbacks = [CreditsHook(…, in_sdk=True)]` puts it before `acompletion` and the like,
whose `user` pays. The blocking functions (`completion`) have no hook that could refuse them.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from allotment_client.answers import HoldResponse
from allotment_client.async_client import AsyncAllotment
from allotment_client.errors import AllotmentError, RefusedError, TryAgainError
from allotment_client.metering import Terms, release_async, settle_async
from allotment_client.problems import limit_headers
from allotment_client.tokens import Cost, Tally

TOKEN = "allotment_hold"  # noqa: S105 - what names a hold in a call's metadata
UNMETERED = frozenset({"moderation", "amoderation"})
NOBODY = frozenset({None, "", "default_user_id"})  # The last is the proxy's own administrator.
ASKED = ("messages", "input", "instructions", "prompt", "tools")
RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Held:
    """A call under way."""

    hold: HoldResponse
    is_over_at: float
    """When its hold has expired: nobody needs to remember it any more."""
    in_sdk: bool


def user_of(key: Any, data: dict[str, Any]) -> str | None:
    """Return who pays for a request to the proxy: whose the key is, else whom the request names.

    What a request says of its user can be anything, so a key that is a user's decides.
    """
    for user in (getattr(key, "user_id", None), getattr(key, "end_user_id", None)):
        if user not in NOBODY:
            return str(user)
    named = data.get("user")
    return str(named) if named else None


class CreditsHook(CustomLogger):  # type: ignore[misc] # LiteLLM is not in the service's environment.
    """Holds credits before a call, and settles its real usage.

    `hold` credits are set aside for a call. It is settled by `cost` of its usage, else by the
    service's price list; where no price applies, in full, which is logged. An answer from
    LiteLLM's cache has used nothing, and its hold is released.
    """

    def __init__(
        self,
        allotment: AsyncAllotment,
        *,
        hold: int,
        service_type: str = "chat",
        cost: Cost | None = None,
        user: Callable[[Any, dict[str, Any]], str | None] = user_of,
        in_sdk: bool = False,
    ) -> None:
        super().__init__()
        self._allotment = allotment
        self._terms = Terms(hold, service_type, cost)
        self._user = user
        self._in_sdk = in_sdk
        self._held: OrderedDict[str, Held] = OrderedDict()

    # --- the proxy ------------------------------------------------------------------------

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Hold, before the proxy calls a model. Answers 402 with a problem where that is refused."""
        _ = cache
        if call_type in UNMETERED:
            return data
        user_id = self._user(user_api_key_dict, data)
        if user_id is None:
            raise _http_error(403, "Nobody is named whose credits would pay for this", {})
        try:
            token = await self._hold(user_id, data.get("model"), in_sdk=False)
        except AllotmentError as error:
            raise _refusal(error) from error
        place = "litellm_metadata" if "litellm_metadata" in data else "metadata"
        data[place] = {**(data.get(place) or {}), TOKEN: token}
        return data

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Give the hold back: the request has failed, its repeats and fallbacks included."""
        _ = original_exception, user_api_key_dict, traceback_str
        await self._release(_token_of(request_data))

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """Yield a stream's pieces. One that is left halfway is settled at an estimate."""
        _ = user_api_key_dict
        asked, is_whole = [request_data.get(name) for name in ASKED], False
        tally = Tally(asked, request_data.get("model"), named=_deployed(request_data))
        try:
            async for piece in response:
                tally.take(piece)
                yield piece
            is_whole = True
        finally:
            if not is_whole:  # Else LiteLLM tells the usage.
                await self._settle(_token_of(request_data), tally)

    # --- a program ------------------------------------------------------------------------

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Hold, before a program's call. Raises AllotmentError, ValueError where it has no `user`."""
        word = getattr(call_type, "value", call_type)
        if not self._in_sdk or word in UNMETERED or _token_of(kwargs) in self._held:
            return None
        user_id = kwargs.get("user")
        if not user_id:
            raise ValueError("user: whose credits pay for this call?")
        token = await self._hold(user_id, kwargs.get("model"), in_sdk=True)
        return {**kwargs, "metadata": {**(kwargs.get("metadata") or {}), TOKEN: token}}

    # --- both -----------------------------------------------------------------------------

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Settle what the call has used."""
        _ = start_time, end_time
        token = _token_of(kwargs.get("litellm_params") or {})
        if kwargs.get("cache_hit") is True:
            await self._release(token)
            return
        # The proxy has its answers call the model as the request did: no price is known by that.
        tally = Tally([kwargs.get(name) for name in ASKED], None, named=kwargs.get("model"))
        tally.take(response_obj)
        await self._settle(token, tally)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Give a program's hold back. The proxy's stays: it may go on with another model."""
        _ = response_obj, start_time, end_time
        token = _token_of(kwargs.get("litellm_params") or {})
        held = self._held.get(token or "")
        if held is not None and held.in_sdk:
            await self._release(token)

    async def _hold(self, user_id: str, model: str | None, *, in_sdk: bool) -> str:
        """Hold, and return what names it from now on: nobody can guess it."""
        hold = await self._allotment.hold(**self._terms.hold(user_id, model))
        now, token = time.monotonic(), secrets.token_hex(16)
        while self._held and next(iter(self._held.values())).is_over_at < now:
            self._held.popitem(last=False)
        self._held[token] = Held(hold, now + self._terms.expires_in, in_sdk)
        return token

    async def _settle(self, token: str | None, tally: Tally) -> None:
        held = self._held.pop(token or "", None)
        if held is None:  # It is over already, or was never held.
            return
        if tally.has_begun:
            ending = settle_async(self._allotment, held.hold, self._terms, tally.usage)
        else:
            ending = release_async(self._allotment, held.hold)
        await self._allotment.finished(ending)

    async def _release(self, token: str | None) -> None:
        held = self._held.pop(token or "", None)
        if held is not None:
            await self._allotment.finished(release_async(self._allotment, held.hold))


def _token_of(call: dict[str, Any]) -> str | None:
    """Return what names the hold of a call, where it has one."""
    for place in ("litellm_metadata", "metadata"):
        metadata = call.get(place)
        if isinstance(metadata, dict) and isinstance(metadata.get(TOKEN), str):
            return str(metadata[TOKEN])
    return None


def _deployed(request: dict[str, Any]) -> str | None:
    """Return what the model is called behind the proxy, as it is when a call is whole."""
    details = getattr(request.get("litellm_logging_obj"), "model_call_details", None) or {}
    named = details.get("model")
    return str(named) if named else None


def _refusal(error: AllotmentError) -> Exception:
    """Return what the proxy answers with: 402 as the service said it, or that it is away."""
    if isinstance(error, RefusedError) and error.status == 402:
        return _http_error(402, dict(error.problem or {}), limit_headers(error, datetime.now(UTC)))
    if isinstance(error, TryAgainError):
        seconds = ceil(error.retry_after or RETRY_SECONDS)
        title = "Credits cannot be checked now; try again later"
        return _http_error(503, title, {"Retry-After": str(seconds)})
    return _http_error(500, "Credits cannot be checked", {})


def _http_error(status: int, detail: Any, headers: dict[str, str]) -> Exception:
    from fastapi import HTTPException  # noqa: PLC0415 - the proxy has it, a program need not

    return HTTPException(status, detail, headers)
