"""How usage-service writes its answers: kWh and ISO-8601 instants on the wire, mJ and ms inside."""

import re
from collections.abc import Sequence
from typing import Final, assert_never

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.usage import Bucket, DeviceSeries, Resolution, SeriesAnswer, StoredReading, UsageDevice
from energy_tracker.kit.cursors import CursorNotUnderstood, read_cursor, write_cursor
from energy_tracker.kit.ids import event_id_text
from energy_tracker.kit.instants import to_iso
from energy_tracker.kit.quantities import MILLIJOULES_PER_KILOWATT_HOUR, millijoules_to_kwh
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.model.series import Column, Measured, by_bucket, expected_ms, total_column
from energy_tracker.services.usage.ports import ReadingCursor

_PLACE: Final = re.compile(r"(?P<time_ms>\d{1,15})\.(?P<device_id>\d{1,19})\.(?P<key>(?:[0-9a-f]{2})*)", re.ASCII)

_GREATEST_ID: Final = 2**63 - 1


def usage_device(user_id: int, device: DirectoryDevice, column: Column) -> UsageDevice:
    """Write a device and the first bucket of its column."""
    imported, exported = column.import_mj[0], column.export_mj[0]
    return UsageDevice(
        id=device.id,
        name=device.name,
        type=device.type,
        location=device.location,
        user_id=user_id,
        energy_consumed=None if imported is None else millijoules_to_kwh(imported),
        energy_exported=None if exported is None else millijoules_to_kwh(exported),
    )


def series_answer(
    user: DirectoryUser, resolution: Resolution, devices: Sequence[DirectoryDevice], measured: Measured
) -> SeriesAnswer:
    """Write what was measured of a user's devices, and its total."""
    grid = measured.grid
    instants = [to_iso(boundary_ms) for boundary_ms in grid.boundaries_ms]
    lengths = grid.buckets_ms
    total = by_bucket(total_column(measured.columns, grid), grid)
    return SeriesAnswer(
        user_id=user.id,
        time_zone=user.time_zone,
        resolution=resolution,
        from_=instants[0],
        to=instants[-1],
        devices=tuple(
            DeviceSeries(
                id=device.id, name=device.name, buckets=_buckets(measured.of_device(device.id), lengths, instants)
            )
            for device in devices
        ),
        total=_buckets(
            total, [expected or length for expected, length in zip(expected_ms(grid), lengths, strict=True)], instants
        ),
    )


def _buckets(column: Column, coverable_ms: Sequence[int], instants: Sequence[str]) -> tuple[Bucket, ...]:
    """Write a column; `instants` are the edges of its buckets, `coverable_ms` what could have been covered of each."""
    kwh = MILLIJOULES_PER_KILOWATT_HOUR
    return tuple(
        Bucket(
            start=start,
            end=end,
            import_kwh=None if imported is None else imported / kwh,
            export_kwh=None if exported is None else exported / kwh,
            coverage=covered / coverable if covered < coverable else 1.0,
            estimated_kwh=None if imported is None and exported is None else estimated / kwh,
        )
        for start, end, imported, exported, estimated, covered, coverable in zip(
            instants[:-1],
            instants[1:],
            column.import_mj,
            column.export_mj,
            column.estimated_mj,
            column.covered_ms,
            coverable_ms,
            strict=True,
        )
    )


def stored_reading(reading: Reading, device_direction: str) -> StoredReading:
    """Write a raw reading; its direction is the device's where the sender did not say one."""
    kind = reading.kind
    energy_kwh = register_kwh = power_w = None
    if kind == "interval":
        energy_kwh = reading.amount
    elif kind == "register":
        register_kwh = reading.amount
    elif kind == "power":
        power_w = reading.amount
    else:
        assert_never(kind)
    return StoredReading(
        device_id=reading.device_id,
        timestamp=to_iso(reading.time_ms),
        event_id=event_id_text(reading.key),
        kind=kind,
        direction=reading.direction or device_direction,
        energy_consumed=energy_kwh,
        register_kwh=register_kwh,
        power_w=power_w,
        since=None if reading.since_ms is None else to_iso(reading.since_ms),
        received_at=to_iso(reading.received_ms) if reading.received_ms else None,
        channel=reading.channel or None,
    )


def cursor_behind(reading: Reading) -> str:
    """Return the cursor of what comes behind a reading."""
    return write_cursor(f"{reading.time_ms}.{reading.device_id}.{reading.key.hex()}")


def place_of(cursor: str) -> ReadingCursor:
    """Return the place that a cursor stands for. Raises `CursorNotUnderstood`."""
    place = _PLACE.fullmatch(read_cursor(cursor))
    if place is None or int(place["device_id"]) > _GREATEST_ID:
        raise CursorNotUnderstood
    return ReadingCursor(int(place["time_ms"]), int(place["device_id"]), bytes.fromhex(place["key"]))
