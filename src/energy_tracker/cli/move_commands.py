"""`move`: everything from the data folder to services in processes of their own, or back."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import CommandFailed, run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings
    from energy_tracker.wiring.moving import MoveReport
    from energy_tracker.wiring.moving_sides import Servers

    Move = Callable[[Settings, "Servers", Output], Awaitable[MoveReport]]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    move = typer.Typer(no_args_is_help=True, help="Move everything to services in processes of their own, or back.")
    move.command("to-services")(to_services)
    move.command("to-folder")(to_folder)
    app.add_typer(move, name="move")


def to_services(context: typer.Context, as_json: AsJson = False) -> None:
    """Carry the data folder to the servers that the services' variables name (SPRING_DATASOURCE_URL and so on).

    Nothing may run on the folder, which is only read, and the services have to be stopped. Started again after
    whatever ended it, it goes on. At the end both sides are compared.
    """

    async def move(settings: "Settings", servers: "Servers", output: Output) -> "MoveReport":
        from energy_tracker.kit.clock import SystemClock
        from energy_tracker.wiring.moving import move_to_servers

        return await move_to_servers(home=settings.home, servers=servers, clock=SystemClock(), tell=output.note)

    _run(context, move, as_json=as_json)


def to_folder(context: typer.Context, as_json: AsJson = False) -> None:
    """Carry what the services keep on those servers into an empty data folder.

    The services have to be stopped; the servers keep everything. The files appear in the folder when they are whole
    and the same as what the servers hold.
    """

    async def move(settings: "Settings", servers: "Servers", output: Output) -> "MoveReport":
        from energy_tracker.kit.clock import SystemClock
        from energy_tracker.wiring.moving import move_to_folder

        return await move_to_folder(servers=servers, home=settings.home, clock=SystemClock(), tell=output.note)

    _run(context, move, as_json=as_json)


def _run(context: typer.Context, move: "Move", *, as_json: bool) -> None:
    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.wiring.moving_sides import servers_of

        report = await move(settings, servers_of(settings), output)
        output.document(_document(report))
        _show(report, output)
        if not report.same:
            raise CommandFailed

    run(context, command, as_json=as_json)


def _document(report: "MoveReport") -> dict[str, object]:
    import dataclasses

    source, target = report.ledgers
    return {
        "source": report.source,
        "target": report.target,
        "carried": report.carried,
        "same": report.same,
        "tables": [dataclasses.asdict(table) for table in report.tables],
        "devices": [dataclasses.asdict(device) for device in report.devices],
        "episodes": dataclasses.asdict(report.episodes),
        "parked": dataclasses.asdict(report.parked),
        "ledger": {"source": dataclasses.asdict(source), "target": dataclasses.asdict(target)},
    }


def _show(report: "MoveReport", output: Output) -> None:
    import dataclasses

    rows: list[tuple[object, ...]] = [
        (f"table {table.table}", table.source, table.target, _verdict(table.same)) for table in report.tables
    ]
    rows += [
        (
            f"readings of device {each.device_id}",
            each.readings.source,
            each.readings.target,
            _verdict(each.readings.same),
        )
        for each in report.devices
    ]
    rows += [
        (name, counts.source, counts.target, _verdict(counts.same))
        for name, counts in (("episodes", report.episodes), ("parked readings", report.parked))
    ]
    source, target = (dataclasses.asdict(ledger) for ledger in report.ledgers)
    rows += [(f"ledger: {name}", source[name], target[name], _verdict(source[name] == target[name])) for name in source]
    output.table(("what", ">source", ">target", ""), rows)
    output.table(("month (UTC)", ">device", "", ">source, kWh", ">target, kWh", ""), list(_months(report)))
    if report.same:
        output.line(f"Both sides are the same: {report.source}, and {report.target}.")
    else:
        output.line("The sides differ; see above. Nothing was changed on the side that was read.")


def _months(report: "MoveReport") -> list[tuple[object, ...]]:
    from energy_tracker.kit.quantities import millijoules_to_kwh

    return [
        (
            month.month,
            device.device_id,
            f"{month.direction} {month.channel}".strip(),
            f"{millijoules_to_kwh(month.source_mj):,.6f}",
            f"{millijoules_to_kwh(month.target_mj):,.6f}",
            _verdict(month.same),
        )
        for device in report.devices
        for month in device.months
    ]


def _verdict(same: bool) -> str:
    return "same" if same else "DIFFERS"
