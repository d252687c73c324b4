"""`alerts outdoor`: how cold it was outside, so that heating in the cold is not taken for something unusual."""

import zlib
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.left_out import LeftOut
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.cli.outdoor_points import DailyMeans
    from energy_tracker.contracts.outdoor import OutdoorAnswer
    from energy_tracker.settings import Settings


def add_to(alerts: typer.Typer) -> None:
    """Add the command to the group."""
    alerts.command("outdoor")(outdoor)


def outdoor(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(help="A CSV file of dates or times and temperatures in °C (.gz too), or - for standard input."),
    ] = None,
    user: UserOption = None,
    as_json: AsJson = False,
) -> None:
    """Tell how cold it was outside, by the day or in any steps; without a file, show what is known.

    Of each day the mean is kept, for the newest 400. What is judged from now on takes it into account: what a home or
    a device draws more because it is colder than before is not told. Days that are there only in part, and lines that
    cannot be used, are left out and named; of the latter the exit code is then 1.
    """

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services
        from energy_tracker.contracts.outdoor import MOST_OUTDOOR_DAYS, OutdoorBody
        from energy_tracker.services.usage.model.calendar import zone_of

        async with services(settings) as clients:
            home, now = await chosen_user(clients, user), clients.clock.now()
            if file is None:
                _show(await clients.usage.outdoor(home.id), output)
                return
        left_out = LeftOut(output)
        means = _means(file, zone_of(home.time_zone), now, left_out)
        days = [{"date": day.isoformat(), "meanC": mean} for day, mean in means.means().items()]
        if days:
            async with services(settings) as clients:
                body = OutdoorBody.model_validate({"days": days[-MOST_OUTDOOR_DAYS:]})
                _show(await clients.usage.tell_outdoor(home.id, body), output)
        if parts := means.parts():
            output.note(f"{parts} days are left out: they lack the morning or the evening.")
        if left_out.count or not days:
            left_out.fail()

    run(context, command, as_json=as_json)


def _show(answer: "OutdoorAnswer", output: Output) -> None:
    import msgspec

    output.document(msgspec.to_builtins(answer))
    if not answer.days:
        output.line("How cold it was outside is not known.")
        return
    coldest, warmest = (least(answer.days, key=lambda day: day.mean_c) for least in (min, max))
    output.line(
        f"Known for {len(answer.days)} days, {answer.days[0].date} to {answer.days[-1].date}:"
        f" from {coldest.mean_c:g} °C ({coldest.date}) to {warmest.mean_c:g} °C ({warmest.date})."
    )


def _means(file: str, zone: tzinfo, now: datetime, left_out: LeftOut) -> "DailyMeans":
    from energy_tracker.cli.outdoor_points import DailyMeans, read_temperatures
    from energy_tracker.cli.series_points import opened
    from energy_tracker.kit.problems import InvalidRequest

    means = DailyMeans()
    try:
        with opened(file) as lines:
            for one in read_temperatures(lines, zone, now, left_out):
                means.add(one)
    except (EOFError, zlib.error) as error:
        raise InvalidRequest(f"{file} is damaged: {error}.") from error
    return means
