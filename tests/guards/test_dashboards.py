"""Every query of the dashboards works: Flux on a real InfluxDB, metrics by the names that the services expose."""

import ast
import csv
import json
import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.support.repository import ROOT, SOURCE

FOLDER = ROOT / "docker" / "grafana" / "dashboards"
DASHBOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
QUERIES = {
    (name, panel["title"]): target
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel["targets"]
}
FLUX = {title: target["query"] for (_, title), target in QUERIES.items() if "query" in target}
PROMQL = {title: target["expr"] for (_, title), target in QUERIES.items() if "expr" in target}
METRIC = re.compile(r"\benergy_tracker_[a-z_]+")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}

START = datetime(2026, 3, 1, tzinfo=UTC)
STOP = START + timedelta(days=2)
QUARTER = timedelta(minutes=15)
KWH_MJ = 3_600_000_000


def exposed() -> set[str]:
    """Return the names of all metrics that the services make, as their pages show them."""
    names = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SUFFIXES:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    names |= {f"energy_tracker_{first.value}{suffix}" for suffix in SUFFIXES[node.func.attr]}
    return names


def test_there_is_one_of_the_energy_and_one_of_the_pipeline() -> None:
    assert {dashboard["title"] for dashboard in DASHBOARDS.values()} == {"Energy", "Pipeline"}
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == 2


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_are_told_apart_explained_and_do_not_overlap(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    for panel in panels:
        assert panel["description"]
        assert panel["datasource"]["uid"] in {"influxdb", "prometheus"}


def test_metrics_have_the_names_that_services_expose() -> None:
    known = exposed()
    unknown = {title: set(METRIC.findall(query)) - known for title, query in PROMQL.items()}
    assert {title: names for title, names in unknown.items() if names} == {}
    assert [title for title, query in PROMQL.items() if not METRIC.search(query) and "up{" not in query] == []


@pytest.mark.parametrize("title", [title for title in FLUX if "energy_quarter_hour" in FLUX[title]])
def test_the_last_version_of_a_quarter_hour_is_taken_before_any_sum(title: str) -> None:
    query = FLUX[title]
    last = query.index("aggregateWindow(every: 15m, fn: last")
    assert all(place > last for place in (query.find("sum"), query.find("max")) if place >= 0)


def quarter_hour(device: int, start: datetime, kwh: float, epoch: int, **more: Any) -> str:
    tags = f"deviceId={device},direction={more.get('direction', 'import')}"
    nanoseconds = int(start.timestamp()) * 1_000_000_000 + epoch
    energy_mj, estimated_mj = round(kwh * KWH_MJ), round(more.get("estimated_kwh", 0) * KWH_MJ)
    fields = (
        f'energyMj={energy_mj}i,estimatedMj={estimated_mj}i,coveredMs={more.get("covered_ms", 900_000)}i,source="0"'
    )
    return f"energy_quarter_hour,{tags} {fields} {nanoseconds}"


def points() -> list[str]:
    """Return two days of two devices; device 1 has an older version of each quarter-hour, which must not count."""
    lines = []
    for number in range(2 * 96):
        start = START + number * QUARTER
        lines += [quarter_hour(1, start, 9.0, 3), quarter_hour(1, start, 0.25, 7)]
        lines.append(quarter_hour(2, start, 0.5, 1, estimated_kwh=0.125, covered_ms=450_000))
        lines.append(quarter_hour(2, start, 0.0625, 1, direction="export"))
        at = int(start.timestamp()) * 1_000_000_000 + 123
        lines += [
            f'energy_usage,deviceId=1 energyConsumed=0.25,source="0" {at}',
            f'energy_power,deviceId=2 powerW={number}.5,source="0" {at}',
            f'energy_register,deviceId=3 registerKwh=1.5,source="0" {at}',
            f'energy_export,deviceId=2 energyConsumed=0.0625,source="0" {at}',
        ]
    return lines


class Bucket:
    """A bucket of its own on the test server, full of points, and queries on it as Grafana makes them."""

    def __init__(self) -> None:
        self.name = f"dashboards-{secrets.token_hex(4)}"
        self.org = os.environ["ENERGY_TEST_INFLUX_ORG"]
        headers = {"Authorization": f"Token {os.environ['ENERGY_TEST_INFLUX_TOKEN']}"}
        self.http = httpx.Client(base_url=os.environ["ENERGY_TEST_INFLUX"], headers=headers, trust_env=False)
        organisation = self.http.get("/api/v2/orgs", params={"org": self.org}).json()["orgs"][0]["id"]
        made = self.http.post("/api/v2/buckets", json={"orgID": organisation, "name": self.name, "retentionRules": []})
        self.id = made.raise_for_status().json()["id"]
        written = self.http.post(
            "/api/v2/write", params={"org": self.org, "bucket": self.name}, content="\n".join(points())
        )
        written.raise_for_status()

    def close(self) -> None:
        self.http.delete(f"/api/v2/buckets/{self.id}").raise_for_status()
        self.http.close()

    def rows(self, query: str, *, device: str = ".*") -> list[dict[str, str]]:
        """Return the rows of a query's answer."""
        for name, text in {
            "${device:regex}": device,
            "${zone}": "Europe/Berlin",
            "v.defaultBucket": f'"{self.name}"',
            "v.timeRangeStart": f"{START:%Y-%m-%dT%H:%M:%SZ}",
            "v.timeRangeStop": f"{STOP:%Y-%m-%dT%H:%M:%SZ}",
            "v.windowPeriod": "1h",
        }.items():
            query = query.replace(name, text)
        assert not re.search(r"\$\{|\bv\.", query)
        body = {"query": query, "dialect": {"annotations": []}}
        answer = self.http.post("/api/v2/query", params={"org": self.org}, json=body)
        assert answer.status_code == 200, answer.text
        tables = answer.text.replace("\r\n", "\n").strip().split("\n\n")
        return [row for table in tables for row in csv.DictReader(table.splitlines())]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.close()


servers = pytest.mark.servers("ENERGY_TEST_INFLUX", "ENERGY_TEST_INFLUX_TOKEN", "ENERGY_TEST_INFLUX_ORG")


def by_device(rows: list[dict[str, str]]) -> dict[str, float]:
    """Return the sum of each device's rows."""
    found: dict[str, float] = {}
    for row in rows:
        found[row["deviceId"]] = found.get(row["deviceId"], 0.0) + float(row["_value"])
    return found


@servers
@pytest.mark.parametrize("title", FLUX)
def test_every_query_answers(bucket: Bucket, title: str) -> None:
    rows = bucket.rows(FLUX[title])
    assert rows
    assert all(row["deviceId"] and row["_value"] for row in rows)
    chosen = bucket.rows(FLUX[title], device="(2|7)")
    assert {row["deviceId"] for row in chosen} == {"2"}


@servers
def test_the_device_variable_lists_the_devices(bucket: Bucket) -> None:
    variables = {variable["name"]: variable for variable in DASHBOARDS["energy"]["templating"]["list"]}
    assert sorted(row["_value"] for row in bucket.rows(variables["device"]["query"])) == ["1", "2", "3"]


@servers
@pytest.mark.parametrize("title", ["Energy by hour", "Energy by day", "Energy in the period"])
def test_only_the_last_version_of_a_quarter_hour_counts(bucket: Bucket, title: str) -> None:
    assert by_device(bucket.rows(FLUX[title])) == pytest.approx({"1": 48.0, "2": 96.0})


@servers
def test_hours_and_days_are_whole(bucket: Bucket) -> None:
    hours = [row for row in bucket.rows(FLUX["Energy by hour"]) if row["deviceId"] == "1"]
    assert len(hours) == 48
    assert {float(row["_value"]) for row in hours} == {1.0}
    days = [row for row in bucket.rows(FLUX["Energy by day"]) if row["deviceId"] == "1"]
    assert [(row["_time"], float(row["_value"])) for row in days] == [
        ("2026-03-01T00:00:00Z", 23.0),  # the range begins at one o'clock in Berlin
        ("2026-03-01T23:00:00Z", 24.0),
        ("2026-03-02T23:00:00Z", 1.0),
    ]


@servers
def test_shares_are_shares(bucket: Bucket) -> None:
    assert by_device(bucket.rows(FLUX["Coverage"])) == pytest.approx({"1": 1.0, "2": 0.5})
    assert by_device(bucket.rows(FLUX["Estimated part"])) == pytest.approx({"1": 0.0, "2": 0.25})


@servers
def test_export_power_and_readings(bucket: Bucket) -> None:
    assert by_device(bucket.rows(FLUX["Sent out by hour"])) == pytest.approx({"2": 12.0})
    assert len(bucket.rows(FLUX["Power"])) == 48
    assert by_device(bucket.rows(FLUX["Readings by hour"])) == {"1": 192.0, "2": 384.0, "3": 192.0}
