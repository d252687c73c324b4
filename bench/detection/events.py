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
UNLISTED = ("40 percent less", "threefold day", "longer runs", "slow drift")
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


def _longer_runs(days: list[Minutes]) -> None:
    for index, day in enumerate(days):
        runs = [
            [power for power in day[max(0, minute - 12) : minute + 1] if power is not None] for minute in range(MINUTES)
        ]
        days[index] = [None if power is None else max(run) for power, run in zip(day, runs, strict=True)]


def _drift(days: list[Minutes]) -> None:
    for index, day in enumerate(days):
        days[index] = [None if power is None else power * (1 + 0.025 * (index + 1)) for power in day]


@dataclass(slots=True)
class _Places:
    """Where and when the events of a history are."""

    history: History
    about: Usual
    random: Random

    def day(self) -> int:
        return self.random.randint(FIRST_EVENT_DAY, LAST_EVENT_DAY)

    def stretch(
        self, name: str, kinds: set[Kind], minutes: int, of: Callable[[float], float | None] | None = None
    ) -> Event:
        """Change a stretch of minutes that begins anywhere; without a change, hold the value that it begins with."""
        first, start = self.day(), self.random.randrange(MINUTES)
        if of is None:
            day = self.history.days[first]
            held = next((power for power in day[start:] if power is not None), self.about.mean)
            of = lambda _: held  # noqa: E731
            if held >= 0.6 * self.about.on and not self.history.is_home:
                kinds = {*kinds, Kind.STUCK_ON}
        last = min(first + (start + minutes - 1) // MINUTES, DAYS - 1)
        return Event(name, frozenset(kinds), first, last, first * MINUTES + start, _on_each(start, minutes, of))

    def whole(self, name: str, kinds: set[Kind], days: int, change: Callable[[list[Minutes]], None]) -> Event:
        """Change whole days."""
        first = min(self.day(), DAYS - days)
        return Event(name, frozenset(kinds), first, first + days - 1, first * MINUTES, change)


def events(history: History, seed: int) -> list[Event]:
    """Return one event of each kind, at places that the seed gives.

    What is always on has no standby of its own: there a higher standby and a higher draw are the same.
    """
    random = Random(f"{history.name} events {seed}")
    about = usual(history)
    at = _Places(history, about, random)
    standby = max(3.0, 0.25 * about.base, 0.15 * about.mean)
    night = max(5.0, 0.5 * about.base)
    rising = {Kind.STANDBY_UP, Kind.DRAWS_MORE} if about.base >= 0.6 * about.highest else set()
    stuck = {Kind.STUCK_ON, Kind.NEVER_OFF}
    more = _on_each(0, 3 * MINUTES, lambda power: power + standby)
    third = _on_each(0, 5 * MINUTES, lambda power: 1.3 * power)
    return [
        at.stretch("stuck on", stuck, round(random.uniform(0.5, 1.5) * MINUTES), _stuck(history, about, random)),
        at.whole("standby", {Kind.STANDBY_UP, *rising}, 3, more),
        at.whole("30 percent more", {Kind.DRAWS_MORE, *rising}, 5, third),
        at.stretch("missing", {Kind.SILENT}, random.randint(6, 24) * 60, lambda _: None),
        at.stretch("flat line", {Kind.FROZEN, Kind.DEAD}, MINUTES),
        at.stretch("spike", {Kind.SPIKE}, 1, lambda _: 3 * about.highest),
        at.stretch("negative step", {Kind.REGISTER_BACK}, 1, lambda _: -60_000.0),
        at.whole("nights", {Kind.NIGHT_UP}, 5, _at_night(night)),
        at.whole("shifted schedule", {Kind.SCHEDULE_SHIFTED}, 5, _shifted(8)),
        at.stretch("dead", {Kind.DEAD}, 7 * MINUTES, lambda _: 0.0),
        *_unlisted(at),
    ]


def _unlisted(at: _Places) -> list[Event]:
    """Return events beyond the list; they are reported apart, and do not count in the mean.

    The test of falls was added when the first of them was missed, the comparison of ten days with the last in mind.
    """
    every = set(Kind)
    less = _on_each(0, 5 * MINUTES, lambda power: 0.6 * power)
    thrice = _on_each(0, MINUTES, lambda power: 3 * power)
    return [
        at.whole(UNLISTED[0], every, 5, less),
        at.whole(UNLISTED[1], every, 1, thrice),
        at.whole(UNLISTED[2], every, 5, _longer_runs),
        at.whole(UNLISTED[3], every, 20, _drift),
    ]


def changes_little(history: History, event: Event, about: Usual) -> bool:
    """Return whether an event makes next to no difference to the minutes, so that there is nothing to find."""
    if event.name in {"missing", "standby", "nights"}:
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
