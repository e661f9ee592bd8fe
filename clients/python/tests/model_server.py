"""A server of OpenAI's shape, on a real socket."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ["good ", "morning ", "to ", "you"]
CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 10},
}
RESPONSE_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 150,
}
KINDS = {"input": 60, "output": 40, "cache_read": 40, "reasoning": 10}


class Handler(BaseHTTPRequestHandler):
    """Answers as OpenAI does. The model's name says what becomes of a call."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)  # type: ignore[attr-defined]
        if body["model"] == "broken":
            self._send(400, {"error": {"message": "broken", "type": "invalid_request_error"}})
        elif body.get("stream"):
            self._stream(body)
        elif self.path.endswith("/responses"):
            self._send(200, response("completed", body["model"]))
        else:
            self._send(200, completion(body["model"]))

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        pieces = responses_of(body) if self.path.endswith("/responses") else chunks_of(body)
        for number, piece in enumerate(pieces):
            if body["model"] == "cut" and number == 2:
                return
            event = f"event: {piece['type']}\n" if "type" in piece else ""
            self.wfile.write(f"{event}data: {json.dumps(piece)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def completion(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = None if model == "silent" else CHAT_USAGE
    return facts(model) | {"object": "chat.completion", "choices": [choice], "usage": usage}


def facts(model: str) -> dict[str, Any]:
    return {"id": "chat-1", "created": 1, "model": f"{model}-2026"}


def chunks_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = facts(body["model"]) | {"object": "chat.completion.chunk"}
    for word in WORDS:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield base | {"choices": [choice]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield base | {"choices": [], "usage": CHAT_USAGE}


def response(status: str, model: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    is_done = status == "completed"
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "model": f"{model}-2026",
        "status": status,
        "output": [message | {"content": [content]}] if is_done else [],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE if is_done else None,
    }


def responses_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    number = itertools.count()
    began = response("in_progress", body["model"])
    yield {"type": "response.created", "sequence_number": next(number), "response": began}
    place = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
    for word in WORDS:
        delta = {"type": "response.output_text.delta", "delta": word}
        yield delta | place | {"sequence_number": next(number)}
    done = response("completed", body["model"])
    yield {"type": "response.completed", "sequence_number": next(number), "response": done}


class Model(ThreadingHTTPServer):
    """A model's server, and what it was asked."""

    daemon_threads = True
    asked: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextlib.contextmanager
def serving() -> Iterator[Model]:
    """Serve as long as the block."""
    with Model(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def main() -> int:
    """Run a Python beside the model, where OpenAI's SDK finds it; return its exit code."""
    with serving() as model:
        found = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "none"}
        command = [sys.executable, *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | found, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
