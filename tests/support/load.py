"""A steady load on the services, through HTTP and directly on Kafka, from clients who send until they are answered."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from tests.support.foreign import JavaProducer, java_event
from tests.support.processes import PASSING, Stack, ago
from tests.support.truth import Truth, iso

PAUSE_S = 0.05
LARGEST_BATCH = 40


@dataclass
class Source:
    """A device whose intervals somebody sends."""

    device_id: int
    chance: random.Random
    time_ms: int

    def next_readings(self) -> list[tuple[int, int]]:
        """Return some more intervals: (ms, Wh)."""
        readings = []
        for _ in range(self.chance.choice((1, 1, 5, LARGEST_BATCH))):
            self.time_ms += self.chance.randint(1, 4_000)
            readings.append((self.time_ms, self.chance.randint(0, 9)))
        return readings


@dataclass
class Load:
    """Sources of two homes, what of theirs was taken, and homes that use too much once."""

    stack: Stack
    truth: Truth = field(default_factory=Truth)
    sources: list[Source] = field(default_factory=list)
    homes: dict[int, list[int]] = field(default_factory=dict)
    warned: dict[int, int] = field(default_factory=dict)
    refusals: int = 0
    looks: int = 0
    _work: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def prepare(cls, stack: Stack, *, homes: int = 2, sources: int = 3, seed: int = 1) -> "Load":
        """Make users and devices."""
        chance = random.Random(seed)
        load = cls(stack)
        start = datetime.now(UTC) - timedelta(days=3)
        for _ in range(homes):
            user = await stack.add_user(timeZone="UTC")
            load.homes[user] = []
            for _ in range(sources):
                device = await stack.add_device(user, wait=False)
                load.homes[user].append(device)
                load.sources.append(Source(device, random.Random(chance.random()), round(start.timestamp() * 1000)))
            await stack.known(user, device)
        return load

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send meanwhile; in the end wait until each of those under way is answered."""
        stopping = asyncio.Event()
        producer = JavaProducer(self.stack)
        self._work = work = [
            asyncio.create_task(
                self._send_to_kafka(source, producer, stopping)
                if number % 3 == 2
                else self._send_over_http(source, stopping)
            )
            for number, source in enumerate(self.sources)
        ]
        work.append(asyncio.create_task(self._look(stopping)))
        try:
            yield
            stopping.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def more(self, readings: int = 300) -> None:
        """Return when so many more were taken."""
        wanted = self.truth.readings + readings
        await self._until(lambda: self.truth.readings >= wanted, f"{readings} more readings are taken")

    async def thrifty_home(self) -> int:
        """Make a home that is warned when it uses more than a little; return its device."""
        user = await self.stack.add_user(energyAlertingThreshold=0.4)
        device = await self.stack.add_device(user)
        self.warned[user] = device
        return device

    async def use_too_much(self, device: int) -> None:
        """Have a thrifty home use more than it wanted to: one episode, one mail."""
        for minutes, wh in ((30, 100), (20, 900)):
            moment = ago(minutes=minutes)
            body = {"deviceId": device, "timestamp": moment, "energyConsumed": wh / 1000}
            answer = await self.stack.answered("POST", "ingestion", "/api/v1/ingestion", body)
            assert answer.status_code == 201, answer.text
            self.truth.took(device, round(datetime.fromisoformat(moment).timestamp() * 1000), wh)

    async def check(self, *, by: str = "usage") -> None:
        """Compare ledger, raw readings, figures and episodes with what was taken, once all is quiet."""
        ledger = await self.stack.caught_up(by=by)
        await self.truth.check_raw(self.stack)
        sent = self.truth.readings
        assert (ledger["stored"], ledger["accepted"], ledger["deadLettered"]) == (sent, sent, 0), ledger
        for user, devices in self.homes.items():
            await self.truth.check_figures(self.stack, user, devices, by=by)
        for user in self.warned:
            episodes = await self.stack.episodes(user, 1)
            assert [each["rule"] for each in episodes] == ["high-usage"]

    async def _send_over_http(self, source: Source, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            readings = source.next_readings()
            bodies = [
                {"deviceId": source.device_id, "timestamp": iso(time_ms), "energyConsumed": wh / 1000}
                for time_ms, wh in readings
            ]
            single = len(bodies) == 1
            path, body = ("", bodies[0]) if single else ("/batch", bodies)
            for _ in range(source.chance.choice((1, 1, 1, 2))):
                answer = await self._until_taken(f"/api/v1/ingestion{path}", body)
                assert answer.status_code == (201 if single else 202), answer.text
                if not single:
                    assert answer.json()["rejected"] == 0, answer.text
            self._took(source, readings)
            await asyncio.sleep(PAUSE_S)

    async def _until_taken(self, path: str, body: Any) -> httpx.Response:
        while True:
            with suppress(httpx.TransportError):
                response = await self.stack.call("POST", "ingestion", path, body)
                if response.status_code not in PASSING:
                    return response
            self.refusals += 1
            await asyncio.sleep(PAUSE_S)

    async def _send_to_kafka(self, source: Source, producer: JavaProducer, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            readings = source.next_readings()
            values = [
                java_event(source.device_id, wh / 1000, time_ms, old=time_ms % 2 == 0) for time_ms, wh in readings
            ]
            await producer.send_until_taken(values)
            self._took(source, readings)
            await asyncio.sleep(PAUSE_S)

    def _took(self, source: Source, readings: list[tuple[int, int]]) -> None:
        for time_ms, wh in readings:
            self.truth.took(source.device_id, time_ms, wh)

    async def _look(self, stopping: asyncio.Event) -> None:
        """Ask meanwhile, as people do: what is answered is never wrong, and never an error that means a mistake."""
        user = next(iter(self.homes))
        while not stopping.is_set():
            for service, path in (
                ("usage", "/api/v1/ledger"),
                ("usage", f"/api/v1/usage/{user}"),
                ("alert", f"/api/v1/alert/user/{user}"),
                ("device", f"/api/v1/device/user/{user}"),
            ):
                try:
                    answer = await self.stack.call("GET", service, path, timeout=2)
                except httpx.TransportError:
                    continue
                assert answer.status_code in {200, *PASSING}, f"{path}: {answer.status_code} {answer.text}"
                if answer.status_code != 200:
                    assert answer.headers["content-type"] == "application/problem+json", answer.text
                elif path.endswith("ledger"):
                    self._check_ledger(answer.json())
                self.looks += 1
            await asyncio.sleep(PAUSE_S)

    def _check_ledger(self, ledger: dict[str, Any]) -> None:
        said = json.dumps(ledger)
        assert ledger["balanced"], said
        assert ledger["received"] == ledger["accepted"] + ledger["duplicate"] + ledger["rejected"], said
        assert ledger["accepted"] == ledger["stored"] + ledger["queued"] + ledger["deadLettered"], said

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        async def holds() -> bool:
            for task in self._work:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            return condition()

        await self.stack.until(holds, what)
