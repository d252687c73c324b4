"""Plain synthetic devices for the detector: minutes of power, cut into quarter-hours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from zoneinfo import ZoneInfo

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.detector import observe
from energy_tracker.services.usage.model.detection.findings import Finding, Kind
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.state import State

UTC_ZONE = ZoneInfo("UTC")
FIRST_DAY = 19_723
"""2024-01-01, a Monday."""
MINUTES = 1_440
Minutes = list[float | None]


def television(day: int, random: Random) -> Minutes:
    """Two watts at rest, about a hundred from about half past six in the evening, for about four hours."""
    on = 1_110 + random.randint(-20, 20)
    off = min(on + random.randint(210, 270) + (60 if day % 7 >= 5 else 0), MINUTES - 1)
    return [random.uniform(95, 105) if on <= minute < off else random.uniform(1.9, 2.1) for minute in range(MINUTES)]


def refrigerator(_day: int, random: Random) -> Minutes:
    """Eighty watts for about twenty of sixty minutes, day and night."""
    power_w: Minutes = []
    while len(power_w) < MINUTES:
        power_w += [random.uniform(76, 84) for _ in range(random.randint(18, 22))]
        power_w += [random.uniform(0.4, 0.6) for _ in range(random.randint(36, 44))]
    return power_w[:MINUTES]


def router(_day: int, random: Random) -> Minutes:
    """Nine watts, always."""
    return [random.uniform(8.7, 9.3) for _ in range(MINUTES)]


def kettle(day: int, random: Random) -> Minutes:
    """Two kilowatts for three minutes, in the morning and in the evening, and mostly in the afternoon."""
    power_w: Minutes = [0.0] * MINUTES
    for hour in (7, 19, *((15,) if random.random() < 0.7 else ())):
        start = hour * 60 + random.randint(0, 50) + (30 if day % 7 >= 5 else 0)
        power_w[start : start + 3] = [random.uniform(1_950, 2_050) for _ in range(3)]
    return power_w


Device = Callable[[int, Random], Minutes]


def days_of(device: Device, days: int, seed: int = 1) -> list[Minutes]:
    """Return the minutes of some days of a device."""
    random = Random(f"{device.__name__} {seed}")
    return [device(day, random) for day in range(days)]


def quarter_hours(days: Sequence[Minutes], first_day: int = 0) -> Iterator[QuarterHour]:
    """Cut days into quarter-hours; those without a reading are left out."""
    for day, power_w in enumerate(days, start=FIRST_DAY + first_day):
        for quarter in range(96):
            readings = [power for power in power_w[quarter * 15 : quarter * 15 + 15] if power is not None]
            if readings:
                yield quarter_hour(day * MS_PER_DAY + quarter * MS_PER_QUARTER_HOUR, readings)


def quarter_hour(start_ms: int, power_w: Sequence[float]) -> QuarterHour:
    """Return the quarter-hour of powers, a minute each."""
    return QuarterHour(
        start_ms=start_ms,
        energy_mj=round(sum(max(power, 0.0) for power in power_w) * MS_PER_MINUTE),
        covered_ms=len(power_w) * MS_PER_MINUTE,
        highest_mw=round(max(power_w) * 1_000),
        lowest_mw=round(min(power_w) * 1_000),
        readings=len(power_w),
        fell_mj=round(max(-min(power_w), 0.0) * MS_PER_MINUTE),
    )


def fold(quarters: Iterable[QuarterHour], state: State | None = None, **how: object) -> tuple[State, list[Finding]]:
    """Fold quarter-hours in, return the state and all findings."""
    state = state or State()
    found: list[Finding] = []
    for quarter in quarters:
        state, findings = observe(state, quarter, **{"zone": UTC_ZONE, **how})  # type: ignore[arg-type]
        found += findings
    return state, found


def opened(findings: Iterable[Finding]) -> list[Kind]:
    """Return the kinds of the findings that opened."""
    return [finding.kind for finding in findings if finding.transition == "opened"]
