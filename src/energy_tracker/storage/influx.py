"""InfluxDB 2.7 over plain HTTP: writing lines that are acknowledged, and asking in InfluxQL.

The client library of the vendor is not used: its batching mode reports no failure and drops what was refused. Here a
write returns when InfluxDB has acknowledged every line, names the lines that it refuses, or raises.

Queries are InfluxQL, answered as MessagePack: raw points come five times faster than as Flux's annotated CSV. They are
put together from measurements of this package, whole numbers and names escaped by `tag_text`, never from what people
wrote. (A bucket is a database of the same name to InfluxQL: InfluxDB maps one on the other by itself.)
"""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import httpx
import msgspec

from energy_tracker.kit.health import PartHealth
from energy_tracker.kit.problems import TemporarilyUnavailable

LINES_PER_REQUEST: Final = 5_000
REQUESTS_AT_ONCE: Final = 2
_TIMEOUT: Final = httpx.Timeout(30.0, connect=2.0)
_REFUSED: Final = frozenset({400, 413, 422})
_NS_PER_MS: Final = 1_000_000
_LAST_NS: Final = 2**63 - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxOptions:
    """Where the bucket is; `retention_s` is how long it keeps points (None: as it is, for ever in a new one)."""

    url: str
    token: str = field(repr=False)
    org: str
    bucket: str
    retention_s: int | None = None


