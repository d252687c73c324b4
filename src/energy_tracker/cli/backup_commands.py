"""`backup` and `restore`: the whole data folder in one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="A folder to put it into, or the name of a .tar.gz.")],
    as_json: AsJson = False,
) -> None:
    """Copy all data, also while everything runs."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import on_a_folder
        from energy_tracker.cli.backup import back_up
        from energy_tracker.kit.clock import SystemClock

        path, manifest = back_up(on_a_folder(settings), target, now=SystemClock().now())
        output.document({"backup": str(path), **msgspec.to_builtins(manifest)})
        output.table(("file", ">bytes", "sha256"), [(f.name, f"{f.size:,}", f.sha256) for f in manifest.files])
        output.line(f"Backed up to {path}")

    run(context, command, as_json=as_json)


def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A backup: the .tar.gz, or the folder.")],
    replace: Annotated[bool, typer.Option("--replace", help="Move the data that is there aside.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup into the data folder; nothing may run on it."""

    async def command(settings: "Settings", output: Output) -> None:
        import msgspec

        from energy_tracker.cli.access import on_a_folder
        from energy_tracker.cli.backup import restore as restore_backup

        manifest = restore_backup(source, on_a_folder(settings), replace=replace)
        output.document({"home": str(settings.home), **msgspec.to_builtins(manifest)})
        output.line(f"Restored the backup of {manifest.created_at} to {settings.home}")

    run(context, command, as_json=as_json)
