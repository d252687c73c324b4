"""Which devices a bucket knows."""

from energy_tracker.services.usage.adapters.influx_rows import READINGS
from energy_tracker.storage.influx import InfluxDatabase


async def devices_in(database: InfluxDatabase) -> set[int]:
    """Return the devices of which the bucket has readings. Raises `InfluxUnavailable`."""
    answer = await database.query(f"SHOW TAG VALUES FROM {READINGS} WITH KEY = deviceId")
    return {int(row[1]) for series in answer[0] for row in series.values if str(row[1]).isdigit()}
