"""The tables of `readings.db`. Instants are ms since 1970, energies mJ; a stream is (device, direction, channel)."""

import apsw

from energy_tracker.storage.releases import SchemaIsNewer

SCHEMA_VERSION = 2

_TABLES = """
CREATE TABLE reading (
    device_id   INTEGER NOT NULL,
    time_ms     INTEGER NOT NULL,
    key         BLOB    NOT NULL,
    kind        INTEGER NOT NULL,
    direction   INTEGER,
    amount      REAL    NOT NULL,
    since_ms    INTEGER,
    received_ms INTEGER NOT NULL,
    channel     TEXT    NOT NULL,
    PRIMARY KEY (device_id, time_ms, key)
) WITHOUT ROWID;

CREATE TABLE quarter_hour (
    device_id    INTEGER NOT NULL,
    start_ms     INTEGER NOT NULL,
    direction    INTEGER NOT NULL,
    channel      TEXT    NOT NULL,
    energy_mj    INTEGER NOT NULL,
    estimated_mj INTEGER NOT NULL,
    covered_ms   INTEGER NOT NULL,
    PRIMARY KEY (device_id, start_ms, direction, channel)
) WITHOUT ROWID;

CREATE TABLE device (
    device_id INTEGER PRIMARY KEY,
    rules     TEXT NOT NULL
);

CREATE TABLE stream (
    device_id INTEGER NOT NULL,
    direction INTEGER NOT NULL,
    channel   TEXT    NOT NULL,
    head      TEXT    NOT NULL,
    PRIMARY KEY (device_id, direction, channel)
) WITHOUT ROWID;

CREATE TABLE checkpoint (
    device_id   INTEGER NOT NULL,
    direction   INTEGER NOT NULL,
    channel     TEXT    NOT NULL,
    boundary_ms INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    PRIMARY KEY (device_id, direction, channel, boundary_ms)
) WITHOUT ROWID;

CREATE TABLE parked (
    id        INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL,
    offset    INTEGER NOT NULL,
    parked_ms INTEGER NOT NULL,
    reading   TEXT    NOT NULL
);
CREATE INDEX parked_by_device ON parked (device_id, reading ->> 'time_ms');

CREATE TABLE episode (
    id        TEXT PRIMARY KEY,
    user_id   INTEGER NOT NULL,
    device_id INTEGER,
    opened_ms INTEGER NOT NULL,
    ended_ms  INTEGER,
    body      TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX episode_by_user ON episode (user_id, opened_ms);
CREATE INDEX open_episode ON episode (ended_ms) WHERE ended_ms IS NULL;

CREATE TABLE to_judge (
    user_id INTEGER PRIMARY KEY,
    from_ms INTEGER NOT NULL,
    to_ms   INTEGER NOT NULL
);

CREATE TABLE outgoing (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    topic    TEXT    NOT NULL,
    key      TEXT,
    value    BLOB    NOT NULL,
    headers  TEXT    NOT NULL,
    readings INTEGER NOT NULL
);

CREATE TABLE tally (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    position      INTEGER NOT NULL,
    stored        INTEGER NOT NULL,
    dead_lettered INTEGER NOT NULL,
    repeated      INTEGER NOT NULL
);
INSERT INTO tally VALUES (1, 0, 0, 0, 0);
"""

_SINCE_VERSION_1 = """
CREATE TABLE detector (
    user_id   INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    state     BLOB    NOT NULL,
    PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;
"""


def prepare(connection: apsw.Connection) -> None:
    """Make the tables that are missing, inside the caller's transaction. Raises `SchemaIsNewer`."""
    version = connection.pragma("user_version")
    if version < SCHEMA_VERSION:
        if version == 0:
            connection.execute(_TABLES)
        connection.execute(_SINCE_VERSION_1)
        connection.pragma("user_version", SCHEMA_VERSION)
    elif version > SCHEMA_VERSION:
        message = (
            f"readings.db has schema version {version}, this release knows {SCHEMA_VERSION}. "
            "Start the newer release, or restore a backup from before it."
        )
        raise SchemaIsNewer(message)
