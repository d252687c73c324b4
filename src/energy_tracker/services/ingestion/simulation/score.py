"""How right a measurement is: every bucket of every device against the truth."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from energy_tracker.contracts.usage import SeriesAnswer
from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR, to_ms
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.truth import Truth, TruthDevice, TruthRow


class Verdict(StrEnum):
    """What is to be said of a bucket."""

    RIGHT = "right"
    WRONG_ENERGY = "wrong-energy"
    WRONG_COVERAGE = "wrong-coverage"
    MISSING = "missing"
    INVENTED = "invented"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """By how much a bucket may differ from what the delivered readings say.

    Powers and intervals can be derived to the millijoule, so `energy_kwh` only covers floats on the wire; so can
    registers, but where one read untrue (the slack of its rows) the energy may lie on either side of that reading.
    `coverage` is a share of the bucket: the first interval of a device, which has no beginning, may or may not be
    seen as a quarter-hour.
    """

    energy_kwh: float = 1e-6
    coverage: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBucket:
    """What was measured of a device (by name) in `[start_ms, end_ms)`: kWh, null where nothing was read."""

    device: str
    start_ms: int
    end_ms: int
    import_kwh: float | None
    export_kwh: float | None
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketScore:
    """A bucket beside its truth, in kWh in the device's direction.

    `measurable_kwh` is what the delivered readings say, `true_kwh` what was really drawn or given; the error is
    against the first, since nobody can know what was never delivered.
    """

    device: str
    start_ms: int
    end_ms: int
    true_kwh: float
    measurable_kwh: float
    measured_kwh: float | None
    measurable_coverage: float
    measured_coverage: float
    verdict: Verdict

    @property
    def error_kwh(self) -> float:
        """Measured less measurable; what is missing counts as 0."""
        return (self.measured_kwh or 0.0) - self.measurable_kwh


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceScore:
    """All buckets of a device. `mean_relative_error` is over the buckets in which energy was measurable, or None."""

    device: str
    kind: str
    buckets: int
    out_of_tolerance: int
    max_error_kwh: float
    mean_relative_error: float | None
    true_kwh: float
    measurable_kwh: float
    measured_kwh: float
    measurable_coverage: float
    measured_coverage: float

    @property
    def passed(self) -> bool:
        """Whether every bucket is right."""
        return self.out_of_tolerance == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The verdict over all: per device, and each bucket that is not right, the worst first."""

    devices: tuple[DeviceScore, ...]
    faulty: tuple[BucketScore, ...]
    unknown_devices: tuple[str, ...] = ()

    @property
    def buckets(self) -> int:
        """How many buckets were compared."""
        return sum(device.buckets for device in self.devices)

    @property
    def max_error_kwh(self) -> float:
        """The largest error of a bucket, either way."""
        return max((device.max_error_kwh for device in self.devices), default=0.0)

    @property
    def mean_relative_error(self) -> float | None:
        """The mean over the devices' mean relative errors, or None where no energy was measurable."""
        errors = [each.mean_relative_error for each in self.devices if each.mean_relative_error is not None]
        return sum(errors) / len(errors) if errors else None

    @property
    def passed(self) -> bool:
        """Whether something was compared and every bucket of every device is right."""
        return self.buckets > 0 and not self.faulty


def measured_buckets(answer: SeriesAnswer) -> Iterator[MeasuredBucket]:
    """Yield the buckets of all devices of a series of usage-service."""
    for device in answer.devices:
        for bucket in device.buckets:
            yield MeasuredBucket(
                device=device.name,
                start_ms=to_ms(datetime.fromisoformat(bucket.start)),
                end_ms=to_ms(datetime.fromisoformat(bucket.end)),
                import_kwh=bucket.import_kwh,
                export_kwh=bucket.export_kwh,
                coverage=bucket.coverage,
            )


def score(truth: Truth, measured: Iterable[MeasuredBucket], tolerance: Tolerance | None = None) -> Score:
    """Compare every measured bucket with the truth; what is measurable and in no bucket is missing, by UTC hour.

    Buckets may be of any length that begins and ends on quarter-hours in UTC. Those that reach out of the simulated
    time are left out, since the truth knows only a part of them. Devices that were not simulated are named, not
    judged.
    """
    by_device: dict[str, list[MeasuredBucket]] = {device.name: [] for device in truth.header.devices}
    unknown: dict[str, None] = {}
    for bucket in measured:
        if bucket.device not in by_device:
            unknown[bucket.device] = None
        elif truth.header.from_ms <= bucket.start_ms and bucket.end_ms <= truth.header.to_ms:
            by_device[bucket.device].append(bucket)
    rows: dict[str, dict[int, TruthRow]] = {device.name: {} for device in truth.header.devices}
    for row in truth.rows:
        rows[row.device][row.start_ms] = row
    tallies = [
        _judge_device(device, rows[device.name], by_device[device.name], tolerance or Tolerance())
        for device in truth.header.devices
    ]
    faulty = sorted((bucket for tally in tallies for bucket in tally.faulty), key=lambda each: -abs(each.error_kwh))
    return Score(
        devices=tuple(tally.result() for tally in tallies), faulty=tuple(faulty), unknown_devices=tuple(unknown)
    )


