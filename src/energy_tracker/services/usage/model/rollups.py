"""Quarter-hours: how derived energy is kept, and how it is added up."""

from typing import NamedTuple

from energy_tracker.services.usage.model.readings import Direction


class BucketSum(NamedTuple):
    """Sums of one stream's quarter-hours over one bucket of time; a bucket without any quarter-hour has no row.

    Energies in mJ: `energy_mj` is all of it, `estimated_mj` the part that was spread over more than an hour.
    `covered_ms` is how much of the bucket was measured or estimated.
    """

    device_id: int
    bucket: int
    """Index of the bucket: it starts at `boundaries_ms[bucket]` and ends at `boundaries_ms[bucket + 1]`."""
    direction: Direction
    channel: str
    energy_mj: int
    estimated_mj: int
    covered_ms: int
