"""Where a key lies, and what a client is made with."""

import pytest

from energy_tracker.eventlog.kafka_admin import KafkaAdmin
from energy_tracker.eventlog.kafka_client import KafkaOptions, partition_of, topic_plans
from energy_tracker.eventlog.kafka_errors import LogMisconfigured

# What Java's producer computes for these keys (signed 32-bit).
JAVA_HASHES = {
    b"1": -1993445489,
    b"12": 126087238,
    b"123": -267702483,
    b"1234": -1614185708,
    b"12345": -1188365604,
    b"21": -973932308,
    b"abc": 479470107,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
}


@pytest.mark.parametrize("partitions", [1, 6, 7, 100, 2**31 - 1])
def test_a_key_lies_where_a_java_producer_puts_it(partitions: int) -> None:
    placed = {key: partition_of(key, partitions) for key in JAVA_HASHES}
    assert placed == {key: (value & 0x7FFFFFFF) % partitions for key, value in JAVA_HASHES.items()}


def test_a_password_is_in_no_text_of_the_options() -> None:
    options = KafkaOptions(bootstrap_servers="kafka:9092", security="sasl_tls", username="me", password="very secret")
    assert "very secret" not in repr(options)
    config = options.client_config()
    assert (config["security.protocol"], config["sasl.username"]) == ("SASL_SSL", "me")
    assert config["sasl.password"] == "very secret"


def test_without_a_login_none_is_sent() -> None:
    config = KafkaOptions(bootstrap_servers="kafka:9092", security="tls", ca_file="/ca.pem").client_config()
    assert config["ssl.ca.location"] == "/ca.pem"
    assert not [name for name in config if name.startswith("sasl")]


def test_three_copies_let_one_broker_be_down() -> None:
    plans = topic_plans(KafkaOptions(bootstrap_servers="kafka:9092", replication=3, topic_prefix="x-"))
    assert all(plan.name.startswith("x-energy-") for plan in plans)
    assert {(plan.replication, plan.config["min.insync.replicas"]) for plan in plans} == {(3, "2")}
    single = topic_plans(KafkaOptions(bootstrap_servers="kafka:9092"))
    assert {(plan.replication, plan.config["min.insync.replicas"]) for plan in single} == {(1, "1")}


def test_a_missing_ca_file_is_said_at_once() -> None:
    options = KafkaOptions(bootstrap_servers="kafka:9093", security="tls", ca_file="/not/there.pem")
    with pytest.raises(LogMisconfigured, match="ENERGY_TRACKER_KAFKA_") as raised:
        KafkaAdmin(options.client_config(), answer_s=5)
    assert "CA_FILE" in raised.value.detail
