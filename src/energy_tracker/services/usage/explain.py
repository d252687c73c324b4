"""Explaining a figure: the readings and steps that made it, so that anybody can add it up again."""

from collections.abc import Sequence
from dataclasses import dataclass

from energy_tracker.contracts.usage import ExplainedStep, ExplainedStream, Explanation, StoredReading
from energy_tracker.kit.ids import event_id_text
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_QUARTER_HOUR, quarter_hour_start, to_iso
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import InvalidRequest
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.usage.history import steps_between
from energy_tracker.services.usage.model.derivation import Head
from energy_tracker.services.usage.model.readings import DeviceRules, Reading, Stream, counted_kind
from energy_tracker.services.usage.model.steps import Mark, Step
from energy_tracker.services.usage.ports import ReadingStore
from energy_tracker.services.usage.queries import QueryService

MAX_SPAN_MS = 366 * MS_PER_DAY
MAX_STEPS = 100_000

_WHY = {
    Mark.PLAIN: "the difference to the value before",
    Mark.FIRST: "the first interval: it belongs to the quarter-hour that ends at or after it",
    Mark.BASELINE: "the first value of the register: a baseline, no energy",
    Mark.JITTER: "a fall of less than 10 Wh is noise of the meter: no energy",
    Mark.HELD: "a fall or jump that the next readings have to judge: no energy so far",
    Mark.GLITCH: "a fall or jump that was taken back: ignored",
    Mark.RESET: "the register began again from 0: what it counted since then",
    Mark.ROLLOVER: "the register passed its greatest value and went on from 0",
    Mark.FAST: "a rise faster than the device should be capable of, that stayed: counted",
    Mark.SWAP: "another meter or another count: a new baseline, the use between is not known",
    Mark.HOLD: "the last power value, held for as long as it may",
}


@dataclass(frozen=True, slots=True)
class ExplainService:
    """Answers where a figure comes from, by folding the raw readings again: it does not read the figure itself."""

    store: ReadingStore
    queries: QueryService

    async def explain(
        self, *, principal: Principal, user_id: int, device_id: int, from_ms: int, to_ms: int
    ) -> Explanation:
        """Return the figure of a device over `[from_ms, to_ms)` with the steps that made it.

        The span is widened to whole quarter-hours, as the figures are; what counts is when the device was the user's.
        Raises `UserNotFound`, `DeviceNotFound`, `InvalidRequest`, `TemporarilyUnavailable`.
        """
        from_ms, to_ms = quarter_hour_start(from_ms), -quarter_hour_start(-to_ms)
        if not 0 < to_ms - from_ms <= MAX_SPAN_MS:
            raise InvalidRequest("The span must be longer than nothing and at most 366 days.")
        home = await self.queries.home(principal=principal, user_id=user_id, device_ids=[device_id])
        periods = home.periods(start_ms=from_ms, end_ms=to_ms, grid_ms=MS_PER_QUARTER_HOUR)
        owned = [(period.start_ms, period.end_ms) for period in periods if device_id in period.owned]
        state = (await self.store.device_states([device_id]))[device_id]
        rules = state.rules or DeviceRules()
        streams = [
            await self._explain_stream(stream, head, rules, owned) for stream, head in sorted(state.heads.items())
        ]
        return Explanation(
            user_id=user_id,
            device_id=device_id,
            from_=to_iso(from_ms),
            to=to_iso(to_ms),
            import_kwh=_sum(streams, "import"),
            export_kwh=_sum(streams, "export"),
            streams=tuple(streams),
        )

    async def _explain_stream(
        self, stream: Stream, head: Head, rules: DeviceRules, owned: Sequence[tuple[int, int]]
    ) -> ExplainedStream:
        kind = counted_kind(rules.kind, head.present)
        steps: list[ExplainedStep] = []
        readings: list[StoredReading] = []
        total_mj = 0
        from_ms, to_ms = (owned[0][0], owned[-1][1]) if owned else (0, 0)
        async for reading, step in steps_between(self.store, stream, head, rules, from_ms=from_ms, to_ms=to_ms):
            if len(steps) >= MAX_STEPS:
                message = f"More than {MAX_STEPS} steps made this figure; ask for a shorter span."
                raise InvalidRequest(message)
            within_mj = sum(step.energy_within(begin, end) for begin, end in owned)
            total_mj += within_mj
            steps.append(_explained(step, within_mj, unit="W" if kind == "power" else "kWh"))
            if reading is not None and (not readings or readings[-1].event_id != event_id_text(reading.key)):
                readings.append(_stored(reading, stream))
        return ExplainedStream(
            direction=stream.direction,
            channel=stream.channel or None,
            kind=kind,
            not_counted=tuple(other for other in head.present if other != kind),
            energy_kwh=millijoules_to_kwh(total_mj),
            steps=tuple(steps),
            readings=tuple(readings),
        )


def _explained(step: Step, within_mj: int, *, unit: str) -> ExplainedStep:
    why = _WHY[step.mark]
    if unit == "W" and step.mark is Mark.PLAIN:
        why = "the power value, held until the next reading and at most as long as it may"
    elif step.amount_before is None and step.mark is Mark.PLAIN:
        why = "the energy since the previous reading, spread evenly"
    return ExplainedStep(
        start=to_iso(step.start_ms),
        end=to_iso(step.end_ms),
        mark=step.mark.value,
        why=why,
        amount_before=step.amount_before,
        amount=step.amount,
        unit=unit,
        energy_kwh=millijoules_to_kwh(step.energy_mj),
        within_kwh=millijoules_to_kwh(within_mj),
        within_mj=within_mj,
        estimated=step.estimated,
    )


def _stored(reading: Reading, stream: Stream) -> StoredReading:
    return StoredReading(
        device_id=reading.device_id,
        timestamp=to_iso(reading.time_ms),
        event_id=event_id_text(reading.key),
        kind=reading.kind,
        direction=stream.direction,
        energy_consumed=reading.amount if reading.kind == "interval" else None,
        register_kwh=reading.amount if reading.kind == "register" else None,
        power_w=reading.amount if reading.kind == "power" else None,
        since=None if reading.since_ms is None else to_iso(reading.since_ms),
        received_at=to_iso(reading.received_ms),
        channel=reading.channel or None,
    )


def _sum(streams: Sequence[ExplainedStream], direction: str) -> float | None:
    kwh = [stream.energy_kwh for stream in streams if stream.direction == direction and stream.steps]
    return sum(kwh) if kwh else None
