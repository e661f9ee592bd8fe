"""HTTP/1.1 as replicas read it: what comes behind a body is no header, and is refused.

HAProxy hands trailers on as they are, and neither its rules nor its limits see them; the web server
takes them for headers. And it tells nobody that a request has arrived as a whole, as most have when
they are looked at: that saves them a timer.
"""

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WHOLE = "allotment.whole"
"""Among the extensions of a request that has arrived as a whole: nobody waits for its body."""


class TrailerError(Exception):
    """A request has trailers. The web server answers 400 and closes the connection."""


class HeadProtocol(HttpToolsProtocol):
    """The web server's protocol, without trailers; it says which requests are whole."""

    _in_head = True

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Raises TrailerError."""
        if not self._in_head:
            raise TrailerError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head of a request."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self.scope["extensions"] = {WHOLE: {}}
        super().on_message_complete()


def install() -> None:
    """Have web servers that this process starts from now on read requests so."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{HeadProtocol.__name__}"
