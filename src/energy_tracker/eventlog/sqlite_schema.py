"""Tables of the event log in its SQLite file."""

import apsw

from energy_tracker.storage.releases import SchemaIsNewer

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE record (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, over all topics
    topic TEXT NOT NULL,
    readings INTEGER NOT NULL,                   -- how many readings the value packs
    readings_before INTEGER NOT NULL,            -- how many the topic's earlier records pack: differences count
    appended_ms INTEGER NOT NULL,
    key TEXT,
    headers TEXT,                                -- a JSON object, or NULL
    value BLOB NOT NULL
);
CREATE INDEX record_of_topic ON record (topic, "offset");
CREATE TABLE group_offset (
    topic TEXT NOT NULL,
    group_name TEXT NOT NULL,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (topic, group_name)
) WITHOUT ROWID;
"""


def prepare_log(connection: apsw.Connection) -> None:
    """Make the tables in a new file, and note in it which tables these are. Raises `SchemaIsNewer`."""
    version = connection.pragma("user_version")
    if version > SCHEMA_VERSION:
        message = (
            f"log.db has schema version {version}, this release knows {SCHEMA_VERSION}. "
            "Start the newer release, or restore a backup from before it."
        )
        raise SchemaIsNewer(message)
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'record'").get is None:
        connection.execute(_TABLES)
    if version == 0:
        connection.pragma("user_version", SCHEMA_VERSION)


APPEND = """
INSERT INTO record (topic, readings, readings_before, appended_ms, key, headers, value)
SELECT ?1,
       meta.value ->> 0,
       coalesce((SELECT readings_before + readings FROM record WHERE topic = ?1 ORDER BY "offset" DESC LIMIT 1), 0)
           + sum(meta.value ->> 0) OVER (ORDER BY meta.key ROWS UNBOUNDED PRECEDING) - (meta.value ->> 0),
       ?2,
       meta.value ->> 1,
       meta.value -> 2 ->> '$',
       content.value
FROM json_each(?3) AS meta
JOIN (SELECT rowid AS number, value FROM carray(?4)) AS content ON content.number = meta.key + 1
ORDER BY meta.key
"""
"""?1 topic, ?2 ms, ?3 JSON `[[readings, key, headers], …]`, ?4 the values: one statement however many messages."""

FETCH = """
SELECT json_group_array(json_array("offset", key, headers, appended_ms, readings, length(value))),
       CAST(group_concat(CAST(value AS TEXT), '') AS BLOB)
FROM (
    WITH first AS (
        SELECT "offset", readings_before FROM record WHERE topic = ?1 AND "offset" > ?2 ORDER BY "offset" LIMIT 1
    )
    SELECT record."offset", key, headers, appended_ms, readings, value
    FROM record, first
    WHERE topic = ?1 AND record."offset" > ?2
      AND (record.readings_before + readings <= first.readings_before + ?4 OR record."offset" = first."offset")
    ORDER BY record."offset" LIMIT ?3
)
"""
"""?1 topic, ?2 after, ?3 limit, ?4 readings: one row that packs all records, their values end to end."""

COMMIT_OFFSET = """
INSERT INTO group_offset (topic, group_name, "offset") VALUES (?, ?, ?)
ON CONFLICT (topic, group_name) DO UPDATE SET "offset" = max("offset", excluded."offset")
"""

EXPIRE = """
DELETE FROM record WHERE "offset" IN (
    SELECT "offset" FROM record
    WHERE topic = ?1 AND appended_ms < ?2 AND (?3 IS NULL OR "offset" <= ?3)
    ORDER BY "offset" LIMIT ?4
)
"""
"""?1 topic, ?2 horizon in ms, ?3 the slowest group's offset or NULL, ?4 how many at once."""

LAG = """
SELECT count(*) FROM record
WHERE topic = ?1 AND "offset" > ?2
"""

QUEUED_READINGS = """
SELECT coalesce(
    (SELECT readings_before + readings FROM record WHERE topic = ?1 ORDER BY "offset" DESC LIMIT 1)
    - (SELECT readings_before FROM record WHERE topic = ?1 AND "offset" > ?2 ORDER BY "offset" LIMIT 1), 0)
"""
"""?1 topic, ?2 offset: how many readings lie in the records above the offset."""
