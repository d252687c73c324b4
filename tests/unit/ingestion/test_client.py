"""The typed client against the service itself."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from tests.support.ingestion import FixedClock, Ingestion, ingestion

from energy_tracker.clients.http import RemoteProblem, Retry, ServiceCalls
from energy_tracker.clients.ingestion import IngestionClient
from energy_tracker.contracts.ingestion import ReadingBody


def client_of(system: Ingestion) -> IngestionClient:
    return IngestionClient(
        ServiceCalls(service="ingestion", url="http://ingestion", http=system.http, clock=FixedClock(), retry=Retry(1))
    )


def bodies(count: int) -> list[ReadingBody]:
    return [
        ReadingBody(device_id=1, timestamp=datetime(2026, 5, 1, 10, n, tzinfo=UTC), power_w=n) for n in range(count)
    ]


@pytest.mark.parametrize("form", ["array", "lines"])
@pytest.mark.parametrize("packed", [False, True])
async def test_batches_arrive_in_every_form(tmp_path: Path, form: Literal["array", "lines"], packed: bool) -> None:
    async with ingestion(tmp_path) as system:
        client = client_of(system)
        answer = await client.record_readings(bodies(60), form=form, packed=packed)
        assert (answer.accepted, answer.items) == (60, ())
        again = await client.record_readings(bodies(2), everything=True)
        assert [item.status for item in again.items] == ["duplicate", "duplicate"]
        assert (await client.ledger()).queued == 60
        assert (await client.ledger(after=1)).queued == 0


async def test_a_refused_reading_is_a_problem(tmp_path: Path) -> None:
    async with ingestion(tmp_path) as system:
        client = client_of(system)
        assert (await client.record_reading(bodies(1)[0])).status == "accepted"
        with pytest.raises(RemoteProblem) as refused:
            await client.record_reading(ReadingBody(device_id=1, timestamp=datetime(2026, 5, 1, tzinfo=UTC)))
        assert refused.value.status == 422
        assert (await client.start_simulation()).running
        with pytest.raises(RemoteProblem):
            await client.start_simulation()
        assert not (await client.stop_simulation()).running
        assert not (await client.simulation_status()).running
