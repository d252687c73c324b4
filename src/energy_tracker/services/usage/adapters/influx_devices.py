"""What a bucket knows of devices whose state is nowhere else."""

from collections import defaultdict

from energy_tracker.services.usage.adapters.influx_queries import InfluxReadings
from energy_tracker.services.usage.adapters.influx_rows import READINGS
from energy_tracker.services.usage.model.derivation import Head
from energy_tracker.services.usage.model.readings import DeviceRules, Kind, Reading, Stream, stream_of
from energy_tracker.services.usage.ports import DeviceState
from energy_tracker.storage.influx import InfluxDatabase


async def devices_in(database: InfluxDatabase) -> set[int]:
    """Return the devices of which the bucket has readings. Raises `InfluxUnavailable`."""
    answer = await database.query(f"SHOW TAG VALUES FROM {READINGS} WITH KEY = deviceId")
    return {int(row[1]) for series in answer[0] for row in series.values if str(row[1]).isdigit()}


async def state_by_readings(readings: InfluxReadings, newest: Reading | None, rules: DeviceRules | None) -> DeviceState:
    """Return what a device's newest reading and the kinds of all of them say. Raises `InfluxUnavailable`."""
    if newest is None:
        return DeviceState(None, {})
    told = rules or DeviceRules()
    heads: defaultdict[Stream, set[Kind]] = defaultdict(set)
    heads[stream_of(newest, told)] = {newest.kind}
    for (direction, channel), present in (await readings.kinds(newest.device_id)).items():
        heads[Stream(newest.device_id, direction or told.direction, channel)] |= present
    return DeviceState(
        rules,
        {stream: Head(newest.time_ms, newest.key, tuple(sorted(kinds)), None) for stream, kinds in heads.items()},
        is_whole=False,
    )
