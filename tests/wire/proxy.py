"""A proxy before a MongoDB that fails as real ones do: rules say what becomes of a command."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.wire.framing import command_of, expects_no_reply, read_message, reply_to

Command = dict[str, Any]
SET_NAME = "members"
HELLO = ("hello", "isMaster", "ismaster")


@dataclass(frozen=True)
class Answer:
    """The server never sees the command."""

    document: Command


@dataclass(frozen=True)
class ForwardThenAnswer:
    """The server does it, and the client is told something else."""

    document: Command


@dataclass(frozen=True)
class Close:
    """The connection is lost before the server sees the command."""


@dataclass(frozen=True)
class ForwardThenClose:
    """The server does it, and its answer is lost."""


@dataclass(frozen=True)
class Delay:
    """The server does it, and its answer comes so late, or when the proxy is closed."""

    seconds: float


Action = Answer | ForwardThenAnswer | Close | ForwardThenClose | Delay


@dataclass
class Rule:
    """What becomes of the next `times` commands of a name; None: of all."""

    command: str
    action: Action
    times: int | None
    where: Callable[[Command], bool]
    met: int = 0

    def take(self, command: Command) -> bool:
        """Say whether the rule is for this command, and count it."""
        if next(iter(command)) != self.command or self.met == self.times:
            return False
        if not self.where(command):
            return False
        self.met += 1
        return True


class Proxy:
    """Answers on a port of its own on loopback. `seen` holds the commands, hellos left out."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.seen: list[Command] = []
        self.rewrite_hello: Callable[[Command], Command] = self._hello
        self.decide: Callable[[Command], Action | None] = self.by_rules
        self._target = target
        self._rules: list[Rule] = []
        self._closed = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="wire-proxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def uri(self) -> str:
        return f"mongodb://{self.host}/"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def on(
        self,
        command: str,
        action: Action,
        *,
        times: int | None = 1,
        where: Callable[[Command], bool] = lambda _: True,
    ) -> Rule:
        """Add a rule; earlier ones come first."""
        rule = Rule(command, action, times, where)
        self._rules.append(rule)
        return rule

    def forget_rules(self) -> None:
        self._rules.clear()
        self.seen.clear()

    def commands(self, name: str) -> list[Command]:
        """Return the commands of a name that were seen."""
        return [command for command in self.seen if next(iter(command)) == name]

    def close(self) -> None:
        self._closed.set()
        for connection in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def by_rules(self, command: Command) -> Action | None:
        """Return what the first rule says that is for this command."""
        return next((rule.action for rule in self._rules if rule.take(command)), None)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(EOFError, OSError),
            client,
            socket.create_connection(self._target) as server,
        ):
            self._connections += [client, server]
            while self._pass_on(client, server):
                pass

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass one message on. False: the connection is lost."""
        message = read_message(client)
        command = command_of(message)
        if next(iter(command)) in HELLO:
            server.sendall(message)
            hello = command_of(read_message(server))
            client.sendall(reply_to(message, self.rewrite_hello(hello)))
            return True
        self.seen.append(command)
        action = self.decide(command)
        if isinstance(action, Close):
            return False
        if isinstance(action, Answer):
            client.sendall(reply_to(message, action.document))
            return True
        server.sendall(message)
        if expects_no_reply(message):
            return True
        return self._answer(client, message, read_message(server), action)

    def _answer(
        self, client: socket.socket, message: bytes, reply: bytes, action: Action | None
    ) -> bool:
        if isinstance(action, ForwardThenClose):
            return False
        if isinstance(action, ForwardThenAnswer):
            reply = reply_to(message, action.document)
        if isinstance(action, Delay):
            self._closed.wait(action.seconds)
        client.sendall(reply)
        return True

    def _hello(self, hello: Command) -> Command:
        """Return the hello of a set with this member alone."""
        named = {"setName": SET_NAME, "hosts": [self.host], "primary": self.host, "me": self.host}
        return without_streaming(hello) | named


def without_streaming(hello: Command) -> Command:
    """Return a hello whose client asks again, in place of waiting for the next on the same socket."""
    return {name: value for name, value in hello.items() if name != "topologyVersion"}
