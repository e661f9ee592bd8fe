"""Who may do what to whom: what a key's scope allows, and what its limits leave of that.

A key that is limited is refused wherever an operation is not opened to it here: `allow` and `require`
stand for operations about all users; `allow_scope` for those that say later which user they are about,
by `call_of` for what is done and `require_reading` for what is read.
"""

from collections.abc import Callable
from typing import Any

from fastapi import Depends, Request

from actors.auth.caller import Caller, Scope
from actors.edge.problems import RequestRefused, make_problem
from actors.protocol.calls import Call, make_call
from domain.corrections import ReverseUsage
from domain.holds import PlaceHold, ReleaseHold, SettleHold, is_hold_for
from domain.messages import Command, RecordUsage
from domain.values import UserId


class Permit:
    """A dependency of an operation: what a caller's key must be."""

    def __init__(self, scope: Scope, check: Callable[[Request, Scope], Caller]) -> None:
        self.scope = scope
        self._check = check

    async def __call__(self, request: Request) -> None:
        """Refuse a caller whose key is not so."""
        self._check(request, self.scope)


def caller_of(request: Request) -> Caller:
    """Return who sends a request: the gate has found out."""
    caller: Caller = request.scope["caller"]
    return caller


def require_scope(request: Request, scope: Scope) -> Caller:
    """Return who sends a request, if that is a key of at least this scope, limited or not."""
    caller = caller_of(request)
    if not caller.has(scope):
        needed = f"the scope {scope.name.lower()}"
        title = f"This needs a key with {needed}" if caller.scope else "A token reads only"
        raise refused(title)
    return caller


def require(request: Request, scope: Scope) -> Caller:
    """Return who sends a request about all users, if that is an unlimited key of at least this scope."""
    caller = require_scope(request, scope)
    if not caller.has_for_all(scope):
        raise refused("This is about all users: a key that is limited may not do it")
    return caller


def require_reading(request: Request, user_id: UserId, *, of_services: bool) -> None:
    """Refuse whoever may not read this user's own data. `of_services`: it tells of all services."""
    caller = caller_of(request)
    if not caller.admits_user(user_id):
        is_token = caller.scope is None
        title = "A token reads its own user's data only" if is_token else NOT_THIS_USER
        raise refused(title)
    if of_services and not caller.admits_all_services():
        raise refused("This tells of all services: a key that is limited to some may not read it")


def require_user(request: Request, scope: Scope, user_id: UserId) -> Caller:
    """Return who sends a request about one user and all services, if that caller may."""
    caller = require_scope(request, scope)
    require_reading(request, user_id, of_services=True)
    return caller


def call_of(
    request: Request, command: Command, key: str | None, service_type: str | None = None
) -> Call:
    """Return the call of a command that the caller may give. Raises RequestRefused.

    `service_type`: of the charge that the command is about, where it does not show it itself.
    """
    caller = caller_of(request)
    limits = caller.limits
    if limits is not None and not limits.admits_user(command.user_id):
        raise refused(NOT_THIS_USER)
    services = None if limits is None else limits.services
    if services is not None and not any(is_about(command, s, service_type) for s in services):
        raise refused("This key is limited to other services")
    return make_call(command, key, caller.name)


def is_about(command: Command, service: str, of_charge: str | None) -> bool:
    """Say whether a command is about the use of one service alone."""
    match command:
        case RecordUsage(service_type=told) | PlaceHold(service_type=told):
            return told == service
        case SettleHold(hold_id=hold_id) | ReleaseHold(hold_id=hold_id):
            return is_hold_for(hold_id, service)
        case ReverseUsage():
            return of_charge == service
        case _:
            return False


def allow(scope: Scope) -> Permit:
    """Return `require` as a dependency of an operation."""
    return Permit(scope, require)


def allow_scope(scope: Scope) -> Permit:
    """Return `require_scope` as a dependency of an operation that says later whom it is about."""
    return Permit(scope, require_scope)


WRITES: dict[str, Any] = {"dependencies": [Depends(allow_scope(Scope.WRITE))]}
"""Of operations that write, and say later whom they are about."""
ADMIN: dict[str, Any] = {"dependencies": [Depends(allow(Scope.ADMIN))]}
"""Of operators' operations about all users."""
ADMIN_OF_ONE: dict[str, Any] = {"dependencies": [Depends(allow_scope(Scope.ADMIN))]}
"""Of operators' operations that say later whom they are about."""

NOT_THIS_USER = "This key is limited to other users"


def refused(title: str) -> RequestRefused:
    """Return the refusal of what a caller may not do."""
    return RequestRefused(make_problem("forbidden", title))
