"""What the detector knows of one device or home: at most 16 KiB, whatever happened."""

from typing import Final

import msgspec

from energy_tracker.services.usage.model.detection.findings import Candidate, Kind, Measure

WINDOWS: Final = (2, 4, 8, 24, 96)
"""Lengths in quarter-hours of the stretches whose mean power is compared."""

KEPT_QUARTERS: Final = 112
"""A day of a clock change has 100 quarter-hours, and a stretch may begin before midnight."""

KEPT_DAYS: Final = 42
"""Six weeks: every weekday six times, and a season that turns moves along."""

KEPT_TAUGHT: Final = 32

NO_WINDOW: Final = -1


class Day(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The figures of one local day; powers in mW, -1 where not measured; times in quarter-hours."""

    date: int
    covered: int
    hours: tuple[int, ...]
    """The mean power of each hour that the local clock showed."""
    floor: int
    night: int
    night_floor: int
    daytime_floor: int
    peak: int
    level: int
    highest: int
    lowest: int
    energy: int
    on_quarters: int
    starts: int
    longest_run: int
    """The longest time on that reached into the day, with its part before midnight."""
    longest_rest: int
    longest_gap: int
    flats: tuple[int, int]
    """The longest times of equal readings, while off and while on."""
    most: tuple[int, ...]
    """The highest mean power of each of `WINDOWS` that ended in the day."""
    least: tuple[int, ...]
    used: int = -1
    """The hours that it was used in, as bits."""
    lift: int = -1
    """How far the hours lay above the weeks before, in hundredths of their spread."""
    shift: tuple[int, ...] = ()
    """The evidence that the hours of use were moved, for each of `schedule.SPANS`, in tenths of a bit."""


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is usual, made from the days whenever one ends."""

    days: int = 0
    on_mw: int = 0
    """Above it the device is on."""
    use_mw: int = 0
    """An hour above it is one of use."""
    idle_mw: int = 0
    """Below it the device does nothing."""
    floor: int = 0
    level: int = 0
    """The usual power when on."""
    most: tuple[int, ...] = ()
    most_usual: tuple[int, ...] = ()
    least: tuple[int, ...] = ()
    least_usual: tuple[int, ...] = ()
    highest: int = 0
    highest_usual: int = 0
    run: int = 0
    rest: int = 0
    rest_usual: int = 0
    gap: int = 0
    flats: tuple[int, int] = (0, 0)


class Runs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What goes on now: quarter-hours on, idle, without a reading, with equal readings, and their power."""

    on: int = 0
    rest: int = 0
    gap: int = 0
    flat: int = 0
    flat_mw: int = -1


class Today(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The local day so far."""

    date: int
    start_ms: int
    hours: tuple[int, ...] = ()
    """The hour of the local clock for each quarter-hour."""
    highests: tuple[int, ...] = ()
    lowest: int = -1
    most: tuple[int, ...] = (NO_WINDOW,) * len(WINDOWS)
    least: tuple[int, ...] = (NO_WINDOW,) * len(WINDOWS)
    starts: int = 0
    longest_run: int = 0
    longest_rest: int = 0
    longest_gap: int = 0
    flats: tuple[int, int] = (0, 0)


class Open(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A finding that has not ended, or ended lately; its cause was last seen at `seen_ms`."""

    number: int
    candidate: Candidate
    seen_ms: int
    ended: bool = False


class Taught(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a person called normal: a kind, as long as the measure, or the power beyond the usual, stays below."""

    kind: Kind
    measure: Measure
    seen: int
    extra_mw: int


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that is known of one device or home; a new one has seen nothing."""

    last_start_ms: int = -1
    means: tuple[int, ...] = ()
    """The mean powers of the last `KEPT_QUARTERS` quarter-hours."""
    runs: Runs = Runs()
    today: Today = Today(-1, 0)
    reference: Reference = Reference()
    history: tuple[Day, ...] = ()
    findings: int = 0
    open: tuple[Open, ...] = ()
    taught: tuple[Taught, ...] = ()
    is_home: bool = False
    """A home rests while its people are away: that is no defect."""


class _Encoded(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A state, the days of which are bytes."""

    last_start_ms: int
    means: tuple[int, ...]
    runs: Runs
    today: Today
    reference: Reference
    history: msgspec.Raw
    findings: int
    open: tuple[Open, ...]
    taught: tuple[Taught, ...]
    is_home: bool


class StateEncoder:
    """Encodes the states of some devices, one after the other: their days, the most of it, once a day."""

    def __init__(self) -> None:
        self._histories: dict[int, tuple[tuple[Day, ...], msgspec.Raw]] = {}

    def encode(self, device_id: int, state: State) -> bytes:
        """Return the state of a device as bytes, as `encode` does."""
        known = self._histories.get(device_id)
        if known is None or known[0] is not state.history:
            known = self._histories[device_id] = (state.history, msgspec.Raw(_encoder.encode(state.history)))
        return _encoder.encode(
            _Encoded(
                state.last_start_ms,
                state.means,
                state.runs,
                state.today,
                state.reference,
                known[1],
                state.findings,
                state.open,
                state.taught,
                state.is_home,
            )
        )

    def raw(self, device_id: int, state: State) -> msgspec.Raw:
        """Return the same, to be put into something else that is encoded."""
        return msgspec.Raw(self.encode(device_id, state))


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    """Return a state as bytes, at most 16 KiB."""
    return _encoder.encode(state)


def decode(content: bytes) -> State:
    """Return the state that was encoded. Raises `msgspec.DecodeError` where it is none."""
    return _decoder.decode(content)
