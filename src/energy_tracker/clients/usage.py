"""usage-service's calls, typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import quote

import msgspec

from energy_tracker.clients.http import ServiceCalls, ServiceUnavailable
from energy_tracker.contracts.forecast import ForecastAnswer
from energy_tracker.contracts.outdoor import OutdoorAnswer, OutdoorBody
from energy_tracker.contracts.readings import Rule
from energy_tracker.contracts.unusual import RehearsalAnswer, UnusualAnswer, UnusualUse, WatchAnswer, WatchBody
from energy_tracker.contracts.usage import (
    DeadLettersAnswer,
    LedgerAnswer,
    ReadingsAnswer,
    ReplayAnswer,
    Resolution,
    SeriesAnswer,
    UsageAnswer,
)
from energy_tracker.kit import strict_json
from energy_tracker.kit.instants import to_iso
from energy_tracker.kit.problems import Problem

PATH = "/api/v1/usage"
_REHEARSAL_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class UsageClient:
    """Figures as usage-service derives them. Every call raises `RemoteProblem` and `ServiceUnavailable`."""

    calls: ServiceCalls

    async def usage(self, user_id: int, *, days: int = 3) -> UsageAnswer:
        """Return the kWh of each device in the last `days` days."""
        return self.calls.struct(UsageAnswer, await self.calls.call("GET", f"/{user_id}", query={"days": days}))

    async def series(
        self, user_id: int, *, start_ms: int, end_ms: int, resolution: Resolution = "hour", device_id: int | None = None
    ) -> SeriesAnswer:
        """Return the buckets of `[start_ms, end_ms)` (ms since 1970), cut in the user's zone; of all devices or one."""
        query: dict[str, str | int] = {"from": to_iso(start_ms), "to": to_iso(end_ms), "resolution": resolution}
        if device_id is not None:
            query["deviceId"] = device_id
        return self.calls.struct(SeriesAnswer, await self.calls.call("GET", f"/{user_id}/series", query=query))

    async def readings(
        self,
        user_id: int,
        *,
        device_id: int,
        start_ms: int,
        end_ms: int,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ReadingsAnswer:
        """Return a page of raw readings in order of event time; `limit` None leaves its size to the service."""
        query: dict[str, str | int] = {"deviceId": device_id, "from": to_iso(start_ms), "to": to_iso(end_ms)}
        if limit is not None:
            query["limit"] = limit
        if cursor is not None:
            query["cursor"] = cursor
        return self.calls.struct(ReadingsAnswer, await self.calls.call("GET", f"/{user_id}/readings", query=query))

    async def explain(self, user_id: int, *, device_id: int, start_ms: int, end_ms: int) -> dict[str, object]:
        """Return a figure with the readings and steps that made it, as the service words it."""
        query: dict[str, str | int] = {"deviceId": device_id, "from": to_iso(start_ms), "to": to_iso(end_ms)}
        response = await self.calls.call("GET", f"/{user_id}/explain", query=query)
        try:
            document = strict_json.loads(response.content)
        except Problem as problem:
            raise ServiceUnavailable("usage-service answered something that cannot be read.") from problem
        if not isinstance(document, dict):
            raise ServiceUnavailable("usage-service answered something that is no explanation.")
        return cast("dict[str, object]", document)

    async def forecast(self, user_id: int, *, device_id: int | None = None) -> ForecastAnswer:
        """Return what comes next for a home, or one of its devices."""
        query: dict[str, str | int] = {} if device_id is None else {"deviceId": device_id}
        return self.calls.struct(ForecastAnswer, await self.calls.call("GET", f"/{user_id}/forecast", query=query))

    async def unusual_use(self, user_id: int) -> UnusualAnswer:
        """Return all that was unusual in a home, newest first."""
        return self.calls.struct(UnusualAnswer, await self.calls.call("GET", f"/{user_id}/unusual"))

    async def call_normal(self, user_id: int, episode_id: str) -> UnusualUse:
        """Say that what an episode tells is normal."""
        path = f"/{user_id}/unusual/{quote(episode_id, safe='')}/normal"
        return self.calls.struct(UnusualUse, await self.calls.call("POST", path, repeatable=True))

    async def watch(self, user_id: int) -> WatchAnswer:
        """Return how a home is watched."""
        return self.calls.struct(WatchAnswer, await self.calls.call("GET", f"/{user_id}/watch"))

    async def change_watch(self, user_id: int, watch: WatchBody) -> WatchAnswer:
        """Change how a home is watched."""
        return self.calls.struct(WatchAnswer, await self.calls.call("PUT", f"/{user_id}/watch", body=watch))

    async def outdoor(self, user_id: int) -> OutdoorAnswer:
        """Return how cold it was outside of a home, as far as that is known."""
        return self.calls.struct(OutdoorAnswer, await self.calls.call("GET", f"/{user_id}/outdoor"))

    async def tell_outdoor(self, user_id: int, outdoor: OutdoorBody) -> OutdoorAnswer:
        """Tell how cold it was outside of a home."""
        return self.calls.struct(OutdoorAnswer, await self.calls.call("PUT", f"/{user_id}/outdoor", body=outdoor))

    async def rehearse(
        self, user_id: int, *, rule: Rule, start_ms: int, end_ms: int, options: Mapping[str, str | int] | None = None
    ) -> RehearsalAnswer:
        """Return when a rule would have told something; `options` are those of the call beside the range."""
        query = {"rule": rule, "from": to_iso(start_ms), "to": to_iso(end_ms), **(options or {})}
        response = await self.calls.call(
            "GET", f"/{user_id}/rehearsal", query=query, attempts=1, timeout_s=_REHEARSAL_TIMEOUT_S
        )
        return self.calls.struct(RehearsalAnswer, response)

    async def ledger(self) -> LedgerAnswer:
        """Return the ledger: what became of everything received, since the beginning of the data."""
        beside = replace(self.calls, url=self.calls.url.rstrip("/").removesuffix("/usage") + "/ledger")
        return self.calls.struct(LedgerAnswer, await beside.call("GET"))

    async def dead_letters(self, *, after: int | None = None, limit: int = 100) -> DeadLettersAnswer:
        """Return a page of what could not be kept, oldest first, above an offset; without one, the first page."""
        query = {"limit": limit} if after is None else {"after": after, "limit": limit}
        response = await self._actuator("/deadletters").call("GET", query=query)
        return self.calls.struct(DeadLettersAnswer, response)

    async def replay(self, offsets: Sequence[int]) -> ReplayAnswer:
        """Send dead letters through the log again."""
        content = msgspec.json.encode({"offsets": offsets})
        headers = {"Content-Type": "application/json"}
        response = await self._actuator("/deadletters/replay").call("POST", content=content, headers=headers)
        return self.calls.struct(ReplayAnswer, response)

    def _actuator(self, path: str) -> ServiceCalls:
        return replace(self.calls, url=f"{self.calls.url.rstrip('/').removesuffix(PATH)}/actuator{path}")
