"""Lines of a file that cannot be used: the first ones are named as they come, and in the end all are counted."""

from dataclasses import dataclass
from typing import Final

from energy_tracker.cli import exits
from energy_tracker.cli.output import Output
from energy_tracker.cli.running import CommandFailed

_SHOWN: Final = 20


@dataclass(slots=True)
class LeftOut:
    """Called with the number of a line, and why it is left out."""

    output: Output
    count: int = 0

    def __call__(self, line: int, reason: str) -> None:
        """Take one more."""
        self.count += 1
        if self.count <= _SHOWN:
            self.output.note(f"Line {line} is left out: {reason}.")

    def fail(self) -> None:
        """Say how many there were, and end the command as failed."""
        self.output.note(f"{self.count:,} {'line was' if self.count == 1 else 'lines were'} left out.")
        raise CommandFailed(exits.FAILED)
