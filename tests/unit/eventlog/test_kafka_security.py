"""Kafka over TLS, with certificates and passwords, right and wrong; and a broker that hangs."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.kafka import kafka_log
from tests.support.kafka_broker import HOME, USER, Authority, Broker, private_broker

from energy_tracker.eventlog import kafka_consumer
from energy_tracker.eventlog.kafka import KafkaEventLog
from energy_tracker.eventlog.kafka_client import (
    KafkaOptions,
    Security,
    create_topics,
    ensure_topics,
    partitions,
    topic_plan,
)
from energy_tracker.eventlog.kafka_errors import LogMisconfigured
from energy_tracker.eventlog.kafka_producer import KafkaProducer
from energy_tracker.eventlog.port import BEFORE_ALL, LogUnavailable, Message
from energy_tracker.kit.clock import SystemClock

pytestmark = pytest.mark.servers(HOME)
SOON_S = 60


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if not os.environ.get(HOME):
        pytest.skip(f"set {HOME}")
    with private_broker(tmp_path_factory.mktemp("broker")) as running:
        asyncio.run(ensure_topics(running.options(), timeout_s=120))
        yield running


def with_login(broker: Broker, mechanism: str = "PLAIN") -> KafkaOptions:
    return replace(
        broker.options(),
        bootstrap_servers=broker.login,
        security="sasl_tls",
        ca_file=broker.authority.file,
        sasl_mechanism=mechanism,
        username=USER,
        password=broker.password,
    )


def with_certificate(broker: Broker, authority: Authority) -> KafkaOptions:
    own = authority.identity("client")
    return replace(
        broker.options(),
        bootstrap_servers=broker.mutual,
        security="tls",
        ca_file=broker.authority.file,
        certificate_file=own.certificate_file,
        key_file=own.key_file,
    )


async def goes_through(options: KafkaOptions) -> None:
    """Check that topics are made, appended to and consumed."""
    async with kafka_log({"t": 1}, options=options) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message("7", b"{}")])
        async with aclosing(log.consume("t", group="g")) as batches:
            batch = await anext(batches)
            assert [record.value for record in batch.records] == [b"{}"]
            await batch.commit()
        assert await log.lag("t", group="g") == 0
        assert (await log.health()).status == "UP"


REFUSED_S = 2.5
"""By then a broker on a busy machine has refused a login, too."""


async def refusal(options: KafkaOptions) -> str:
    """Return what is said where nothing goes through: much the same, whoever finds out."""
    options = replace(options, answer_s=REFUSED_S)
    async with (
        KafkaProducer.open(options, delivery_timeout_s=REFUSED_S) as producer,
        KafkaEventLog.open(options=options, clock=SystemClock()) as log,
    ):
        making = create_topics(options, [topic_plan(options, "t", 1, {})], timeout_s=REFUSED_S)
        appending = producer.send("t", [Message(None, b"{}")])
        found = await asyncio.gather(making, appending, log.lag("t", group="g"), return_exceptions=True)
        health = await log.health()
    assert health.status == "DOWN"
    problems = [problem for problem in found if isinstance(problem, LogUnavailable)]
    assert len(problems) == 3
    assert len({isinstance(problem, LogMisconfigured) for problem in problems}) == 1
    texts = [problem.detail for problem in problems] + [str(health.details["error"])]
    assert not [text for text in texts if options.password and options.password in text]
    return texts[0]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_login_over_tls_goes_through(broker: Broker, mechanism: str) -> None:
    await goes_through(with_login(broker, mechanism))


async def test_a_certificate_goes_through(broker: Broker) -> None:
    await goes_through(with_certificate(broker, broker.authority))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_said(broker: Broker, mechanism: str) -> None:
    text = await refusal(replace(with_login(broker, mechanism), password="not-the-right-one"))
    assert "ENERGY_TRACKER_KAFKA_PASSWORD" in text


async def test_an_authority_that_is_not_trusted_is_said(broker: Broker, tmp_path: Path) -> None:
    other = Authority.make(tmp_path, "other")
    text = await refusal(replace(with_login(broker), ca_file=other.file))
    assert "ENERGY_TRACKER_KAFKA_CA_FILE" in text


async def test_a_certificate_that_the_broker_does_not_trust_is_said(broker: Broker, tmp_path: Path) -> None:
    text = await refusal(with_certificate(broker, Authority.make(tmp_path, "other")))
    assert "ENERGY_TRACKER_KAFKA_CERTIFICATE_FILE" in text


@pytest.mark.parametrize(("listener", "security"), [("login", "plaintext"), ("inside", "tls"), ("inside", "sasl_tls")])
async def test_the_wrong_protocol_is_said(broker: Broker, listener: str, security: Security) -> None:
    options = replace(with_login(broker), bootstrap_servers=getattr(broker, listener), security=security)
    assert getattr(broker, listener) in await refusal(options)


async def test_a_broker_that_hangs_is_waited_out(broker: Broker) -> None:
    async with kafka_log({"t": 1}, options=broker.options()) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message(None, b"before")])
        async with KafkaProducer.open(log._options, delivery_timeout_s=3) as producer:
            await producer.send("t", [Message(None, b"before")])
            async with aclosing(log.consume("t", group="g")) as batches:
                await (await anext(batches)).commit()
                with broker.paused():
                    with pytest.raises(LogUnavailable):
                        await producer.send("t", [Message(None, b"meanwhile")])
                    assert (await log.health()).status == "DOWN"
                await producer.send("t", [Message(None, b"after")])
                seen: list[bytes] = []
                while b"after" not in seen:
                    batch = await anext(batches)
                    seen += [record.value for record in batch.records]
                    await batch.commit()
        assert await log.lag("t", group="g") == 0
        assert await partitions(log._options, "t") == 1


async def test_questions_about_groups_to_a_broker_that_hangs_end_in_bounded_time(broker: Broker) -> None:
    options = replace(broker.options(), answer_s=1)
    async with kafka_log({"t": 2}, options=options) as log, asyncio.timeout(SOON_S):
        known = None
        while known is None:  # a machine that is busy may not answer in time
            with suppress(LogUnavailable):
                known = await log.committed("t", group="g")
        assert known == BEFORE_ALL
        with broker.paused():
            with suppress(LogUnavailable):
                while True:  # until it has really stopped
                    await log.committed("t", group="g")
            asked = (log.committed("t", group="g"), log.committed("t", group="new"), log.lag("t", group="g"))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) for answer in answers] == [LogUnavailable] * len(asked)


async def test_a_group_may_be_asked_for_from_the_first_moment_of_a_new_broker(tmp_path: Path) -> None:
    """Nobody coordinates groups there yet."""
    with private_broker(tmp_path) as fresh:
        options = replace(fresh.options(), answer_s=1)
        await create_topics(options, [topic_plan(options, "t", 3, {})], timeout_s=SOON_S)
        async with KafkaEventLog.open(options=options, clock=SystemClock()) as log, asyncio.timeout(SOON_S):
            lag = None
            while lag is None:
                with suppress(LogUnavailable):
                    lag = await log.lag("t", group="g")
            assert lag == 0


async def test_a_commit_to_a_broker_that_hangs_fails_in_bounded_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "_ANSWER_S", 1)
    async with kafka_log({"t": 1}, options=broker.options()) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message(None, b"1")])
        async with aclosing(log.consume("t", group="g")) as batches:
            batch = await anext(batches)
            with broker.paused():
                with pytest.raises(LogUnavailable):
                    await batch.commit()
                await batches.aclose()
        monkeypatch.undo()
        async with aclosing(log.consume("t", group="g", after=BEFORE_ALL)) as batches:
            batch = await anext(batches)
            assert [record.value for record in batch.records] == [b"1"]
            await batch.commit()
        assert await log.lag("t", group="g") == 0
