"""Changing something: a form, then what it would do, then the change and what came of it.

A form carries a key of its own from the moment it is shown what it would do, so that sent twice it is
done once.
"""

import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.console.changes import Form, Known, Plan, WrongFieldError
from actors.console.console import Console, see
from actors.console.guard import form_of, session_of
from actors.console.service import RefusedError
from actors.console.sessions import Notice

ONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Desk:
    """What may be changed at one place of the console. Its addresses end with `{action}`."""

    plans: Mapping[str, Callable[[Form, Known], Plan]]
    titles: Mapping[str, str]
    template: str
    """That of its forms."""
    known: Callable[[Console, str, str, Form], Awaitable[dict[str, Any]]]
    """With a key, for an action: what the service says now of what a form is about. Raises RefusedError."""
    home: Callable[[Form], str]
    """Where the browser goes when it is done."""
    subject: Callable[[Form, Known], str]
    """What a form is about, by its name."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What its forms show beside."""
    made: str = ""
    """The field of an answer that is shown once, on the next page."""

    async def show(self, request: Request) -> Response:
        """Show the form of a change."""
        return await self._form(request, dict(request.query_params), "")

    async def plan_or_do(self, request: Request) -> Response:
        """Show what a form would do; do it, where that was shown and is confirmed."""
        console: Console = request.app.state.console
        action, form, session = self._action(request), await form_of(request), session_of(request)
        form.setdefault("once", secrets.token_hex(ONCE_BYTES))
        try:
            known = await self.known(console, session.key, action, form)
            plan = self.plans[action](form, known)
            if form.pop("confirmed", "") != "1":
                return console.page(
                    request,
                    "change_plan.html",
                    title=self.titles[action],
                    subject=self.subject(form, known),
                    fields=form,
                    plan=plan,
                    link=self.home(form),
                )
            answer = await console.service.send(
                session.key, plan.method, plan.path, plan.body, idempotency_key=form["once"]
            )
        except WrongFieldError as error:
            return await self._form(request, form, str(error))
        except RefusedError as error:
            if error.status == 401:
                raise
            return await self._form(request, form, f"{error.title}. {error.detail}".strip())
        if self.made and answer.get(self.made):
            session.made[self.made] = answer[self.made]
        session.notices.append(Notice(plan.done))
        return see(self.home(form))

    async def _form(self, request: Request, form: dict[str, str], error: str) -> Response:
        console: Console = request.app.state.console
        action = self._action(request)
        known = await self.known(console, session_of(request).key, action, form)
        form = {name: value for name, value in form.items() if name not in ("once", "confirmed")}
        return console.page(
            request,
            self.template,
            422 if error else 200,
            action=action,
            title=self.titles[action],
            form=defaultdict(str, form),
            error=error,
            known=known,
            link=self.home(form),
            **self.shown,
        )

    def _action(self, request: Request) -> str:
        action: str = request.path_params["action"]
        if action not in self.plans:
            raise HTTPException(404)
        return action
