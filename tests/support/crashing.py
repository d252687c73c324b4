"""The end of a process at a chosen call of a port: just before it, or just after it."""

import inspect
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from energy_tracker.eventlog.port import Batch, EventLog, Record


class ProcessEnded(BaseException):
    """The process is gone: nothing catches this."""


@dataclass
class CrashPlan:
    """Counts the calls of all wrapped ports and ends the process at one of them (0: never)."""

    at_call: int = 0
    after: bool = False
    calls: int = 0
    ended: bool = False

    def before_call(self) -> int:
        """Count a call, and end the process before it if that is the plan."""
        if self.ended:
            raise ProcessEnded
        self.calls += 1
        if self.calls == self.at_call and not self.after:
            self._end()
        return self.calls

    def after_call(self, call: int) -> None:
        """End the process after this call if that is the plan."""
        if call == self.at_call and self.after:
            self._end()

    def _end(self) -> None:
        self.ended = True
        raise ProcessEnded


class Crashing:
    """Stands for a port: every asynchronous call is one at which the process may end."""

    def __init__(self, port: Any, plan: CrashPlan) -> None:
        self._port = port
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if not inspect.iscoroutinefunction(member):
            return member

        async def call(*args: Any, **named: Any) -> Any:
            number = self._plan.before_call()
            answer = await member(*args, **named)
            self._plan.after_call(number)
            return answer

        return call


class CrashingLog(Crashing):
    """Stands for an event log; the commit of a batch is a call, too."""

    def __init__(self, port: EventLog, plan: CrashPlan) -> None:
        super().__init__(port, plan)

    async def consume(self, topic: str, **named: Any) -> AsyncIterator[Batch]:
        """Yield the batches of the log."""
        async with aclosing(self._port.consume(topic, **named)) as batches:
            async for batch in batches:
                yield CrashingBatch(batch, self._plan)


@dataclass
class CrashingBatch:
    """Stands for a batch."""

    batch: Batch
    plan: CrashPlan

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of the batch."""
        return tuple(self.batch.records)

    async def commit(self) -> None:
        """Commit, if the process lives so long."""
        number = self.plan.before_call()
        await self.batch.commit()
        self.plan.after_call(number)
