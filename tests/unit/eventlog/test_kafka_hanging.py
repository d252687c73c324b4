"""Transactions that the coordinator has decided, and of which partitions were not told."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from kafka import KafkaAdminClient
from kafka.protocol.producer import ProduceRequest, TxnOffsetCommitRequest
from kafka.record.default_records import DefaultRecordBatchBuilder
from tests.support.kafka_broker import HOME, USER, Broker, private_broker

from energy_tracker.eventlog.kafka_client import KafkaOptions, create_topics, topic_plan
from energy_tracker.eventlog.kafka_hanging import end_hanging_transactions
from energy_tracker.eventlog.kafka_records import CONSUMER_CONFIG

pytestmark = pytest.mark.servers(HOME)

GROUP = "readers"
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Run a broker that believes a producer which partitions it has named to the coordinator."""
    with private_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
async def options(broker: Broker) -> KafkaOptions:
    """Make a topic `t` of two partitions, whose records have the times that producers give them."""
    made = broker.options()
    plan = topic_plan(made, "t", 2, {"message.timestamp.type": "CreateTime"})
    await create_topics(made, [plan])
    return made


class Transaction:
    """One that is over, for the coordinator, and goes on in both partitions and in the group's positions."""

    def __init__(self, options: KafkaOptions, *, committed: bool, since_ms: int = 0) -> None:
        self.name = f"{options.topic_prefix}writer"
        self._topic = options.topic("t")
        self._begin_and_end(options, committed=committed)
        self._admin: Any = KafkaAdminClient(bootstrap_servers=options.bootstrap_servers)
        try:
            (listed,) = self._admin.list_transactions(transactional_id_pattern=self.name).values()
            self._producer_id = listed[0].producer_id
            self._broker = self._admin.describe_topics([self._topic])[0]["partitions"][0]["leader_id"]
            for partition in (0, 1):
                self._append(partition, time.time_ns() // 1_000_000 - since_ms)
            self._commit_positions(options.group(GROUP))
        finally:
            self._admin.close()

    def _begin_and_end(self, options: KafkaOptions, *, committed: bool) -> None:
        producer = Producer({**options.client_config(), "transactional.id": self.name})
        producer.init_transactions(20)
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(self._topic, b"before", partition=partition)
        with_group = Consumer({**options.client_config(), "group.id": options.group(GROUP)})
        producer.send_offsets_to_transaction(
            [TopicPartition(self._topic, 0, 1)], with_group.consumer_group_metadata(), 10
        )
        if committed:
            producer.commit_transaction(10)
        else:
            producer.flush(10)
            producer.abort_transaction(10)

    def _ask(self, request: Any) -> Any:
        async def send() -> Any:
            return await self._admin._manager.send(request, self._broker)

        return self._admin._manager.run(send)

    def _append(self, partition: int, time_ms: int) -> None:
        batch = DefaultRecordBatchBuilder(2, 0, 1, self._producer_id, 0, 1, 10_000)
        batch.append(0, time_ms, None, b"hanging", [])
        topic = ProduceRequest.TopicProduceData
        data = topic.PartitionProduceData(index=partition, records=bytes(batch.build()))
        request = ProduceRequest(
            transactional_id=self.name,
            acks=-1,
            timeout_ms=10_000,
            topic_data=[topic(name=self._topic, partition_data=[data])],
            max_version=11,
        )
        (answered,) = self._ask(request).responses
        assert not answered.partition_responses[0].error_code

    def _commit_positions(self, group: str) -> None:
        topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic
        place = topic.TxnOffsetCommitRequestPartition(
            partition_index=0, committed_offset=2, committed_leader_epoch=-1, committed_metadata="hanging"
        )
        request = TxnOffsetCommitRequest(
            transactional_id=self.name,
            group_id=group,
            producer_id=self._producer_id,
            producer_epoch=0,
            generation_id=-1,
            member_id="",
            group_instance_id=None,
            topics=[topic(name=self._topic, partitions=[place])],
            max_version=4,
        )
        (answered,) = self._ask(request).topics
        assert not answered.partitions[0].error_code


def readable(options: KafkaOptions) -> list[bytes]:
    """Return what readers of committed records see up to the end of both partitions; raises where that is not told."""
    consumer = Consumer({**options.client_config(), **CONSUMER_CONFIG, "group.id": options.group(GROUP)})
    try:
        consumer.assign([TopicPartition(options.topic("t"), partition, 0) for partition in (0, 1)])
        values: list[bytes] = []
        ended = 0
        deadline = time.monotonic() + 10
        while ended < 2:
            assert time.monotonic() < deadline, "the partitions do not end"
            for message in consumer.consume(10, 0.1):
                if message.error() is None:
                    values.append(message.value() or b"")
                else:
                    ended += 1
        return values
    finally:
        consumer.close()


def position(options: KafkaOptions) -> int:
    """Return the committed position in the first partition. Raises `KafkaException` where it is not stable."""
    consumer = Consumer({**options.client_config(), **CONSUMER_CONFIG, "group.id": options.group(GROUP)})
    try:
        (place,) = consumer.committed([TopicPartition(options.topic("t"), 0)], 2)
        return place.offset
    finally:
        consumer.close()


def end(options: KafkaOptions, *, own: Sequence[str], prefix: str = "") -> bool:
    topics = [options.topic("t"), options.topic("missing")]
    return end_hanging_transactions(options, topics, prefix=prefix or options.topic_prefix, own=own)


async def test_what_was_committed_is_there_for_readers_and_positions(options: KafkaOptions) -> None:
    transaction = Transaction(options, committed=True)
    with pytest.raises(KafkaException, match="Timed out"):
        position(options)
    assert end(options, own=[transaction.name])
    assert sorted(readable(options)) == [b"before", b"before", b"hanging", b"hanging"]
    assert position(options) == 2


async def test_what_was_aborted_is_passed_over(options: KafkaOptions) -> None:
    transaction = Transaction(options, committed=False)
    end(options, own=[transaction.name])
    assert readable(options) == []
    assert position(options) == -1001, "none"


async def test_the_transaction_of_another_process_is_left_alone_while_it_may_go_on(options: KafkaOptions) -> None:
    Transaction(options, committed=True)
    end(options, own=["somebody else"])
    with pytest.raises(KafkaException, match="Timed out"):
        position(options)


async def test_the_transaction_of_a_process_that_has_ended_is_ended(options: KafkaOptions) -> None:
    Transaction(options, committed=True, since_ms=HOUR_MS)
    end(options, own=[])
    assert sorted(readable(options)) == [b"before", b"before", b"hanging", b"hanging"]


async def test_the_transaction_of_another_application_is_none_of_ours(options: KafkaOptions) -> None:
    transaction = Transaction(options, committed=True, since_ms=HOUR_MS)
    assert end(options, own=[transaction.name], prefix="usage-service-")
    with pytest.raises(KafkaException, match="Timed out"):
        position(options)


async def test_what_a_client_has_begun_and_left_is_aborted_at_once(options: KafkaOptions) -> None:
    name = f"{options.topic_prefix}writer"
    producer = Producer({**options.client_config(), "transactional.id": name, "transaction.timeout.ms": 600_000})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(options.topic("t"), b"left", partition=0)
    producer.flush(10)
    end(options, own=[name])
    assert readable(options) == []


async def test_what_cannot_be_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not end(KafkaOptions(bootstrap_servers="127.0.0.1:1"), own=[])
    assert "hanging transactions could not be looked for" in caplog.text


async def test_certificates_and_logins_are_those_of_every_client(
    options: KafkaOptions, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    mine = broker.authority.identity("client")
    files = {"certificate_file": mine.certificate_file, "key_file": mine.key_file}
    login = {"username": USER, "password": broker.password, "sasl_mechanism": "SCRAM-SHA-512"}
    authority = broker.authority.file
    end(replace(options, bootstrap_servers=broker.mutual, security="tls", ca_file=authority, **files), own=[])
    end(replace(options, bootstrap_servers=broker.login, security="sasl_tls", ca_file=authority, **login), own=[])
    assert not caplog.records
    login["password"] = "wrong"
    end(replace(options, bootstrap_servers=broker.login, security="sasl_tls", ca_file=authority, **login), own=[])
    assert "wrong" not in caplog.text
    assert "hanging transactions could not be looked for" in caplog.text
