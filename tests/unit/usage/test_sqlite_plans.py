"""Looking readings up must cost what is looked up, not what is stored."""

from typing import Any

import apsw

from energy_tracker.services.usage.adapters.sqlite_lookups import SqliteKnownReadings, find_readings, sum_buckets
from energy_tracker.services.usage.adapters.sqlite_schema import prepare

IDENTITIES = [(device_id, time_ms, b"k" * 16) for device_id in range(30) for time_ms in range(20)]
BIG = ("reading", "quarter_hour", "parked")


def test_no_lookup_reads_a_whole_table():
    connection = apsw.Connection(":memory:")
    prepare(connection)
    connection.execute("INSERT INTO parked (device_id, offset, parked_ms, reading) VALUES (-1, 0, 0, '{}')")
    statements: list[tuple[str, Any]] = []

    def note(_: apsw.Cursor, sql: str, bindings: Any) -> bool:
        statements.append((sql, bindings))
        return True

    connection.exec_trace = note
    find_readings(connection, IDENTITIES)
    sum_buckets(connection, [1, 2, 3], list(range(0, 90_000_000, 900_000)))
    door = SqliteKnownReadings(lambda: connection)
    door.known(IDENTITIES)
    door.latest_ms(range(1, 40))
    connection.exec_trace = None

    plans = {sql: connection.execute(f"EXPLAIN QUERY PLAN {sql}", bound).fetchall() for sql, bound in statements}
    scans = [(row[3], sql) for sql, plan in plans.items() for row in plan if row[3] in {f"SCAN {name}" for name in BIG}]

    # Whether anything is parked at all is asked by reading one row.
    assert [scan for scan in scans if "LIMIT 1" not in scan[1]] == []
    assert len(plans) >= 5
