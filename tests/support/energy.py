"""Deriving energy in tests: readings from short notation, one fold over them, and what came out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from energy_tracker.kit.ids import derived_event_key
from energy_tracker.kit.quantities import MILLIJOULES_PER_KILOWATT_HOUR
from energy_tracker.services.usage.model.derivation import Change, extend, in_order
from energy_tracker.services.usage.model.fold import tail
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, Reading
from energy_tracker.services.usage.model.steps import QuarterHours, Step

T0_MS = 1_780_272_000_000
"""2026-06-01T00:00Z."""
SECOND, MINUTE, QUARTER, HOUR, DAY = 1_000, 60_000, 900_000, 3_600_000, 86_400_000
KWH = MILLIJOULES_PER_KILOWATT_HOUR


def reading(
    kind: Kind,
    at_ms: int,
    amount: float,
    *,
    since: int | None = None,
    direction: Direction | None = None,
    channel: str = "",
    device_id: int = 1,
) -> Reading:
    """A reading `at_ms` after `T0_MS`; `since` is counted from there, too."""
    time_ms = T0_MS + at_ms
    since_ms = None if since is None else T0_MS + since
    key = derived_event_key(device_id, time_ms * 1000, kind, direction or "import", amount, since_ms, channel)
    return Reading(device_id, time_ms, key, kind, amount, direction, since_ms, 0, channel)


def registers(*values: float, every: int = 5 * MINUTE) -> list[Reading]:
    """Values of a register, evenly apart."""
    return [reading("register", number * every, value) for number, value in enumerate(values)]


@dataclass(frozen=True)
class Derived:
    """What a fold over readings came to: the settled steps, the tail, and the sums of the quarter-hours."""

    change: Change
    tail: tuple[Step, ...]

    @property
    def steps(self) -> list[Step]:
        return [*self.change.steps, *self.tail]

    @property
    def kwh(self) -> float:
        return self.mj / KWH

    @property
    def mj(self) -> int:
        return sum(sums[0] for sums in self.change.quarter_hours.values())

    @property
    def marks(self) -> list[str]:
        return [step.mark.value for step in self.steps]

    @property
    def odd(self) -> list[str]:
        """The marks that are worth a look."""
        return [mark for mark in self.marks if mark not in ("plain", "baseline")]

    @property
    def quarters(self) -> dict[int, tuple[int, int, int]]:
        """Start in ms after `T0_MS` → (energy mJ, estimated mJ, covered ms)."""
        return {start - T0_MS: (energy, estimated, covered) for start, energy, estimated, covered in self._changes}

    @property
    def covered_ms(self) -> int:
        return sum(covered for *_, covered in self._changes)

    @property
    def _changes(self) -> list[tuple[int, int, int, int]]:
        return self.change.quarter_hours.changes()


def derive(readings: Iterable[Reading], rules: DeviceRules | None = None) -> Derived:
    """Fold readings of one stream, in order."""
    ordered = in_order(readings)
    if rules is None:
        rules = DeviceRules(kind=ordered[0].kind)
    change = extend(None, ordered, rules)
    return Derived(change, tail(change.head.state, rules))


def spread(steps: Sequence[Step]) -> QuarterHours:
    """The quarter-hours of steps."""
    quarter_hours = QuarterHours()
    for step in steps:
        quarter_hours.add(step)
    return quarter_hours
