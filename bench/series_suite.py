"""Series like those that people measure, each with labelled events, made from a seed; some without any.

They follow what is publicly said of the Numenta benchmark's groups (made-up days, servers, advertising, machines,
traffic, mentions on the net): lengths, steps, noise and kinds of events, not its data. Some events are too small to be
found.
"""

import math
import random
from collections.abc import Callable, Sequence

from bench.nab_scoring import Series

_DAY_S = 86_400
_BEGIN_S = 1_396_310_400.0  # a Tuesday
_SHARE_OF_WINDOWS = 0.1

Maker = Callable[[random.Random, int], tuple[list[float], list[int]]]


def _labelled(name: str, values: list[float], events: Sequence[int], step_s: int) -> Series:
    size = len(values)
    half = int(_SHARE_OF_WINDOWS * size / max(1, len(events)) / 2)
    windows: list[tuple[int, int]] = []
    for event in sorted(events):
        first, last = max(event - half, windows[-1][1] + 1 if windows else 0), min(event + half, size - 1)
        windows.append((first, last))
    return Series(name, [_BEGIN_S + step_s * each for each in range(size)], values, windows)


def _places(rng: random.Random, size: int, count: int) -> list[int]:
    """Return where events lie: not in the first fifth, and apart."""
    room = (size * 0.95 - size * 0.2) / count
    return [int(size * 0.2 + room * (each + rng.uniform(0.15, 0.85))) for each in range(count)]


def _hump(at: int, a_day: int) -> float:
    return 1.0 if 0.375 <= (at % a_day) / a_day < 0.75 else 0.0


def _made_up(change: str, noise: float) -> Maker:
    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        values = [20 + 60 * _hump(at, 288) + rng.uniform(0, noise) for at in range(size)]
        event = 288 * 10 + 108
        if change in {"flat", "none"}:
            return values, []
        for at in range(event, event + 108):
            if change == "missing":
                values[at] = 20 + rng.uniform(0, noise)
            elif change == "up":
                values[at] += 80
            elif change == "down":
                values[at] -= 50
            elif change == "middle":
                values[at] = 50.0
        return values, [event + 54]

    return make


def _spikes(base: float, height: float, every: float, *, denser: bool) -> Maker:
    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        event = int(size * 0.65)
        values = []
        for at in range(size):
            within = event <= at < event + 150
            often = 1 / every * (6 if denser and within else 1)
            high = height * rng.uniform(0.7, 1.0) * (2.5 if not denser and within else 1)
            values.append(base + (high if rng.random() < often else 0.0) + rng.uniform(0, 0.02 * height))
        return values, [event]

    return make


def _server(level: float, noise: float, spikes_a_day: float, spike: float, events: Sequence[str]) -> Maker:
    """Make a processor or a network: a level, noise, spikes of heavy tail, and events."""

    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        values = []
        swing = rng.uniform(0, 0.3)
        for at in range(size):
            value = level * (1 + swing * math.sin(2 * math.pi * at / 288)) + rng.gauss(0, noise)
            if rng.random() < spikes_a_day / 288:
                value += spike * min(8.0, rng.paretovariate(2.5))
            values.append(max(0.0, value))
        places = _places(rng, size, len(events))
        for place, event in zip(places, events, strict=True):
            _happen(rng, values, place, event, (level, noise, spike))
        return values, places

    return make


def _happen(rng: random.Random, values: list[float], place: int, event: str, of: tuple[float, float, float]) -> None:
    level, noise, spike = of
    length, becomes = _EVENTS[event]
    for at in range(place, min(len(values), place + length)):
        values[at] = becomes(rng, values[at], level, noise, spike)


_Becomes = Callable[[random.Random, float, float, float, float], float]
_EVENTS: dict[str, tuple[int, _Becomes]] = {
    "spike": (3, lambda rng, _value, level, noise, spike: level + 6 * spike + rng.gauss(0, noise)),
    "small": (1, lambda _rng, value, _level, noise, _spike: value + 3 * noise),
    "shift": (10**9, lambda _rng, value, level, noise, _spike: value + max(0.6 * level, 4 * noise)),
    "plateau": (120, lambda rng, _value, level, noise, _spike: 2.2 * level + 5 * noise + rng.gauss(0, noise)),
    "zero": (40, lambda _rng, _value, _level, _noise, _spike: 0.0),
    "burst": (150, lambda rng, value, _level, noise, spike: max(0.0, value + rng.gauss(0, 6 * noise + spike))),
}


