"""What becomes of a transaction whose client never returns from a call."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from energy_tracker.eventlog import kafka_transactions
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_transactions import Appended, Transactions
from energy_tracker.eventlog.port import LogUnavailable

NOWHERE = KafkaOptions(bootstrap_servers="nowhere:1")


class HangingProducer:
    """Does not return from sending offsets until it is let go, as librdkafka does now and then."""

    let_go = threading.Event()
    hanging = 0
    made: list["HangingProducer"] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, config: dict[str, Any]) -> None:
        self.name = config["transactional.id"]
        self.calls: list[str] = []
        self.errors: list[int] = []
        self.tell = config["error_cb"]
        self.made.append(self)

    def init_transactions(self, _: float) -> None:
        self.calls.append("init")

    def poll(self, _: float) -> int:
        while self.errors:
            self.tell(KafkaError(self.errors.pop()))
        return 0

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def produce(self, *_: object, **__: object) -> None:
        self.calls.append("produce")

    def send_offsets_to_transaction(self, *_: object) -> None:
        self.calls.append("offsets")
        if len(self.made) <= self.hanging:
            self.let_go.wait()

    def commit_transaction(self, _: float) -> None:
        self.calls.append("commit")

    def abort_transaction(self, _: float) -> None:
        raise KafkaException(KafkaError(KafkaError._CONFLICT, "another call is in progress"))


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[HangingProducer]]:
    """Producers of which the first hangs."""
    monkeypatch.setattr(kafka_transactions, "Producer", HangingProducer)
    monkeypatch.setattr(kafka_transactions, "_HANGS_S", 0.05)
    monkeypatch.setattr(HangingProducer, "hanging", 1)
    HangingProducer.made.clear()
    HangingProducer.let_go.clear()
    yield HangingProducer
    HangingProducer.let_go.set()


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the transactional ids among whose transactions hanging ones were looked for."""
    found: list[str] = []

    def look(options: KafkaOptions, topics: Sequence[str], *, prefix: str, own: Sequence[str]) -> bool:
        assert (options, topics, prefix) == (NOWHERE, ["t"], "g-")
        found.extend(own)
        return len(found) != 1 or kafka_transactions._LOOK_AGAIN_S > 0

    monkeypatch.setattr(kafka_transactions, "end_hanging_transactions", look)
    return found


def test_a_client_that_hangs_is_left_behind_and_commits_nothing(hanging: type[HangingProducer]) -> None:
    transactions = Transactions(NOWHERE, group="g", topics=["t"])
    appended, offsets = [Appended("t", "k", b"v", {})], [TopicPartition("t", 0, 1)]
    with pytest.raises(LogUnavailable, match="hangs"):
        transactions.commit(appended, offsets, None)
    transactions.commit(appended, offsets, None)
    hanging.let_go.set()
    left, current = hanging.made
    assert left.name != current.name, "what became of the last transaction of the one left behind stays to be asked"
    assert left.calls == ["init", "begin", "produce", "offsets"]
    assert current.calls == ["init", "begin", "produce", "offsets", "commit"]


def test_a_failure_of_a_call_is_told_as_it_is(hanging: type[HangingProducer], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, "the partitions went elsewhere"))

    monkeypatch.setattr(hanging, "send_offsets_to_transaction", fail)
    with pytest.raises(LogUnavailable, match="went elsewhere"):
        Transactions(NOWHERE, group="g", topics=["t"]).commit([], [], None)


def test_after_a_failure_a_new_producer_goes_on(
    hanging: type[HangingProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no coordinator"))

    monkeypatch.setattr(hanging, "hanging", 0)
    transactions = Transactions(NOWHERE, group="g", topics=["t"])
    with monkeypatch.context() as failing:
        failing.setattr(hanging, "send_offsets_to_transaction", fail)
        failing.setattr(hanging, "abort_transaction", lambda *_: None)
        with pytest.raises(LogUnavailable, match="no coordinator"):
            transactions.commit([], [], None)
    transactions.commit([], [], None)
    assert [each.calls for each in hanging.made] == [["init", "begin"], ["init", "begin", "offsets", "commit"]]


def test_after_a_failure_hanging_transactions_are_looked_for_once(
    hanging: type[HangingProducer], looks: list[str]
) -> None:
    transactions = Transactions(NOWHERE, group="g", topics=["t"])
    transactions.end_hanging()
    assert not looks
    with pytest.raises(LogUnavailable, match="hangs"):
        transactions.commit([], [], None)
    transactions.end_hanging()
    transactions.end_hanging()
    assert looks == [hanging.made[0].name]


def test_a_commit_that_took_long_may_have_outlived_its_broker(
    hanging: type[HangingProducer], looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hanging, "hanging", 0)
    transactions = Transactions(NOWHERE, group="g", topics=["t"])
    transactions.commit([], [], None)
    assert not looks
    monkeypatch.setattr(kafka_transactions, "_SUSPICIOUS_S", 0.0)
    transactions.commit([], [], None)
    assert looks == [hanging.made[0].name]


def test_a_look_that_came_too_early_is_taken_again_after_a_while(
    hanging: type[HangingProducer], looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_transactions, "_LOOK_AGAIN_S", 0.0)
    transactions = Transactions(NOWHERE, group="g", topics=["t"])
    with pytest.raises(LogUnavailable, match="hangs"):
        transactions.commit([], [], None)
    for _ in range(3):
        transactions.end_hanging()
    assert looks == [hanging.made[0].name] * 2


def test_a_broker_that_went_away_is_a_reason_to_look_for_hanging_transactions(
    hanging: type[HangingProducer], looks: list[str]
) -> None:
    """It may have gone between the answer to a commit and its marks."""
    hanging.hanging = 0
    transactions = Transactions(NOWHERE, group="g", topics=["t"])
    transactions.commit([], [], None)
    (producer,) = hanging.made
    producer.errors.append(KafkaError.UNKNOWN_TOPIC_OR_PART)
    transactions.commit([], [], None)
    assert looks == []
    producer.errors.append(KafkaError._TRANSPORT)
    transactions.commit([], [], None)
    assert looks == [producer.name]
