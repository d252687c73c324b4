"""`import`: the CSV of a meter or of plugs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from energy_tracker.cli import exits
from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import CommandFailed, run

if TYPE_CHECKING:
    from energy_tracker.cli.importing import ImportResult, Progress
    from energy_tracker.services.ingestion.imports.model import Declared, Finding, RowBatch
    from energy_tracker.settings import Settings

_ENDINGS = (".gz", ".csv", ".tsv", ".txt")
_PLAIN_EVERY_ROWS = 100_000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_file)


def import_file(  # noqa: PLR0913, PLR0917 - the options of the command, as the wire contract lists them
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="The CSV file (.gz too), or - for standard input.")],
    user: UserOption = None,
    kind: Annotated[str | None, typer.Option(help="interval (kWh each), register (a counter) or power (W).")] = None,
    time: Annotated[str | None, typer.Option(help="The column of the time: its name, or its position from 1.")] = None,
    value: Annotated[list[str] | None, typer.Option(help="The column of the value; repeat it for several.")] = None,
    device: Annotated[str | None, typer.Option(help="The column that names the device, where there is one.")] = None,
    unit: Annotated[str | None, typer.Option(help="Wh, kWh, MWh, W, kW or MW.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="The zone of times without an offset, such as Europe/Berlin.")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="import (from the grid) or export (to it).")] = None,
    stamp: Annotated[str | None, typer.Option(help="Whether a time is the start or the end of its interval.")] = None,
    period: Annotated[str | None, typer.Option(help="How long an interval is, such as PT30M.")] = None,
    max_hold: Annotated[
        str | None, typer.Option(help="New devices: how long a power value holds, such as PT1M.")
    ] = None,
    separator: Annotated[str | None, typer.Option(help="What separates the columns: , ; | or TAB.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal sign: . or ,")] = None,
    time_format: Annotated[str | None, typer.Option(help="iso, dmy, mdy, ymd, epoch-s or epoch-ms.")] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8, utf-16, cp1252, iso-8859-1 or iso-8859-15.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; go on where rows at the start are bad.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import a CSV file of a meter or of plugs.

    Columns, separator, decimal sign, unit, kind and zone are found out and shown, or declared. Devices are made where
    missing. The same file twice adds nothing.
    """
    options = {
        "kind": kind,
        "time": time,
        "value": tuple(value or ()),
        "device": device,
        "unit": unit,
        "zone": zone,
        "direction": direction,
        "stamp": stamp,
        "period": period,
        "max_hold": max_hold,
        "separator": separator,
        "decimal": decimal,
        "time_format": time_format,
        "encoding": encoding,
    }

    async def command(settings: "Settings", output: Output) -> None:
        with _opened(file) as stream:
            await _import(settings, output, stream, _stem(file), user, options, yes=yes)

    run(context, command, as_json=as_json)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream


def _stem(file: str) -> str:
    name = "meter" if file == "-" else Path(file).name
    for ending in _ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


async def _import(  # noqa: PLR0913 - what the command was given, passed on once
    settings: "Settings",
    output: Output,
    stream: BinaryIO,
    stem: str,
    user_id: int | None,
    options: dict[str, Any],
    *,
    yes: bool,
) -> None:
    from energy_tracker.cli.access import services
    from energy_tracker.cli.importing import Importer
    from energy_tracker.services.ingestion.imports import exported
    from energy_tracker.services.ingestion.imports.detect import detect
    from energy_tracker.services.ingestion.imports.rows import read_rows
    from energy_tracker.services.ingestion.imports.source import open_source

    declared = _declared(options)
    source = open_source(stream, encoding=declared.encoding)
    async with services(settings) as clients:
        user = await chosen_user(clients, user_id)
        batches: Iterator[RowBatch]
        if exported.is_export(source.head):
            output.note("The file is an export of readings: it says itself what every row is.")
            findings = source.findings
            batches = exported.read_export(source.lines)
        else:
            plan = detect(source.head, declared, user_zone=user.time_zone, stem=stem)
            findings = (*source.findings, *plan.findings)
            _show(output, findings)
            _ask(output, list(read_rows(source.head, plan)), assumed=bool(plan.assumptions), yes=yes)
            batches = read_rows(source.lines, plan)
        with _progress(output) as progress:
            importer = Importer(clients, user.id, max_hold=options["max_hold"], progress=progress)
            result = await importer.run(batches)
    _report(output, result, findings)


