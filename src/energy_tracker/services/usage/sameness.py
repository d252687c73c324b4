"""Whether two stores hold the same: readings and figures of a device, episodes, readings that wait."""

import calendar
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.services.usage.history import device_pages, episodes_of
from energy_tracker.services.usage.model.readings import Stream
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.moving import READINGS_AT_ONCE, parked_in
from energy_tracker.services.usage.ports import ReadingStore

_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Counts:
    """A number of things on both sides; `same` says that they are equal in all that they hold."""

    source: int
    target: int
    same: bool


@dataclass(frozen=True, slots=True)
class MonthEnergy:
    """Energy of a stream in a month of UTC, in mJ; `same` counts what was estimated and measured, too."""

    month: str
    direction: str
    channel: str
    source_mj: int
    target_mj: int
    same: bool


@dataclass(frozen=True, slots=True)
class DeviceSameness:
    """What a device has on both sides."""

    device_id: int
    readings: Counts
    months: Sequence[MonthEnergy]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.readings.same and all(month.same for month in self.months)


@dataclass(frozen=True, slots=True)
class _Inventory:
    """The readings of a device: how many, a digest of all that they hold, and the first and last instant in ms."""

    number: int
    digest: bytes
    first_ms: int
    last_ms: int


async def compare_device(source: ReadingStore, target: ReadingStore, device_id: int) -> DeviceSameness:
    """Compare all readings of a device, and its energy by months."""
    ours, theirs = await _inventory(source, device_id), await _inventory(target, device_id)
    counts = Counts(ours.number, theirs.number, ours.digest == theirs.digest)
    spans = [each for each in (ours, theirs) if each.number]
    if not spans:
        return DeviceSameness(device_id, counts, ())
    months = _months(min(each.first_ms for each in spans), max(each.last_ms for each in spans))
    boundaries_ms = [start for start, _ in months]
    here = await source.bucket_sums(device_ids=[device_id], boundaries_ms=boundaries_ms)
    there = await target.bucket_sums(device_ids=[device_id], boundaries_ms=boundaries_ms)
    return DeviceSameness(device_id, counts, _side_by_side(here, there, [name for _, name in months]))


async def compare_episodes(source: ReadingStore, target: ReadingStore, user_ids: Iterable[int]) -> Counts:
    """Compare the episodes of users, and what of their past waits to be judged."""
    ours, theirs = 0, 0
    same = sorted(await source.to_judge()) == sorted(await target.to_judge())
    for user_id in user_ids:
        here, there = await episodes_of(source, user_id), await episodes_of(target, user_id)
        ours, theirs = ours + len(here), theirs + len(there)
        same = same and here == there
    return Counts(ours, theirs, same)


async def compare_parked(source: ReadingStore, target: ReadingStore) -> Counts:
    """Compare the readings that wait for their device."""
    here, there = [
        sorted((entry.reading.identity, entry.reading.amount, entry.parked_ms) for entry in await parked_in(store))
        for store in (source, target)
    ]
    return Counts(len(here), len(there), here == there)


async def _inventory(store: ReadingStore, device_id: int) -> _Inventory:
    digest, number, first_ms, last_ms = blake2b(digest_size=16), 0, 0, 0
    encode = msgspec.msgpack.Encoder().encode
    async for page in device_pages(store, device_id, limit=READINGS_AT_ONCE):
        for reading in page:
            digest.update(encode(reading.facts))
        first_ms = first_ms if number else page[0].time_ms
        last_ms = page[-1].time_ms
        number += len(page)
    return _Inventory(number, digest.digest(), first_ms, last_ms)


def _months(first_ms: int, last_ms: int) -> list[tuple[int, str]]:
    """Return the starts of months, with their names: from the one before the first instant on, the last only ends.

    Energy may lie a little before the first reading or after the last one.
    """
    first, last = (datetime.fromtimestamp(ms / MS_PER_SECOND, UTC) for ms in (first_ms, last_ms))
    begin, end = max(first.year * _MONTHS + first.month - 2, 1970 * _MONTHS), last.year * _MONTHS + last.month + 1
    return [(_start_ms(number), _name(number)) for number in range(begin, end + 1)]


def _start_ms(number: int) -> int:
    year, month = divmod(number, _MONTHS)
    return calendar.timegm((year, month + 1, 1, 0, 0, 0)) * MS_PER_SECOND


def _name(number: int) -> str:
    year, month = divmod(number, _MONTHS)
    return f"{year:04}-{month + 1:02}"


def _side_by_side(ours: Sequence[BucketSum], theirs: Sequence[BucketSum], names: Sequence[str]) -> list[MonthEnergy]:
    sums: defaultdict[tuple[Stream, int], list[tuple[int, int, int]]] = defaultdict(lambda: [(0, 0, 0), (0, 0, 0)])
    for side, rows in enumerate((ours, theirs)):
        for row in rows:
            key = (Stream(row.device_id, row.direction, row.channel), row.bucket)
            sums[key][side] = (row.energy_mj, row.estimated_mj, row.covered_ms)
    return [
        MonthEnergy(names[bucket], stream.direction, stream.channel, here[0], there[0], here == there)
        for (stream, bucket), (here, there) in sorted(sums.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
