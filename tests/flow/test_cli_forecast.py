"""`forecast` on a data folder: a person reads sentences, a program the answer, and neither a number that is made up."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.command_line import CommandLine


def rows(days: int) -> str:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = (now - timedelta(hours=hour) for hour in reversed(range(days * 24)))
    return "time,power_w\n" + "".join(
        f"{each:%Y-%m-%dT%H:%M:%SZ},{900 if each.hour in {18, 19} else 200 + each.day}\n" for each in hours
    )


def test_a_forecast_of_the_home_and_of_a_device(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "home")
    cli.ask("users", "create", "--name", "Me", "--email", "me@example.org")
    early = cli.run("forecast").stdout
    assert "cannot be foreseen: Nothing was measured in the last 7 days." in early
    assert "This month has used \N{EN DASH} kWh so far." in early
    cli.ask("import", "-", "--max-hold", "PT1H", given=rows(20))
    answer = cli.ask("forecast")
    assert answer["deviceId"] is None
    assert 24 <= len(answer["hours"]) <= 49
    device = cli.ask("devices", "list")[0]["id"]
    assert cli.ask("forecast", "--device", device)["month"] == answer["month"]
    shown = cli.run("forecast").stdout
    assert "What comes next" in shown
    assert "it will end at" in shown
    assert "of the hours were between low and high (stated: 80%)" in shown
    cli.run("forecast", "--device", 99, code=1)
    cli.run("alerts", "rehearse", "month-limit", code=1)
    assert "A month's limit is 300 kWh." in cli.run("alerts", "watch", "--month-limit", 300).stdout
    assert cli.ask("alerts", "watch", "--notices", 2)["monthLimitKwh"] == 300
    assert cli.ask("alerts", "rehearse", "month-limit")["episodes"] == []
    assert cli.ask("alerts", "rehearse", "month-limit", "--threshold", 10)["episodes"] != []
    assert cli.ask("alerts", "watch", "--month-limit", 0)["monthLimitKwh"] is None
