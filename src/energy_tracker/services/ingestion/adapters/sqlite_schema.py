"""The door's own tables, beside those of the event log in `log.db`."""

import apsw

_TABLES = """
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    received INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    rejected INTEGER NOT NULL
);
INSERT INTO ledger VALUES (1, 0, 0, 0, 0);
CREATE TABLE explicit_id (
    id BLOB PRIMARY KEY,         -- device id (8 bytes, big-endian), then the event key
    digest BLOB NOT NULL,        -- the key that the content alone gives
    accepted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX explicit_id_age ON explicit_id (accepted_ms);
"""

COUNT = """
UPDATE ledger SET
    received = received + ?1, accepted = accepted + ?2, duplicate = duplicate + ?3, rejected = rejected + ?4
"""

REMEMBER = """
INSERT INTO explicit_id (id, digest, accepted_ms)
SELECT substr(value, 17), substr(value, 1, 16), ?1 FROM carray(?2)
"""
"""?1 ms, ?2 blobs: digest and id, end to end."""

RECALL = """
SELECT json_group_array(json_array(hex(id), hex(digest)))
FROM explicit_id WHERE id IN (SELECT value FROM carray(?1))
"""

FORGET = """
DELETE FROM explicit_id WHERE id IN (SELECT id FROM explicit_id WHERE accepted_ms < ?1 LIMIT ?2)
"""


def prepare_door(connection: apsw.Connection) -> None:
    """Make the tables in a new file. Raises `apsw.Error`."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ledger'").get is None:
        connection.execute(_TABLES)
