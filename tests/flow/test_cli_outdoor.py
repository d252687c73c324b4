"""`alerts outdoor` on a data folder: files as weather services give them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.command_line import CommandLine


def test_the_cold_outside_is_told_by_files_and_shown(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "home")
    cli.ask("users", "create", "--name", "Me", "--email", "me@example.org", "--zone", "America/New_York")
    assert "is not known" in cli.run("alerts", "outdoor").stdout
    first, second, third = (datetime.now(UTC).date() - timedelta(days=days) for days in (9, 8, 7))
    cli.ask("alerts", "outdoor", "-", given=f"date,mean\n{first},-2.5\n{second},4\n")
    hourly = f"timestamp,value\n{second}T00:30,8\n{second}T23:30,10\n{third}T00:30,3\nyesterday,1\n"
    shown = cli.run("alerts", "outdoor", "-", given=hourly, code=1)
    assert "Line 5 is left out" in shown.stderr
    assert "1 days are left out" in shown.stderr
    assert f"Known for 2 days, {first} to {second}: from -2.5 °C ({first}) to 9 °C ({second})." in shown.stdout
    assert [day["meanC"] for day in cli.ask("alerts", "outdoor")["days"]] == [-2.5, 9.0], "the last word counts"
    cli.run("alerts", "outdoor", "-", given=f"date,mean\n{first},451\n", code=1)
    cli.run("alerts", "outdoor", "-", given="", code=1)
    cli.run("alerts", "outdoor", tmp_path / "missing.csv", code=1)
    damaged = tmp_path / "damaged.csv.gz"
    damaged.write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03nonsense")
    cli.run("alerts", "outdoor", damaged, code=1)
    assert len(cli.ask("alerts", "outdoor")["days"]) == 2
