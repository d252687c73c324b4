"""`alerts outdoor`: how cold it was outside, so that heating in the cold is not taken for something unusual."""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Final

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.cli.series_points import Point
    from energy_tracker.settings import Settings

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SHOWN_LINES: Final = 20


def add_to(alerts: typer.Typer) -> None:
    """Add the command to the group."""
    alerts.command("outdoor")(outdoor)


def outdoor(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(help="A CSV file of date,value or timestamp,value in °C (.gz too), or - for standard input."),
    ] = None,
    user: UserOption = None,
    as_json: AsJson = False,
) -> None:
    """Tell how cold it was outside, by the day or in any steps; without a file, show what is known.

    Of each day the mean is kept, for the newest 400. What is judged from now on takes it into account: what a home or
    a device draws more because it is colder than before is not told. Lines that cannot be used are left out, and named.
    """

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services
        from energy_tracker.contracts.outdoor import MOST_DAYS, OutdoorBody
        from energy_tracker.services.usage.model.calendar import zone_of

        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            if file is None:
                answer = await clients.usage.outdoor(home.id)
            else:
                means = _means(file, zone_of(home.time_zone), output)
                days = [{"date": day.isoformat(), "meanC": mean} for day, mean in sorted(means.items())]
                answer = await clients.usage.tell_outdoor(
                    home.id, OutdoorBody.model_validate({"days": days[-MOST_DAYS:]})
                )
        output.document(msgspec.to_builtins(answer))
        if not answer.days:
            output.line("How cold it was outside is not known.")
            return
        coldest, warmest = (least(answer.days, key=lambda day: day.mean_c) for least in (min, max))
        output.line(
            f"Known for {len(answer.days)} days, {answer.days[0].date} to {answer.days[-1].date}:"
            f" from {coldest.mean_c:g} °C ({coldest.date}) to {warmest.mean_c:g} °C ({warmest.date})."
        )

    run(context, command, as_json=as_json)


def _means(file: str, zone: tzinfo, output: Output) -> dict[date, float]:
    from energy_tracker.cli.series_points import opened, read_points
    from energy_tracker.contracts.outdoor import COLDEST_C, WARMEST_C

    refused = 0

    def refuse(line: int, reason: str) -> None:
        nonlocal refused
        refused += 1
        if refused <= _SHOWN_LINES:
            output.note(f"Line {line} is left out: {reason}.")

    with opened(file) as lines:
        means = daily_means(read_points(lines, refuse), zone)
    if refused > _SHOWN_LINES:
        output.note(f"{refused:,} lines were left out.")
    odd = next((mean for mean in means.values() if not COLDEST_C <= mean <= WARMEST_C), None)
    if odd is not None:
        message = f"A day's mean of {odd:g} °C is none of the weather's."
        raise typer.BadParameter(message, param_hint="FILE")
    return means


def daily_means(points: "Iterable[Point]", zone: tzinfo) -> dict[date, float]:
    """Return the mean of each local day; a time that is only a date is that day, wherever the home is."""
    values: defaultdict[date, list[float]] = defaultdict(list)
    for point in points:
        if _DATE.fullmatch(point.instant_text):
            day = date.fromisoformat(point.instant_text)
        else:
            day = datetime.fromtimestamp(point.instant_s, zone).date()
        values[day].append(point.value)
    return {day: fmean(of_day) for day, of_day in values.items()}
