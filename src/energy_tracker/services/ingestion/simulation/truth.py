"""The truth about a simulation, and what can be known of it from the readings that are delivered.

A truth file is JSON Lines: a header, then one line per device and UTC quarter-hour. Energies are whole millijoules,
which add up to any bucket of any zone without rounding.
"""

from collections.abc import Iterable, Iterator
from typing import TextIO, assert_never

import msgspec

from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR, quarter_hour_start
from energy_tracker.kit.problems import InvalidRequest
from energy_tracker.kit.quantities import energy_before, held_power_millijoules, kwh_to_millijoules
from energy_tracker.services.ingestion.simulation.generation import Simulation
from energy_tracker.services.ingestion.simulation.readings import SimulatedDevice, SimulatedReading

_FORMAT = 1


class TruthUnreadable(InvalidRequest):
    """The file is not a truth file, or a line of it is broken."""


class TruthDevice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A simulated device, as far as a score needs it."""

    name: str
    type: str
    kind: Kind
    direction: Direction
    parent: str | None = None


class TruthRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A quarter-hour of a device, energies in mJ.

    `true_mj` is what the appliance drew or gave. `measurable_mj` is what the delivered readings say by the rules of
    the contract, `covered_ms` the time they speak of, `estimated_mj` the part that is spread over more than an
    hour. `slack_mj` is by how much a right answer may differ, where a register read untrue and two readings of it
    are as good.
    """

    device: str
    start_ms: int
    true_mj: int
    measurable_mj: int
    covered_ms: int
    estimated_mj: int = 0
    slack_mj: int = 0


