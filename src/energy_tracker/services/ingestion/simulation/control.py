"""The fixed-rate generator behind `/api/v1/ingestion/simulation`: it posts to the service's own endpoint."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from energy_tracker.contracts.ingestion import SimulationStatus
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.ingestion.ports import SimulationAlreadyRunning, SimulationNotRunning
from energy_tracker.services.ingestion.simulation.fleet import FleetDevice, SimulatedMeter

INGESTION_PATH = "/api/v1/ingestion"
_OVERLOADED = frozenset({429, 503, 507})
_ACCEPTED = range(200, 300)
_PATIENCE_S = 1.0
_MOST_TICKS_BEHIND = 10

_log = logging.getLogger(__name__)


class PostAnswer(NamedTuple):
    """What was answered: the HTTP status, the `status` in its body if there is one, and `Retry-After` in seconds."""

    status: int
    outcome: str | None = None
    retry_after_s: float | None = None


class Post(Protocol):
    """Posts a JSON body to a path of the service's own HTTP endpoint."""

    async def __call__(self, path: str, body: Mapping[str, object]) -> PostAnswer:
        """Return the answer. Raises `TemporarilyUnavailable` when nobody answers."""


class Fleet(Protocol):
    """Knows the devices that can be simulated."""

    async def devices(self) -> Sequence[FleetDevice]:
        """Return them, in the order of their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """So many requests every `interval_ms`, by so many at a time. The seed says what the appliances do."""

    requests_per_interval: int = 10
    interval_ms: int = 1_000
    parallel_threads: int = 4
    seed: int = 1


@dataclass(slots=True)
class _Tally:
    """What was sent in this run, and how it was answered."""

    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    failed: int = 0


class SimulationRunner:
    """Implements `SimulationControl`. Each interval it reads the devices in turn and posts their readings, one by one.

    The intervals are counted from the start, so that the rate does not drift; a reading is of its nominal instant,
    however late it is sent. An overloaded service (429, 503, 507) is asked again after its `Retry-After` with the
    same event id. When it stays behind for more than ten intervals, intervals are left out rather than piled up:
    energies and registers lose nothing by it.
    """

    def __init__(self, *, fleet: Fleet, post: Post, clock: Clock, options: SimulationOptions) -> None:
        self._fleet = fleet
        self._post = post
        self._clock = clock
        self._options = options
        self._tally = _Tally()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._meters: dict[FleetDevice, SimulatedMeter] = {}
        self._run_id = ""
        self._number = 0

    async def start(self) -> SimulationStatus:
        """Start the generator. Raises `SimulationAlreadyRunning`."""
        if self._runs:
            raise SimulationAlreadyRunning("the simulation is running; stop it first")
        self._tally, self._stopping, self._meters = _Tally(), asyncio.Event(), {}
        self._task = asyncio.create_task(self._run(), name="simulation")
        return await self.status()

    async def stop(self) -> SimulationStatus:
        """Stop the generator once what it has posted is answered. Raises `SimulationNotRunning`."""
        if not self._runs:
            raise SimulationNotRunning("the simulation is not running; there is nothing to stop")
        await self.close()
        return await self.status()

    async def status(self) -> SimulationStatus:
        """Return whether it runs, and what it has sent since it was started last."""
        tally = self._tally
        return SimulationStatus(
            running=self._runs,
            sent=tally.sent,
            accepted=tally.accepted,
            duplicate=tally.duplicate,
            rejected=tally.rejected,
            failed=tally.failed,
        )

    async def close(self) -> None:
        """Stop if it runs, and wait for the end."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None

    @property
    def _runs(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        """Run one interval after the other until told to stop."""
        started_ms, interval_ms = self._clock.now_ms(), self._options.interval_ms
        self._run_id = f"sim-{started_ms}"
        tick = 0
        while not self._stopping.is_set():
            tick = max(tick + 1, (self._clock.now_ms() - started_ms) // interval_ms - _MOST_TICKS_BEHIND)
            due_ms = started_ms + tick * interval_ms
            await self._wait((due_ms - self._clock.now_ms()) / MS_PER_SECOND)
            try:
                await self._post_all(self._bodies(await self._fleet.devices(), due_ms))
            except TemporarilyUnavailable as problem:
                _log.warning("the simulation waits for the devices: %s", problem.detail)
            except Exception:  # noqa: BLE001 - the outermost loop of a worker
                _log.exception("an interval of the simulation failed; it goes on with the next")
                await self._wait(_PATIENCE_S)

    def _bodies(self, devices: Sequence[FleetDevice], due_ms: int) -> list[Mapping[str, object]]:
        """Read the devices in turn, at instants spread over the interval that ends at `due_ms`."""
        interval_ms, requests = self._options.interval_ms, self._options.requests_per_interval
        bodies: list[Mapping[str, object]] = []
        for position in range(requests if devices and not self._stopping.is_set() else 0):
            device = devices[self._number % len(devices)]
            if device not in self._meters:
                self._meters[device] = SimulatedMeter(device, seed=self._options.seed)
            at_ms = due_ms - interval_ms + (position + 1) * interval_ms // requests
            event_id = f"{self._run_id}-{self._number}"
            reading = self._meters[device].read(at_ms, interval_ms=interval_ms, event_id=event_id)
            bodies.append(reading.body(device.id))
            self._number += 1
        return bodies

    async def _post_all(self, bodies: Sequence[Mapping[str, object]]) -> None:
        """Post the bodies in order, several at a time."""
        waiting = iter(bodies)

        async def work() -> None:
            for body in waiting:
                await self._post_one(body)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._options.parallel_threads, len(bodies))):
                workers.create_task(work())

    async def _post_one(self, body: Mapping[str, object]) -> None:
        """Post until it is answered for good, or the simulation stops."""
        tally = self._tally
        while not self._stopping.is_set():
            tally.sent += 1
            try:
                answer = await self._post(INGESTION_PATH, body)
            except TemporarilyUnavailable:
                answer = PostAnswer(status=TemporarilyUnavailable.status)
            if answer.status not in _OVERLOADED:
                self._count(answer)
                return
            tally.failed += 1
            await self._wait(_PATIENCE_S if answer.retry_after_s is None else answer.retry_after_s)

    def _count(self, answer: PostAnswer) -> None:
        if answer.status not in _ACCEPTED:
            self._tally.rejected += 1
        elif answer.outcome == "duplicate":
            self._tally.duplicate += 1
        else:
            self._tally.accepted += 1

    async def _wait(self, seconds: float) -> None:
        """Wait for a time, or less when the simulation stops."""
        if seconds <= 0 or self._stopping.is_set():
            return
        waits = {asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._stopping.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
