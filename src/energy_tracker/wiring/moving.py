"""Moving everything from one mode into the other: through the ports, never through the log.

What is moved is only read. Each part of it arrives in one transaction, or may arrive again; the totals of the ledger
come last, and say that nothing is left to be carried.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import Problem
from energy_tracker.services.alert.adapters.tables import ALERT, MAIL
from energy_tracker.services.device.adapters import sql as devices
from energy_tracker.services.usage.model.ledger import Holdings, Intake, Ledger, balance
from energy_tracker.services.usage.model.readings import DeviceRules
from energy_tracker.services.usage.moving import Removal
from energy_tracker.services.usage.sameness import (
    Counts,
    DeviceSameness,
    compare_device,
    compare_episodes,
    compare_parked,
)
from energy_tracker.services.user.adapters import sql as users
from energy_tracker.storage.row_copies import TableSameness, compare_table, copy_tables
from energy_tracker.storage.sql import read_transaction
from energy_tracker.wiring.folder import exclusive_folder
from energy_tracker.wiring.moving_sides import Servers, Side, folder_side, servers_side

Tell = Callable[[str], None]
"""Takes a sentence about what is being done."""

FILES: Final = ("relational.db", "readings.db", "log.db")
SCRATCH: Final = "moving"
"""The folder, inside the data folder, in which a data folder is made that is not whole yet."""
_WHOLE: Final = "whole"
_GROUPS: Final[Sequence[tuple[Sequence[sa.Table], sa.Table | None]]] = (
    ((users.USERS,), users.COUNTER),
    ((devices.DEVICES, devices.ASSIGNMENTS), devices.COUNTER),
    ((ALERT, MAIL), None),
)
"""The tables that are copied in one transaction each, and what counts their versions."""


class NothingToMove(Problem):
    """There is no data where it was to be taken from."""

    status = 409
    title = "There is nothing to move"


class NotAllIsStored(Problem):
    """Something is still on its way between the services."""

    status = 409
    title = "Not everything is stored yet"


class PlaceIsTaken(Problem):
    """Where the data was to go, there is other data; nothing was written."""

    status = 409
    title = "The place is not empty"


@dataclass(frozen=True, slots=True)
class MoveReport:
    """Both sides compared. `carried` is False where an earlier run had finished, so that this one only compared."""

    source: str
    target: str
    carried: bool
    tables: Sequence[TableSameness]
    devices: Sequence[DeviceSameness]
    episodes: Counts
    parked: Counts
    ledgers: tuple[Ledger, Ledger]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        verdicts = [table.same for table in self.tables] + [device.same for device in self.devices]
        return self.ledgers[0] == self.ledgers[1] and all([*verdicts, self.episodes.same, self.parked.same])


async def move_to_servers(*, home: Path, servers: Servers, clock: Clock, tell: Tell) -> MoveReport:
    """Carry a data folder, on which nothing runs, to servers whose services are stopped; compare both sides.

    Raises `NothingToMove`, `NotAllIsStored`, `PlaceIsTaken`, `ServicesAreRunning`, `FolderInUse` and the problems of
    the files and servers; started again, it goes on.
    """
    if not (home / FILES[0]).is_file():
        raise NothingToMove(f"{home} holds no data.")
    with exclusive_folder(home):
        async with folder_side(home, clock) as source:
            await _refuse_waiting(source)
            tell("Joining the group of usage-service, so that nobody else writes …")
            async with servers_side(servers, clock) as target:
                carry = not (await target.store.holdings()).consumed
                if carry:
                    await _carry(source, target, tell)
                else:
                    await _refuse_unfinished(source, target)
                    tell("The move is done already: nothing is written, both sides are compared.")
                return await _compare(source, target, tell, carried=carry)


async def move_to_folder(*, servers: Servers, home: Path, clock: Clock, tell: Tell) -> MoveReport:
    """Carry what services keep on servers, while they are stopped, into an empty data folder; compare both sides.

    The files appear under their names only when both sides are the same. Raises what `move_to_servers` does.
    """
    with exclusive_folder(home):
        scratch = home / SCRATCH
        finished = (scratch / _WHOLE).exists()
        if finished:
            _put_in_place(scratch, home)
        taken = [name for name in FILES if (home / name).exists()]
        if taken and not finished:
            raise PlaceIsTaken(f"{home} holds {', '.join(taken)}; name an empty folder with --home.")
        async with servers_side(servers, clock) as source:
            await _refuse_waiting(source)
            if finished:
                async with folder_side(home, clock) as target:
                    return await _compare(source, target, tell, carried=False)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            async with folder_side(home, clock, within=SCRATCH) as target:
                await _carry(source, target, tell)
                report = await _compare(source, target, tell, carried=True)
        if report.same:
            (scratch / _WHOLE).touch()
            _put_in_place(scratch, home)
        return report


def _put_in_place(scratch: Path, home: Path) -> None:
    for file in sorted(scratch.glob("*.db*")):
        file.replace(home / file.name)
    shutil.rmtree(scratch)


async def _refuse_waiting(source: Side) -> None:
    found = await source.waiting()
    if found:
        message = (
            f"In {source.name}, {' and '.join(found)}. Let the services run until the ledger has nothing queued "
            "(`/api/v1/ledger` of usage-service), stop them, and start the move again."
        )
        raise NotAllIsStored(message)


async def _carry(source: Side, target: Side, tell: Tell) -> None:
    holdings = await source.store.holdings()
    intake = await source.intake.intake(beyond=holdings)
    await _refuse_taken(source, target, intake)
    for tables, counter in _GROUPS:
        copied = await copy_tables(source.engine, target.engine, tables, counter=counter)
        names = " and ".join(table.name for table in tables)
        tell(f"Table {names}: {'copied' if copied else 'there already'}.")
    removal = Removal(source.store, target.store, target.homes, target.positions)
    await _carry_devices(source, target, removal, tell)
    user_ids = await _ids(source.engine, users.USERS.c.id)
    tell(f"{await removal.carry_homes(user_ids)} episodes, {await removal.carry_parked()} parked readings: carried.")
    await target.open_intake(intake)
    totals = Holdings(
        {},
        stored=holdings.stored,
        dead_lettered=holdings.dead_lettered,
        repeated=holdings.repeated,
        parked=holdings.parked,
        consumed=intake.accepted,
    )
    await removal.open_ledger(totals)
    tell("The totals of the ledger are carried.")


async def _carry_devices(source: Side, target: Side, removal: Removal, tell: Tell) -> None:
    """Carry each device that is not there, readings and figures, as it is here."""
    rules = await source.store.known_devices()
    owners = await _owners(source.engine)
    there = await target.store.known_devices()
    wanted = sorted(await source.devices())
    for number, device_id in enumerate(wanted, 1):
        if device_id in there and (await compare_device(source.store, target.store, device_id)).same:
            tell(f"Device {device_id} ({number} of {len(wanted)}): there already.")
            continue
        carried = await removal.carry_device(
            device_id, rules.get(device_id, DeviceRules()), user_id=owners.get(device_id, 0)
        )
        tell(f"Device {device_id} ({number} of {len(wanted)}): {carried:,} readings carried, figures derived.")


async def _refuse_taken(source: Side, target: Side, intake: Intake) -> None:
    """Raise `PlaceIsTaken` where the target holds what does not come from the source."""
    for tables, _ in _GROUPS:
        for table in tables:
            compared = await compare_table(source.engine, target.engine, table)
            if compared.target and not compared.same:
                message = (
                    f"The table {table.name} of {target.name} holds other rows ({compared.target}, of which "
                    f"{compared.differing} differ or are missing on one side). Give the services an empty database."
                )
                raise PlaceIsTaken(message)
    strangers = sorted(await target.devices() - await source.devices())
    if strangers:
        message = (
            f"{target.name.capitalize()} hold readings of devices that {source.name} does not know "
            f"({', '.join(map(str, strangers[:10]))}). Give the services an empty bucket."
        )
        raise PlaceIsTaken(message)
    there = await target.intake.intake(beyond=await target.store.holdings())
    turned_away = (there.duplicate, there.rejected)
    if any(turned_away) and turned_away != (intake.duplicate, intake.rejected):
        raise PlaceIsTaken("The services have turned readings away already, so their ledger has begun.")


async def _refuse_unfinished(source: Side, target: Side) -> None:
    """Raise `PlaceIsTaken` where services have taken in readings before all devices were carried."""
    missing = sorted({*await source.store.known_devices()} - {*await target.store.known_devices()})
    if missing:
        message = (
            f"The services have taken in readings, and devices of {source.name} are missing there "
            f"({', '.join(map(str, missing[:10]))}). Give the services an empty database, bucket and topics."
        )
        raise PlaceIsTaken(message)


async def _compare(source: Side, target: Side, tell: Tell, *, carried: bool) -> MoveReport:
    tell("Comparing both sides …")
    tables = [table for group, counter in _GROUPS for table in (*group, counter) if table is not None]
    device_ids = sorted(await source.devices() | await target.devices())
    user_ids = await _ids(source.engine, users.USERS.c.id)
    return MoveReport(
        source=source.name,
        target=target.name,
        carried=carried,
        tables=[await compare_table(source.engine, target.engine, table) for table in tables],
        devices=[await compare_device(source.store, target.store, device_id) for device_id in device_ids],
        episodes=await compare_episodes(source.store, target.store, user_ids),
        parked=await compare_parked(source.store, target.store),
        ledgers=(await _ledger(source), await _ledger(target)),
    )


async def _ledger(side: Side) -> Ledger:
    holdings = await side.store.holdings()
    return balance(await side.intake.intake(beyond=holdings), holdings)


async def _ids(engine: AsyncEngine, column: sa.Column[int]) -> Sequence[int]:
    async with read_transaction(engine) as connection:
        return (await connection.scalars(sa.select(column).order_by(column))).all()


async def _owners(engine: AsyncEngine) -> Mapping[int, int]:
    columns = devices.DEVICES.c
    async with read_transaction(engine) as connection:
        rows = await connection.execute(sa.select(columns.id, columns.user_id))
        return {row.id: row.user_id for row in rows}
