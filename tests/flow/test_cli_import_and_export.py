"""From a file to figures, and back to a file, on a data folder on which nothing runs."""

import gzip
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine

WINDOW = ("--from", "2026-09-07T00:00:00Z", "--to", "2026-09-09T00:00:00Z")
START = datetime(2026, 9, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def with_user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("user")
    CommandLine(home).run("users", "create", "--name", "Me", "--email", "me@example.org", "--zone", "Europe/Berlin")
    return home


@pytest.fixture
def line(with_user: Path, tmp_path: Path) -> CommandLine:
    shutil.copytree(with_user, tmp_path / "home")
    return CommandLine(tmp_path / "home")


@pytest.fixture
def second(with_user: Path, tmp_path: Path) -> CommandLine:
    shutil.copytree(with_user, tmp_path / "second")
    return CommandLine(tmp_path / "second")


def plugs(minutes: int = 300) -> list[str]:
    rng = random.Random(3)
    return [
        f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ},{device},{kind},{place},{round(rng.random() * 900, 1)}"
        for minute in range(minutes)
        for device, kind, place in (("=Kettle", "MISC", "Kitchen"), ("TV", "TV", "Living room"))
        if rng.random() > 0.05
    ]


HEADER = "timestamp,device,type,location,power_w"


def write(path: Path, rows: list[str]) -> Path:
    data = "\n".join([HEADER, *rows, ""]).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_a_file_is_imported_once_however_often_and_in_whatever_pieces(
    line: CommandLine, second: CommandLine, tmp_path: Path
):
    rows = plugs()
    whole = write(tmp_path / "plugs.csv.gz", rows)
    first = line.ask("import", whole, "--user", 1, "--max-hold", "PT1M")
    assert (first["rows"], first["accepted"], first["duplicate"], first["rejected"]) == (len(rows), len(rows), 0, 0)
    assert [(device["name"], device["created"]) for device in first["devices"]] == [("=Kettle", True), ("TV", True)]
    assert first["derived"] is True
    again = line.ask("import", whole, "--user", 1, "--max-hold", "PT1M")
    assert (again["accepted"], again["duplicate"]) == (0, len(rows))
    kettle = line.ask("devices", "list", "--user", 1)[0]
    assert (kettle["kind"], kettle["maxHold"], kettle["location"]) == ("power", "PT1M", "Kitchen")

    mixed = [*rows[:1], *random.Random(1).sample(rows[1:], len(rows) - 1)]
    for number in range(3):
        part = write(tmp_path / f"part{number}.csv", mixed[number::3])
        second.ask("import", part, "--user", 1, "--max-hold", "PT1M")
    figures = [each.ask("usage", "--user", 1, *WINDOW, "--resolution", "hour") for each in (line, second)]
    totals = [
        {device["name"]: device["buckets"] for device in answer["devices"]} | {"": answer["total"]}
        for answer in figures
    ]
    assert totals[0] == totals[1]
    assert any(bucket["importKwh"] for bucket in totals[0]["TV"])