class TruthHeader(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was simulated: over `[from_ms, to_ms)`."""

    format: int = _FORMAT
    profile: str
    seed: int
    epoch_ms: int
    from_ms: int
    to_ms: int
    faults: tuple[str, ...] = ()
    devices: tuple[TruthDevice, ...]


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A header and its rows, in order of device and time."""

    header: TruthHeader
    rows: tuple[TruthRow, ...]


class TruthRecorder:
    """Is shown every reading that will be delivered, once and per device in order of time; then knows the truth."""

    def __init__(self, simulation: Simulation, from_ms: int, to_ms: int, *, faults: Iterable[str] = ()) -> None:
        self._simulation = simulation
        devices = simulation.household.devices
        self._known = {device.name: _Known(device) for device in devices}
        self._header = TruthHeader(
            profile=simulation.household.name,
            seed=simulation.seed,
            epoch_ms=simulation.epoch_ms,
            from_ms=from_ms,
            to_ms=to_ms,
            faults=tuple(faults),
            devices=tuple(
                TruthDevice(
                    name=each.name, type=each.type, kind=each.kind, direction=each.direction, parent=each.parent
                )
                for each in devices
            ),
        )

    def observe(self, reading: SimulatedReading) -> None:
        """Take note of a reading that will be delivered."""
        self._known[reading.device].observe(reading)

    def finish(self) -> Truth:
        """Return the truth: the last power values hold as long as they may."""
        return Truth(header=self._header, rows=tuple(self._rows()))

    def _rows(self) -> Iterator[TruthRow]:
        for name, known in self._known.items():
            known.end()
            for start_ms, true_mj in self._simulation.quarter_hours(
                name, self._header.from_ms, self._header.to_ms
            ).items():
                yield TruthRow(
                    device=name,
                    start_ms=start_ms,
                    true_mj=true_mj,
                    measurable_mj=known.measurable_mj.get(start_ms, 0),
                    covered_ms=min(known.covered_ms.get(start_ms, 0), MS_PER_QUARTER_HOUR),
                    estimated_mj=known.estimated_mj.get(start_ms, 0),
                    slack_mj=known.slack_mj.get(start_ms, 0),
                )


class _Known:
    """What can be known of one device, by quarter-hour: written apart from usage-service, to judge it."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._before: SimulatedReading | None = None
        self._doubted = False
        self.measurable_mj: dict[int, int] = {}
        self.covered_ms: dict[int, int] = {}
        self.estimated_mj: dict[int, int] = {}
        self.slack_mj: dict[int, int] = {}

    def observe(self, reading: SimulatedReading) -> None:
        """Account for the time that a reading closes."""
        match reading.kind:
            case "power":
                self._hold_until(reading.at_ms)
            case "interval":
                self._close_interval(reading)
            case "register":
                if reading.is_false:
                    self._doubted = True
                    return
                self._close_register(reading)
            case _:
                assert_never(reading.kind)
        self._before = reading

    def end(self) -> None:
        """Account for the last power value."""
        if self._device.kind == "power" and self._before is not None:
            self._hold_until(self._before.at_ms + self._device.max_hold_ms)
            self._before = None

    def _hold_until(self, at_ms: int) -> None:
        before = self._before
        if before is not None and before.power_w is not None:
            end_ms = min(at_ms, before.at_ms + self._device.max_hold_ms)
            self._spread(before.at_ms, end_ms, held_power_millijoules(before.power_w, end_ms - before.at_ms))

    def _close_interval(self, reading: SimulatedReading) -> None:
        start_ms, end_ms = reading.since_ms, reading.at_ms
        if start_ms is None and self._before is not None:
            start_ms = self._before.at_ms
        if start_ms is None:
            start_ms = quarter_hour_start(end_ms - 1)
            end_ms = start_ms + MS_PER_QUARTER_HOUR
        self._spread(start_ms, end_ms, kwh_to_millijoules(reading.energy_kwh or 0.0))

    def _close_register(self, reading: SimulatedReading) -> None:
        before = self._before
        if before is not None and before.counter_mj is not None and reading.counter_mj is not None:
            energy_mj = reading.counter_mj - before.counter_mj
            self._spread(before.at_ms, reading.at_ms, energy_mj)
            if self._doubted:
                last_ms = quarter_hour_start(reading.at_ms)
                for start_ms in range(quarter_hour_start(before.at_ms), last_ms + 1, MS_PER_QUARTER_HOUR):
                    _add(self.slack_mj, start_ms, energy_mj)
        self._doubted = False

    def _spread(self, from_ms: int, to_ms: int, energy_mj: int) -> None:
        """Spread an energy evenly over a time, in quarter-hours; over more than an hour it is an estimate."""
        duration_ms, before_mj, start_ms = to_ms - from_ms, 0, from_ms
        while start_ms < to_ms:
            quarter_ms = quarter_hour_start(start_ms)
            end_ms = min(quarter_ms + MS_PER_QUARTER_HOUR, to_ms)
            until_mj = energy_before(energy_mj, end_ms - from_ms, duration_ms)
            _add(self.measurable_mj, quarter_ms, until_mj - before_mj)
            _add(self.covered_ms, quarter_ms, end_ms - start_ms)
            if duration_ms > MS_PER_HOUR:
                _add(self.estimated_mj, quarter_ms, until_mj - before_mj)
            before_mj, start_ms = until_mj, end_ms


def write_truth(truth: Truth, file: TextIO) -> None:
    """Write a truth file."""
    encoder = msgspec.json.Encoder()
    file.writelines(encoder.encode(line).decode() + "\n" for line in (truth.header, *truth.rows))


def read_truth(file: Iterable[str]) -> Truth:
    """Read a truth file, line by line. Raises `TruthUnreadable`, naming the line."""
    lines = iter(file)
    rows: list[TruthRow] = []
    number = 1
    decode_row = msgspec.json.Decoder(TruthRow).decode
    try:
        header = msgspec.json.decode(next(lines, ""), type=TruthHeader)
        for number, line in enumerate(lines, start=2):  # noqa: B007 - the number is for the error below
            rows.append(decode_row(line))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"line {number} of the truth file cannot be read: {error}"
        raise TruthUnreadable(message) from error
    if header.format != _FORMAT:
        message = f"the truth file has format {header.format}; this version reads format {_FORMAT}"
        raise TruthUnreadable(message)
    return Truth(header=header, rows=tuple(rows))


def _add(sums: dict[int, int], key: int, amount: int) -> None:
    sums[key] = sums.get(key, 0) + amount
