"""The injected events: what is changed, when, and what it should be called."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median

from bench.detection.appliances import MINUTES, Minutes
from bench.detection.histories import DAYS, History
from energy_tracker.services.usage.model.detection.findings import Kind

FIRST_EVENT_DAY = 35
LAST_EVENT_DAY = 50
NIGHT_MINUTES = 300
ACUTE = ("stuck on", "missing", "flat line", "spike", "negative step")


@dataclass(frozen=True, slots=True)
class Event:
    """A change of the minutes from `first_day` to `last_day`; it begins at `start`, in minutes of the history."""

    name: str
    kinds: frozenset[Kind]
    first_day: int
    last_day: int
    start: int
    change: Callable[[list[Minutes]], None]


def _known(power_w: Minutes) -> list[float]:
    return [power for power in power_w if power is not None]


@dataclass(slots=True)
class Usual:
    """What the history is like before the event: W."""

    base: float
    mean: float
    highest: float
    on: float
    swing: float


def usual(history: History) -> Usual:
    """Return base (the 10th percentile), mean, maximum, the level when on, and how much the hours differ."""
    days = [_known(day) for day in history.days[:FIRST_EVENT_DAY]]
    every = sorted(power for day in days for power in day)
    base, highest, mean = every[len(every) // 10], every[-1], sum(every) / len(every)
    threshold = base + 0.3 * (every[-len(every) // 500] - base)
    on = [power for power in every if power > threshold] or [highest]
    hours = [
        [
            power
            for day in history.days[:FIRST_EVENT_DAY]
            for power in day[hour * 60 : hour * 60 + 60]
            if power is not None
        ]
        for hour in range(24)
    ]
    means = [sum(hour) / len(hour) for hour in hours if hour]
    return Usual(base, mean, highest, median(on), max(means) - min(means))


def _stuck(history: History, about: Usual, random: Random) -> Callable[[float], float]:
    """Hold the level when on, exactly or within two percent; in a home, add it to all that goes on."""
    if history.is_home:
        return lambda power: power + about.on - about.base
    noise = random.choice((0.0, 0.02))
    return lambda power: max(power, about.on * (1 + random.uniform(-noise, noise)))


def _on_each(start: int, minutes: int, of: Callable[[float], float | None]) -> Callable[[list[Minutes]], None]:
    """Return a change of the measured minutes of a stretch; `start` counts from the first day's midnight."""

    def change(days: list[Minutes]) -> None:
        for minute in range(start, min(start + minutes, len(days) * MINUTES)):
            power = days[minute // MINUTES][minute % MINUTES]
            if power is not None:
                days[minute // MINUTES][minute % MINUTES] = of(power)

    return change


def _at_night(more: float) -> Callable[[list[Minutes]], None]:
    def change(days: list[Minutes]) -> None:
        for day in days:
            day[:NIGHT_MINUTES] = [None if power is None else power + more for power in day[:NIGHT_MINUTES]]

    return change


def _shifted(hours: int) -> Callable[[list[Minutes]], None]:
    def change(days: list[Minutes]) -> None:
        for index, day in enumerate(days):
            days[index] = day[-hours * 60 :] + day[: -hours * 60]

    return change


def _whole(name: str, kinds: set[Kind], day: int, days: int, change: Callable[[list[Minutes]], None]) -> Event:
    return Event(name, frozenset(kinds), day, min(day + days, DAYS) - 1, day * MINUTES, change)


def events(history: History, seed: int) -> list[Event]:
    """Return one event of each kind, at places that the seed gives."""
    random = Random(f"{history.name} events {seed}")
    about = usual(history)
    standby = max(3.0, 0.25 * about.base, 0.15 * about.mean)
    night = max(5.0, 0.5 * about.base)

    def day() -> int:
        return random.randint(FIRST_EVENT_DAY, LAST_EVENT_DAY)

    def stretch(name: str, kinds: set[Kind], minutes: int, of: Callable[[float], float | None] | None = None) -> Event:
        first, start = day(), random.randrange(MINUTES)
        change = of
        if change is None:
            held = next((power for power in history.days[first][start:] if power is not None), about.mean)
            change = lambda _: held  # noqa: E731
            if held >= 0.6 * about.on and not history.is_home:
                kinds = {*kinds, Kind.STUCK_ON}
        last = min(first + (start + minutes - 1) // MINUTES, DAYS - 1)
        return Event(name, frozenset(kinds), first, last, first * MINUTES + start, _on_each(start, minutes, change))

    steady = about.base >= 0.6 * about.highest
    rising = {Kind.STANDBY_UP, Kind.DRAWS_MORE} if steady else set()
    return [
        stretch(
            "stuck on",
            {Kind.STUCK_ON, Kind.NEVER_OFF},
            round(random.uniform(0.5, 1.5) * MINUTES),
            _stuck(history, about, random),
        ),
        _whole(
            "standby", {Kind.STANDBY_UP, *rising}, day(), 3, _on_each(0, 3 * MINUTES, lambda power: power + standby)
        ),
        _whole(
            "30 percent more", {Kind.DRAWS_MORE, *rising}, day(), 5, _on_each(0, 5 * MINUTES, lambda power: 1.3 * power)
        ),
        stretch("missing", {Kind.SILENT}, random.randint(6, 24) * 60, lambda _: None),
        stretch("flat line", {Kind.FROZEN, Kind.DEAD}, MINUTES),
        stretch("spike", {Kind.SPIKE}, 1, lambda _: 3 * about.highest),
        stretch("negative step", {Kind.REGISTER_BACK}, 1, lambda _: -60_000.0),
        _whole("nights", {Kind.NIGHT_UP}, day(), 5, _at_night(night)),
        _whole("shifted schedule", {Kind.SCHEDULE_SHIFTED}, day(), 5, _shifted(8)),
        stretch("dead", {Kind.DEAD}, 7 * MINUTES, lambda _: 0.0),
    ]


def changes_little(history: History, event: Event, about: Usual) -> bool:
    """Return whether an event makes next to no difference to the minutes, so that there is nothing to find."""
    if event.name == "missing":
        return False
    if event.name in {"spike", "negative step"}:
        minute = history.days[event.first_day][event.start % MINUTES]
        return minute is None or (event.name == "spike" and about.highest < 5)
    before = history.days[event.first_day : event.last_day + 1]
    after = [list(day) for day in before]
    event.change(after)
    pairs = [
        (one, two)
        for old, new in zip(before, after, strict=True)
        for one, two in zip(old, new, strict=True)
        if one is not None and two is not None
    ]
    difference = sum(abs(one - two) for one, two in pairs) / len(before) / MINUTES
    if event.name == "shifted schedule":
        return about.swing < max(2.0, 0.2 * about.mean)
    return difference < max(0.1 * about.mean, 0.3)
