"""usage-service's store on InfluxDB, the real one or the one in memory, with the flow in memory."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from tests.support.clock import VirtualClock
from tests.support.flow_memory import FlowBroker, FlowMember
from tests.support.influx_memory import InfluxMemory
from tests.support.usage import KnownHomes, Usage

from energy_tracker.services.usage.adapters.influx import InfluxReadingStore
from energy_tracker.services.usage.adapters.kafka_stream import KafkaHomes
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.storage.influx import InfluxDatabase, InfluxOptions


@asynccontextmanager
async def real_bucket(*, retention_s: int | None = None) -> AsyncIterator[InfluxDatabase]:
    """Make a bucket of its own in the InfluxDB that the environment names, and delete it at the end."""
    options = InfluxOptions(
        url=os.environ["ENERGY_TEST_INFLUX"],
        token=os.environ["ENERGY_TEST_INFLUX_TOKEN"],
        org=os.environ["ENERGY_TEST_INFLUX_ORG"],
        bucket=f"energy_{uuid4().hex[:12]}",
        retention_s=retention_s,
    )
    async with httpx.AsyncClient(trust_env=False) as http:
        database = InfluxDatabase(options, http)
        await database.prepare()
        try:
            yield database
        finally:
            bucket = await database._bucket()
            if bucket is not None:
                headers = {"Authorization": f"Token {options.token}"}
                await http.delete(f"{options.url}/api/v2/buckets/{bucket['id']}", headers=headers)


@asynccontextmanager
async def usage_on_influx(
    directory: KnownHomes, clock: VirtualClock, *, database: Any = None, is_real: bool = False
) -> AsyncIterator[Usage]:
    """Open usage-service on a database, or on a bucket of its own."""
    async with AsyncExitStack() as stack:
        if is_real:
            database = await stack.enter_async_context(real_bucket())
        broker: Any = FlowBroker(now_ms=clock.now_ms)
        flow: Any = FlowMember(broker)
        broker.assign({flow: [0]})
        homes = KafkaHomes(1)
        store = InfluxReadingStore(database or InfluxMemory(), flow, broker, homes.partition_of)  # type: ignore[arg-type]  # stands for it
        homes.follow(store)
        service = UsageService(store, directory, HomeWatch(store, directory, homes), clock, homes=homes)
        await service.recorder.take_up()
        yield Usage(service, store, directory, clock, -1)  # type: ignore[arg-type]  # another store
