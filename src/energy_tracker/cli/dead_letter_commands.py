"""`dead-letters`: readings that could not be kept, why, and sending them through the log again."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from energy_tracker.cli.output import AsJson, Output, local_time
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.cli.access import Clients
    from energy_tracker.contracts.usage import DeadLetterBody
    from energy_tracker.settings import Settings

_COLUMNS = (">offset", "since (UTC)", "why", "as it came")
_PAGE = 1_000


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    letters = typer.Typer(no_args_is_help=True, help="Dead letters: readings that could not be kept, and why.")
    letters.command("list")(list_letters)
    letters.command("replay")(replay)
    app.add_typer(letters, name="dead-letters")


async def _all(clients: "Clients") -> "list[DeadLetterBody]":
    found: list[DeadLetterBody] = []
    page = await clients.usage.dead_letters(limit=_PAGE)
    found += page.items
    while page.next is not None:
        page = await clients.usage.dead_letters(after=page.next, limit=_PAGE)
        found += page.items
    return found


def list_letters(context: typer.Context, as_json: AsJson = False) -> None:
    """List the dead letters of the last 30 days, oldest first."""

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services

        async with services(settings) as clients:
            letters = await _all(clients)
        output.document(msgspec.to_builtins(letters))
        rows = [(letter.offset, local_time(letter.dead_since), letter.reason, letter.original) for letter in letters]
        output.table(_COLUMNS, rows, empty="No dead letters.")

    run(context, command, as_json=as_json)


def replay(
    context: typer.Context,
    offsets: Annotated[list[int] | None, typer.Argument(help="Offsets of dead letters, as `list` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters through the log again, once their cause is gone (such as a device that is registered now)."""
    if bool(offsets) == everything:
        raise typer.BadParameter("name offsets, or --all")

    async def command(settings: "Settings", output: Output) -> None:
        from energy_tracker.cli.access import services
        from energy_tracker.cli.sending import until_flow_has_none

        async with services(settings) as clients:
            chosen = offsets or [letter.offset for letter in await _all(clients)]
            replayed = (await clients.usage.replay(chosen)).replayed if chosen else 0
            await until_flow_has_none(clients, "lag")  # what is replayed is in no count of the ledger
        output.document({"replayed": replayed})
        output.note(f"{replayed} dead letters were sent through the log again.")

    run(context, command, as_json=as_json)
