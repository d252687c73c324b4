"""What can happen to a call of a port: it passes, fails, takes long, or is the last before the process ends."""

import inspect
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.crashing import ProcessEnded

from energy_tracker.eventlog.port import Batch, EventLog, LogUnavailable, Record
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import TemporarilyUnavailable

Event = Literal["pass", "fail", "slow", "end before", "end after"]


@dataclass
class Fate:
    """Decides about every call of every wrapped port of one process, and counts them by name."""

    decide: Callable[[int, str], Event] = lambda _number, _name: "pass"
    keeps_lazy_writes: bool = False
    """Whether what was to be written when there is company has reached the disk when the process ends."""
    ended: bool = False
    calls: int = 0
    names: Counter[str] = field(default_factory=Counter)

    def end(self) -> None:
        """End the process: nothing has any effect from here on."""
        self.ended = True
        raise ProcessEnded

    def alive(self) -> None:
        """Go no further in a process that has ended."""
        if self.ended:
            raise ProcessEnded

    def next_event(self, name: str) -> Event:
        """Return what happens to the call that is made now."""
        self.alive()
        self.calls += 1
        self.names[name] += 1
        return self.decide(self.calls, name)


def ends_at(call: int, *, after: bool) -> Callable[[int, str], Event]:
    """Decide that a process ends just before or just after its n-th call, and that all others pass."""
    event: Event = "end after" if after else "end before"
    return lambda number, _: event if number == call else "pass"


def misfortunes(seed: int, *, ends: float, fails: float, slow: float) -> Callable[[int, str], Event]:
    """Decide by a seed; the three numbers are the chances that a call ends the process, fails, takes long."""
    chance = random.Random(seed)

    def decide(_number: int, _name: str) -> Event:
        drawn = chance.random()
        if drawn < ends:
            return "end before" if drawn < ends / 2 else "end after"
        if drawn < ends + fails:
            return "fail"
        return "slow" if drawn < ends + fails + slow else "pass"

    return decide


@dataclass
class Faulty:
    """Stands for a port: something may happen to each of its asynchronous calls. A call that fails has no effect."""

    port: Any
    name: str
    fate: Fate
    clock: Clock
    slow_s: float = 7.0

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.port, name)
        if not inspect.iscoroutinefunction(member):
            return member

        async def call(*args: Any, **named: Any) -> Any:
            return await self.happen(f"{self.name}.{name}", lambda: member(*args, **named))

        return call

    async def happen(self, name: str, work: Callable[[], Any]) -> Any:
        """Make the call, as its fate is."""
        event = self.fate.next_event(name)
        if event == "end before":
            self.fate.end()
        if event == "fail":
            raise self.failure(name)
        if event == "slow":
            await self.clock.sleep(self.slow_s)
            self.fate.alive()
        answer = await work()
        if event == "end after":
            self.fate.end()
        self.fate.alive()
        return answer

    def failure(self, name: str) -> Exception:
        """Return what the port raises when it fails."""
        return TemporarilyUnavailable(f"{name} fails by chance.")


class FaultyLog(Faulty):
    """Stands for an event log: the handing over of a batch and its commit are calls, too."""

    port: EventLog

    async def consume(self, topic: str, **named: Any) -> AsyncIterator[Batch]:
        """Yield the batches of the log."""
        async with aclosing(self.port.consume(topic, **named)) as batches:  # type: ignore[type-var]  # a generator
            async for batch in batches:
                await self.happen(f"log.batch of {topic}", _nothing)
                yield FaultyBatch(batch, self)

    def failure(self, name: str) -> Exception:
        """Return what a log raises when it fails."""
        return LogUnavailable(f"{name} fails by chance.")


@dataclass(frozen=True)
class FaultyBatch:
    """Stands for a batch."""

    batch: Batch
    log: FaultyLog

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of the batch."""
        return tuple(self.batch.records)

    async def commit(self) -> None:
        """Commit, as its fate is."""
        await self.log.happen("log.commit", self.batch.commit)


async def _nothing() -> None:
    pass