class InfluxUnavailable(TemporarilyUnavailable):
    """InfluxDB does not answer, or refuses this client."""

    title = "InfluxDB is not available"


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that InfluxDB will never take: its index among those written, and why."""

    index: int
    reason: str


class Series(msgspec.Struct):
    """Rows of one measurement, or of one combination of the tags grouped by; `values` are in order of time."""

    columns: tuple[str, ...]
    values: list[list[Any]]
    name: str = ""
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[Series] = []
    error: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result] = []


_answer = msgspec.msgpack.Decoder(_Answer)


class InfluxDatabase:
    """One bucket. `http` is a client without a base URL; every call raises `InfluxUnavailable`."""

    def __init__(self, options: InfluxOptions, http: httpx.AsyncClient) -> None:
        self.options = options
        self._http = http
        self._headers = {"Authorization": f"Token {options.token}"}
        self._write_query = {"org": options.org, "bucket": options.bucket, "precision": "ns"}
        self._last_error: str | None = None

    async def write(self, lines: Sequence[str]) -> list[RefusedLine]:
        """Write lines of line protocol (times in ns) and return, once all others are acknowledged, those refused.

        Writing a line again changes nothing. Raises `InfluxUnavailable`: any of the lines may be stored then.
        """
        starts = iter(range(0, len(lines), LINES_PER_REQUEST))
        refused: list[RefusedLine] = []

        async def write_parts() -> None:
            for start in starts:
                refused.extend(await self._write_part(lines[start : start + LINES_PER_REQUEST], start))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(REQUESTS_AT_ONCE, math.ceil(len(lines) / LINES_PER_REQUEST))):
                    group.create_task(write_parts())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return sorted(refused, key=lambda line: line.index)

    async def _write_part(self, lines: Sequence[str], offset: int) -> list[RefusedLine]:
        """Write lines by one request; where something in them is refused, find it by halves.

        InfluxDB stores the valid points of a request or none, depending on what is wrong, and names the first reason
        only.
        """
        response = await self._request(
            "POST", "/api/v2/write", params=self._write_query, content="\n".join(lines).encode(), may_refuse=True
        )
        if response.status_code not in _REFUSED:
            return []
        if len(lines) == 1:
            return [RefusedLine(offset, _message(response))]
        middle = len(lines) // 2
        return [
            *await self._write_part(lines[:middle], offset),
            *await self._write_part(lines[middle:], offset + middle),
        ]

    async def query(self, influxql: str) -> list[list[Series]]:
        """Return, for each statement, its series; those of what does not exist are empty."""
        response = await self._request(
            "POST",
            "/query",
            params={"db": self.options.bucket, "epoch": "ns"},
            data={"q": influxql},
            headers={"Accept": "application/x-msgpack"},
        )
        try:
            answer = _answer.decode(response.content)
        except msgspec.MsgspecError as error:
            raise InfluxUnavailable("InfluxDB answered something that cannot be read.") from error
        for result in answer.results:
            if result.error is not None:
                raise InfluxUnavailable(f"InfluxDB could not answer: {result.error[:200]}")
        return [result.series for result in answer.results]

    async def delete(self, predicate: str, *, from_ms: int, to_ms: int) -> None:
        """Delete the points of `[from_ms, to_ms)` that a predicate such as `deviceId="7"` names."""
        span = {"start": _rfc3339(from_ms), "stop": _rfc3339(to_ms), "predicate": predicate}
        await self._request(
            "POST",
            "/api/v2/delete",
            params={"org": self.options.org, "bucket": self.options.bucket},
            content=json.dumps(span).encode(),
            headers={"Content-Type": "application/json"},
        )

    async def prepare(self) -> None:
        """Make the bucket where it is missing, and give it the retention of the options."""
        bucket = await self._bucket()
        wanted_s = self.options.retention_s
        rules = [{"type": "expire", "everySeconds": wanted_s or 0}]
        if bucket is None:
            owner = await self._request("GET", "/api/v2/orgs", params={"org": self.options.org})
            await self._send_json(
                "POST",
                "/api/v2/buckets",
                {
                    "orgID": owner.json()["orgs"][0]["id"],
                    "name": self.options.bucket,
                    "retentionRules": rules if wanted_s else [],
                },
            )
        elif wanted_s is not None and wanted_s not in {rule["everySeconds"] for rule in bucket["retentionRules"]}:
            await self._send_json("PATCH", f"/api/v2/buckets/{bucket['id']}", {"retentionRules": rules})

    async def health(self) -> PartHealth:
        """Ask whether InfluxDB answers and the last call to it succeeded."""
        await self._request("GET", "/health", is_work=False)
        if self._last_error is not None:
            return PartHealth("DOWN", {"error": self._last_error})
        return PartHealth("UP", {"bucket": self.options.bucket})

    async def _bucket(self) -> dict[str, Any] | None:
        query = {"name": self.options.bucket, "org": self.options.org}
        response = await self._request("GET", "/api/v2/buckets", params=query, may_miss=True)
        found: list[dict[str, Any]] = response.json().get("buckets", []) if response.is_success else []
        return found[0] if found else None

    async def _send_json(self, method: str, path: str, body: Mapping[str, object]) -> None:
        content = json.dumps(body).encode()
        await self._request(method, path, content=content, headers={"Content-Type": "application/json"})

    async def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        may_refuse: bool = False,
        may_miss: bool = False,
        is_work: bool = True,
        **parts: Any,
    ) -> httpx.Response:
        try:
            response = await self._http.request(
                method,
                f"{self.options.url}{path}",
                headers={**self._headers, **(headers or {})},
                timeout=_TIMEOUT,
                **parts,
            )
        except httpx.HTTPError as error:
            raise self._unavailable(f"InfluxDB does not answer ({type(error).__name__}).") from error
        is_expected = (may_refuse and response.status_code in _REFUSED) or (may_miss and response.status_code == 404)  # noqa: PLR2004 - HTTP's "not found"
        if response.is_success or is_expected:
            if is_work:
                self._last_error = None
            return response
        raise self._unavailable(f"InfluxDB answers {response.status_code}: {_message(response)}")

    def _unavailable(self, error: str) -> InfluxUnavailable:
        self._last_error = error
        return InfluxUnavailable(error)


def time_ns(time_ms: int, part_ns: int = 0) -> int:
    """Return the time of a point: ms since 1970, and ns beyond that."""
    return time_ms * _NS_PER_MS + part_ns


def bound_ns(time_ms: int) -> int:
    """Return the bound of a stretch of time, which may lie beyond all that InfluxDB knows."""
    return max(-_LAST_NS, min(time_ns(time_ms), _LAST_NS))


def split_ns(time: int) -> tuple[int, int]:
    """Return the whole ms since 1970 of a point's time, and the ns beyond."""
    return divmod(time, _NS_PER_MS)


def field_text(text: str) -> str:
    """Return text as the value of a string field in line protocol."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def tag_text(text: str) -> str:
    """Return text as the value of a tag, with all that line protocol or a query could trip over percent-encoded."""
    return quote(text, safe="")


def tag_value(text: str) -> str:
    """Return the text of a tag that `tag_text` made."""
    return unquote(text)


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase


def _rfc3339(time_ms: int) -> str:
    seconds, milliseconds = divmod(time_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"
