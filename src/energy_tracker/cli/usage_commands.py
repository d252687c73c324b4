"""`usage`, `explain` and `rebuild`: the figures, where they come from, and deriving them anew."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import NOTHING, AsJson, Output, kwh, local_time
from energy_tracker.cli.periods import FromOption, ToOption, period_ms
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.contracts.usage import Bucket, DeviceSeries, SeriesAnswer
    from energy_tracker.settings import Settings

_SHOWN_STEPS = 20
_FIGURES = (">import kWh", ">export kWh", ">estimated", ">measured %")
_REBUILD_TIMEOUT_S = 24 * 3600.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("usage")(show_usage)
    app.command("explain")(explain)
    app.command("rebuild")(rebuild)


def show_usage(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    user: UserOption = None,
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
            home = await chosen_user(clients, user)
            now = clients.clock.now()
            start_ms, end_ms = period_ms(start, end, days=days, zone=home.time_zone, now=now)
            answer = await clients.usage.series(
                home.id,
                start_ms=start_ms,
                end_ms=end_ms,
                resolution=cast("Resolution", resolution or "day"),
                device_id=device,
            )
        output.document(msgspec.to_builtins(answer))
        if resolution is None:
            _totals(output, answer, now)
        else:
            _over_time(output, answer, now)

    run(context, command, as_json=as_json)


def _totals(output: Output, answer: "SeriesAnswer", now: datetime) -> None:
    rows: list[tuple[object, ...]] = [(each.id, each.name, *_sums(each.buckets, now)) for each in _by_id(answer)]
    rows.append(("", "in all", *_sums(answer.total, now)))
    output.table((">id", "device", *_FIGURES), rows, title=_period(answer))
    output.line("In all: without what is behind another meter. Measured: of the time until now.")


def _by_id(answer: "SeriesAnswer") -> list["DeviceSeries"]:
    return sorted(answer.devices, key=lambda device: device.id)


def _period(answer: "SeriesAnswer") -> str:
    zone = answer.time_zone
    return f"{local_time(answer.from_, zone)} to {local_time(answer.to, zone)} ({zone})"


def _sums(buckets: Sequence["Bucket"], now: datetime) -> tuple[str | None, str | None, str | None, str | None]:
    """Return the energies, and the share in % of the time until now that was measured."""

    def total(values: Sequence[float | None]) -> str | None:
        known = [each for each in values if each is not None]
        return kwh(sum(known)) if known else None

    covered_s = past_s = 0.0
    for bucket in buckets:
        start, end = datetime.fromisoformat(bucket.start), datetime.fromisoformat(bucket.end)
        covered_s += bucket.coverage * (end - start).total_seconds()
        past_s += max(0.0, (min(end, now) - start).total_seconds())
    return (
        total([bucket.import_kwh for bucket in buckets]),
        total([bucket.export_kwh for bucket in buckets]),
        total([bucket.estimated_kwh for bucket in buckets]),
        f"{min(100.0, 100 * covered_s / past_s):.1f}" if past_s else None,
    )


def _over_time(output: Output, answer: "SeriesAnswer", now: datetime) -> None:
    series = [(each.name, each.buckets) for each in _by_id(answer)]
    output.line(_period(answer))
    for name, buckets in (*series, ("in all", answer.total)):
        rows = [(local_time(bucket.start, answer.time_zone), *_sums([bucket], now)) for bucket in buckets]
        output.line("")
        output.table(("from", *_FIGURES), rows, title=name)


def explain(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    device: Annotated[int, typer.Option("--device", help="The id of the device.")],
    user: UserOption = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="The last so many days, today included.")] = 1,
    start: FromOption = None,
    end: ToOption = None,
    as_json: AsJson = False,
) -> None:
    """Show a figure with the readings and steps that made it."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            start_ms, end_ms = period_ms(start, end, days=days, zone=home.time_zone, now=clients.clock.now())
            answer = await clients.usage.explain(home.id, device_id=device, start_ms=start_ms, end_ms=end_ms)
        output.document(answer)
        _explanation(output, answer, home.time_zone)

    run(context, command, as_json=as_json)


def _explanation(output: Output, answer: Mapping[str, Any], zone: str) -> None:
    """Print the figure, and of each stream of readings the steps that are worth a look, with what they mean."""
    start, end = local_time(answer["from"], zone), local_time(answer["to"], zone)
    output.line(
        f"Device {answer['deviceId']}, {start} to {end} ({zone}): "
        f"{kwh(answer['importKwh']) or NOTHING} kWh import, {kwh(answer['exportKwh']) or NOTHING} kWh export"
    )
    for stream in answer["streams"]:
        steps = stream["steps"]
        shown = _worth_a_look(steps)
        output.line("")
        output.table(
            ("from", "to", ">before", ">then", "unit", ">kWh within", "step"),
            [_step(step, zone) for step in shown],
            title=f"{stream['kind']}, {stream['direction']}: {len(steps):,} steps, {stream['energyKwh']:,.4f} kWh",
        )
        for mark, why in dict.fromkeys((step["mark"], step["why"]) for step in shown):
            output.line(f"  {mark}: {why}")
        if len(shown) < len(steps):
            output.line(f"… and {len(steps) - len(shown):,} more plain steps: --json has all, and the readings")


def _worth_a_look(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the steps that are not plain or bring energy, those first that are not plain, in order of time."""
    telling = [step for step in steps if step["mark"] != "plain" or step["withinKwh"]] or steps
    ranked = sorted(telling, key=lambda step: (step["mark"] == "plain", step["start"]))
    return sorted(ranked[:_SHOWN_STEPS], key=lambda step: step["start"])


def _step(step: Mapping[str, Any], zone: str) -> tuple[object, ...]:
    start, end = local_time(step["start"], zone), local_time(step["end"], zone)
    shown_end = end.partition(" ")[2] if end[:10] == start[:10] else end
    amounts = [None if step[key] is None else f"{step[key]:,.3f}" for key in ("amountBefore", "amount")]
    return (start, shown_end, *amounts, step["unit"], f"{step['withinKwh']:.6f}", step["mark"])


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
