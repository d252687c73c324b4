"""The hours of a home from those of its devices: how much of an hour was measured goes by what is usually used."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.usage.model.forecast.hours import HourUse
from energy_tracker.services.usage.model.series import Measured, by_bucket, total_column

_STILL_EXPECTED_HOURS: Final = 48
"""So long after its last reading a device is missing; from then on it is taken to be out of use."""


@dataclass(slots=True)
class _Device:
    """What was measured of a device: energy and time in all, and the time of each hour that has any."""

    energy_mj: int = 0
    measured_ms: int = 0
    covered_ms: dict[int, int] = field(default_factory=dict)

    @property
    def usual(self) -> float:
        """Its mean use while it was measured, in mJ a millisecond."""
        return self.energy_mj / self.measured_ms if self.measured_ms else 0.0


@dataclass(slots=True)
class HomeHours:
    """Gathers a home's hours in the order of time.

    A plug that falls silent takes the part of the home's use with it that it usually has, not one of so many devices;
    one that was added lately is not missing before. What devices together measured is the energy of an hour; how much
    of it that is, is its coverage.
    """

    _starts_ms: list[int] = field(default_factory=list)
    _ends_ms: list[int] = field(default_factory=list)
    _energies_mj: list[int | None] = field(default_factory=list)
    _counted: list[frozenset[int]] = field(default_factory=list)
    _devices: dict[int, _Device] = field(default_factory=dict)
    _expected: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    """By device: the first and the last hour in which it is expected, and its usual use."""

    @property
    def count(self) -> int:
        """How many hours were added."""
        return len(self._starts_ms)

    def add(self, measured: Measured) -> None:
        """Add what was measured over hours that follow those before."""
        grid, before = measured.grid, self.count
        for start_ms, end_ms in pairwise(grid.boundaries_ms):
            self._starts_ms.append(start_ms)
            self._ends_ms.append(end_ms)
        self._energies_mj += by_bucket(total_column(measured.columns, grid), grid).import_mj
        counted = [frozenset[int]()] * (len(grid.boundaries_ms) - 1)
        for bucket, period in zip(grid.bucket_of, grid.period_of, strict=True):
            counted[bucket] |= period.counted & period.in_use
        self._counted += counted
        for device_id in measured.columns:
            device = self._devices.setdefault(device_id, _Device())
            column = measured.of_device(device_id)
            for hour, covered_ms in enumerate(column.covered_ms):
                if covered_ms:
                    device.energy_mj += column.import_mj[hour] or 0
                    device.measured_ms += covered_ms
                    device.covered_ms[before + hour] = covered_ms
        self._expected.clear()

    def hours(self, first: int, end: int) -> list[HourUse]:
        """Return some of the hours; all have been added."""
        if not self._expected:
            self._expected = {
                device_id: (min(device.covered_ms), max(device.covered_ms) + _STILL_EXPECTED_HOURS, device.usual)
                for device_id, device in self._devices.items()
                if device.covered_ms
            }
        return [self._hour(index) for index in range(first, min(end, self.count))]

    def _hour(self, index: int) -> HourUse:
        start_ms, energy_mj = self._starts_ms[index], self._energies_mj[index]
        length_ms = self._ends_ms[index] - start_ms
        if energy_mj is None:
            return HourUse(start_ms, length_ms, None, 0)
        weighed = plain = whole = 0.0
        count = 0
        for device_id in self._counted[index]:
            expected = self._expected.get(device_id)
            if expected is None or not expected[0] <= index <= expected[1]:
                continue
            share = self._devices[device_id].covered_ms.get(index, 0) / length_ms
            plain, count = plain + share, count + 1
            weighed, whole = weighed + expected[2] * share, whole + expected[2]
        covered = weighed / whole if whole > 0 else plain / count if count else 1.0
        return HourUse(start_ms, length_ms, millijoules_to_kwh(energy_mj), round(min(1.0, covered) * length_ms))