@dataclass(slots=True)
class _Tally:
    """Adds up the buckets of a device."""

    device: TruthDevice
    scores: list[BucketScore] = field(default_factory=list)

    @property
    def faulty(self) -> list[BucketScore]:
        return [bucket for bucket in self.scores if bucket.verdict is not Verdict.RIGHT]

    def result(self) -> DeviceScore:
        relative = [abs(each.error_kwh) / each.measurable_kwh for each in self.scores if each.measurable_kwh > 0]
        length_ms = sum(each.end_ms - each.start_ms for each in self.scores) or 1
        return DeviceScore(
            device=self.device.name,
            kind=self.device.kind,
            buckets=len(self.scores),
            out_of_tolerance=len(self.faulty),
            max_error_kwh=max((abs(each.error_kwh) for each in self.scores), default=0.0),
            mean_relative_error=sum(relative) / len(relative) if relative else None,
            true_kwh=sum(each.true_kwh for each in self.scores),
            measurable_kwh=sum(each.measurable_kwh for each in self.scores),
            measured_kwh=sum(each.measured_kwh or 0.0 for each in self.scores),
            measurable_coverage=sum(e.measurable_coverage * (e.end_ms - e.start_ms) for e in self.scores) / length_ms,
            measured_coverage=sum(e.measured_coverage * (e.end_ms - e.start_ms) for e in self.scores) / length_ms,
        )


def _judge_device(
    device: TruthDevice, rows: dict[int, TruthRow], buckets: list[MeasuredBucket], tolerance: Tolerance
) -> _Tally:
    """Judge the buckets of a device, then what lies in none of them."""
    tally, left = _Tally(device), dict(rows)
    for bucket in buckets:
        inside = [
            left.pop(start_ms)
            for start_ms in range(bucket.start_ms, bucket.end_ms, MS_PER_QUARTER_HOUR)
            if start_ms in left
        ]
        tally.scores.append(_judge(device, inside, bucket, tolerance))
    hours: dict[int, list[TruthRow]] = {}
    for row in left.values():
        hours.setdefault(row.start_ms - row.start_ms % MS_PER_HOUR, []).append(row)
    for start_ms, inside in hours.items():
        if any(row.covered_ms for row in inside):
            nothing = MeasuredBucket(
                device=device.name,
                start_ms=start_ms,
                end_ms=start_ms + MS_PER_HOUR,
                import_kwh=None,
                export_kwh=None,
                coverage=0.0,
            )
            tally.scores.append(_judge(device, inside, nothing, tolerance))
    return tally


def _judge(device: TruthDevice, rows: list[TruthRow], bucket: MeasuredBucket, tolerance: Tolerance) -> BucketScore:
    """Compare one bucket with the quarter-hours in it."""
    exports = device.direction == "export"
    measured_kwh, opposite_kwh = (
        (bucket.export_kwh, bucket.import_kwh) if exports else (bucket.import_kwh, bucket.export_kwh)
    )
    length_ms = bucket.end_ms - bucket.start_ms
    measurable_mj, covered_ms = sum(row.measurable_mj for row in rows), sum(row.covered_ms for row in rows)
    slack_kwh = millijoules_to_kwh(sum(row.slack_mj for row in rows))
    measurable_kwh, covered = millijoules_to_kwh(measurable_mj), covered_ms / length_ms
    if measured_kwh is None:
        verdict = Verdict.RIGHT if covered <= tolerance.coverage and measurable_mj == 0 else Verdict.MISSING
    elif covered_ms == 0 and (measured_kwh or bucket.coverage > tolerance.coverage):
        verdict = Verdict.INVENTED
    elif abs(measured_kwh - measurable_kwh) > tolerance.energy_kwh + slack_kwh or opposite_kwh:
        verdict = Verdict.WRONG_ENERGY
    elif abs(bucket.coverage - covered) > tolerance.coverage:
        verdict = Verdict.WRONG_COVERAGE
    else:
        verdict = Verdict.RIGHT
    return BucketScore(
        device=device.name,
        start_ms=bucket.start_ms,
        end_ms=bucket.end_ms,
        true_kwh=millijoules_to_kwh(sum(row.true_mj for row in rows)),
        measurable_kwh=measurable_kwh,
        measured_kwh=measured_kwh,
        measurable_coverage=covered,
        measured_coverage=bucket.coverage,
        verdict=verdict,
    )
