"""`usage`, `explain` and `rebuild`: the figures, where they come from, and deriving them anew."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from energy_tracker.cli.output import NOTHING, AsJson, Output, kwh
from energy_tracker.cli.periods import FromOption, ToOption, period_ms
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.contracts.usage import Bucket, SeriesAnswer
    from energy_tracker.settings import Settings

_SHOWN_STEPS = 50
_STEP_KEYS = ("start", "end", "amountBefore", "amount", "unit", "energyKwh", "withinKwh", "mark", "why")
_REBUILD_TIMEOUT_S = 24 * 3600.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("usage")(show_usage)
    app.command("explain")(explain)
    app.command("rebuild")(rebuild)


def show_usage(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    user: Annotated[int, typer.Option("--user", help="The id of the user.")],
    days: Annotated[int, typer.Option(min=1, max=36_500, help="The last so many days, today included.")] = 3,
    start: FromOption = None,
    end: ToOption = None,
    resolution: Annotated[str | None, typer.Option(help="hour, day, week or month: figures over time.")] = None,
    device: Annotated[int | None, typer.Option(help="Only this device.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was used: kWh per device, or over time with --resolution."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services
        from energy_tracker.contracts.usage import Resolution

        if resolution is not None and resolution not in get_args(Resolution):
            message = f"{resolution!r} is not one of hour, day, week, month."
            raise typer.BadParameter(message, param_hint="--resolution")
        async with services(settings) as clients:
            home = await clients.users.read(user)
            start_ms, end_ms = period_ms(start, end, days=days, zone=home.time_zone, now=clients.clock.now())
            answer = await clients.usage.series(
                user,
                start_ms=start_ms,
                end_ms=end_ms,
                resolution=cast("Resolution", resolution or "day"),
                device_id=device,
            )
        output.document(msgspec.to_builtins(answer))
        if resolution is None:
            _totals(output, answer)
        else:
            _over_time(output, answer)

    run(context, command, as_json=as_json)


def _totals(output: Output, answer: "SeriesAnswer") -> None:
    rows: list[tuple[object, ...]] = [(each.id, each.name, *_sums(each.buckets)) for each in answer.devices]
    rows.append(("", "in all", *_sums(answer.total)))
    title = f"{answer.from_} to {answer.to} ({answer.time_zone})"
    output.table((">id", "device", ">import kWh", ">export kWh", ">estimated kWh", ">measured %"), rows, title=title)


def _sums(buckets: Sequence["Bucket"]) -> tuple[str | None, str | None, str | None, str]:
    from datetime import datetime

    def total(values: Sequence[float | None]) -> str | None:
        known = [each for each in values if each is not None]
        return kwh(sum(known)) if known else None

    lengths = [
        (datetime.fromisoformat(bucket.end) - datetime.fromisoformat(bucket.start)).total_seconds()
        for bucket in buckets
    ]
    covered = sum(bucket.coverage * length for bucket, length in zip(buckets, lengths, strict=True))
    return (
        total([bucket.import_kwh for bucket in buckets]),
        total([bucket.export_kwh for bucket in buckets]),
        total([bucket.estimated_kwh for bucket in buckets]),
        f"{100 * covered / (sum(lengths) or 1):.1f}",
    )


def _over_time(output: Output, answer: "SeriesAnswer") -> None:
    columns = ("from", ">import kWh", ">export kWh", ">estimated kWh", ">measured %")
    series = [(each.name, each.buckets) for each in answer.devices]
    for name, buckets in (*series, ("in all", answer.total)):
        rows = [
            (
                bucket.start,
                kwh(bucket.import_kwh),
                kwh(bucket.export_kwh),
                kwh(bucket.estimated_kwh),
                f"{100 * bucket.coverage:.1f}",
            )
            for bucket in buckets
        ]
        output.table(columns, rows, title=name)


def explain(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    user: Annotated[int, typer.Option("--user", help="The id of the user.")],
    device: Annotated[int, typer.Option("--device", help="The id of the device.")],
    days: Annotated[int, typer.Option(min=1, max=36_500, help="The last so many days, today included.")] = 1,
    start: FromOption = None,
    end: ToOption = None,
    as_json: AsJson = False,
) -> None:
    """Show a figure with the readings and steps that made it."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            home = await clients.users.read(user)
            start_ms, end_ms = period_ms(start, end, days=days, zone=home.time_zone, now=clients.clock.now())
            answer = await clients.usage.explain(user, device_id=device, start_ms=start_ms, end_ms=end_ms)
        output.document(answer)
        _explanation(output, answer)

    run(context, command, as_json=as_json)


def _explanation(output: Output, answer: Mapping[str, Any]) -> None:
    """Print what is said of the whole as lines, and the steps of each stream of readings as a table."""
    for name, member in answer.items():
        if not isinstance(member, list | dict):
            output.line(f"{name}: {NOTHING if member is None else member}")
    for stream in answer.get("streams", ()):
        steps = stream.get("steps", ())
        title = f"{stream.get('kind')}, {stream.get('direction')}: {len(steps)} steps, {stream.get('energyKwh')} kWh"
        output.table(
            ("from", "to", ">before", ">then", "unit", ">kWh", ">kWh in the period", "step", "why"),
            [[step.get(key) for key in _STEP_KEYS] for step in steps[:_SHOWN_STEPS]],
            title=title,
        )
        if len(steps) > _SHOWN_STEPS:
            output.line(f"… and {len(steps) - _SHOWN_STEPS} more steps: --json has all of them, and the readings")


def rebuild(context: typer.Context, as_json: AsJson = False) -> None:
    """Derive every figure anew from the raw readings."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services
        from energy_tracker.cli.sending import post_json

        async with services(settings) as clients:
            summary = await post_json(clients.bases["usage"], "/actuator/rebuild", timeout_s=_REBUILD_TIMEOUT_S)
        output.document(summary)
        output.table(("what", ">value"), list(summary.items()), title="Rebuilt from the raw readings")

    run(context, command, as_json=as_json)
