import asyncio
from collections.abc import Mapping

import pytest
from tests.support.clock import VirtualClock
from tests.support.simulation import EPOCH_MS

from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.ingestion.ports import SimulationAlreadyRunning, SimulationControl, SimulationNotRunning
from energy_tracker.services.ingestion.simulation.control import PostAnswer, SimulationOptions, SimulationRunner
from energy_tracker.services.ingestion.simulation.fleet import FleetDevice

DEVICES = (
    FleetDevice(id=1, type="REFRIGERATOR", kind="power", created_at_ms=EPOCH_MS),
    FleetDevice(id=2, type="HEATER", kind="register", created_at_ms=EPOCH_MS),
    FleetDevice(id=3, type="MISC", kind="interval", created_at_ms=EPOCH_MS),
    FleetDevice(id=4, type="MISC", kind="power", direction="export", created_at_ms=EPOCH_MS),
)


class Endpoint:
    """Answers posts as it is told: the given answers first, then 201."""

    def __init__(self, *answers: PostAnswer | Exception) -> None:
        self.answers = list(answers)
        self.bodies = []
        self.under_way = self.most_under_way = 0
        self.gate = None

    async def devices(self):
        return DEVICES

    async def __call__(self, path: str, body: Mapping[str, object]) -> PostAnswer:
        assert path == "/api/v1/ingestion"
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        self.under_way -= 1
        self.bodies.append(body)
        answer = self.answers.pop(0) if self.answers else PostAnswer(status=201, outcome="accepted")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    return VirtualClock(from_ms(EPOCH_MS + 3_600_000))


def runner(endpoint, clock, **options: int) -> SimulationRunner:
    chosen = SimulationOptions(**{"requests_per_interval": 8, "interval_ms": 1_000, "parallel_threads": 2, **options})
    return SimulationRunner(fleet=endpoint, post=endpoint, clock=clock, options=chosen)


async def test_it_posts_at_a_fixed_rate_and_stops_cleanly(clock):
    endpoint = Endpoint()
    control: SimulationControl = runner(endpoint, clock)
    assert (await control.start()).running
    await clock.advance(5)
    status = await control.stop()
    assert not status.running
    assert (status.sent, status.accepted, status.rejected) == (40, 40, 0)
    assert len({body["eventId"] for body in endpoint.bodies}) == 40
    assert {body["deviceId"] for body in endpoint.bodies} == {1, 2, 3, 4}
    assert endpoint.most_under_way == 2
    await clock.advance(5)
    assert len(endpoint.bodies) == 40


async def test_values_follow_the_kind_and_the_seed(clock):
    endpoint, again, other = Endpoint(), Endpoint(), Endpoint()
    for posts, seed in ((endpoint, 1), (again, 1), (other, 2)):
        control = runner(posts, VirtualClock(clock.now()), parallel_threads=1, seed=seed)
        await control.start()
        await control._clock.advance(3)
        await control.stop()
    assert endpoint.bodies == again.bodies != other.bodies
    for body in endpoint.bodies:
        expected = {1: "powerW", 2: "registerKwh", 3: "energyConsumed", 4: "powerW"}[body["deviceId"]]
        assert expected in body
        assert ("direction" in body) == (body["deviceId"] == 4)
    registers = [body["registerKwh"] for body in endpoint.bodies if body["deviceId"] == 2]
    assert registers == sorted(registers)


async def test_overload_is_honoured_and_nothing_is_dropped(clock):
    busy = PostAnswer(status=429, retry_after_s=3.0)
    endpoint = Endpoint(busy, TemporarilyUnavailable("nobody answers"))
    control = runner(endpoint, clock, requests_per_interval=1, parallel_threads=1)
    await control.start()
    await clock.advance(1)
    assert len(endpoint.bodies) == 1
    await clock.advance(2.9)
    assert len(endpoint.bodies) == 1
    await clock.advance(6)
    first = [body for body in endpoint.bodies if body["eventId"] == endpoint.bodies[0]["eventId"]]
    assert len(first) == 3
    status = await control.stop()
    assert (status.failed, status.accepted) == (2, status.sent - 2)


async def test_when_it_is_behind_it_leaves_intervals_out(clock):
    endpoint = Endpoint(PostAnswer(status=503, retry_after_s=60.0))
    control = runner(endpoint, clock, requests_per_interval=1, parallel_threads=1)
    await control.start()
    await clock.advance(70)
    for _ in range(20):
        await clock.settle()
    status = await control.stop()
    assert 10 <= status.accepted <= 25


async def test_starting_twice_and_stopping_what_does_not_run_are_conflicts(clock):
    control = runner(Endpoint(PostAnswer(status=422)), clock)
    with pytest.raises(SimulationNotRunning):
        await control.stop()
    await control.start()
    with pytest.raises(SimulationAlreadyRunning):
        await control.start()
    await clock.advance(1)
    assert (await control.status()).rejected == 1
    await control.close()
    with pytest.raises(SimulationNotRunning):
        await control.stop()
    assert (await control.start()).sent == 0
    await control.close()


async def test_it_outlives_a_failure_and_waits_for_answers_that_are_under_way(clock):
    endpoint = Endpoint(RuntimeError("a bug"))
    control = runner(endpoint, clock, requests_per_interval=1)
    await control.start()
    await clock.advance(5)
    assert (await control.status()).running
    assert (await control.status()).accepted > 0
    endpoint.gate = asyncio.Event()
    await clock.advance(2)
    stopping = asyncio.ensure_future(control.stop())
    await clock.settle()
    assert not stopping.done()
    endpoint.gate.set()
    assert not (await stopping).running
