"""The hour that a clock shows twice when summer time ends: the order of the rows tells the first from the second."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from energy_tracker.services.ingestion.imports.times import Ambiguous

_HELD_LIMIT: Final = 100_000

Settled = tuple[int, str, int | None, float]
"""Line, device, µs since 1970 (None where the order does not tell), amount."""


class _Held(NamedTuple):
    line: int
    instant: Ambiguous
    amount: float


@dataclass(slots=True)
class _Run:
    """The rows of one device within one folded hour, between the last time before it and the first one after it."""

    before_us: int | None
    held: list[_Held] = field(default_factory=list)


class FoldedHours:
    """Holds each device's rows of a folded hour until it has passed, then says which of the two times each one is."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._last_us: dict[str, int] = {}
        self._held = 0

    def hold(self, device: str, instant: Ambiguous, line: int, amount: float) -> Iterable[Settled]:
        """Take a row whose time is ambiguous. Returns what is settled by it: nothing, or too much to go on holding."""
        run = self._runs.get(device)
        if run is None:
            run = self._runs[device] = _Run(self._last_us.get(device))
        run.held.append(_Held(line, instant, amount))
        self._held += 1
        return list(self.flush()) if self._held > _HELD_LIMIT else ()

    def passed(self, device: str, instant_us: int) -> Iterable[Settled]:
        """Note a time that is not ambiguous. Returns the rows that it settles."""
        self._last_us[device] = instant_us
        run = self._runs.pop(device, None) if self._runs else None
        return () if run is None else self._settle(device, run, instant_us)

    def flush(self) -> Iterator[Settled]:
        """Settle all that is held: the file has ended."""
        runs, self._runs = self._runs, {}
        for device, run in runs.items():
            yield from self._settle(device, run, None)

    def _settle(self, device: str, run: _Run, after_us: int | None) -> Iterator[Settled]:
        self._held -= len(run.held)
        split = _second_run(run, after_us)
        for position, (line, instant, amount) in enumerate(run.held):
            chosen = None if split is None else instant.first_us if position < split else instant.second_us
            yield line, device, chosen, amount


def _second_run(run: _Run, after_us: int | None) -> int | None:
    """Return the position from which the rows are of the second run; None where their order does not say so.

    It does where the times go back exactly once, and what surrounds them is in order.
    """
    held = run.held
    backs = [
        position
        for position in range(1, len(held))
        if held[position].instant.local_us <= held[position - 1].instant.local_us
    ]
    ordered = (run.before_us is None or run.before_us < held[0].instant.first_us) and (
        after_us is None or after_us > held[-1].instant.second_us
    )
    return backs[0] if len(backs) == 1 and ordered else None
