"""`alerts`: what is or was wrong, saying that it was seen, and the mails about it."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from energy_tracker.cli.output import AsJson, Output, kwh
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings

_COLUMNS = ("id", ">user", ">device", "rule", "state", "opened", "ended", ">kWh", ">threshold", "mailed", "message")


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    alerts = typer.Typer(no_args_is_help=True, help="Alerts: episodes in which something was wrong.")
    alerts.command("list")(list_alerts)
    alerts.command("ack")(acknowledge)
    alerts.command("outbox")(outbox)
    app.add_typer(alerts, name="alerts")


def _row(alert: Any) -> tuple[object, ...]:
    return (
        alert.id,
        alert.user_id,
        alert.device_id,
        alert.rule,
        alert.state,
        alert.opened_at,
        alert.ended_at,
        kwh(alert.energy_consumed),
        kwh(alert.threshold),
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
        output.table(_COLUMNS, [_row(alert) for alert in alerts])

    run(context, command, as_json=as_json)


def acknowledge(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(help="The id of the episode.")],
    as_json: AsJson = False,
) -> None:
    """Say that an episode was seen."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            answer = await clients.alerts.acknowledge(alert)
        output.document(answer.model_dump(by_alias=True, mode="json", exclude_none=True))
        output.table(_COLUMNS, [_row(answer)])

    run(context, command, as_json=as_json)


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
            (">id", "to", "subject", "kind", "state", ">attempts", "created", "sent", "last error"),
            [
                (m.id, m.to, m.subject, m.kind, m.state, m.attempts, m.created_at, m.sent_at, m.last_error)
                for m in page.items
            ],
        )

    run(context, command, as_json=as_json)
