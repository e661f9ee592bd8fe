"""A client who makes requests as one user after the other, and notes the answers."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from tests.builders.authors import NOON
from tests.golden.serving import Served

USAGE, HOLDS = "/subscription/usage", "/subscription/holds"
CREDITS, BATCH = "/subscription/credits", "/subscription/usage/batch"


class Walker:
    """Makes requests as one user, and notes each with its answer."""

    def __init__(self, service: Served) -> None:
        self._service = service
        self.steps: list[dict[str, Any]] = []
        self.now: datetime = NOON
        self.user = "nobody"

    def come(self, user: str) -> None:
        """Be another user from now on, two days after what was last asked."""
        self.user = user
        self.now = self.now.replace(hour=12, minute=0) + timedelta(days=2)

    def wait(self, **by: float) -> None:
        self.now += timedelta(**by)

    def sleep(self) -> None:
        """Wait until the next day has begun."""
        self.now = self.now.replace(hour=0, minute=30) + timedelta(days=1)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        by: str | None = "ADMIN",
    ) -> Any:
        """Make a request under a key of its own, another one, or none; return its answer's body."""
        number = None if method == "GET" else f"key {len(self.steps)}"
        request = {
            "at": self.now.isoformat(),
            "method": method,
            "path": path,
            "as": by,
            "key": number if key == "" else key,
            "body": body,
        }
        answer = await self._service.answer(request)
        self.steps.append({"request": request, "answer": answer})
        return answer["body"]

    async def get(self, path: str, **query: Any) -> Any:
        return await self.ask("GET", f"{path}?{urlencode(query)}" if query else path)

    async def status(self) -> Any:
        return await self.get("/subscription/status", user_id=self.user)

    async def add(
        self, amount: int, days: int, transaction: str = "t-1", key: str | None = "", **more: Any
    ) -> Any:
        return await self.ask(
            "POST", CREDITS, credits_body(self.user, amount, days, transaction) | more, key=key
        )

    async def use(self, amount: int | None, key: str | None = "", **more: Any) -> Any:
        body = {"user_id": self.user, "service_type": "chat"} | more
        if amount is not None:
            body["credit_amount"] = amount
        return await self.ask("POST", USAGE, body, key=key)

    async def hold(self, amount: int, key: str | None = "", **more: Any) -> str:
        """Place a hold and return its path; where it is refused, that of none."""
        body = {"user_id": self.user, "credit_amount": amount, "service_type": "chat"} | more
        answer = await self.ask("POST", HOLDS, body, key=key)
        return f"{HOLDS}/{answer.get('hold_id', 'none')}"

    async def settle(self, path: str, amount: int | None, key: str | None = "", **more: Any) -> Any:
        body = more if amount is None else {"credit_amount": amount} | more
        return await self.ask("POST", f"{path}/settle", body, key=key)

    async def patch(self, key: str | None = "", **body: Any) -> Any:
        """Change the user's first subscription."""
        shown = await self.status()
        return await self.ask("PATCH", f"/subscriptions/{shown['subscription_id']}", body, key=key)

    async def look(self) -> None:
        """Read all that there is to read of the user, pages included."""
        await self.status()
        month = f"{self.now:%Y-%m}"
        await self.get("/subscription/usage/monthly", user_id=self.user, month=month)
        await self.get(HOLDS, user_id=self.user)
        name = quote(self.user, safe="")
        await self.get(f"/subscriptions/{name}")
        await self.pages(USAGE, user_id=self.user, limit=3)
        await self.pages(f"/subscriptions/{name}/history", limit=5)

    async def pages(self, path: str, **query: Any) -> None:
        """Read a list to its end."""
        more: dict[str, str] = {}
        while True:
            cursor = (await self.get(path, **query, **more))["next_cursor"]
            if cursor is None:
                return
            more = {"cursor": cursor}


def credits_body(user: str, amount: int, days: int, transaction: str) -> dict[str, Any]:
    payment = {
        "method": "card",
        "transaction_id": transaction,
        "amount": 2900,
        "currency": "eur",
    }
    return {"user_id": user, "amount": amount, "days": days, "payment": payment}