def _declared(options: dict[str, Any]) -> "Declared":
    from energy_tracker.kit.instants import InvalidDuration, parse_duration
    from energy_tracker.services.ingestion.imports.model import Declared
    from energy_tracker.services.ingestion.imports.times import TimeFormat

    def one_of(name: str, *choices: str) -> str | None:
        given = options[name]
        if given is not None and given not in choices:
            message = f"{given!r} is not one of {', '.join(choices)}."
            raise typer.BadParameter(message, param_hint=f"--{name.replace('_', '-')}")
        return cast("str | None", given)

    def duration_ms(name: str) -> int | None:
        if options[name] is None:
            return None
        try:
            length_ms = round(parse_duration(options[name]).total_seconds() * 1000)
        except InvalidDuration as error:
            raise typer.BadParameter(f"{error}.", param_hint=f"--{name.replace('_', '-')}") from None
        if length_ms <= 0:
            raise typer.BadParameter("A duration must be longer than nothing.", param_hint=f"--{name}")
        return length_ms

    duration_ms("max_hold")
    time_format = one_of("time_format", *(each.value for each in TimeFormat))
    separator = options["separator"]
    return Declared(
        kind=cast("Any", one_of("kind", "interval", "register", "power")),
        time_column=options["time"],
        value_columns=options["value"],
        device_column=options["device"],
        unit=options["unit"],
        zone=options["zone"],
        direction=cast("Any", one_of("direction", "import", "export")),
        stamp=cast("Any", one_of("stamp", "start", "end")),
        period_ms=duration_ms("period"),
        separator="\t" if separator in {"TAB", "tab", "\\t"} else separator,
        decimal=options["decimal"],
        time_format=None if time_format is None else TimeFormat(time_format),
        encoding=options["encoding"],
    )


def _show(output: Output, findings: tuple["Finding", ...]) -> None:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        note = f": {finding.note}" if finding.note else ""
        output.note(f"  {finding.what:<{width}}  {finding.value}  ({finding.how}{note})")


def _ask(output: Output, head: list["RowBatch"], *, assumed: bool, yes: bool) -> None:
    """Stop before anything is stored where the file's beginning has bad rows, or a person at a terminal says no."""
    rejected = [rejection for batch in head for rejection in batch.rejected]
    readings = sum(len(batch.readings) for batch in head)
    for rejection in rejected[:20]:
        column = f", column {rejection.column!r}" if rejection.column is not None else ""
        output.note(f"  line {rejection.line}{column}: {rejection.reason}")
    if not readings or (rejected and not yes and not output.is_terminal):
        output.note(
            f"{len(rejected)} of the first rows are no readings; nothing was stored."
            + (" --yes goes on with the good ones." if readings else "")
        )
        output.document({"rows": 0, "accepted": 0, "rejections": [rejection._asdict() for rejection in rejected[:20]]})
        raise CommandFailed
    asked = (assumed or rejected) and not yes and output.is_terminal
    if asked and not typer.confirm("Import it like this?", err=True):
        output.note("Nothing was stored.")
        raise CommandFailed


@contextmanager
def _progress(output: Output) -> Iterator["Progress"]:
    """Show progress: a bar on a terminal, a line for every 100 000 rows elsewhere."""
    from energy_tracker.cli.importing import Progress

    if not sys.stderr.isatty():
        told = 0

        def tell(rows: int) -> None:
            nonlocal told
            if rows - told >= _PLAIN_EVERY_ROWS:
                told = rows
                output.note(f"  {rows:,} rows")

        yield Progress(tell, lambda _, __: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        reading = bars.add_task("rows read", total=None)
        deriving = bars.add_task("derived", total=None, visible=False)
        yield Progress(
            lambda rows: bars.update(reading, completed=rows),
            lambda done, total: bars.update(deriving, completed=done, total=total, visible=True),
        )


def _report(output: Output, result: "ImportResult", findings: tuple["Finding", ...]) -> None:
    from dataclasses import asdict

    output.document(result.document() | {"findings": [asdict(finding) for finding in findings]})
    for device in result.devices.values():
        for note in device.notes:
            output.note(f"  {note}")
    for rejection in result.rejections:
        column = f", column {rejection.column!r}" if rejection.column is not None else ""
        output.note(f"  line {rejection.line}{column}: {rejection.reason}")
    if result.rejected > len(result.rejections):
        output.note(f"  … and {result.rejected - len(result.rejections)} more")
    made = sum(device.created for device in result.devices.values())
    rate = result.rows / result.seconds if result.seconds else 0
    output.line(
        f"{result.rows:,} rows: {result.accepted:,} new, {result.duplicate:,} known, {result.rejected:,} rejected, "
        f"{result.empty:,} empty cells; {len(result.devices)} devices ({made} made); "
        f"{result.seconds:.1f} s ({rate:,.0f} rows/s)"
    )
    if not result.derived:
        output.note("The readings are safe, but not all are derived yet; `energy-tracker doctor` says what is behind.")
    if result.stopped is not None:
        output.note(f"{result.stopped} Import the mended file again: what is there already is not counted twice.")
    if result.rejected or result.stopped is not None:
        raise CommandFailed(exits.FAILED)
