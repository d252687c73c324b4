"""What `bench.distributed_faults` compares after each fault: ledger, readings in InfluxDB, kWh, episodes and mails."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from tests.support.processes import Stack
from tests.support.truth import DAY_MS, PRECISION_KWH, Truth, iso

from bench.distributed_faults_load import Counts, Source

MAIL_PATIENCE_S = 300.0
"""A mail whose sending was cut short is tried again after two minutes."""
PATIENCE_S = 600.0
"""For so long all that waits may be worked on once nothing more comes."""
_ONE = "high-usage"


@dataclass(frozen=True)
class Thrifty:
    """A home that is due one mail."""

    user: int
    device: int
    address: str
    mail_may_repeat: bool
    """Whether it may arrive twice, as the same one, since a crash may have hidden that it had arrived."""


@dataclass
class Judge:
    """Knows what was sent, and looks at what became of it; what is wrong is said in sentences."""

    stack: Stack
    mails: httpx.AsyncClient
    counts: Counts
    homes: dict[int, list[Source]]
    thrifty: list[Thrifty] = field(default_factory=list)
    truth: Truth = field(default_factory=Truth)
    """What was taken of the thrifty homes' devices."""
    ledger: dict[str, Any] = field(default_factory=dict)
    mails_repeated: int = 0

    @property
    def unique(self) -> int:
        """How many different readings were taken."""
        return self.counts.unique + self.truth.readings

    async def look(self) -> list[str]:
        """Return what is wrong, nothing where all is as if nothing had happened."""
        wrong: list[str] = []
        looks: Sequence[Callable[[], Awaitable[list[str]]]] = (
            self._ledger,
            self._raw,
            self._figures,
            self._episodes,
            self._mails,
        )
        for look in looks:
            try:
                wrong += await look()
            except AssertionError as error:
                wrong.append(str(error))
        return wrong

    async def _ledger(self) -> list[str]:
        async def nothing_queued() -> bool:
            self.ledger = (await self.stack.answered("GET", "usage", "/api/v1/ledger", timeout=90)).json()
            return bool(self.ledger["queued"] == 0)

        await self.stack.until(nothing_queued, lambda: f"all is stored: {self.ledger}", patience_s=PATIENCE_S)
        said, counts, wrong = self.ledger, self.counts, []
        if not said["balanced"]:
            wrong.append(f"the ledger does not balance: {said}")
        if (said["stored"], said["accepted"], said["deadLettered"], said["rejected"]) != (
            self.unique,
            self.unique,
            0,
            0,
        ):
            wrong.append(f"{self.unique} different readings were taken, and the ledger has {said}")
        if not counts.repeated <= said["duplicate"] <= counts.repeated + counts.unsure:
            wrong.append(
                f"{counts.repeated} readings were repeated, {counts.unsure} more perhaps, and the ledger has {said}"
            )
        return wrong

    async def _raw(self) -> list[str]:
        wrong = []
        expected = [
            (each.device_id, each.taken, sum(each.wh.values())) for home in self.homes.values() for each in home
        ] + [
            (device, len(intervals), round(self.truth.total_kwh(device) * 1000))
            for device, intervals in self.truth.intervals.items()
        ]
        for device, readings, wh in expected:
            count, kwh = await self._aggregate(device, "count"), await self._aggregate(device, "sum")
            if count != readings or abs(kwh * 1000 - wh) > PRECISION_KWH * readings:
                wrong.append(
                    f"device {device}: {readings} readings of {wh} Wh were taken, InfluxDB has {count:.0f}, {kwh} kWh"
                )
        return wrong

    async def _aggregate(self, device: int, function: str) -> float:
        rows = await self.stack.flux(
            f'from(bucket: "{self.stack.bucket}") |> range(start: 0) |> filter(fn: (r) => '
            f'r._measurement == "energy_usage" and r._field == "energyConsumed" and r.deviceId == "{device}") '
            f'|> group() |> {function}() |> keep(columns: ["_value"])'
        )
        return float(rows[-1][-1]) if len(rows) > 1 else 0.0

    async def _figures(self) -> list[str]:
        wrong = []
        for user, sources in self.homes.items():
            for device, found in (await self._hours(user, sources)).items():
                source = next(each for each in sources if each.device_id == device)
                hours = found.keys() | source.wh.keys()
                off = {iso(at) for at in hours if abs(found.get(at, 0) - source.wh[at] / 1000) > PRECISION_KWH}
                if off:
                    wrong.append(f"device {device}: told and true kWh differ in {len(off)} hours: {sorted(off)[:5]}")
        for home in self.thrifty:
            await self.truth.check_figures(self.stack, home.user, [home.device])
        return wrong

    async def _hours(self, user: int, sources: Sequence[Source]) -> dict[int, dict[int, float]]:
        """Return kWh by the hour (ms) of each device, as usage-service tells it, asked for a week at a time."""
        found: dict[int, dict[int, float]] = {each.device_id: {} for each in sources}
        taken = [hour for each in sources for hour in each.wh]
        if not taken:
            return found
        begin, end = min(taken) // DAY_MS * DAY_MS, (max(taken) // DAY_MS + 1) * DAY_MS
        for at in range(begin, end, 7 * DAY_MS):
            query = {"from": iso(at), "to": iso(min(end, at + 7 * DAY_MS)), "resolution": "hour"}
            answer = await self.stack.answered("GET", "usage", f"/api/v1/usage/{user}/series", params=query)
            for device in answer.raise_for_status().json()["devices"]:
                found[device["id"]] |= {
                    round(datetime.fromisoformat(bucket["start"]).timestamp() * 1000): bucket["importKwh"]
                    for bucket in device["buckets"]
                    if bucket["importKwh"] is not None
                }
        return found

    async def _episodes(self) -> list[str]:
        wrong = []
        for home in self.thrifty:
            rules = [each["rule"] for each in await self.stack.episodes(home.user, 1)]
            if rules != [_ONE]:
                wrong.append(f"user {home.user} has episodes {rules}")
        return wrong

    async def until_mailed(self) -> None:
        """Wait until everyone who is due a mail has one."""
        for home in self.thrifty:

            async def has_one(address: str = home.address) -> bool:
                return bool(await self._mails_to(address))

            await self.stack.until(has_one, f"there is a mail to {home.address}", patience_s=MAIL_PATIENCE_S)

    async def _mails(self) -> list[str]:
        wrong = []
        self.mails_repeated = 0
        for home in self.thrifty:
            mails = Counter(await self._mails_to(home.address))
            if len(mails) != 1:
                wrong.append(f"{len(mails)} different mails went to {home.address}")
            repeated = mails.total() - len(mails)
            self.mails_repeated += repeated
            if repeated and not home.mail_may_repeat:
                wrong.append(f"the mail to {home.address} went out again, and nothing that sends had ended")
        return wrong

    async def _mails_to(self, address: str) -> list[str]:
        answer = await self.mails.get("/api/v1/search", params={"query": f'to:"{address}"', "limit": 50})
        return [each["MessageID"] for each in answer.raise_for_status().json()["messages"]]
