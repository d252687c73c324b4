"""uvicorn's HTTP/1.1 with what it lacks: bounds on the head of a request, and an end that lets the answer arrive."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_LIMIT_BYTES = 65_536
HEAD_TIMEOUT_S = 20.0
LINGER_S = 1.0


class CarefulHttp(HttpToolsProtocol):
    """Answers what is no request as problem+json, 431 to a head without end, and 408 to one that does not come.

    Where a client still sends when it has its answer (413, 431), the connection is closed in one direction first:
    closing it at once would throw away the answer (RFC 9112, section 9.6).
    """

    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _is_lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base class has it
        """Begin to wait for a request."""
        self._connection = transport
        super().connection_made(_Polite(transport, self))  # type: ignore[arg-type]  # has all that a transport has
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; between requests, count and time what comes."""
        if self._is_lingering:
            return
        if not self._is_answering():
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_answering():
            self._stop_waiting()
        elif self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, "Request Header Fields Too Large", f"The head is larger than {HEAD_LIMIT_BYTES} bytes.")
        else:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request."""
        self._refuse(400, "Bad Request", msg)

    def hang_up(self, *, is_all_read: bool) -> None:
        """Close the connection, where the client may still be sending after it has had the time to read the answer."""
        if self.transport.is_closing():
            return
        if is_all_read:
            self._connection.close()
            return
        self._stop_waiting()
        self._is_lingering = True
        self._connection.write_eof()
        self.flow.resume_reading()
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._connection.close)

    def is_lingering(self) -> bool:
        """Return whether the answer is given and only the client's end is waited for."""
        return self._is_lingering

    def is_all_read(self) -> bool:
        """Return whether the client has nothing more to send of a request."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever its declaration says
        return cycle is None or not cycle.more_body

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _stop_waiting(self) -> None:
        self._head_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._head_bytes:
            self._refuse(408, "Request Timeout", "The head of the request did not arrive in time.")
        else:
            self._connection.close()

    def _refuse(self, status: int, title: str, detail: str) -> None:
        """Answer without asking a service, and hang up."""
        if self.transport.is_closing():
            return
        document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        body = json.dumps(document).encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self._connection.write(head.encode("ascii") + body)
        self.hang_up(is_all_read=False)


class _Polite:
    """A transport whose `close` lets the answer arrive first."""

    def __init__(self, transport: asyncio.Transport, protocol: CarefulHttp) -> None:
        self._transport = transport
        self._protocol = protocol
        self.write = transport.write  # the one call that is made often

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._protocol.is_lingering() or self._transport.is_closing()

    def close(self) -> None:
        self._protocol.hang_up(is_all_read=self._protocol.is_all_read())
