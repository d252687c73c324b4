"""What usage-service works on in a process of its own: the log in Kafka, the readings in InfluxDB."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from energy_tracker.contracts import topics
from energy_tracker.eventlog.kafka import KafkaEventLog
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_flow import FlowOptions, KafkaFlow
from energy_tracker.eventlog.kafka_intake import KafkaIntakeCounts
from energy_tracker.kit.clock import Clock
from energy_tracker.services.usage.adapters.influx import InfluxReadingStore
from energy_tracker.services.usage.adapters.kafka_ledger import KafkaLedger
from energy_tracker.services.usage.adapters.kafka_stream import KafkaHomes, KafkaStream
from energy_tracker.services.usage.adapters.neighbours import KafkaNeighbours
from energy_tracker.storage.influx import InfluxDatabase, InfluxOptions
from energy_tracker.wiring.outgoing import http_client
from energy_tracker.wiring.usage import UsageBackends


@asynccontextmanager
async def kafka_and_influx(
    *, kafka: KafkaOptions, influx: InfluxOptions, partitions: int, clock: Clock, reached_at: str = ""
) -> AsyncIterator[UsageBackends]:
    """Give the backends of one of any number of usage-services; the topics, of so many partitions, are there.

    `reached_at` is where the others reach this one.
    Raises `InfluxUnavailable` where the bucket cannot be made ready.
    """
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(http_client(influx.url))
        database = InfluxDatabase(influx, http)
        await database.prepare()
        log = await stack.enter_async_context(KafkaEventLog.open(options=kafka, clock=clock))
        flow = await stack.enter_async_context(
            KafkaFlow.open(
                FlowOptions(
                    kafka=kafka,
                    group=topics.USAGE_GROUP,
                    topics=(topics.ENERGY_USAGE, topics.ENERGY_USAGE_BY_OWNER),
                    state_topic=topics.ENERGY_USAGE_STATE,
                    appended=(
                        topics.ENERGY_ALERTS,
                        topics.ENERGY_ALERT_EPISODES,
                        topics.dead_letter_topic(topics.ENERGY_USAGE),
                    ),
                )
            )
        )
        turned_away = await stack.enter_async_context(KafkaIntakeCounts.open(kafka))
        ledger = KafkaLedger(kafka, partitions, turned_away)
        stack.callback(ledger.close)
        homes = KafkaHomes(partitions)
        store = InfluxReadingStore(database, flow, ledger, homes.partition_of, reached_at)
        homes.follow(store)
        yield UsageBackends(
            log=log,
            stream=KafkaStream(flow, store),
            store=store,
            intake=ledger,
            homes=homes,
            neighbours=KafkaNeighbours(ledger, homes.partition_of, http),
            checks={"log": flow.health, "readings": database.health},
        )
