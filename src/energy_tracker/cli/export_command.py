"""`export`: raw readings, to be imported again, or figures over time, for a spreadsheet."""

import csv
import gzip
import io
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast, get_args

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.periods import FromOption, ToOption, instant_ms, period_ms
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.cli.access import Clients
    from energy_tracker.contracts.device import DeviceItem
    from energy_tracker.contracts.usage import StoredReading
    from energy_tracker.settings import Settings

_PAGE = 10_000
# Instants that the services take: 2000 to 2100.
_FIRST_MS = 946_684_800_000
_LAST_MS = 4_102_444_800_000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Where to write (.gz too), or - for standard output.")] = "-",
    user: UserOption = None,
    device: Annotated[list[int] | None, typer.Option(help="Only this device; may be repeated.")] = None,
    start: FromOption = None,
    end: ToOption = None,
    series: Annotated[str | None, typer.Option(help="Figures by hour, day, week or month, not raw readings.")] = None,
    form: Annotated[str, typer.Option("--format", help="csv or ndjson.")] = "csv",
    as_json: AsJson = False,
) -> None:
    """Export raw readings (which `import` reads again), or figures over time with --series."""
    if form not in {"csv", "ndjson"}:
        raise typer.BadParameter("The format is csv or ndjson.", param_hint="--format")

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        if as_json and file == "-":
            raise typer.BadParameter("Standard output takes either the export or --json: name a file.")
        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            devices = await _devices(clients, home.id, device or [])
            rows: AsyncIterator[dict[str, object]]
            if series is not None:
                start_ms, end_ms = period_ms(start, end, days=30, zone=home.time_zone, now=clients.clock.now())
                rows = _series_rows(clients, home.id, devices, series, (start_ms, end_ms))
            else:
                start_ms = _FIRST_MS if start is None else instant_ms(start, home.time_zone, "--from")
                end_ms = _LAST_MS if end is None else instant_ms(end, home.time_zone, "--to")
                rows = _reading_rows(clients, home.id, devices, (start_ms, end_ms), plain=form == "ndjson")
            with _written(file) as stream:
                count = await _write(stream, rows, form)
        output.document({"rows": count, "file": file})
        if file != "-":
            output.line(f"{count:,} rows to {file}")

    run(context, command, as_json=as_json)


async def _devices(clients: "Clients", user_id: int, wanted: Sequence[int]) -> list["DeviceItem"]:
    """Return the user's devices, retired ones too, each after the meter that it is behind."""
    from energy_tracker.kit.problems import InvalidRequest

    found = [item async for item in clients.devices.iterate(user_id=user_id)]
    found += [item async for item in clients.devices.iterate(user_id=user_id, retired=True)]
    by_id = {item.id: item for item in found}
    missing = [str(device_id) for device_id in wanted if device_id not in by_id]
    if missing:
        message = f"The user has no device {', '.join(missing)}."
        raise InvalidRequest(message)

    def depth(item: "DeviceItem") -> int:
        steps, parent_id = 0, item.parent_id
        while parent_id in by_id and steps < len(by_id):
            steps, parent_id = steps + 1, by_id[parent_id].parent_id
        return steps

    return sorted((by_id[each] for each in wanted or by_id), key=lambda item: (depth(item), item.id))


async def _reading_rows(
    clients: "Clients", user_id: int, devices: Sequence["DeviceItem"], period: tuple[int, int], *, plain: bool
) -> AsyncIterator[dict[str, object]]:
    names = {device.id: device.name for device in devices}
    for device in devices:
        about = _device_cells(device, names, plain=plain)
        cursor: str | None = None
        empty = True
        while True:
            page = await clients.usage.readings(
                user_id, device_id=device.id, start_ms=period[0], end_ms=period[1], limit=_PAGE, cursor=cursor
            )
            for reading in page.items:
                empty = False
                yield _reading_cells(reading, about, plain=plain)
            cursor = page.next
            if cursor is None:
                break
        if empty and not plain:  # so that the device is not lost
            yield _cells({**about, "kind": device.kind, "direction": device.direction})


def _device_cells(device: "DeviceItem", names: dict[int, str], *, plain: bool) -> dict[str, object]:
    from energy_tracker.services.ingestion.imports.exported import inert_cell

    text = str if plain else inert_cell
    return {
        "device": text(device.name),
        "type": device.type,
        "location": text(device.location),
        "max_hold": device.max_hold,
        "device_kind": device.kind,
        "device_direction": device.direction,
        "parent": text(names.get(device.parent_id, "")) if device.parent_id is not None else "",
        "rated_power": "" if device.rated_power is None else device.rated_power,
        "silent_after": device.silent_after or "",
    }


def _cells(known: dict[str, object]) -> dict[str, object]:
    from energy_tracker.services.ingestion.imports.exported import COLUMNS

    return {column: known.get(column, "") for column in COLUMNS}


def _reading_cells(reading: "StoredReading", about: dict[str, object], *, plain: bool) -> dict[str, object]:
    from energy_tracker.services.ingestion.imports.exported import UNIT_OF, inert_cell

    amounts = (reading.energy_consumed, reading.register_kwh, reading.power_w)
    cells: dict[str, object] = {
        **about,
        "timestamp": reading.timestamp,
        "since": reading.since or "",
        "kind": reading.kind,
        "direction": reading.direction,
        "amount": next(amount for amount in amounts if amount is not None),
        "unit": UNIT_OF[cast("Any", reading.kind)],
        "event_id": reading.event_id if plain else inert_cell(reading.event_id),
    }
    return _cells(cells)


async def _series_rows(
    clients: "Clients", user_id: int, devices: Sequence["DeviceItem"], resolution: str, period: tuple[int, int]
) -> AsyncIterator[dict[str, object]]:
    from energy_tracker.contracts.usage import Resolution
    from energy_tracker.services.ingestion.imports.exported import inert_cell

    if resolution not in get_args(Resolution):
        raise typer.BadParameter("It is hour, day, week or month.", param_hint="--series")
    for device in devices:
        answer = await clients.usage.series(
            user_id,
            start_ms=period[0],
            end_ms=period[1],
            resolution=cast("Resolution", resolution),
            device_id=device.id,
        )
        for bucket in (bucket for each in answer.devices for bucket in each.buckets):
            yield {
                "device": inert_cell(device.name),
                "start": bucket.start,
                "end": bucket.end,
                "import_kwh": bucket.import_kwh,
                "export_kwh": bucket.export_kwh,
                "estimated_kwh": bucket.estimated_kwh,
                "coverage": bucket.coverage,
            }


@contextmanager
def _written(file: str) -> Iterator[TextIO]:
    """Give where to write; a file appears under its name only when it is whole."""
    if file == "-":
        yield sys.stdout
        return
    target = Path(file)
    partial = target.with_name(f".{target.name}.part")
    try:
        with partial.open("wb") as stream:
            packed = gzip.GzipFile(fileobj=stream, mode="wb", filename="", mtime=0) if file.endswith(".gz") else stream
            with io.TextIOWrapper(cast("Any", packed), encoding="utf-8", newline="") as text:
                yield text
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


async def _write(stream: TextIO, rows: AsyncIterator[dict[str, object]], form: str) -> int:
    import msgspec

    from energy_tracker.services.ingestion.imports.exported import COLUMNS

    writer: Any = None
    count = 0
    async for row in rows:
        count += 1
        if form == "ndjson":
            stream.write(msgspec.json.encode(row).decode() + "\n")
            continue
        if writer is None:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(row)
        writer.writerow(row.values())
    if form == "csv" and writer is None:
        csv.writer(stream, lineterminator="\n").writerow(COLUMNS)
    return count
