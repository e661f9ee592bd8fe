"""What a client of HTTP/2 sends that begins many requests and ends none."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS = 100  # As many as HAProxy would allow a connection.


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def greeting() -> bytes:
    """Return what a connection begins with."""
    return PREFACE + frame(4, 0, 0, b"")


def begun_posts() -> bytes:
    """Return the beginning of as many requests as a connection may have, all unfinished."""
    # POST, http, and a path and a host of one letter, by the static table of RFC 7541.
    head = b"\x83\x86\x44\x01/\x41\x01a"
    streams = (2 * number + 1 for number in range(STREAMS))
    bodies = b"".join(frame(1, 4, s, head) + frame(0, 0, s, b"x" * 400) for s in streams)
    return greeting() + bodies
