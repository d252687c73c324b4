"""A home with readings in memory, and usage-service's API in front of it."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.usage import Explanation, RebuildAnswer
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.kit.health import Health
from energy_tracker.kit.ids import event_key
from energy_tracker.kit.instants import to_iso, to_ms
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.usage.adapters.memory import MemoryDirectory, MemoryIntake, MemoryReadings
from energy_tracker.services.usage.api import create_api
from energy_tracker.services.usage.dead_letters import DeadLetterService
from energy_tracker.services.usage.model.readings import DeviceRules, Reading
from energy_tracker.services.usage.queries import QueryService

HOME = 7


def at(text: str) -> int:
    """Return an ISO-8601 instant (UTC where it names no offset) as ms since 1970."""
    instant = datetime.fromisoformat(text)
    return to_ms(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


class StoppedClock:
    """A clock that shows one instant."""

    def __init__(self, instant: str) -> None:
        self.instant_ms = at(instant)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.instant_ms / 1000, UTC)

    def now_ms(self) -> int:
        return self.instant_ms

    async def sleep(self, seconds: float) -> None:
        self.instant_ms += int(seconds * 1000)


class Explainer:
    """Answers with the question."""

    async def explain(self, *, principal, user_id, device_id, from_ms, to_ms):
        assert principal.name
        return Explanation(
            user_id=user_id,
            device_id=device_id,
            from_=to_iso(from_ms),
            to=to_iso(to_ms),
            import_kwh=None,
            export_kwh=None,
            streams=(),
        )


class Rebuilder:
    """Counts how often it was told to rebuild."""

    def __init__(self) -> None:
        self.times = 0

    async def rebuild(self):
        self.times += 1
        return RebuildAnswer(devices=self.times, readings=0, seconds=0.0)


def interval(device_id, when, kwh, *, since=None, direction=None, key=None, channel=""):
    """Return an interval reading of kWh."""
    return Reading(
        device_id=device_id,
        time_ms=at(when) if isinstance(when, str) else when,
        given_key=event_key(key or f"{device_id}-{when}-{kwh}"),
        kind="interval",
        amount=kwh,
        direction=direction,
        since_ms=at(since) if isinstance(since, str) else since,
        received_ms=at("2026-01-01T00:00"),
        channel=channel,
    )


@dataclass
class Home:
    """User 7 and what is known of it."""

    clock: StoppedClock = field(default_factory=lambda: StoppedClock("2026-06-10T12:07:30"))
    readings: MemoryReadings = field(default_factory=MemoryReadings)
    directory: MemoryDirectory = field(default_factory=MemoryDirectory)
    intake: MemoryIntake = field(default_factory=MemoryIntake)
    rebuilder: Rebuilder = field(default_factory=Rebuilder)

    def __post_init__(self) -> None:
        self.directory.put_user(DirectoryUser(id=HOME, version=1, name="Ada", time_zone="Europe/Berlin"))

    @property
    def queries(self) -> QueryService:
        return QueryService(store=self.readings, directory=self.directory, intake=self.intake, clock=self.clock)

    def add_device(self, device_id, **fields: object):
        device = DirectoryDevice(
            **{"id": device_id, "version": device_id, "name": f"device {device_id}", "user_id": HOME} | fields
        )
        self.directory.put_device(device)
        self.readings.rules[device_id] = DeviceRules(device.kind, device.direction, device.max_hold_ms)
        return device

    @asynccontextmanager
    async def client(self):
        app = create_api(
            queries=self.queries,
            explain=Explainer(),
            rebuild=self.rebuilder,
            dead_letters=DeadLetterService(MemoryEventLog(clock=self.clock)),
            health=Health(),
            telemetry=Telemetry("usage"),
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://usage") as client:
            yield client
