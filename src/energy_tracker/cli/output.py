"""What a command prints: tables and sentences for a person, one JSON document for a program."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from energy_tracker.kit.problems import Problem

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, for a program.")]

NOTHING: Final = "\N{EN DASH}"
"""What stands in a table where nothing was measured; never 0."""

_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def inert(text: object) -> str:
    """Return a text that cannot steer a terminal: control characters are shown as what they are."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's results go. Results are on standard output, everything else on standard error."""

    as_json: bool

    def document(self, document: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print the result as JSON; does nothing for a person, who gets tables."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, empty: str = ""
    ) -> None:
        """Print a table for a person; without rows the sentence `empty`, if given.

        A column whose name begins with `>` holds figures and is set to the right.
        """
        if self.as_json:
            return
        rows = list(rows)
        if empty and not rows:
            self.line(empty)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(title=None if title is None else Text(inert(title)), title_justify="left", box=None)
        for column in columns:
            if column.startswith(">"):
                table.add_column(column[1:], justify="right", no_wrap=True)
            else:
                table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(NOTHING if cell is None else inert(cell)) for cell in row))
        self.console().print(table)

    def line(self, text: str) -> None:
        """Print a sentence that belongs to the result, for a person."""
        if not self.as_json:
            sys.stdout.write(inert(text) + "\n")

    def note(self, text: str) -> None:
        """Print a sentence beside the result, on standard error."""
        sys.stderr.write(inert(text) + "\n")

    def problem(self, problem: Problem) -> None:
        """Print what went wrong: a sentence, then the fields; as JSON the problem document (RFC 9457)."""
        self.note(f"{problem.title}: {problem.detail}" if problem.detail else f"{problem.title}.")
        for error in problem.errors:
            self.note(f"  {error.pointer}: {error.detail}")
        self.document(problem.body())

    def console(self) -> "Console":
        """Return rich's console on standard output."""
        from rich.console import Console

        return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches standard error, where progress and questions are shown."""
        return sys.stderr.isatty() and sys.stdin.isatty()


def local_time(moment: datetime | str, zone: str = "UTC") -> str:
    """Return an instant on a zone's clock, to the minute; seconds only where there are some."""
    local = (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(ZoneInfo(zone))
    return local.strftime("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M")


def kwh(energy_kwh: float | None) -> str | None:
    """Write kWh for a table."""
    return None if energy_kwh is None else f"{energy_kwh:,.3f}"
