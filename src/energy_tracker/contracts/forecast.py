"""What comes next: the answer of usage-service. Energies are kWh of import, instants ISO-8601 in UTC."""

import msgspec


class ForecastHour(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What an hour `[start, end)` is likely to use.

    Of ten such hours one stays below `p10Kwh`, one goes above `p90Kwh`. To add hours up, add `meanKwh`: the sum of
    quantiles is not the quantile of a sum.
    """

    start: str
    end: str
    p10_kwh: float
    p25_kwh: float
    p50_kwh: float
    p75_kwh: float
    p90_kwh: float
    mean_kwh: float


class MonthForecast(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the running month, of the home's calendar, will have used when it ends.

    `usedKwh` was measured so far, null where nothing was. `gapsKwh` is what the hours that were not measured usually
    use; it is a part of `expectedKwh`. 8 of 10 months end between `lowKwh` and `highKwh`. What cannot be said is null,
    and `reason` says why.
    """

    from_: str = msgspec.field(name="from")
    to: str
    used_kwh: float | None
    gaps_kwh: float | None
    expected_kwh: float | None
    low_kwh: float | None
    high_kwh: float | None
    reason: str | None = None


class ForecastAccuracy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How good the forecasts of the last days would have been, each made at the midnight before from what was known.

    `meanAbsoluteErrorKwh` is the mean distance of the median from what an hour used; `relativeError` the same as a part
    of the error of taking the hour of a week before (null where that was not measured, or always right); `inBandShare`
    the share of hours from p10 to p90, which should be `statedBandShare`.
    """

    from_: str = msgspec.field(name="from")
    to: str
    days: int
    hours: int
    mean_absolute_error_kwh: float
    relative_error: float | None
    in_band_share: float
    stated_band_share: float


class ForecastAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}/forecast`: of the home, or of one device.

    `hours` are those from the running one to the end of tomorrow. With too little history they are null, and `reason`
    says why; up to two weeks of it, `littleHistory` says that the ranges are rough. `accuracy` is null where no past
    day can be judged yet.
    """

    user_id: int
    device_id: int | None
    time_zone: str
    made_at: str
    measured_days: int
    little_history: bool
    hours: tuple[ForecastHour, ...] | None
    reason: str | None
    month: MonthForecast
    accuracy: ForecastAccuracy | None
