"""The page of what lies in Kafka and InfluxDB says what the code writes there, and its queries count rightly."""

import csv
import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from tests.support.repository import ROOT

from energy_tracker.contracts import topics
from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.eventlog.dead_letter import dead_letter, is_replayed
from energy_tracker.eventlog.kafka_client import KafkaOptions, topic_plans
from energy_tracker.eventlog.kafka_producer import READINGS_HEADER
from energy_tracker.eventlog.kafka_state import NOTE_KEY
from energy_tracker.eventlog.port import Record
from energy_tracker.services.usage.adapters.influx_rows import (
    MEASUREMENTS,
    QuarterRow,
    Sums,
    anew_line,
    checkpoint_line,
    quarter_line,
    reading_lines,
    rules_line,
    stream_tags,
)
from energy_tracker.services.usage.decoding import MAX_CHANNEL, MAX_EVENT_ID
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, Reading, Stream
from energy_tracker.services.usage.routing import hand_over

PAGE = (ROOT / "docs" / "reference" / "kafka-and-influxdb.md").read_text(encoding="utf-8")
FLUX = re.findall(r"^```flux\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PARTITIONS = 7
START_MS = round(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
QUARTER_MS = 900_000
TWO_DAYS = range(START_MS, START_MS + 2 * 86_400_000, QUARTER_MS)
LINE = re.compile(r"(?P<measurement>\w+),(?P<tags>\S+) (?P<fields>.+) \d+")


def rows() -> dict[str, list[str]]:
    """Return the cells of every row of a table, by each of the names in its first cell."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:3] == "| `"]
    return {name: row for row in cells for name in names(row[0])}


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def reading(kind: Kind, direction: Direction | None = None, amount: float = 0.25, time_ms: int = START_MS) -> Reading:
    return Reading(1, time_ms, b"chosen", kind, amount, direction, START_MS - 1, START_MS, "a", None)


def written_lines() -> list[str]:
    """Return a line of every measurement, with all the fields that it may have."""
    tags = stream_tags(Stream(1, "import", "a"))
    readings = [reading("interval"), reading("interval", "export"), reading("register"), reading("power")]
    return [
        *reading_lines(readings),
        quarter_line(tags, QuarterRow(START_MS, 1, 0, 1, Sums(1, 0, 1), Sums(0, 0, 0))),
        checkpoint_line(tags, START_MS, None, epoch=1, write=1),
        rules_line(1, DeviceRules(), epoch=1),
        anew_line(1, epoch=1),
    ]


def test_every_topic_is_told_as_it_is_made() -> None:
    plans = topic_plans(KafkaOptions(bootstrap_servers="", partitions=PARTITIONS))
    told = rows()
    for plan in plans:
        row = told[plan.name]
        assert row[1] == ("P" if plan.partitions == PARTITIONS else str(plan.partitions))
        kept = "`ENERGY_TRACKER_DEAD_LETTER_RETENTION`" if plan.name.endswith(topics.DEAD_LETTER_SUFFIX) else None
        kept = "compacted" if plan.config.get("cleanup.policy") == "compact" else kept
        assert row[4] == (kept or "`ENERGY_TRACKER_LOG_RETENTION`"), plan.name
    assert {name for name in told if name.startswith("energy-")} == {plan.name for plan in plans}
    assert {topics.USAGE_GROUP, topics.ALERT_GROUP, NOTE_KEY} <= told.keys()


def test_every_header_is_told() -> None:
    record = Record("energy-usage", 0, 0, None, b"", {}, 0)
    device = DirectoryDevice(id=1, version=1, user_id=1)
    replayed = "dead-letter-replayed"
    assert is_replayed(Record("energy-usage", 0, 0, None, b"", {replayed: "1"}, 0))
    written = {
        READINGS_HEADER,
        replayed,
        *dead_letter(record, reason="", now_ms=0).headers,
        *hand_over(device).headers,
    }
    assert {name for name in rows() if re.match(r"readings$|hand-over-|dead-letter-", name)} == written


@pytest.mark.parametrize("line", written_lines())
def test_every_measurement_tag_and_field_is_told(line: str) -> None:
    parts = LINE.fullmatch(line)
    assert parts is not None
    row = rows()[parts["measurement"]]
    tags = {tag.partition("=")[0] for tag in parts["tags"].split(",")}
    fields = set(re.findall(r'(?:^|,)(\w+)=(?:"(?:[^"\\]|\\.)*"|[^,"]+)', parts["fields"]))
    beside = {"source", "eventId", "since", "direction", "channel"} if parts["measurement"] in MEASUREMENTS else set()
    beside |= {"source"} if parts["measurement"] == "energy_quarter_hour" else set()
    assert tags == {"deviceId", *names(row[1])}
    assert fields - beside <= set(names(row[2]))
    assert all(f"`{name}`" in PAGE for name in fields)


def test_limits_of_texts_are_told() -> None:
    assert f"at most {MAX_CHANNEL} printable characters" in PAGE
    assert f"at most {MAX_EVENT_ID} characters" in PAGE


def points() -> list[str]:
    """Return two days of device 1, each quarter-hour with an older version that must not count."""
    tags, half, lines = stream_tags(Stream(1, "import", "")), QUARTER_MS // 2, []
    for start_ms in TWO_DAYS:
        for epoch, sums in ((3, Sums(9, 9, 9)), (4, Sums(900_000_000, 0, half))):
            lines.append(quarter_line(tags, QuarterRow(start_ms, epoch, 0, 1, sums, Sums(0, 0, 0))))
        lines += reading_lines([reading("interval", amount=0.25, time_ms=start_ms)])
    return lines


@pytest.fixture(scope="module")
def asked() -> Iterator[list[list[dict[str, str]]]]:
    """Give the answers to the page's queries by a real InfluxDB."""
    name, org = f"stores-{secrets.token_hex(4)}", os.environ["ENERGY_TEST_INFLUX_ORG"]
    headers = {"Authorization": f"Token {os.environ['ENERGY_TEST_INFLUX_TOKEN']}"}
    with httpx.Client(base_url=os.environ["ENERGY_TEST_INFLUX"], headers=headers, trust_env=False) as http:
        owner = http.get("/api/v2/orgs", params={"org": org}).json()["orgs"][0]["id"]
        made = http.post("/api/v2/buckets", json={"orgID": owner, "name": name, "retentionRules": []})
        where = {"org": org, "bucket": name}
        http.post("/api/v2/write", params=where, content="\n".join(points())).raise_for_status()
        answers = []
        for query in FLUX:
            body = {"query": query.replace("usage-bucket", name), "dialect": {"annotations": []}}
            answer = http.post("/api/v2/query", params={"org": org}, json=body).raise_for_status()
            tables = answer.text.replace("\r\n", "\n").strip().split("\n\n")
            answers.append([row for table in tables for row in csv.DictReader(table.splitlines())])
        yield answers
        http.delete(f"/api/v2/buckets/{made.json()['id']}").raise_for_status()


@pytest.mark.servers("ENERGY_TEST_INFLUX", "ENERGY_TEST_INFLUX_TOKEN", "ENERGY_TEST_INFLUX_ORG")
def test_the_queries_count_the_last_version_of_a_quarter_hour(asked: list[list[dict[str, str]]]) -> None:
    days, coverage, sent = asked
    assert [float(row["_value"]) for row in days] == pytest.approx([23.0, 24.0, 1.0])  # days of Berlin
    assert [float(row["_value"]) for row in coverage] == [0.5]
    assert [(row["deviceId"], float(row["_value"])) for row in sent] == [("1", pytest.approx(48.0))]
