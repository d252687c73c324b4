"""Writing a turn of the flow into `readings.db`, inside the writer's transaction."""

import json
from collections.abc import Iterator, Sequence

import apsw

from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.adapters.sqlite_rows import (
    READING_COLUMNS,
    Row,
    as_text,
    insert_rows,
    reading_row,
    stream_columns,
)
from energy_tracker.services.usage.model.detection.keeping import keys_of
from energy_tracker.services.usage.ports import Recorded


def commit_turns(connection: apsw.Connection, payloads: Sequence[Recorded]) -> list[None]:
    """Store turns, one after the other."""
    for recorded in payloads:
        _clear(connection, recorded)
        _write_readings(connection, recorded)
        _write_derived(connection, recorded)
        _write_episodes(connection, recorded)
        _write_tally(connection, recorded)
    return [None] * len(payloads)


_DERIVED = ("quarter_hour", "stream", "checkpoint", "device")


def _clear(connection: apsw.Connection, recorded: Recorded) -> None:
    for device_id in recorded.derived_anew | recorded.erased:
        for table in _DERIVED:
            connection.execute(f"DELETE FROM {table} WHERE device_id = ?", (device_id,))
    for device_id in recorded.erased:
        for table in ("reading", "episode"):
            connection.execute(f"DELETE FROM {table} WHERE device_id = ?", (device_id,))
        for key in keys_of(device_id):
            connection.execute("DELETE FROM detector WHERE device_id = ?", (key,))
    for span in recorded.erased_spans:
        connection.execute("DELETE FROM reading WHERE device_id = ? AND time_ms >= ? AND time_ms < ?", span)
    for user_id in recorded.forgotten_users:
        connection.execute("DELETE FROM episode WHERE user_id = ?", (user_id,))
        connection.execute("DELETE FROM to_judge WHERE user_id = ?", (user_id,))
        connection.execute("DELETE FROM detector WHERE user_id = ?", (user_id,))


def _write_readings(connection: apsw.Connection, recorded: Recorded) -> None:
    insert_rows(
        connection, f"INSERT INTO reading ({READING_COLUMNS})", [reading_row(reading) for reading in recorded.readings]
    )
    insert_rows(
        connection,
        "INSERT INTO parked (device_id, offset, parked_ms, reading)",
        [(entry.reading.device_id, entry.offset, entry.parked_ms, as_text(entry.reading)) for entry in recorded.parked],
    )
    if recorded.released:
        connection.execute(
            "DELETE FROM parked WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(recorded.released),)
        )


def _write_derived(connection: apsw.Connection, recorded: Recorded) -> None:
    insert_rows(
        connection,
        "INSERT INTO device",
        [(device_id, as_text(rules)) for device_id, rules in recorded.rules.items()],
        then="ON CONFLICT DO UPDATE SET rules = excluded.rules WHERE rules <> excluded.rules",
    )
    insert_rows(
        connection,
        "INSERT INTO stream",
        [(*stream_columns(stream), as_text(change.head)) for stream, change in recorded.changes],
        then="ON CONFLICT DO UPDATE SET head = excluded.head",
    )
    insert_rows(
        connection,
        "INSERT INTO checkpoint",
        [
            (*stream_columns(stream), boundary_ms, as_text(state))
            for stream, change in recorded.changes
            for boundary_ms, state in change.checkpoints.items()
        ],
        then="ON CONFLICT DO UPDATE SET state = excluded.state",
    )
    insert_rows(
        connection,
        "INSERT INTO quarter_hour",
        list(_quarter_rows(recorded)),
        then="ON CONFLICT DO UPDATE SET energy_mj = energy_mj + excluded.energy_mj,"
        " estimated_mj = estimated_mj + excluded.estimated_mj, covered_ms = covered_ms + excluded.covered_ms",
    )


def _quarter_rows(recorded: Recorded) -> Iterator[Row]:
    for stream, change in recorded.changes:
        device_id, direction, channel = stream_columns(stream)
        for start_ms, energy_mj, estimated_mj, covered_ms in change.quarter_hours.changes():
            yield (device_id, start_ms, direction, channel, energy_mj, estimated_mj, covered_ms)


def _write_episodes(connection: apsw.Connection, recorded: Recorded) -> None:
    for episode in recorded.episodes:
        connection.execute(
            "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET ended_ms = excluded.ended_ms, body = excluded.body",
            (episode.id, episode.user_id, episode.device_id, episode.opened_ms, episode.ended_ms, as_text(episode)),
        )
    for subject, state in recorded.detectors.items():
        if state is None:
            connection.execute("DELETE FROM detector WHERE (user_id, device_id) = (?, ?)", subject)
    insert_rows(
        connection,
        "INSERT OR REPLACE INTO detector",
        [(*subject, state) for subject, state in recorded.detectors.items() if state is not None],
    )
    for span in recorded.judged:
        connection.execute("DELETE FROM to_judge WHERE (user_id, from_ms, to_ms) = (?, ?, ?)", span)
    for span in recorded.to_judge:
        connection.execute(
            "INSERT INTO to_judge VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
            " from_ms = min(from_ms, excluded.from_ms), to_ms = max(to_ms, excluded.to_ms)",
            span,
        )
    insert_rows(
        connection,
        "INSERT INTO outgoing (topic, key, value, headers, readings)",
        [
            (news.topic, news.key, news.value, json.dumps(dict(news.headers)), news.readings)
            for news in recorded.outgoing
        ],
    )


def _write_tally(connection: apsw.Connection, recorded: Recorded) -> None:
    dead = sum(letter.readings for letter in recorded.dead_letters) - recorded.revived
    connection.execute(
        "UPDATE tally SET position = coalesce(?, position), stored = stored + ?,"
        " dead_lettered = dead_lettered + ?, repeated = repeated + ?",
        (recorded.positions.get(EMBEDDED_PLACE), len(recorded.readings), dead, recorded.repeated),
    )
    if recorded.opening is not None:
        opening = recorded.opening
        connection.execute(
            "UPDATE tally SET stored = ?, dead_lettered = ?, repeated = ?",
            (opening.stored, opening.dead_lettered, opening.repeated),
        )


def forget_outgoing(connection: apsw.Connection, payloads: Sequence[int]) -> list[None]:
    """Drop the messages up to a number."""
    connection.execute("DELETE FROM outgoing WHERE number <= ?", (max(payloads),))
    return [None] * len(payloads)
