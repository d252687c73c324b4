"""Episodes and the outbox in a relational database: SQLite, MySQL and MariaDB."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from energy_tracker.kit.clock import Clock
from energy_tracker.services.alert.adapters.tables import (
    ALERT,
    MAIL,
    MAX_ERROR,
    POSITION,
    episode_of,
    episode_row,
    mail_of,
    mail_row,
)
from energy_tracker.services.alert.model.episodes import STATES, Episode, State
from energy_tracker.services.alert.model.mails import MAIL_STATES, Mail, MailKind, MailState, Settlement, message_id
from energy_tracker.services.alert.model.rules import Change, KnownEpisode
from energy_tracker.services.alert.ports import EpisodeQuery, Tally
from energy_tracker.storage.sql import read_transaction, write_transaction
from energy_tracker.storage.sql_problems import TransactionUndone
from energy_tracker.storage.whole_transactions import whole_transaction

_IN_STATE: dict[State, sa.ColumnElement[bool]] = {
    "open": ALERT.c.ended_at_ms.is_(None) & ALERT.c.acknowledged_at_ms.is_(None),
    "acknowledged": ALERT.c.ended_at_ms.is_(None) & ALERT.c.acknowledged_at_ms.is_not(None),
    "ended": ALERT.c.ended_at_ms.is_not(None),
}
_CANDIDATES = 10
"""How many of the mails that are due a claim looks at, where other processes take them at the same moment."""

_WAITING = MAIL.c.state.in_(("queued", "held"))


def _waits_for_no_other() -> sa.ColumnElement[bool]:
    earlier = MAIL.alias("earlier")
    return ~sa.exists().where(
        earlier.c.alert_id == MAIL.c.alert_id, earlier.c.state == "queued", earlier.c.id < MAIL.c.id
    )


class SqlAlertRepository:
    """Keeps episodes and the consumer's positions."""

    def __init__(self, engine: AsyncEngine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @whole_transaction
    async def known_episodes(self, episode_ids: Collection[str]) -> Mapping[str, KnownEpisode]:
        """Return those of the episodes that are stored, by id."""
        if not episode_ids:
            return {}
        async with read_transaction(self._engine) as connection:
            alerts = (await connection.execute(sa.select(ALERT).where(ALERT.c.id.in_(episode_ids)))).all()
            kinds: dict[str, set[MailKind]] = {row.id: set() for row in alerts}
            mails = sa.select(MAIL).where(MAIL.c.alert_id.in_(episode_ids))
            for row in await connection.execute(mails):
                kinds.setdefault(row.alert_id, set()).add(mail_of(row).kind)
        return {row.id: KnownEpisode(episode_of(row), frozenset(kinds[row.id])) for row in alerts}

    @whole_transaction
    async def store(self, changes: Sequence[Change], positions: Mapping[int, int]) -> None:
        """Store changes in order, and with them the consumer's offset in each partition, all or nothing.

        The positions come first: their rows are the lock that lets two processes, of which one has just lost the
        partition to the other, store one after the other.
        """
        try:
            async with write_transaction(self._engine) as connection:
                for partition, offset in sorted(positions.items()):
                    await _store_position(connection, partition, offset)
                for change in changes:
                    await self._store_change(connection, change)
        except sa.exc.IntegrityError as error:
            # Another process has stored the same position, episode or mail since we looked: look again.
            raise TransactionUndone("The episodes have just been changed by another process.") from error

    async def _store_change(self, connection: AsyncConnection, change: Change) -> None:
        episode = change.episode
        found = await connection.scalar(sa.select(ALERT.c.version).where(ALERT.c.id == episode.id))
        if found is not None and found >= episode.version:
            return
        values = episode_row(episode)
        if found is None:
            created_at = self._clock.now().replace(tzinfo=None)
            row = {"id": episode.id, "sent": False, "created_at": created_at, "acknowledged_at_ms": None, **values}
            await connection.execute(sa.insert(ALERT), [row])
        else:
            newer = (ALERT.c.id == episode.id) & (ALERT.c.version < episode.version)
            await connection.execute(sa.update(ALERT).where(newer).values(values))
        for mail in change.mails:
            known = await connection.scalar(sa.select(MAIL.c.id).where(MAIL.c.message_id == mail.message_id))
            if known is None:
                await connection.execute(sa.insert(MAIL), [mail_row(mail)])
        for withdrawal in change.withdrawals:
            waiting = (MAIL.c.message_id == withdrawal.message_id) & _WAITING
            if withdrawal.only_untried:
                waiting &= MAIL.c.attempts == 0
            await connection.execute(
                sa.update(MAIL).where(waiting).values(state="suppressed", last_error=withdrawal.reason)
            )

    @whole_transaction
    async def positions(self) -> Mapping[int, int]:
        """Return the offset of the last record that is stored, by partition."""
        async with read_transaction(self._engine) as connection:
            rows = await connection.execute(sa.select(POSITION))
            return {row.partition_number: row.log_offset for row in rows}

    @whole_transaction
    async def episodes(self, query: EpisodeQuery) -> Sequence[Episode]:
        """Return the episodes asked for, newest first."""
        statement = _episodes_where(sa.select(ALERT), query.user_id, query.states)
        if query.after is not None:
            opened_at_ms, episode_id = query.after
            statement = statement.where(
                (ALERT.c.opened_at_ms < opened_at_ms)
                | ((ALERT.c.opened_at_ms == opened_at_ms) & (ALERT.c.id < episode_id))
            )
        statement = statement.order_by(ALERT.c.opened_at_ms.desc(), ALERT.c.id.desc()).limit(query.limit)
        async with read_transaction(self._engine) as connection:
            return [episode_of(row) for row in await connection.execute(statement)]

    @whole_transaction
    async def count_episodes(self, *, user_id: int | None, states: frozenset[State]) -> int:
        """Return how many episodes there are of a user (or of all) in these states (none given: in any)."""
        statement = _episodes_where(sa.select(sa.func.count()).select_from(ALERT), user_id, states)
        async with read_transaction(self._engine) as connection:
            return await connection.scalar(statement) or 0

    @whole_transaction
    async def acknowledge(self, episode_id: str, *, at_ms: int, reminder: str) -> Episode | None:
        """Note the first acknowledgement, suppress a waiting reminder for the reason given, and return the episode."""
        first = (ALERT.c.id == episode_id) & ALERT.c.acknowledged_at_ms.is_(None)
        waiting = (MAIL.c.message_id == message_id(episode_id, "reminder")) & _WAITING
        async with write_transaction(self._engine) as connection:
            await connection.execute(sa.update(ALERT).where(first).values(acknowledged_at_ms=at_ms))
            await connection.execute(sa.update(MAIL).where(waiting).values(state="suppressed", last_error=reminder))
            row = (await connection.execute(sa.select(ALERT).where(ALERT.c.id == episode_id))).one_or_none()
        return None if row is None else episode_of(row)

    @whole_transaction
    async def episode(self, episode_id: str) -> Episode | None:
        """Return an episode, or None."""
        async with read_transaction(self._engine) as connection:
            row = (await connection.execute(sa.select(ALERT).where(ALERT.c.id == episode_id))).one_or_none()
        return None if row is None else episode_of(row)

    @whole_transaction
    async def user_ids(self, *, after: int, limit: int) -> Sequence[int]:
        """Return the users that have episodes, in order of id, those above `after`."""
        statement = sa.select(ALERT.c.user_id).distinct().where(ALERT.c.user_id > after)
        async with read_transaction(self._engine) as connection:
            return (await connection.scalars(statement.order_by(ALERT.c.user_id).limit(limit))).all()

    @whole_transaction
    async def erase_user(self, user_id: int) -> int:
        """Erase a user's episodes and mails, and return how many episodes there were."""
        async with write_transaction(self._engine) as connection:
            erased = await connection.execute(sa.delete(ALERT).where(ALERT.c.user_id == user_id))
            await connection.execute(sa.delete(MAIL).where(MAIL.c.user_id == user_id))
        return erased.rowcount

    @whole_transaction
    async def tally(self) -> Tally:
        """Count mails and episodes by state."""
        episodes = sa.select(*(sa.func.count(sa.case((_IN_STATE[state], 1))).label(state) for state in STATES))
        mails = sa.select(MAIL.c.state, sa.func.count().label("number")).group_by(MAIL.c.state)
        async with read_transaction(self._engine) as connection:
            by_state = {row.state: row.number for row in await connection.execute(mails)}
            row = (await connection.execute(episodes)).one()
        return Tally(
            mails={state: by_state.get(state, 0) for state in MAIL_STATES},
            episodes={state: row._mapping[state] for state in STATES},  # noqa: SLF001 - the documented way to a column by name
        )


class SqlMailOutbox:
    """Keeps mails, in the same database as the episodes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @whole_transaction
    async def mails(self, *, states: frozenset[MailState], before: int | None, limit: int) -> Sequence[Mail]:
        """Return mails, newest first, in these states (none given: all), those with an id below `before`."""
        statement = sa.select(MAIL).order_by(MAIL.c.id.desc()).limit(limit)
        if states:
            statement = statement.where(MAIL.c.state.in_(states))
        if before is not None:
            statement = statement.where(MAIL.c.id < before)
        async with read_transaction(self._engine) as connection:
            return [mail_of(row) for row in await connection.execute(statement)]

    @whole_transaction
    async def claim(self, *, now_ms: int, lease_ms: int) -> Mail | None:
        """Begin an attempt: return the mail that is due longest, with the attempt counted, or None."""
        due = (MAIL.c.state == "queued") & (MAIL.c.next_attempt_at_ms <= now_ms) & _waits_for_no_other()
        statement = sa.select(MAIL).where(due).order_by(MAIL.c.next_attempt_at_ms, MAIL.c.id).limit(_CANDIDATES)
        async with write_transaction(self._engine) as connection:
            candidates = [mail_of(row) for row in await connection.execute(statement)]
            for mail in candidates:
                mine = (MAIL.c.id == mail.id) & (MAIL.c.attempts == mail.attempts) & (MAIL.c.state == "queued")
                begun = {"attempts": mail.attempts + 1, "next_attempt_at_ms": now_ms + lease_ms}
                taken = await connection.execute(sa.update(MAIL).where(mine).values(begun))
                if taken.rowcount:  # else another process was quicker; the next one is as good
                    return replace(mail, attempts=mail.attempts + 1, next_attempt_at_ms=now_ms + lease_ms)
            if len(candidates) == _CANDIDATES:
                raise TransactionUndone("The mails that were due have just been taken by other processes.")
        return None

    @whole_transaction
    async def settle(self, mail: Mail, settlement: Settlement) -> bool:
        """End an attempt. False: it did not go out, and the mail is gone, was withdrawn, or is being tried anew."""
        values: dict[str, Any] = {"state": settlement.state, "last_error": (settlement.error or "")[:MAX_ERROR] or None}
        target = MAIL.c.id == mail.id
        if settlement.state == "sent":
            values["sent_at_ms"] = settlement.at_ms
        else:
            target &= (MAIL.c.state == "queued") & (MAIL.c.attempts == mail.attempts)
        if settlement.state == "queued":
            values["next_attempt_at_ms"] = settlement.next_attempt_at_ms
        async with write_transaction(self._engine) as connection:
            if settlement.state == "sent":  # the episode before its mail, as everywhere: no two wait for each other
                await connection.execute(sa.update(ALERT).where(ALERT.c.id == mail.episode_id).values(sent=True))
            found = await connection.execute(sa.update(MAIL).where(target).values(values))
        return found.rowcount > 0

    @whole_transaction
    async def next_attempt_at_ms(self) -> int | None:
        """Return when the next mail that waits for no other is due; None: none waits."""
        due = (MAIL.c.state == "queued") & _waits_for_no_other()
        async with read_transaction(self._engine) as connection:
            next_ms: int | None = await connection.scalar(sa.select(sa.func.min(MAIL.c.next_attempt_at_ms)).where(due))
        return next_ms

    @whole_transaction
    async def release_held(self, *, now_ms: int, oldest_ms: int, reason: str) -> int:
        """Queue held mails written at `oldest_ms` or later, suppress the older ones; return how many were queued."""
        held = MAIL.c.state == "held"
        old = held & (MAIL.c.created_at_ms < oldest_ms)
        async with write_transaction(self._engine) as connection:
            await connection.execute(sa.update(MAIL).where(old).values(state="suppressed", last_error=reason))
            released = await connection.execute(
                sa.update(MAIL).where(held).values(state="queued", next_attempt_at_ms=now_ms)
            )
        return released.rowcount


def _episodes_where(statement: sa.Select[Any], user_id: int | None, states: frozenset[State]) -> sa.Select[Any]:
    if user_id is not None:
        statement = statement.where(ALERT.c.user_id == user_id)
    if states:
        statement = statement.where(sa.or_(*(_IN_STATE[state] for state in sorted(states))))
    return statement


async def _store_position(connection: AsyncConnection, partition: int, offset: int) -> None:
    here = POSITION.c.partition_number == partition
    moved = await connection.execute(sa.update(POSITION).where(here).values(log_offset=offset))
    if moved.rowcount == 0:
        await connection.execute(sa.insert(POSITION), [{"partition_number": partition, "log_offset": offset}])
