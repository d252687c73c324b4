"""What was sent, and by that what must be stored and what the figures must be: computed apart from the product."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from tests.support.processes import Stack

QUARTER_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PRECISION_KWH = 1e-6


def iso(time_ms: int) -> str:
    """Return an instant as it is on the wire."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spread(readings: Iterable[tuple[int, Fraction]], length_ms: int) -> dict[int, Fraction]:
    """Spread intervals, each ending at (ms, kWh), evenly over the time since the one before; sum by periods of UTC.

    The first one belongs to the quarter-hour that ends at or after it.
    """
    sums: defaultdict[int, Fraction] = defaultdict(Fraction)
    before: int | None = None
    for time_ms, kwh in sorted(readings):
        begin, end = (time_ms, time_ms) if before is None else (before, time_ms)
        if before is None:
            end = -(-time_ms // QUARTER_MS) * QUARTER_MS
            begin = end - QUARTER_MS
        at = begin
        while at < end:
            period = at // length_ms
            until = min(end, (period + 1) * length_ms)
            sums[period * length_ms] += kwh * Fraction(until - at, end - begin)
            at = until
        before = time_ms
    return dict(sums)


@dataclass
class Truth:
    """The intervals of each device that somebody has been told are taken: kWh by the instant (ms), one in each."""

    intervals: dict[int, dict[int, Fraction]] = field(default_factory=dict)

    def took(self, device_id: int, time_ms: int, wh: int) -> None:
        """Take note of what was acknowledged."""
        self.intervals.setdefault(device_id, {})[time_ms] = Fraction(wh, 1000)

    @property
    def readings(self) -> int:
        return sum(len(each) for each in self.intervals.values())

    def total_kwh(self, device_id: int) -> Fraction:
        """Return the sum of a device's intervals."""
        return sum(self.intervals.get(device_id, {}).values(), Fraction())

    async def check_raw(self, stack: Stack) -> None:
        """Compare with what lies in InfluxDB under the contract's names: nothing less, nothing more, nothing else."""
        rows = await stack.flux(
            f'from(bucket: "{stack.bucket}") |> range(start: 0) '
            '|> filter(fn: (r) => r._measurement == "energy_usage" and r._field == "energyConsumed") '
            '|> keep(columns: ["deviceId", "_time", "_value"])'
        )
        stored: dict[int, list[tuple[int, Fraction]]] = defaultdict(list)
        names: list[str] = []
        for row in rows:
            if "_time" in row:
                names = row
                continue
            cells = dict(zip(names, row, strict=True))
            moment = datetime.fromisoformat(cells["_time"][:19] + "+00:00").timestamp()
            fraction = (cells["_time"][19:].rstrip("Z").removeprefix(".") + "000")[:3]
            kwh = Fraction(round(float(cells["_value"]) * 1000), 1000)
            stored[int(cells["deviceId"])].append((int(moment) * 1000 + int(fraction), kwh))
        for device_id, expected in self.intervals.items():
            found = stored.pop(device_id, [])
            lost = expected.items() - set(found)
            assert not lost, f"device {device_id}: {len(lost)} of {len(expected)} lost, such as {sorted(lost)[:3]}"
            surplus = len(found) - len(expected)
            assert surplus == 0, f"device {device_id}: {surplus} too many"
        assert not stored, f"readings of devices that sent none: {sorted(stored)}"

    async def check_figures(self, stack: Stack, user_id: int, devices: Iterable[int], *, by: str = "usage") -> None:
        """Compare the hours that usage-service tells of with those computed here."""
        expected = {device: spread(self.intervals.get(device, {}).items(), HOUR_MS) for device in devices}
        hours = [hour for each in expected.values() for hour in each]
        if not hours:
            return
        begin, end = min(hours) // DAY_MS * DAY_MS, (max(hours) // DAY_MS + 1) * DAY_MS
        query = {"from": iso(begin), "to": iso(end), "resolution": "hour"}
        answer = await stack.answered("GET", by, f"/api/v1/usage/{user_id}/series", params=query)
        assert answer.status_code == 200, answer.text
        told = {device["id"]: device["buckets"] for device in answer.json()["devices"]}
        for device, sums in expected.items():
            found = {
                round(datetime.fromisoformat(bucket["start"]).timestamp() * 1000): bucket["importKwh"]
                for bucket in told[device]
                if bucket["importKwh"] is not None
            }
            assert found.keys() == sums.keys(), f"device {device}: other hours than those that were measured"
            wrong = {
                iso(hour): (found[hour], float(kwh))
                for hour, kwh in sums.items()
                if abs(found[hour] - kwh) > PRECISION_KWH
            }
            assert not wrong, f"device {device}: told and true kWh differ in {len(wrong)} of {len(sums)}: {wrong}"
