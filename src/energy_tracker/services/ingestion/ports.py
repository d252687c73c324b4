"""What ingestion-service needs from the rest of the house."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from energy_tracker.contracts.ingestion import IngestionLedger, SimulationStatus
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.model.admission import Refusal, Verdict
from energy_tracker.services.ingestion.model.readings import Candidate


class Door(Protocol):
    """Decides what becomes of readings, durably.

    Every door is exact within a call, and takes a reading whose repeats it has acknowledged for what it is as long as
    it remembers. The embedded door remembers everything, and writes the stream and the ledger in one transaction. With
    Kafka there may be many doors, each with a memory that is bounded and ends with its process: there `ACCEPTED` and
    `DUPLICATE` are best effort, and usage-service, which knows all readings, tells repeats and conflicts for good.
    """

    async def admit(self, candidates: Sequence[Candidate], *, rejected: int = 0) -> Sequence[Verdict]:
        """Return one verdict per candidate once those accepted are durable in the stream, and the others counted.

        `rejected` readings came with them and were refused before; the ledger counts them. Raises `Overloaded`,
        `TemporarilyUnavailable` and `StorageFull`: nothing of the call counts then. With Kafka some of it may be in
        the stream all the same; its sender sends all of it again, and what comes twice counts once.
        """

    async def ledger(self, *, after: int) -> IngestionLedger:
        """Return the ledger in one snapshot; queued are the readings of `energy-usage` above the offset `after`.

        Raises `LedgerIsElsewhere` with Kafka: usage-service counts what the log holds.
        """


class KnownReadings(Protocol):
    """What the reading store knows for ever. Synchronous: it is called in the thread of the log's writer."""

    def latest_ms(self, device_ids: Sequence[int]) -> Mapping[int, int]:
        """Return the greatest stored time, in ms since 1970, of each of the devices that has readings."""

    def known(self, keys: Sequence[tuple[int, int, bytes]]) -> set[tuple[int, int, bytes]]:
        """Return which of the (device id, time in ms, event key) are stored."""


class Directory(Protocol):
    """The local copy of what device-service knows."""

    def refused(self) -> Mapping[int, Refusal]:
        """Return the devices that take no (later) readings, a live view; a device that nobody knows is not in it."""


class SimulationAlreadyRunning(Problem):
    """The generator runs already."""

    status = 409
    title = "The simulation is already running"


class SimulationNotRunning(Problem):
    """There is no generator to stop."""

    status = 409
    title = "The simulation is not running"


class SimulationControl(Protocol):
    """The generator of readings behind `/api/v1/ingestion/simulation`."""

    async def start(self) -> SimulationStatus:
        """Start it. Raises `SimulationAlreadyRunning`."""

    async def stop(self) -> SimulationStatus:
        """Stop it and wait until nothing of it is under way. Raises `SimulationNotRunning`."""

    async def status(self) -> SimulationStatus:
        """Say whether it runs, and what it has sent."""
