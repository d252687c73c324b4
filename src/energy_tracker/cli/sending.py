"""Sending readings in batches, and waiting until they are derived."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import httpx
import msgspec

from energy_tracker.cli.access import Clients
from energy_tracker.clients.http import ProblemDocument, RemoteProblem, ServiceCalls, ServiceUnavailable
from energy_tracker.contracts.ingestion import BatchAnswer, BatchItem
from energy_tracker.services.ingestion.imports.model import ImportedReading
from energy_tracker.services.ingestion.imports.times import US_PER_SECOND

ATTEMPTS: Final = 60
DERIVE_PATIENCE_S: Final = 600.0
_LOOKS = 240
_LOOK_AGAIN_S = 0.25
_BUSY = frozenset({429, 502, 503, 504})
_CACHE_LIMIT = 50_000
_MEMBER = {"interval": "energyConsumed", "register": "registerKwh", "power": "powerW"}


@dataclass(slots=True)
class InstantTexts:
    """Writes µs since 1970 as ISO-8601, remembering: the readings of many devices share their times."""

    _texts: dict[int, str] = field(default_factory=dict)

    def __call__(self, instant_us: int) -> str:
        """Return the instant in UTC with `Z`, to the microsecond where it has any."""
        text = self._texts.get(instant_us)
        if text is None:
            if len(self._texts) >= _CACHE_LIMIT:
                self._texts.clear()
            seconds, rest_us = divmod(instant_us, US_PER_SECOND)
            moment = datetime.fromtimestamp(seconds, UTC)
            fraction = f".{rest_us:06}" if rest_us else ""
            text = f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}{fraction}Z"
            self._texts[instant_us] = text
        return text


def encode_batch(readings: Sequence[ImportedReading], device_ids: dict[str, int], iso: InstantTexts) -> bytes:
    """Return the readings as the body of `POST /api/v1/ingestion/batch`."""
    items = []
    for _, device, instant_us, since_us, amount, kind, direction, event_id in readings:
        item = f'{{"deviceId":{device_ids[device]},"timestamp":"{iso(instant_us)}","{_MEMBER[kind]}":{amount!r}'
        if since_us is not None:
            item += f',"since":"{iso(since_us)}"'
        if direction is not None:
            item += f',"direction":"{direction}"'
        if event_id is not None:
            item += f',"eventId":{msgspec.json.encode(event_id).decode()}'
        items.append(item + "}")
    return f"[{','.join(items)}]".encode()


async def send_batch(clients: Clients, body: bytes) -> BatchAnswer:
    """Send one batch and return what became of its items; waits where the service is busy, and tries again.

    Sending twice is harmless: the same reading has the same id. Raises `RemoteProblem` and `ServiceUnavailable`.
    """
    calls = clients.ingestion
    for attempt in range(ATTEMPTS):
        try:
            response = await calls.call(
                "POST", "/batch", content=body, headers={"Content-Type": "application/json"}, repeatable=True
            )
        except RemoteProblem as problem:
            if problem.status not in _BUSY:
                raise
            await clients.clock.sleep(calls.retry.pause_s(min(attempt, 4), problem.headers.get("retry-after")))
        else:
            return calls.struct(BatchAnswer, response)
    message = f"{calls.service} has been too busy for {ATTEMPTS} attempts."
    raise ServiceUnavailable(message)


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        document = msgspec.json.decode(response.content, type=ProblemDocument)
    except msgspec.MsgspecError:
        document = ProblemDocument(detail=f"The answer was {response.status_code}.")
    raise RemoteProblem(response.status_code, document, response.headers)


async def wait_until_derived(clients: Clients, *, progress: Callable[[int, int], None] | None = None) -> bool:
    """Return once everything accepted so far is stored (or dead-lettered); False where that takes over ten minutes.

    Raises `ServiceUnavailable`.
    """
    ledger = await clients.usage.ledger()
    target = ledger.stored + ledger.dead_lettered + ledger.queued
    first_queue, waited_s, pause_s = ledger.queued, 0.0, 0.02
    while ledger.queued and ledger.stored + ledger.dead_lettered < target:
        if waited_s > DERIVE_PATIENCE_S:
            return False
        if progress is not None:
            progress(first_queue - (target - ledger.stored - ledger.dead_lettered), first_queue)
        await clients.clock.sleep(pause_s)
        waited_s += pause_s
        pause_s = min(0.5, pause_s * 1.5)
        ledger = await clients.usage.ledger()
    await until_flow_has_none(clients, "pastToJudge")
    return True


async def until_flow_has_none(clients: Clients, what: str) -> None:
    """Return once nothing of `what` waits in usage-service's flow, as its health counts it; a minute later at most.

    `lag` is what lies on the log, `pastToJudge` the stretches of the past that are to be looked over for alerts.
    """
    for _ in range(_LOOKS):
        health = (await clients.bases["usage"].call("GET", "/actuator/health")).json()
        if not health["components"]["flow"]["details"][what]:
            return
        await clients.clock.sleep(_LOOK_AGAIN_S)


def reason_of(item: BatchItem) -> str:
    """Return why an item was rejected, as a sentence."""
    problem = item.problem or {}
    fields = "; ".join(f"{error.get('pointer', '')} {error.get('detail', '')}" for error in problem.get("errors", ()))
    return str(problem.get("detail") or problem.get("title") or "rejected") + (f" ({fields})" if fields else "")


async def post_json(calls: ServiceCalls, path: str, *, timeout_s: float) -> dict[str, object]:
    """Return the JSON object that a call under `/actuator` answers. Raises `RemoteProblem` and `ServiceUnavailable`."""
    try:
        response = _checked(await calls.http.post(f"{calls.url}{path}", timeout=timeout_s))
    except httpx.TransportError as error:
        message = f"{calls.service} does not answer ({type(error).__name__})."
        raise ServiceUnavailable(message) from error
    return msgspec.json.decode(response.content, type=dict[str, object])