def _bursts(share: float, height: float, events: int) -> Maker:
    """Make what is mostly zero, with bursts of all sizes: disks, agents."""

    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        values, active = [], 0
        for _ in range(size):
            if active == 0 and rng.random() < share / 12:
                active = rng.randint(3, 40)
            active = max(0, active - 1)
            values.append(height * rng.lognormvariate(0, 0.8) if active else 0.0)
        places = _places(rng, size, events)
        for number, place in enumerate(places):
            for at in range(place, min(size, place + 30)):
                values[at] = height * (7 if number % 2 == 0 else 3) * rng.lognormvariate(0, 0.3)
        return values, places

    return make


def _seasonal(a_day: int, level: float, swing: float, noise: float, events: Sequence[str]) -> Maker:
    """Make advertising, traffic, taxis: a day, a week, noise that grows with the level, outliers."""

    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        drift, values = 0.0, []
        for at in range(size):
            weekend = (at // a_day) % 7 >= 5
            course = 1 + swing * math.sin(2 * math.pi * (at / a_day - 0.3)) * (0.7 if weekend else 1.0)
            drift = 0.99 * drift + rng.gauss(0, 0.01)
            value = level * course * (1 + drift) * rng.lognormvariate(0, noise)
            if rng.random() < 1 / 400:
                value *= rng.uniform(1.5, 3.0)
            values.append(value)
        places = _places(rng, size, len(events))
        for place, event in zip(places, events, strict=True):
            for at in range(place, min(size, place + {"spike": 2, "small": 1}.get(event, a_day))):
                values[at] *= {"spike": 7.0, "small": 1.3, "low": 0.35, "high": 1.7, "out": 0.02}[event]
        return values, places

    return make


def _mentions(rate: float, events: int) -> Maker:
    """Make counts with a day, a heavy tail and bursts that fade away."""

    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        values, burst = [], 0.0
        places = _places(rng, size, events)
        at_place = {place: number for number, place in enumerate(places)}
        for at in range(size):
            burst *= 0.93
            if rng.random() < 1 / 300:
                burst += rate * rng.paretovariate(1.6)
            if at in at_place:
                burst += rate * rng.uniform(12, 40) * (0.25 if at_place[at] % 4 == 3 else 1)
            mean = rate * (1 + 0.6 * math.sin(2 * math.pi * at / 288)) + burst
            values.append(float(max(0, round(rng.gauss(mean, math.sqrt(mean) * 1.5)))))
        return values, places

    return make


def _walking(a_day: int, noise: float, events: Sequence[str]) -> Maker:
    """Make a temperature: it wanders, has a weak day, and fails."""

    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        value, values = 0.0, []
        for at in range(size):
            value = 0.995 * value + rng.gauss(0, noise)
            values.append(80 + value + 1.5 * math.sin(2 * math.pi * at / a_day) + rng.gauss(0, noise))
        places = _places(rng, size, len(events))
        for place, event in zip(places, events, strict=True):
            for at in range(place, min(size, place + (60 if event != "slow" else 400))):
                values[at] += {"drop": -40.0, "dip": -15 * noise, "slow": 8 * noise}[event]
        return values, places

    return make


def _wandering(level: float, noise: float, events: Sequence[str]) -> Maker:
    """Make a processor whose level changes often without anybody calling it an event."""

    def make(rng: random.Random, size: int) -> tuple[list[float], list[int]]:
        values, now = [], level
        for _ in range(size):
            if rng.random() < 1 / 250:
                now = level * rng.uniform(0.7, 1.4)
            values.append(max(0.0, now + rng.gauss(0, noise)))
        places = _places(rng, size, len(events))
        for place, event in zip(places, events, strict=True):
            _happen(rng, values, place, event, (level, noise, level))
        return values, places

    return make


def _makers() -> list[tuple[str, Maker, int, int]]:
    five, hour = 300, 3600
    made: list[tuple[str, Maker, int, int]] = [
        (f"made_up/{change}_{noise}", _made_up(change, noise), 4032, five)
        for change, noise in [("none", 0.0), ("none", 1.0), ("none", 12.0), ("missing", 12.0), ("up", 12.0),
                              ("down", 12.0), ("middle", 12.0)]
    ]  # fmt: skip
    made.append(("made_up/flat", lambda _rng, size: ([45.0] * size, []), 4032, five))
    made.append(("made_up/noise", lambda rng, size: ([rng.uniform(18, 22) for _ in range(size)], []), 4032, five))
    made.append(("made_up/denser", _spikes(0, 20, 40, denser=True), 4032, five))
    made.append(("made_up/higher", _spikes(0, 1, 12, denser=False), 4032, five))
    servers: list[Maker] = [
        _server(0.13, 0.01, 4, 0.3, ["spike", "small"]), _server(1.8, 0.1, 8, 0.4, ["spike", "shift"]),
        _server(40, 3, 1, 8, ["burst", "shift"]), _server(10, 4, 20, 20, ["burst"]), _server(92, 4, 2, 3, ["zero"]),
        _wandering(35, 3, ["plateau"]), _server(0.1, 0.02, 6, 0.05, ["spike"]),
        _server(2, 0.3, 24, 20, ["spike", "spike"]),
        _bursts(0.1, 1e6, 1), _bursts(0.3, 1e7, 3), _server(2e5, 3e4, 5, 3e5, ["plateau"]), _bursts(0.5, 1e6, 2),
        _seasonal(288, 60, 0.6, 0.5, ["spike", "small"]), _server(33, 3, 1, 3, ["zero", "zero", "zero"]),
        _server(5e6, 1e6, 5, 2e6, ["spike", "small"]), _server(6, 0.3, 10, 1, ["plateau", "plateau"]),
        _wandering(14, 0.8, ["spike", "plateau"]),
    ]  # fmt: skip
    made += [(f"server/{number}", maker, 4032, five) for number, maker in enumerate(servers)]
    prices: list[Sequence[str]] = [["spike", "small"], ["low", "spike"], ["spike", "spike", "high"], ["spike"],
                                   ["spike", "high", "high"], ["spike", "spike", "small", "spike"]]  # fmt: skip
    made += [
        (f"price/{number}", _seasonal(24, 0.06, 0.4, 0.15, events), 1640, hour) for number, events in enumerate(prices)
    ]
    made += [
        ("known/room", _walking(24, 0.6, ["dip", "slow"]), 7267, hour),
        ("known/group", _seasonal(288, 35, 0.5, 0.12, ["high"]), 18050, five),
        ("known/latency", _server(45, 3, 1, 10, ["spike", "shift", "small"]), 4032, five),
        ("known/machine", _walking(288, 0.5, ["drop", "dip", "drop"]), 22695, five),
        ("known/taxi", _seasonal(48, 15000, 0.6, 0.03, ["high", "low", "low", "high", "out"]), 10320, 1800),
        ("known/keys_held", _bursts(0.3, 0.05, 2), 1882, five),
        ("known/keys", _bursts(0.4, 5, 2), 5315, five),
        ("agent/cpu", _bursts(0.6, 4, 3), 6000, five),
        ("agent/memory", _wandering(40, 1, ["shift", "spike", "small"]), 6000, five),
        ("agent/network", _bursts(0.3, 20, 1), 6000, five),
    ]
    traffic: list[Sequence[str]] = [["high", "spike", "spike"], ["spike"], ["high", "spike"], ["spike", "small"],
                                    ["low"], ["out", "out", "low"], ["low", "low"]]  # fmt: skip
    made += [
        (f"traffic/{number}", _seasonal(240, 60, 0.4, 0.25 if number < 4 else 0.06, events), 2500, 360)
        for number, events in enumerate(traffic)
    ]
    made += [
        (f"mentions/{number}", _mentions(rate, events), 15850, five)
        for number, (rate, events) in enumerate(
            [(80, 2), (55, 4), (3, 3), (1, 2), (15, 2), (20, 3), (5, 3), (9, 3), (1, 2), (3, 2)]
        )
    ]
    return made


def suite(seed: int = 0) -> list[Series]:
    """Return the series of a seed."""
    found = []
    for name, maker, size, step_s in _makers():
        values, events = maker(random.Random(f"{seed}/{name}"), size)
        found.append(_labelled(name, values, events, step_s))
    return found
