"""ingestion-service's calls, typed."""

import asyncio
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import httpx
import msgspec

from energy_tracker.clients.http import ServiceCalls
from energy_tracker.contracts.ingestion import (
    BatchAnswer,
    IngestionAnswer,
    IngestionLedger,
    ReadingBody,
    SimulationStatus,
)

PATH = "/api/v1/ingestion"
LEDGER_PATH = "/actuator/ledger"
_PACKED_FROM_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class IngestionClient:
    """What can be sent to ingestion-service. Every call raises `RemoteProblem` and `ServiceUnavailable`.

    `calls` has the service's address without a path. Readings have an identity, so sending one again is harmless: a
    call that may or may not have arrived is tried again.
    """

    calls: ServiceCalls

    async def record_reading(self, reading: ReadingBody) -> IngestionAnswer:
        """Send one reading; it is durable when this returns."""
        response = await self._post("", msgspec.json.encode(reading), {"Content-Type": "application/json"})
        return self.calls.struct(IngestionAnswer, response)

    async def record_readings(
        self,
        readings: Sequence[ReadingBody],
        *,
        form: Literal["array", "lines"] = "array",
        packed: bool = False,
        everything: bool = False,
    ) -> BatchAnswer:
        """Send at most 10 000 readings; those accepted are durable when this returns.

        `packed` sends gzip where that is worth it; with `everything` the answer's items are all of them.
        """
        encoder = msgspec.json.Encoder()
        body = encoder.encode(readings) if form == "array" else encoder.encode_lines(readings)
        headers = {"Content-Type": "application/json" if form == "array" else "application/x-ndjson"}
        if packed and len(body) > _PACKED_FROM_BYTES:
            body = await asyncio.to_thread(gzip.compress, body, 1)
            headers["Content-Encoding"] = "gzip"
        response = await self._post("/batch" + ("?items=all" if everything else ""), body, headers)
        return self.calls.struct(BatchAnswer, response)

    async def ledger(self, *, after: int = 0) -> IngestionLedger:
        """Return what was received ever since; queued are the readings above the offset `after` of `energy-usage`."""
        return self.calls.struct(IngestionLedger, await self.calls.call("GET", LEDGER_PATH, query={"after": after}))

    async def start_simulation(self) -> SimulationStatus:
        """Start the generator of readings; a `RemoteProblem` 409 where it runs."""
        return self.calls.struct(SimulationStatus, await self.calls.call("POST", f"{PATH}/simulation/start"))

    async def stop_simulation(self) -> SimulationStatus:
        """Stop the generator of readings; a `RemoteProblem` 409 where it does not run."""
        return self.calls.struct(SimulationStatus, await self.calls.call("POST", f"{PATH}/simulation/stop"))

    async def simulation_status(self) -> SimulationStatus:
        """Say whether the generator runs."""
        return self.calls.struct(SimulationStatus, await self.calls.call("GET", f"{PATH}/simulation/status"))

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self.calls.call("POST", f"{PATH}{path}", content=body, headers=headers, repeatable=True)
