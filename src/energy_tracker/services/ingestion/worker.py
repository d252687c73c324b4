"""What ingestion-service does beside answering: it forgets, in time, what it need not know any more."""

import logging
from typing import Protocol

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_SECOND
from energy_tracker.kit.problems import Problem

log = logging.getLogger(__name__)

_PERIOD_S = MS_PER_HOUR / MS_PER_SECOND


class Forgetful(Protocol):
    """Something that keeps event ids for a while."""

    async def forget_old_ids(self, *, now_ms: int) -> int:
        """Forget those whose time is over; return how many."""


class Housekeeper:
    """Forgets old event ids, at start and then every hour."""

    def __init__(self, *, door: Forgetful, clock: Clock) -> None:
        self._door = door
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                forgotten = await self._door.forget_old_ids(now_ms=self._clock.now_ms())
            except Problem as problem:
                log.warning("old event ids were not forgotten; trying again in an hour: %s", problem.detail)
            except Exception:
                log.exception("forgetting old event ids failed; trying again in an hour")
            else:
                if forgotten:
                    log.info("forgot %d event ids older than 30 days", forgotten)
            await self._clock.sleep(_PERIOD_S)
