"""A simulated household on the services: its devices made where missing, its readings sent."""

from collections.abc import Iterable, Mapping
from itertools import islice

from energy_tracker.cli.access import Clients
from energy_tracker.cli.sending import InstantTexts, encode_batch, send_batch
from energy_tracker.contracts.device import DeviceBody
from energy_tracker.contracts.ingestion import BatchAnswer
from energy_tracker.services.ingestion.imports.model import ImportedReading
from energy_tracker.services.ingestion.imports.times import US_PER_MS
from energy_tracker.services.ingestion.simulation.households import Household
from energy_tracker.services.ingestion.simulation.readings import SimulatedReading

_BATCH = 5_000


async def ensure_devices(
    clients: Clients, household: Household, user_id: int, *, extra: Mapping[str, Mapping[str, object]] | None = None
) -> dict[str, int]:
    """Return the ids of a household's devices by name, having made those that the user does not have.

    `extra`: more fields of the body, by the device's name.
    """
    ids = {device.name: device.id for device in await clients.devices.of_user(user_id)}
    for device in household.devices:  # a parent stands before its sub-meters
        if device.name not in ids:
            parent_id = None if device.parent is None else ids[device.parent]
            fields = device.body(user_id=user_id, parent_id=parent_id) | dict((extra or {}).get(device.name, {}))
            body = DeviceBody.model_validate(fields)
            ids[device.name] = (await clients.devices.create(body)).id
    return ids


def as_imported(reading: SimulatedReading) -> ImportedReading:
    """Return a simulated reading in the form in which readings are sent."""
    amounts = (reading.power_w, reading.register_kwh, reading.energy_kwh)
    return ImportedReading(
        0,
        reading.device,
        reading.at_ms * US_PER_MS,
        None if reading.since_ms is None else reading.since_ms * US_PER_MS,
        next(amount for amount in amounts if amount is not None),
        reading.kind,
        reading.direction if reading.direction == "export" else None,
        reading.event_id,
    )


async def send_readings(clients: Clients, readings: Iterable[SimulatedReading], ids: dict[str, int]) -> BatchAnswer:
    """Send readings in batches and return what became of all of them together."""
    left, iso = iter(readings), InstantTexts()
    received = accepted = duplicate = rejected = 0
    while batch := [as_imported(reading) for reading in islice(left, _BATCH)]:
        answer = await send_batch(clients, encode_batch(batch, ids, iso))
        received += answer.received
        accepted += answer.accepted
        duplicate += answer.duplicate
        rejected += answer.rejected
    return BatchAnswer(received=received, accepted=accepted, duplicate=duplicate, rejected=rejected, items=())
