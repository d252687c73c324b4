"""A server that speaks as Ollama's `/api/chat` and `/api/version` do, and behaves as badly as it is told to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Answer = Callable[[dict[str, Any]], AsyncIterator[bytes]]
"""From the request's body to the parts of an HTTP answer, from its status line on."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
_VERSION = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\nConnection: close\r\n\r\n{"version":"fake"}'


def frame(content: str, *, done: bool = False, **more: object) -> bytes:
    """One line of the stream."""
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": "fake", "message": message, "done": done, **more}).encode() + b"\n"


def says(content: str, *, pieces: int = 7) -> Answer:
    """Answer with this content, in pieces, as a model does token by token."""

    async def answer(_: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _HEAD
        step = max(1, len(content) // pieces)
        for at in range(0, len(content), step):
            yield frame(content[at : at + step])
        yield frame("", done=True, done_reason="stop")

    return answer


def tells(tips: object) -> Answer:
    """Answer with tips as JSON."""
    return says(json.dumps({"tips": tips}))


def rambles() -> Answer:
    """Answer without end, as fast as it is read."""

    async def answer(_: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _HEAD
        while True:
            yield frame("and another thing, " * 50)

    return answer


def one_endless_line() -> Answer:
    """Send one line that never ends."""

    async def answer(_: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _HEAD + b'{"message":{"content":"'
        while True:
            yield b"x" * 65_536

    return answer


def hangs(until: asyncio.Event) -> Answer:
    """Take the question and say nothing until told to."""

    async def answer(_: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _HEAD + frame("{")
        await until.wait()

    return answer


def waits(until: asyncio.Event, then: Answer) -> Answer:
    """Answer only once an event has come."""

    async def answer(body: dict[str, Any]) -> AsyncIterator[bytes]:
        await until.wait()
        async for part in then(body):
            yield part

    return answer


def raw(*parts: bytes) -> Answer:
    """Send these bytes as the whole answer, from the status line on."""

    async def answer(_: dict[str, Any]) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return answer


def fails(status: int, body: bytes = b'{"error":"model failed"}') -> Answer:
    """Answer with an error status."""
    head = f"HTTP/1.1 {status} Wrong\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(head.encode() + body)


def frames(*lines: bytes) -> Answer:
    """Send these lines as a stream that then ends."""
    return raw(_HEAD + b"".join(lines))


@dataclass
class FakeOllama:
    """Answers each question with the next of `answers`, the last one again and again; `asked` holds the bodies.

    One that is not `awake` takes connections and says nothing at all, as a stopped process does.
    """

    answers: list[Answer]
    asked: list[dict[str, Any]] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most_under_way: int = 0
    awake: bool = True
    connections: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if not self.awake:
                    await reader.read()  # until the other side gives up
                elif head.startswith("GET /api/version "):
                    writer.write(_VERSION)
                    await writer.drain()
                else:
                    await self._answer(head, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            assert head.startswith("POST /api/chat "), head
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
            self.asked.append(body)
            self.was_asked.set()
            async for part in answer(body):
                writer.write(part)
                await writer.drain()
        finally:
            self.under_way -= 1
