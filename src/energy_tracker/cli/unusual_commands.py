"""`alerts unusual`, `normal`, `watch`, `rehearse`: what is unlike the home itself, and what a rule would have told."""

from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import AsJson, Output, local_time
from energy_tracker.cli.periods import FromOption, ToOption, period_ms
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.contracts.readings import Rule
    from energy_tracker.settings import Settings

_COLUMNS = ("id", "device", "since, until", "told", ">kWh/month", "message")


def add_to(alerts: typer.Typer) -> None:
    """Add the commands to the group."""
    alerts.command("unusual")(list_unusual)
    alerts.command("normal")(call_normal)
    alerts.command("watch")(watch)
    alerts.command("rehearse")(rehearse)


def _row(episode: Any, zone: str) -> tuple[object, ...]:
    told = "normal" if episode.normal else "held" if episode.held else "yes"
    until = "" if episode.until is None else f"\n{local_time(episode.until, zone)}"
    name = "the home" if episode.device_id is None else episode.device_name
    extra = f"{episode.extra_kwh_a_month:+.3g}"
    return (episode.id, name, local_time(episode.since, zone) + until, told, extra, episode.message)


def list_unusual(context: typer.Context, user: UserOption = None, as_json: AsJson = False) -> None:
    """List what was unusual, newest first, also what was held back for the budget of notices."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            answer = await clients.usage.unusual_use(home.id)
        output.document(msgspec.to_builtins(answer))
        output.table(_COLUMNS, [_row(each, home.time_zone) for each in answer.items], empty="Nothing was unusual.")
        if answer.judged_until is None:
            output.line("Nothing was looked at yet: there are no readings.")
        else:
            output.line(f"Looked at until {local_time(answer.judged_until, home.time_zone)}.")

    run(context, command, as_json=as_json)


def call_normal(
    context: typer.Context,
    episode: Annotated[str, typer.Argument(help="The id of the episode, or how it begins.")],
    user: UserOption = None,
    as_json: AsJson = False,
) -> None:
    """Say that something is normal: it ends, and its like is not told again."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            known = [each.id for each in (await clients.usage.unusual_use(home.id)).items]
            found = [each for each in known if each.startswith(episode.lower())]
            answer = await clients.usage.call_normal(home.id, found[0] if len(found) == 1 else episode)
        output.document(msgspec.to_builtins(answer))
        output.table(_COLUMNS, [_row(answer, home.time_zone)])

    run(context, command, as_json=as_json)


def watch(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    user: UserOption = None,
    notices: Annotated[int | None, typer.Option(min=0, max=100, help="At most so many notices in 30 days.")] = None,
    mute: Annotated[list[int] | None, typer.Option(help="Do not watch this device; may be repeated.")] = None,
    unmute: Annotated[list[int] | None, typer.Option(help="Watch this device again; may be repeated.")] = None,
    month_limit: Annotated[
        float | None, typer.Option(min=0, max=1e6, help="Warn when a month will use more kWh than this; 0: do not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show, or change, how a home is watched: for what is unusual, and for the limit of its months."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services
        from energy_tracker.contracts.unusual import WatchBody

        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            answer = await clients.usage.watch(home.id)
            if notices is not None or mute or unmute or month_limit is not None:
                muted = sorted({*answer.muted_device_ids, *(mute or ())} - {*(unmute or ())})
                wanted = answer.notices_a_month if notices is None else notices
                wishes: dict[str, object] = {"noticesAMonth": wanted, "mutedDeviceIds": muted}
                if month_limit is not None:
                    wishes["monthLimitKwh"] = month_limit or None
                body = WatchBody.model_validate(wishes)
                answer = await clients.usage.change_watch(home.id, body)
        output.document(msgspec.to_builtins(answer))
        muted_ids = ", ".join(map(str, answer.muted_device_ids)) or "none"
        output.line(f"At most {answer.notices_a_month} notices in 30 days; devices that are not watched: {muted_ids}.")
        limit = answer.month_limit_kwh
        output.line("Months have no limit." if limit is None else f"A month's limit is {limit:g} kWh.")

    run(context, command, as_json=as_json)


def rehearse(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    rule: Annotated[str, typer.Argument(help="high-usage, silent-device, unusual-use or month-limit.")],
    user: UserOption = None,
    days: Annotated[int, typer.Option(min=1, max=93, help="The last so many days, today included.")] = 30,
    start: FromOption = None,
    end: ToOption = None,
    threshold: Annotated[
        float | None, typer.Option(help="kWh within an hour, for high-usage; kWh a month, for month-limit.")
    ] = None,
    silent_after: Annotated[str | None, typer.Option(help="Such as PT1H, for silent-device.")] = None,
    notices: Annotated[int | None, typer.Option(min=0, max=100, help="The budget, for unusual-use.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say when a rule would have told something over the stored past, how that ended, and in how many mails."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import services
        from energy_tracker.contracts.readings import Rule as Rules

        if rule not in get_args(Rules):
            message = f"{rule!r} is not one of {', '.join(get_args(Rules))}."
            raise typer.BadParameter(message, param_hint="RULE")
        given = {"thresholdKwh": threshold, "silentAfter": silent_after, "noticesAMonth": notices}
        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        async with services(settings) as clients:
            home = await chosen_user(clients, user)
            start_ms, end_ms = period_ms(start, end, days=days, zone=home.time_zone, now=clients.clock.now())
            answer = await clients.usage.rehearse(
                home.id, rule=cast("Rule", rule), start_ms=start_ms, end_ms=end_ms, options=options
            )
        output.document(msgspec.to_builtins(answer))
        zone = home.time_zone
        output.table(
            ("opened, ended", "told", "message"),
            [
                (
                    local_time(each.opened_at, zone)
                    + ("" if each.ended_at is None else f"\n{local_time(each.ended_at, zone)}"),
                    "held" if each.held else "yes",
                    each.message,
                )
                for each in answer.episodes
            ],
            empty="Nothing would have been told.",
        )
        output.line(f"{answer.mails} mails, from {local_time(answer.from_, zone)} to {local_time(answer.to, zone)}.")

    run(context, command, as_json=as_json)
