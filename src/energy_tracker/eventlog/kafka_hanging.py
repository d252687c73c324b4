"""Ends transactions that are decided, and of which the broker forgot to tell some partitions.

A transaction is over for the readers of a partition once a mark lies in it. A broker that is killed between the
decision and the marks writes them when it starts; while its partitions have no leader for a moment, it takes them for
deleted, and passes over their marks (seen with Kafka 4.4). Kafka calls what stays a hanging transaction: readers of
committed records wait for its mark, and the group for its positions, for ever. `kafka-transactions.sh abort` is the
remedy by hand (KIP-664), but aborts also what was committed. Here the mark says what the coordinator decided.

librdkafka has no such call, and what has it (kafka-python) is memory that a running process does not need: a child
process does it (`python -m energy_tracker.eventlog.kafka_hanging`, a `_Request` on its standard input).
"""

import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from confluent_kafka import Producer

from energy_tracker.eventlog.kafka_client import KafkaOptions

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

log = logging.getLogger(__name__)

_CHILD_S: Final = 20.0
_TOO_EARLY: Final = 75
"""The child's exit status where a coordinator has decided, and may not have written all marks yet."""
_ANSWER_MS: Final = 10_000
_STRANGE_AFTER_MS: Final = 30_000
"""So old is the transaction of another process before it is touched: whoever runs it may be about to go on."""

_OFFSETS: Final = "__consumer_offsets"
_OUTCOMES: Final = {"CompleteCommit": True, "CompleteAbort": False}
_UNDECIDED: Final = "Ongoing"


class _Request(msgspec.Struct):
    """What the child is to do: see `end_hanging_transactions`."""

    options: KafkaOptions
    topics: Sequence[str]
    prefix: str
    own: Sequence[str]


