"""MongoDB's messages, as far as a proxy reads them: OP_MSG, and the OP_QUERY of a first hello.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

import socket
import struct
from itertools import count
from typing import Any

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
MORE_TO_COME = 2  # The sender waits for no reply.
HEADER = struct.Struct("<iiii")  # Length, request id, id that is replied to, operation.
REPLY_HEAD_LENGTH = 36  # What comes before the document of an OP_REPLY.
BODY, SEQUENCE = 0, 1  # Kinds of sections of an OP_MSG.
_NUMBERS = count(1)


def read_message(connection: socket.socket) -> bytes:
    """Return the next message, header included. EOFError: the other side has closed."""
    head = _read(connection, HEADER.size)
    return head + _read(connection, HEADER.unpack(head)[0] - HEADER.size)


def _read(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def command_of(message: bytes) -> dict[str, Any]:
    """Return a command or a reply as one document, sequences of documents included."""
    operation = HEADER.unpack_from(message)[3]
    if operation == OP_REPLY:
        return bson.decode(message[REPLY_HEAD_LENGTH:])
    if operation == OP_QUERY:
        start = message.index(0, HEADER.size + 4) + 1 + 8  # Flags, name, skip and limit.
        return bson.decode(message[start : start + struct.unpack_from("<i", message, start)[0]])
    document: dict[str, Any] = {}
    sequences: dict[str, Any] = {}
    at = HEADER.size + 4
    while at < len(message):
        kind, length = message[at], struct.unpack_from("<i", message, at + 1)[0]
        section = message[at + 1 : at + 1 + length]
        if kind == BODY:
            document = bson.decode(section)
        else:
            end = section.index(0, 4)
            sequences[section[4:end].decode()] = bson.decode_all(section[end + 1 :])
        at += 1 + length
    return document | sequences


def expects_no_reply(message: bytes) -> bool:
    """Say whether the sender waits for no answer."""
    is_message = HEADER.unpack_from(message)[3] == OP_MSG
    return is_message and bool(struct.unpack_from("<I", message, HEADER.size)[0] & MORE_TO_COME)


def reply_to(message: bytes, document: dict[str, Any]) -> bytes:
    """Return a reply to a message, of the kind that its sender understands."""
    _, request, _, operation = HEADER.unpack_from(message)
    if operation == OP_QUERY:
        kind, body = OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(document)
    else:
        kind, body = OP_MSG, b"\0\0\0\0\0" + bson.encode(document)
    return HEADER.pack(HEADER.size + len(body), next(_NUMBERS), request, kind) + body
