"""What can be done with readings that come in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from energy_tracker.contracts.ingestion import IngestionLedger, SimulationStatus
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.model.admission import (
    DeviceErased,
    DeviceRetired,
    EventIdTaken,
    Refusal,
    Verdict,
)
from energy_tracker.services.ingestion.model.decoding import Decoded
from energy_tracker.services.ingestion.model.readings import Candidate, InvalidReading, judge
from energy_tracker.services.ingestion.model.shelly import ShellyMeasurement, read_status
from energy_tracker.services.ingestion.ports import Directory, Door, SimulationControl

Outcome = Candidate | Problem

_JUDGED_AT_ONCE = 1_000
"""Readings between two looks at what else the event loop has to do."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of readings: `outcomes` of judging all, and the door's `verdicts` on the candidates among them."""

    outcomes: Sequence[Outcome]
    verdicts: Sequence[Verdict]
    accepted: int
    duplicate: int

    @property
    def received(self) -> int:
        """How many readings there were; those neither accepted nor duplicate were rejected."""
        return len(self.outcomes)

    @property
    def rejected(self) -> int:
        """How many were refused, by their content or by the door."""
        return len(self.outcomes) - self.accepted - self.duplicate


class IngestionService:
    """Takes readings in. Every call raises `TemporarilyUnavailable`, `StorageFull` and `Overloaded`."""

    def __init__(self, *, door: Door, directory: Directory, clock: Clock, simulation: SimulationControl) -> None:
        self._door = door
        self._directory = directory
        self._clock = clock
        self._simulation = simulation

    async def record_reading(self, *, principal: Principal, reading: Decoded) -> tuple[Candidate, Verdict]:
        """Take in one reading; return it once it is durable, with `ACCEPTED` or `DUPLICATE`.

        Raises what is wrong with it: `InvalidReading`, `DeviceRetired`, `DeviceErased` or `EventIdTaken`.
        """
        del principal  # accounts will say which devices it may speak for
        outcome = reading if isinstance(reading, Problem) else judge(reading, now_ms=self._clock.now_ms())
        if not isinstance(outcome, Problem):
            outcome = self._unless_refused(outcome)
        if isinstance(outcome, Problem):
            await self._door.admit((), rejected=1)
            raise outcome
        verdict = (await self._door.admit((outcome,)))[0]
        if verdict is Verdict.CONFLICT:
            raise conflict(outcome)
        return outcome, verdict

    async def record_readings(self, *, principal: Principal, readings: Sequence[Decoded]) -> Receipt:
        """Take in several readings, each by itself; return what became of each once those accepted are durable."""
        del principal
        now_ms = self._clock.now_ms()
        outcomes: list[Outcome] = []
        for start in range(0, len(readings), _JUDGED_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            outcomes += [
                reading if isinstance(reading, Problem) else judge(reading, now_ms=now_ms)
                for reading in readings[start : start + _JUDGED_AT_ONCE]
            ]
        if self._directory.refused():
            outcomes = [
                outcome if isinstance(outcome, Problem) else self._unless_refused(outcome) for outcome in outcomes
            ]
        candidates = [outcome for outcome in outcomes if not isinstance(outcome, Problem)]
        verdicts = await self._door.admit(candidates, rejected=len(outcomes) - len(candidates))
        return Receipt(outcomes, verdicts, verdicts.count(Verdict.ACCEPTED), verdicts.count(Verdict.DUPLICATE))

    async def record_shelly_status(
        self, *, principal: Principal, device_id: int, document: object
    ) -> tuple[Sequence[ShellyMeasurement], Receipt]:
        """Take in what a Shelly's status tells; return it with what became of each. Raises `InvalidReading`."""
        try:
            measurements = read_status(document, device_id=device_id, now_ms=self._clock.now_ms())
        except InvalidReading:
            await self._door.admit((), rejected=1)
            raise
        readings = [measurement.body for measurement in measurements]
        return measurements, await self.record_readings(principal=principal, readings=readings)

    async def read_ledger(self, *, principal: Principal, after: int) -> IngestionLedger:
        """Return what was received ever since, and what lies in the stream above the offset `after`."""
        del principal
        return await self._door.ledger(after=after)

    async def start_simulation(self, *, principal: Principal) -> SimulationStatus:
        """Start the generator. Raises `SimulationAlreadyRunning`."""
        del principal
        return await self._simulation.start()

    async def stop_simulation(self, *, principal: Principal) -> SimulationStatus:
        """Stop the generator. Raises `SimulationNotRunning`."""
        del principal
        return await self._simulation.stop()

    async def simulation_status(self, *, principal: Principal) -> SimulationStatus:
        """Say whether the generator runs."""
        del principal
        return await self._simulation.status()

    def _unless_refused(self, candidate: Candidate) -> Outcome:
        refusal = self._directory.refused().get(candidate.device_id)
        return candidate if refusal is None else _refused(candidate, refusal)


def conflict(candidate: Candidate) -> EventIdTaken:
    """Return the problem of a reading whose event id belongs to another one."""
    event_id = candidate.event_id
    return EventIdTaken(f"Device {candidate.device_id} has another reading with the event id {event_id!r}.")


def _refused(candidate: Candidate, refusal: Refusal) -> Outcome:
    if refusal.from_ms is None:
        return DeviceErased(f"Device {candidate.device_id} was erased with its data and takes no readings.")
    if candidate.time_ms < refusal.from_ms:
        return candidate
    return DeviceRetired(f"Device {candidate.device_id} was retired before the time of this reading.")