class Open(NamedTuple):
    """A transaction that a partition takes to be under way since `start`."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start: int
    last_ms: int


def end_hanging_transactions(
    options: KafkaOptions, topics: Collection[str], *, prefix: str, own: Collection[str]
) -> bool:
    """Write the marks that are missing in the topics, which are named as on the broker, and in the groups' positions.

    Only transactional ids that begin with `prefix` are looked at; with those in `own` nothing is begun meanwhile.
    Blocks, and never fails: what cannot be done is logged. False: it is to be tried again.
    """
    request = msgspec.json.encode(_Request(options, sorted(topics), prefix, sorted(own)))
    command = [sys.executable, "-m", "energy_tracker.eventlog.kafka_hanging"]
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter, and this module
            command, input=request, capture_output=True, timeout=_CHILD_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("hanging transactions could not be looked for: %s", error)
        return False
    for line in child.stdout.decode(errors="replace").splitlines():
        log.warning("%s", line)
    if child.returncode == _TOO_EARLY:
        return False
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        log.warning("hanging transactions could not be looked for: %s", said[-1][:300] if said else "no reason given")
    return not child.returncode


def main() -> None:
    """Do what the standard input asks for, and print what was done."""
    from kafka import KafkaAdminClient

    request = msgspec.json.decode(sys.stdin.buffer.read(), type=_Request)
    admin = KafkaAdminClient(**_config(request.options))
    try:
        said, is_done = _end(admin, request)
        sys.stdout.writelines(f"{line}\n" for line in said)
    finally:
        admin.close()
    if not is_done:
        sys.exit(_TOO_EARLY)


def _config(options: KafkaOptions) -> dict[str, object]:
    """Return what a client of kafka-python is made with."""
    config: dict[str, object] = {
        "bootstrap_servers": options.bootstrap_servers.split(","),
        "client_id": options.client_id,
        "security_protocol": options.protocol,
        "request_timeout_ms": _ANSWER_MS,
        "bootstrap_timeout_ms": _ANSWER_MS,
        "ssl_cafile": options.ca_file,
        "ssl_certfile": options.certificate_file,
        "ssl_keyfile": options.key_file,
    }
    if options.security.startswith("sasl"):
        config |= {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.username or "",
            "sasl_plain_password": options.password or "",
        }
    return config


def _end(admin: "KafkaAdminClient", request: _Request) -> tuple[Sequence[str], bool]:
    """Write the missing marks; return a line for each transaction, and whether nothing is about to be marked."""
    leaders = _leaders(admin, [*request.topics, _OFFSETS])
    suspects = _under_way(admin, leaders)
    states = _states(admin, {each.producer_id for each in suspects})
    strange_ms = time.time_ns() // 1_000_000 - _STRANGE_AFTER_MS
    hanging: defaultdict[tuple[str, bool], list[Open]] = defaultdict(list)
    # The coordinator says that it is done once all marks are written: what is open after that was passed over.
    for each in set(suspects) & set(_under_way(admin, leaders)):
        name, state = states.get(each.producer_id, ("", ""))
        if not name.startswith(request.prefix):
            continue
        if state in _OUTCOMES and (name in request.own or each.last_ms < strange_ms):
            hanging[name, _OUTCOMES[state]].append(each)
    for (_, committed), left in hanging.items():
        for each in left:
            _mark(admin, each, leader=leaders[each.topic, each.partition], committed=committed)
    abandoned = {name for name, state in states.values() if state == _UNDECIDED and name in request.own}
    for name in abandoned:
        _abort(request.options, name)
    said = [
        *(
            f"The transaction of {name} was {'committed' if committed else 'aborted'}; {len(left)} partitions know now."
            for (name, committed), left in hanging.items()
        ),
        *(f"The transaction of {name} is aborted: it was not finished." for name in abandoned),
    ]
    return said, not any(state.startswith("Prepare") for _, state in states.values())


def _leaders(admin: "KafkaAdminClient", topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
    """Return the brokers that lead the partitions of those topics that exist."""
    return {
        (topic["name"], partition["partition_index"]): partition["leader_id"]
        for topic in admin.describe_topics(topics)
        if not topic["error_code"]
        for partition in topic["partitions"]
        if partition["leader_id"] >= 0
    }


def _under_way(admin: "KafkaAdminClient", places: Collection[tuple[str, int]]) -> list[Open]:
    """Return what partitions take to be under way."""
    from kafka import TopicPartition

    return [
        Open(
            place.topic,
            place.partition,
            producer.producer_id,
            producer.producer_epoch,
            producer.coordinator_epoch,
            producer.current_transaction_start_offset,
            producer.last_timestamp,
        )
        for place, state in admin.describe_producers([TopicPartition(*place) for place in places]).items()
        for producer in state.active_producers
        if producer.current_transaction_start_offset >= 0
    ]


def _states(admin: "KafkaAdminClient", producer_ids: Collection[int]) -> Mapping[int, tuple[str, str]]:
    """Return the transactional ids of producers, and what their coordinators say of their last transactions."""
    if not producer_ids:
        return {}
    listed = admin.list_transactions(producer_id_filters=sorted(producer_ids)).values()
    return {each.producer_id: (each.transactional_id, each.state.value) for of_broker in listed for each in of_broker}


def _abort(options: KafkaOptions, name: str) -> None:
    """Abort what was begun under a transactional id: the broker would do so when its time is over."""
    Producer({**options.client_config(), "transactional.id": name}).init_transactions(_ANSWER_MS / 1_000)


def _mark(admin: "KafkaAdminClient", each: Open, *, leader: int, committed: bool) -> None:
    """Write the mark of a transaction into a partition: `KafkaAdminClient.abort_transaction`, for both outcomes."""
    from kafka.errors import for_code
    from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

    marker = WriteTxnMarkersRequest.WritableTxnMarker(
        producer_id=each.producer_id,
        producer_epoch=each.producer_epoch,
        transaction_result=committed,
        topics=[
            WriteTxnMarkersRequest.WritableTxnMarker.WritableTxnMarkerTopic(
                name=each.topic, partition_indexes=[each.partition]
            )
        ],
        coordinator_epoch=max(each.coordinator_epoch, 0),
    )

    async def send() -> Any:
        return await manager.send(WriteTxnMarkersRequest(markers=[marker]), leader)

    manager = admin._manager  # noqa: SLF001 - it has no public call for marks of committed transactions
    answer = manager.run(send)
    for code in (part.error_code for mark in answer.markers for topic in mark.topics for part in topic.partitions):
        if code:
            raise for_code(code)(f"{each.topic}/{each.partition} took no mark")


if __name__ == "__main__":
    main()
