"""`insight`: where the energy goes, and what could be done."""

from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("insight")(insight)


def insight(
    context: typer.Context,
    user: Annotated[int, typer.Option("--user", help="The id of the user.")],
    tips: Annotated[
        bool, typer.Option("--tips", help="What could be saved, instead of where the energy goes.")
    ] = False,
    days: Annotated[int | None, typer.Option(min=1, help="Look at the last so many days.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show where a home's energy goes, with the facts it rests on."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            answer = await (clients.insight.saving_tips if tips else clients.insight.overview)(user, days=days)
        output.document(answer.model_dump(by_alias=True, mode="json"))
        output.line(answer.tips)
        output.table(
            ("fact", ">value", "unit", "what", "period", "how"),
            [(fact.id, fact.value, fact.unit, fact.label, fact.period, fact.how) for fact in answer.facts],
        )

    run(context, command, as_json=as_json)
