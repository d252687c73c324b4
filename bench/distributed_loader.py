"""What InfluxDB takes at most: lines made beforehand, of one float field, on two connections of plain HTTP."""

import http.client
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from energy_tracker.storage.influx import InfluxOptions

LINES = 5_000
CONNECTIONS = 2
INTERVAL_S = 10
"""Event time between two readings of a device."""
BEGIN_S = 1_750_000_000


def options() -> InfluxOptions:
    """Return where InfluxDB is, with a bucket that nobody has."""
    return InfluxOptions(
        url=os.environ["ENERGY_TEST_INFLUX"],
        token=os.environ["ENERGY_TEST_INFLUX_TOKEN"],
        org=os.environ["ENERGY_TEST_INFLUX_ORG"],
        bucket=f"bench-{secrets.token_hex(6)}",
    )


@contextmanager
def bucket(influx: InfluxOptions) -> Iterator[None]:
    """Have the bucket of the options while the block runs; remove it in the end."""
    with httpx.Client(
        base_url=f"{influx.url}/api/v2", headers={"Authorization": f"Token {influx.token}"}, timeout=60
    ) as api:
        organisations = api.get("/orgs", params={"org": influx.org}).raise_for_status().json()["orgs"]
        body: dict[str, Any] = {"orgID": organisations[0]["id"], "name": influx.bucket, "retentionRules": []}
        made = api.post("/buckets", json=body).raise_for_status().json()
        try:
            yield
        finally:
            api.delete(f"/buckets/{made['id']}").raise_for_status()


def bodies(points: int, devices: int) -> list[bytes]:
    """Return requests of points of so many devices, each device's ten seconds apart, as the readings of a scenario."""
    lines = [
        f"energy_usage,deviceId={index % devices + 1} energyConsumed={index % 97 * 0.001!r}"
        f" {BEGIN_S + index // devices * INTERVAL_S}000000000"
        for index in range(points)
    ]
    return ["\n".join(lines[at : at + LINES]).encode() for at in range(0, points, LINES)]


def load(influx: InfluxOptions, requests: Sequence[bytes], points: int) -> float:
    """Write all requests into the bucket; return how many points a second were acknowledged."""
    waiting, failures = iter(requests), list[BaseException]()
    exchange = threading.Lock()

    def take() -> bytes | None:
        with exchange:
            return next(waiting, None)

    def write() -> None:
        try:
            _write(influx, iter(take, None))
        except BaseException as failure:  # noqa: BLE001 - it is raised below
            failures.append(failure)

    writers = [threading.Thread(target=write) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    if failures:
        raise failures[0]
    return points / (time.perf_counter() - began)


def _write(influx: InfluxOptions, requests: Iterator[bytes]) -> None:
    address = urlsplit(influx.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=60)
    path = f"/api/v2/write?org={quote(influx.org)}&bucket={quote(influx.bucket)}&precision=ns"
    for body in requests:
        connection.request("POST", path, body, {"Authorization": f"Token {influx.token}"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 204:
            raise RuntimeError(f"InfluxDB answers {answer.status}: {said.decode()}")
    connection.close()
