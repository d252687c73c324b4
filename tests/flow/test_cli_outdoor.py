"""`alerts outdoor` on a data folder: files as weather services give them."""

from pathlib import Path

from tests.support.command_line import CommandLine


def test_the_cold_outside_is_told_by_files_and_shown(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "home")
    cli.ask("users", "create", "--name", "Me", "--email", "me@example.org", "--zone", "America/New_York")
    assert "is not known" in cli.run("alerts", "outdoor").stdout
    cli.ask("alerts", "outdoor", "-", given="date,mean\n2026-11-20,-2.5\n2026-11-21,4\n")
    hourly = "timestamp,value\n2026-11-22T04:30:00Z,9\n2026-11-22T05:30:00Z,1\n2026-11-23T04:30:00Z,3\nyesterday,1\n"
    shown = cli.run("alerts", "outdoor", "-", given=hourly)
    assert "Line 5 is left out" in shown.stderr
    assert "Known for 3 days, 2026-11-20 to 2026-11-22: from -2.5 °C (2026-11-20) to 9 °C (2026-11-21)." in shown.stdout
    days = cli.ask("alerts", "outdoor")["days"]
    assert [day["meanC"] for day in days] == [-2.5, 9.0, 2.0], "a day is the home's own, and the last word counts"
    cli.run("alerts", "outdoor", "-", given="date,mean\n2026-11-20,451\n", code=2)
    cli.run("alerts", "outdoor", tmp_path / "missing.csv", code=1)