def test_what_is_exported_gives_the_same_figures_elsewhere(line: CommandLine, second: CommandLine, tmp_path: Path):
    line.ask("import", write(tmp_path / "plugs.csv", plugs(120)), "--user", 1)
    meter = tmp_path / "meter.csv"
    counter = [f"{1000 + hour * 0.3:.1f}".replace(".", ",") for hour in range(30)]
    rows = [f"{7 + hour // 24:02}.09.2026 {hour % 24:02}:00;{value}" for hour, value in enumerate(counter)]
    meter.write_text("\n".join(["Zeit;Zählerstand kWh", *rows, ""]), encoding="utf-16")
    found = line.ask("import", meter, "--user", 1)
    assert (found["accepted"], found["devices"][0]["name"]) == (30, "Zählerstand kWh")
    assert line.ask("devices", "list")[2]["kind"] == "register"
    for target in (tmp_path / "out.csv.gz", tmp_path / "out.csv"):
        line.run("export", "--user", 1, target)
    text = (tmp_path / "out.csv").read_text()
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()).decode() == text
    assert ",'=Kettle," in text
    assert ",=Kettle," not in text
    result = second.ask("import", tmp_path / "out.csv", "--user", 1)
    assert result["accepted"] == text.count("\n") - 1
    assert line.ask("usage", "--user", 1, *WINDOW) == second.ask("usage", "--user", 1, *WINDOW)
    assert second.ask("import", tmp_path / "out.csv", "--user", 1)["accepted"] == 0
    days = line.run("export", "--user", 1, "--series", "day", *WINDOW).stdout.splitlines()
    assert days[0] == "device,start,end,import_kwh,export_kwh,estimated_kwh,coverage"
    assert days[1].startswith("'=Kettle,2026-09-07T00:00:00Z,")
    lines = line.run("export", "--user", 1, "--format", "ndjson", "--device", 2).stdout.splitlines()
    assert '"device":"TV"' in lines[0]


def test_bad_rows_stop_it_before_anything_is_stored_unless_told_otherwise(line: CommandLine, tmp_path: Path):
    file = write(tmp_path / "plugs.csv", [*plugs(5), "2026-09-07T01:00:00Z,TV,TV,Living room,NaN"])
    stopped = line.ask("import", file, "--user", 1, code=1)
    assert stopped["accepted"] == 0
    assert stopped["rejections"][0]["column"] == "power_w"
    assert line.ask("devices", "list") == []
    gone_on = line.ask("import", file, "--user", 1, "--yes", code=1)
    assert (gone_on["accepted"], gone_on["rejected"]) == (len(plugs(5)), 1)


def test_a_reading_that_the_service_refuses_is_named_by_its_line(line: CommandLine, tmp_path: Path):
    file = write(tmp_path / "plugs.csv", [*plugs(3), "2026-09-07T01:00:00Z,TV,TV,Living room,-5"])
    result = line.ask("import", file, "--user", 1, code=1)
    assert (result["rejected"], result["rejections"][0]["line"]) == (1, len(plugs(3)) + 2)


def test_a_device_of_another_kind_is_left_alone(line: CommandLine, tmp_path: Path):
    line.run("devices", "create", "--user", 1, "--name", "TV", "--kind", "register")
    problem = line.ask("import", write(tmp_path / "plugs.csv", plugs(3)), "--user", 1, "--yes", code=1)
    assert problem["status"] == 409
    assert "sends kind register, the file holds power" in problem["detail"]
    readings = line.run("export", "--user", 1).stdout.splitlines()
    assert all(row.startswith(",") for row in readings[1:])  # devices, and no reading of any


def test_standard_input_and_intervals_stamped_at_their_start(line: CommandLine):
    rows = "\n".join(
        f"2011-07-01 {hour:02}:{minute:02}:00,0.25,0.0{hour % 7}" for hour in range(24) for minute in (0, 30)
    )
    result = line.ask(
        *("import", "-", "--user", 1, "--zone", "Australia/Brisbane", "--stamp", "start", "--value", "GG"),
        *("--direction", "export", "--kind", "interval"),
        given=f",GC,GG\n{rows}\n",
    )
    assert (result["accepted"], result["from"]) == (48, "2011-06-30T14:30:00Z")
    usage = line.ask(
        "usage", "--user", 1, "--from", "2011-06-30T14:00:00Z", "--to", "2011-07-01T14:00:00Z", "--resolution", "hour"
    )
    assert usage["devices"][0]["buckets"][1]["exportKwh"] == pytest.approx(0.02)
    assert {bucket["coverage"] for bucket in usage["devices"][0]["buckets"]} == {1.0}


