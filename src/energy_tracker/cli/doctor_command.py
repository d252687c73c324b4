"""`doctor`: what is wrong, and how to mend it."""

import os
from collections import Counter

import typer

from energy_tracker.cli import exits
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import CommandFailed, Globals, guard


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look at every part that is needed, and say how to mend what is wrong. Changes nothing.

    With `--at` (or ENERGY_TRACKER_SERVICES_AT) it asks the services there how they are; otherwise it looks at the data
    folder, its databases, the ports, and the servers that settings name.
    """
    output = Output(as_json)
    guard(lambda: _examine(context, output), output)


def _examine(context: typer.Context, output: Output) -> None:
    from energy_tracker.cli.doctor import examine, wrong_settings
    from energy_tracker.settings import InvalidConfiguration, load_settings

    environ = dict(os.environ)
    given = context.find_object(Globals)
    if given is not None and given.home is not None:
        environ["ENERGY_TRACKER_HOME"] = str(given.home)
    if given is not None and given.at is not None:
        environ["ENERGY_TRACKER_SERVICES_AT"] = given.at
    try:
        findings = list(examine(load_settings(environ)))
    except InvalidConfiguration as error:
        findings = list(wrong_settings(error.errors))
    counts = Counter(finding.verdict for finding in findings)
    output.document({"ok": not counts["broken"], "findings": [finding.document() for finding in findings]})
    output.table(("", "part", "state", "what to do"), [(f.verdict, f.part, f.detail, f.mend) for f in findings])
    output.line(f"{counts['ok']} ok, {counts['warning']} to watch, {counts['broken']} broken")
    if counts["broken"]:
        raise CommandFailed(exits.FAILED)
