"""`insight`: where the energy goes, and what could be done."""

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.cli.homes import UserOption, chosen_user
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("insight")(insight)


def _wrapped(text: str) -> str:
    """Return a text in lines that fit the terminal, each on from the second set in."""
    width = min(100, shutil.get_terminal_size().columns)
    return "\n".join(textwrap.wrap(text, width, subsequent_indent="  "))


def insight(
    context: typer.Context,
    user: UserOption = None,
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
            home = await chosen_user(clients, user)
            answer = await (clients.insight.saving_tips if tips else clients.insight.overview)(home.id, days=days)
        output.document(answer.model_dump(by_alias=True, mode="json"))
        for finding in answer.tips.splitlines():
            output.line(f"{_wrapped(finding)}\n")
        output.table(
            ("fact", ">value", "unit", "what, and how it is known"),
            [(fact.id, fact.value, fact.unit, f"{fact.label}\n{fact.how}") for fact in answer.facts],
            title="What this rests on",
        )

    run(context, command, as_json=as_json)