def test_mistakes_are_sentences_with_exit_codes(line: CommandLine, tmp_path: Path):
    assert "no such file" in line.run("import", tmp_path / "none.csv", "--user", 1, code=1).stderr.lower()
    assert "not one of" in line.run("import", "-", "--user", 1, "--kind", "volts", given="", code=2).stderr
    assert "ISO-8601" in line.run("import", "-", "--user", 1, "--period", "5 minutes", given="", code=2).stderr
    empty = line.ask("import", "-", "--user", 1, given="", code=1)
    assert empty["detail"] == "The file is empty."
    missing = line.ask("import", write(tmp_path / "p.csv", plugs(3)), "--user", 1, "--value", "watts", code=1)
    assert "'power_w'" in missing["detail"]
    assert line.ask("import", tmp_path / "p.csv", "--user", 77, code=1)["status"] == 404
    assert line.ask("users", "create", "--name", "X", "--email", "x@example.org", "--threshold", -1, code=1)["errors"]


def test_figures_can_be_explained_rebuilt_and_advised_on(line: CommandLine, tmp_path: Path):
    line.ask("import", write(tmp_path / "plugs.csv", plugs(60)), "--user", 1)
    explained = line.ask("explain", "--user", 1, "--device", 2, *WINDOW)
    usage = line.ask("usage", "--user", 1, *WINDOW, "--device", 2)
    assert explained["importKwh"] == pytest.approx(sum(b["importKwh"] or 0 for b in usage["devices"][0]["buckets"]))
    assert "held until" in line.run("explain", "--user", 1, "--device", 2, *WINDOW).stdout
    assert line.ask("rebuild")["readings"] == len(plugs(60))
    assert line.ask("usage", "--user", 1, *WINDOW, "--device", 2) == usage
    assert line.ask("insight", "--user", 1)["userId"] == 1
    assert line.ask("alerts", "list") == []
    assert line.ask("alerts", "outbox")["items"] == []


def test_a_simulated_home_scores_full_marks(line: CommandLine, tmp_path: Path):
    truth, file = tmp_path / "truth.jsonl", tmp_path / "home.csv.gz"
    window = ("--from", "2026-09-07", "--to", "2026-09-08")
    faults = "lost=0.01,duplicate=0.05,late=0.02"
    made = line.ask("simulate", "--file", file, "--truth", truth, "--faults", faults, *window)
    sent = line.ask("simulate", "--user", 1, "--faults", faults, *window)
    assert sent["sent"] == made["written"]
    assert line.ask("score", truth, "--user", 1)["passed"] is True


def test_an_hour_that_is_not_over_is_not_judged(line: CommandLine, tmp_path: Path):
    truth = tmp_path / "truth.jsonl"
    window = ("--from", "2026-09-07", "--to", "2026-09-07T13:20:30Z")
    made = line.ask("simulate", "--user", 1, "--truth", truth, *window)
    assert (made["from"], made["to"]) == ("2026-09-07T00:00:00Z", "2026-09-07T13:20:30Z")
    result = line.ask("score", truth, "--user", 1)
    assert result["passed"] is True
    assert {device["buckets"] for device in result["devices"]} == {13}


def test_devices_without_readings_and_all_their_fields_are_exported_too(
    line: CommandLine, second: CommandLine, tmp_path: Path
):
    made = ("devices", "create", "--user", 1)
    meter = line.ask(*made, "--name", "Meter", "--kind", "register", "--rated-power", 24_000)["id"]
    line.ask(*made, "--name", "Pump", "--kind", "power", "--silent-after", "PT2H", "--parent", meter)
    line.ask(
        "import", "-", "--user", 1, given="time,device,W\n2026-09-07T00:00:00Z,Pump,5\n2026-09-07T00:01:00Z,Pump,6\n"
    )
    line.run("export", "--user", 1, tmp_path / "out.csv")
    assert second.ask("import", tmp_path / "out.csv", "--user", 1)["accepted"] == 2
    assert second.ask("devices", "list") == line.ask("devices", "list")
