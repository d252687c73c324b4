"""ingestion-service over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from energy_tracker.contracts.ingestion import (
    BatchAnswer,
    IngestionAnswer,
    IngestionLedger,
    ReadingBody,
    ShellyAnswer,
    SimulationStatus,
)
from energy_tracker.kit import strict_json
from energy_tracker.kit.parameters import Asker
from energy_tracker.kit.problems import FieldError, InvalidRequest, Problem
from energy_tracker.kit.web import current_principal, parse_id, problem_response
from energy_tracker.kit.wire import MAX_ID
from energy_tracker.services.ingestion.answers import batch_answer, json_answer, shelly_answer, single_answer
from energy_tracker.services.ingestion.documents import BATCH_SCHEMA, ITEMS_PARAMETER, answers, request_body, schema_of
from energy_tracker.services.ingestion.model.decoding import Decoded, decode_batch, decode_lines, decode_one
from energy_tracker.services.ingestion.model.readings import InvalidReading
from energy_tracker.services.ingestion.requests import JSON, NDJSON, RequestLimits, media_type, unpacked_body
from energy_tracker.services.ingestion.service import IngestionService

PREFIX = "/api/v1/ingestion"
_OFF_THE_LOOP_BYTES = 256_000

Offset = Annotated[int, Query(ge=0, le=MAX_ID, description="The consumer's position in `energy-usage`")]
Endpoint = Callable[[Request], Awaitable[Response]]

_READING = """
A reading is on the disk when this answers. It has exactly one of `energyConsumed` (kWh since the device's previous
reading, or since `since`), `registerKwh` (cumulative) and `powerW`. The same reading again is a `duplicate`; another
one under the same `eventId` is 409.
"""
_BATCH = """
At most 10 000 readings, as `{"readings": […]}`, a bare array, or NDJSON (`application/x-ndjson`); optionally gzip.
Each is taken or refused by itself, so that the answer is 202 even where all are refused. `items` lists those that
were not accepted, with `?items=all` every one.
"""


_SHELLY = """
The status of a first generation device (`/status`) or of a later one (`Shelly.GetStatus`, one component, or the message
`NotifyStatus`). Each meter in it is a channel of the device and gives its register, or its power where it has none. The
time is the device's own where that is plausible. 422 where nothing in it can be recorded.
"""


class DeviceNotFound(Problem):
    """The path names no device."""

    status = 404
    title = "The device does not exist"


def _device_id(text: Annotated[str, Path(alias="deviceId", description="A 64-bit integer")]) -> int:
    device_id = parse_id(text)
    if not device_id:
        raise DeviceNotFound("A device is named by an integer from 1 to 9223372036854775807.")
    return device_id


DeviceId = Annotated[int, Depends(_device_id)]


class IngestionApi:
    """The calls of ingestion-service, one method each."""

    def __init__(self, service: IngestionService, limits: RequestLimits | None = None) -> None:
        self._service = service
        self._limits = limits or RequestLimits()

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route(
            PREFIX,
            self.record_reading,
            summary="Record one reading",
            description=_READING,
            status_code=201,
            responses=answers(201, IngestionAnswer, 400, 409, 410, 413, 415, 422, 429, 503, 507),
            openapi_extra=request_body({JSON: schema_of(ReadingBody)}),
            methods=["POST"],
            response_model=None,
            tags=["ingestion"],
        )
        router.add_api_route(
            f"{PREFIX}/batch",
            self.record_readings,
            summary="Record many readings",
            description=_BATCH,
            status_code=202,
            responses=answers(202, BatchAnswer, 400, 413, 415, 422, 429, 503, 507),
            openapi_extra=request_body({JSON: BATCH_SCHEMA, NDJSON: {"type": "string"}})
            | {"parameters": [ITEMS_PARAMETER]},
            methods=["POST"],
            response_model=None,
            tags=["ingestion"],
        )
        router.add_api_route(
            f"{PREFIX}/shelly/{{deviceId}}",
            self.record_shelly_status,
            methods=["POST"],
            summary="Record what a Shelly's status body tells",
            description=_SHELLY,
            status_code=201,
            responses=answers(201, ShellyAnswer, 400, 404, 410, 413, 415, 422, 429, 503, 507),
            openapi_extra=request_body({JSON: {"type": "object"}}),
            response_model=None,
            tags=["ingestion"],
        )
        self._add_simulation(router)
        router.add_api_route(
            "/actuator/ledger",
            self.read_ledger,
            methods=["GET"],
            summary="What was received ever since, and what waits in the stream",
            responses=answers(200, IngestionLedger, 422, 503),
            response_model=None,
            tags=["actuator"],
        )
        return router

    def _add_simulation(self, router: APIRouter) -> None:
        for name, method, endpoint, status, summary in (
            ("start", "POST", self.start_simulation, 202, "Start the generator of readings"),
            ("stop", "POST", self.stop_simulation, 200, "Stop the generator of readings"),
            ("status", "GET", self.simulation_status, 200, "Whether the generator runs, and what it has sent"),
        ):
            router.add_api_route(
                f"{PREFIX}/simulation/{name}",
                endpoint,
                methods=[method],
                summary=summary,
                status_code=status,
                responses=answers(status, SimulationStatus, *(() if method == "GET" else (409,))),
                response_model=None,
                tags=["simulation"],
            )

    def shortcuts(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return the calls that every microsecond counts for, to be given to `Shortcut`."""
        return {("POST", PREFIX): self.record_reading, ("POST", f"{PREFIX}/batch"): self.record_readings}

    async def record_reading(self, request: Request) -> Response:
        """Record one reading: 201 once it is durable."""
        media_type(request, JSON)
        body = await unpacked_body(request, limit=self._limits.body_bytes)
        reading: Decoded
        try:
            reading = decode_one(body)
        except InvalidReading as problem:
            reading = problem
        candidate, verdict = await self._service.record_reading(principal=current_principal(), reading=reading)
        return single_answer(candidate, verdict)

    async def record_readings(self, request: Request) -> Response:
        """Record many readings: 202 once those accepted are durable."""
        everything = _wants_everything(request)
        by_line = media_type(request, JSON, NDJSON) == NDJSON
        decode = partial(decode_lines if by_line else decode_batch, most=self._limits.batch_items)
        body = await unpacked_body(request, limit=self._limits.body_bytes)
        readings: Sequence[Decoded]
        readings = await asyncio.to_thread(decode, body) if len(body) > _OFF_THE_LOOP_BYTES else decode(body)
        receipt = await self._service.record_readings(principal=current_principal(), readings=readings)
        return batch_answer(receipt, everything=everything)

    async def record_shelly_status(self, request: Request, principal: Asker, device_id: DeviceId) -> Response:
        """Record what a Shelly's status body tells: 201 once it is durable."""
        media_type(request, JSON)
        body = await unpacked_body(request, limit=self._limits.body_bytes)
        if not body.strip():
            raise InvalidRequest("The body is empty; send the status of a Shelly as a JSON object.")
        document = strict_json.loads(body)
        recorded = await self._service.record_shelly_status(principal=principal, device_id=device_id, document=document)
        return shelly_answer(*recorded)

    async def start_simulation(self, principal: Asker) -> Response:
        """Start the generator."""
        return json_answer(await self._service.start_simulation(principal=principal), 202)

    async def stop_simulation(self, principal: Asker) -> Response:
        """Stop the generator."""
        return json_answer(await self._service.stop_simulation(principal=principal))

    async def simulation_status(self, principal: Asker) -> Response:
        """Tell of the generator."""
        return json_answer(await self._service.simulation_status(principal=principal))

    async def read_ledger(self, principal: Asker, after: Offset = 0) -> Response:
        """Return this service's part of the ledger."""
        return json_answer(await self._service.read_ledger(principal=principal, after=after))


class Shortcut:
    """ASGI middleware: calls a few endpoints directly, without the router's work, which is half of a small request."""

    def __init__(self, app: ASGIApp, *, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self.app = app
        self.endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        endpoint = self.endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        try:
            response = await endpoint(Request(scope, receive))
        except Problem as problem:
            response = problem_response(problem)
        await response(scope, receive, send)


def _wants_everything(request: Request) -> bool:
    if not request.scope["query_string"]:
        return False
    wanted = request.query_params.get("items")
    if wanted not in {None, "all"}:
        raise InvalidRequest("The query is not valid.", errors=[FieldError("?items", 'can only be "all"')])
    return wanted == "all"
