"""A chat behind exact credit limits: FastAPI, with a hold around each model call.

ALLOTMENT_URL=http://127.0.0.1:8000 ALLOTMENT_API_KEY=… uvicorn app:app --port 8001
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from allotment_client import AsyncAllotment
from allotment_client.fastapi import Credits, RequestHold

allotment = AsyncAllotment.connect()
CREDITS_A_WORD = 1


def current_user(x_user: Annotated[str, Header()]) -> str:
    """Return who asks. A real application looks at a session or a token here."""
    return x_user


hold_credits = Credits(allotment, user=current_user, service_type="chat")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await allotment.aclose()


app = FastAPI(lifespan=lifespan)
hold_credits.install(app)  # Who has too few credits gets 402, with when to come again.


class Question(BaseModel):
    """What a user asks."""

    text: str


class Answer(BaseModel):
    """What the model says."""

    text: str
    words: int


async def model(question: str) -> AsyncIterator[str]:
    """Yield the words of an answer. A real application calls its model here."""
    if not question:
        raise HTTPException(422, "ask something")
    for word in f"you said {question}".split():
        await asyncio.sleep(0)
        yield word


@app.get("/credits")
async def remaining(user: Annotated[str, Depends(current_user)]) -> dict[str, int]:
    """Say what is left today. It holds nothing."""
    status = await allotment.check_daily_allocation(user)
    return {"remaining_credits": status.remaining_credits}


@app.post("/chat")
async def chat(
    question: Question, hold: Annotated[RequestHold, Depends(hold_credits(20, at_least=1))]
) -> Answer:
    """Answer at once. At most 20 credits are held, and what the answer cost is settled."""
    words = [word async for word in model(question.text)]
    hold.report(len(words) * CREDITS_A_WORD)
    return Answer(text=" ".join(words), words=len(words))


@app.post("/chat/stream")
async def stream(
    question: Question, hold: Annotated[RequestHold, Depends(hold_credits(20, at_least=1))]
) -> StreamingResponse:
    """Answer word by word. A client that goes away pays for the words it was sent."""

    async def words() -> AsyncIterator[str]:
        sent = 0
        async for word in model(question.text):
            sent += 1
            hold.report(sent * CREDITS_A_WORD)
            yield f"{word} "

    return StreamingResponse(words(), media_type="text/plain", headers=hold.headers)
