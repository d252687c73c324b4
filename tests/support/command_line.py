"""Running commands as a person does, inside this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from energy_tracker.cli.main import build_app


@dataclass(frozen=True)
class CommandLine:
    """Commands on one data folder."""

    home: Path

    def run(self, *arguments: object, code: int = 0, given: str | bytes | None = None) -> Result:
        """Run a command that ends with `code`."""
        runner = CliRunner(env={"COLUMNS": "300", "ENERGY_TRACKER_HOME": None})
        result = runner.invoke(build_app(), ["--home", str(self.home), *(str(each) for each in arguments)], input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
        return result

    def ask(self, *arguments: object, code: int = 0, given: str | bytes | None = None) -> Any:
        """Run a command with --json and return what it says."""
        return json.loads(self.run(*arguments, "--json", code=code, given=given).stdout)
