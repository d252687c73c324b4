"""What a bucket knows of devices whose state is nowhere else."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from energy_tracker.services.usage.adapters.flow_state import HomesState
from energy_tracker.services.usage.adapters.influx_queries import InfluxReadings
from energy_tracker.services.usage.adapters.influx_rows import READINGS
from energy_tracker.services.usage.model.derivation import Head
from energy_tracker.services.usage.model.readings import DeviceRules, Kind, Reading, Stream, stream_of
from energy_tracker.services.usage.ports import DeviceState
from energy_tracker.storage.influx import InfluxDatabase

_BEFORE_ALL: Final = (-1, b"")


async def devices_in(database: InfluxDatabase) -> set[int]:
    """Return the devices of which the bucket has readings. Raises `InfluxUnavailable`."""
    answer = await database.query(f"SHOW TAG VALUES FROM {READINGS} WITH KEY = deviceId")
    return {int(row[1]) for series in answer[0] for row in series.values if str(row[1]).isdigit()}


async def states_by_readings(
    readings: InfluxReadings, state: HomesState, device_ids: Sequence[int]
) -> dict[int, DeviceState]:
    """Return the states of devices that have no entry, by what is stored of them. Raises `InfluxUnavailable`.

    Where all of it was written by steps that did not come to their end, a device is as new: it is to be derived as
    what comes again says, and its home to be judged by that.
    """
    newest = await readings.newest(device_ids)
    rules = await readings.rules_of(newest) if newest else {}
    states = {device_id: DeviceState(None, {}) for device_id in device_ids}
    for device_id, reading in newest.items():
        if await _has_a_past(readings, state, reading):
            states[device_id] = await _state_by_readings(readings, reading, rules.get(device_id))
    return states


async def _has_a_past(readings: InfluxReadings, state: HomesState, newest: Reading) -> bool:
    device_id, counted = newest.device_id, state.is_counted
    if counted(newest) or state.partitions_with(device_id):
        return True
    return bool(await readings.device_readings(device_id, after=_BEFORE_ALL, limit=1, counted=counted))


async def _state_by_readings(readings: InfluxReadings, newest: Reading, rules: DeviceRules | None) -> DeviceState:
    """Return what a device's newest reading and the kinds of all of them say."""
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
