"""`forecast`: what the hours to come and this month are likely to use, and how good such forecasts were."""

from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import NOTHING, AsJson, Output, kwh, local_time
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.contracts.forecast import ForecastAccuracy, ForecastAnswer, MonthForecast
    from energy_tracker.settings import Settings

_COLUMNS = ("from", ">low kWh", ">middle kWh", ">high kWh", ">mean kWh")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("forecast")(forecast)


def forecast(
    context: typer.Context,
    user: UserOption = None,
    device: Annotated[int | None, typer.Option(help="Only this device; without it, the home as a whole.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what comes next: each hour until the end of tomorrow, and the month; 8 of 10 lie between low and high."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            answer = await clients.usage.forecast(home.id, device_id=device)
        output.document(msgspec.to_builtins(answer))
        _hours(output, answer)
        output.line(_month_sentence(answer.month))
        output.line(_accuracy_sentence(answer.accuracy))

    run(context, command, as_json=as_json)


def _hours(output: Output, answer: "ForecastAnswer") -> None:
    if answer.hours is None:
        output.line(f"The hours to come cannot be foreseen: {answer.reason}")
        return
    zone = answer.time_zone
    rows = [
        (local_time(hour.start, zone), *map(kwh, (hour.p10_kwh, hour.p50_kwh, hour.p90_kwh, hour.mean_kwh)))
        for hour in answer.hours
    ]
    output.table(_COLUMNS, rows, title=f"What comes next ({zone})")
    if answer.little_history:
        output.line(f"There is little history, {answer.measured_days} measured days: the ranges are rough.")


def _month_sentence(month: "MonthForecast") -> str:
    used = kwh(month.used_kwh) or NOTHING
    if month.expected_kwh is None:
        return f"This month has used {used} kWh so far. How it will end cannot be said: {month.reason}"
    gaps = f", and about {kwh(month.gaps_kwh)} kWh that were not measured" if month.gaps_kwh else ""
    ends = f"it will end at {kwh(month.low_kwh)} to {kwh(month.high_kwh)} kWh, about {kwh(month.expected_kwh)}"
    return f"This month has used {used} kWh so far{gaps}; {ends}."


def _accuracy_sentence(accuracy: "ForecastAccuracy | None") -> str:
    if accuracy is None:
        return "How good such forecasts are here is not known yet."
    against = (
        ""
        if accuracy.relative_error is None
        else f", {accuracy.relative_error:.0%} of the error of taking the same hour a week before"
    )
    return (
        f"Over the last {accuracy.days} days such forecasts were off by {accuracy.mean_absolute_error_kwh:.3f} kWh an "
        f"hour{against}; {accuracy.in_band_share:.0%} of the hours were between low and high "
        f"(stated: {accuracy.stated_band_share:.0%})."
    )
