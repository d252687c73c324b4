"""`alerts`: what is or was wrong, saying that it was seen, and the mails about it."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from energy_tracker.cli import outdoor_command, unusual_commands
from energy_tracker.cli.output import AsJson, Output, local_time
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.cli.access import Clients
    from energy_tracker.settings import Settings

_COLUMNS = ("id", ">user", "state", "opened, ended (UTC)", "mailed", "message")
_SHOWN_ID = 8
_WHOLE_ID = 32


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    alerts = typer.Typer(no_args_is_help=True, help="Alerts: episodes in which something was wrong.")
    alerts.command("list")(list_alerts)
    alerts.command("ack")(acknowledge)
    alerts.command("outbox")(outbox)
    unusual_commands.add_to(alerts)
    outdoor_command.add_to(alerts)
    app.add_typer(alerts, name="alerts")


def _row(alert: Any) -> tuple[object, ...]:
    return (
        alert.id[:_SHOWN_ID],
        alert.user_id,
        alert.state,
        local_time(alert.opened_at) + ("" if alert.ended_at is None else f"\n{local_time(alert.ended_at)}"),
        "yes" if alert.sent else "no",
        alert.message,
    )


def list_alerts(
    context: typer.Context,
    user: Annotated[int | None, typer.Option("--user", help="Only those of this user.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="open, acknowledged or ended; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the episodes, newest first."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        states = cast("Any", tuple(state or ()))
        async with services(settings) as clients:
            if user is None:
                alerts = [alert async for alert in clients.alerts.iterate(states=states)]
            else:
                alerts = await clients.alerts.of_user(user, states=states)
        output.document([alert.model_dump(by_alias=True, mode="json", exclude_none=True) for alert in alerts])
        output.table(_COLUMNS, [_row(alert) for alert in alerts], empty="No alerts.")

    run(context, command, as_json=as_json)


def acknowledge(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(help="The id of the episode, or how it begins.")],
    as_json: AsJson = False,
) -> None:
    """Say that an episode was seen."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            answer = await clients.alerts.acknowledge(await _whole_id(clients, alert))
        output.document(answer.model_dump(by_alias=True, mode="json", exclude_none=True))
        output.table(_COLUMNS, [_row(answer)])

    run(context, command, as_json=as_json)


async def _whole_id(clients: "Clients", beginning: str) -> str:
    """Return the one id that begins so; what is given where it is not exactly one (the service says why not)."""
    if len(beginning) >= _WHOLE_ID:
        return beginning
    found = [alert.id async for alert in clients.alerts.iterate() if alert.id.startswith(beginning.lower())]
    return found[0] if len(found) == 1 else beginning


def outbox(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the mails, newest first: sent, waiting, or held because there is no mail server."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            page = await clients.alerts.outbox(limit=limit)
        output.document(page.model_dump(by_alias=True, mode="json"))
        output.table(
            (">id", "state", "created (UTC)", "to, subject", ">tries", "last error"),
            [
                (m.id, m.state, local_time(m.created_at), f"{m.to}\n{m.subject}", m.attempts, m.last_error)
                for m in page.items
            ],
            empty="No mails.",
        )

    run(context, command, as_json=as_json)
