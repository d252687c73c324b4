"""`detect FILE`: a line for each point, what cannot be used is named, nothing is kept."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine

HEAD = "timestamp,value,score,kind"


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "home")


def rows(size: int = 700) -> list[str]:
    rng = random.Random(3)
    values = [rng.gauss(50, 1) for _ in range(size)]
    values[-50] = 90.0
    return [
        f"2014-04-{1 + at // 288:02}T{at % 288 // 12:02}:{at % 12 * 5:02}:00Z,{value:.3f}"
        for at, value in enumerate(values)
    ]


def test_each_point_gets_a_line_and_the_strange_one_a_kind(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("\n".join(["timestamp,value", *rows()]) + "\n")
    head, *scored = line.run("detect", file).stdout.splitlines()
    assert head == HEAD
    assert [each.rsplit(",", 2)[0] for each in scored] == rows()
    *_, score, kind = scored[650].split(",")
    assert float(score) > 0.65
    assert kind
    assert not (tmp_path / "home").exists()


def test_standard_input_a_file_and_a_packed_file_say_the_same(line: CommandLine, tmp_path: Path) -> None:
    text = "\n".join(rows())
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    plain = line.run("detect", tmp_path / "plain.csv").stdout
    assert line.run("detect", tmp_path / "packed.csv.gz").stdout == plain
    assert line.run("detect", "-", given=text).stdout == plain


def test_the_output_for_a_prefix_is_a_prefix_of_the_output(line: CommandLine) -> None:
    whole = line.run("detect", "-", given="\n".join(rows()) + "\n").stdout
    assert whole.startswith(line.run("detect", "-", given="\n".join(rows()[:660]) + "\n").stdout)


def test_lines_that_cannot_be_used_are_named_and_left_out(line: CommandLine) -> None:
    bad = ["2014-04-01,", "yesterday,1", "2014-04-01,nan", "2014-04-01", "2014-04-01,1e999", "2014-04-01,1_0"]
    given = "\n".join(["timestamp,value", "2014-04-01 00:00:00,1", *bad, "", "2014-04-01 00:05:00,2"])
    result = line.run("detect", "-", given=given, code=1)
    assert [each.split(",")[1] for each in result.stdout.splitlines()] == ["value", "1", "2"]
    assert [f"Line {number} is left out" in result.stderr for number in range(2, 11)] == [
        False, True, True, True, True, True, True, False, False,
    ]  # fmt: skip
    assert "the value is missing" in result.stderr
    assert "6 lines were left out." in result.stderr


def test_only_the_first_bad_lines_are_named(line: CommandLine) -> None:
    result = line.run("detect", "-", given="1,x\n" * 5000, code=1)
    assert result.stderr.count("\n") == 21
    assert "5,000 lines were left out." in result.stderr


@pytest.mark.parametrize("given", ["", "\n\n", "timestamp,value\n", "\ufefftimestamp,value\n"])
def test_a_file_without_points_gives_none(line: CommandLine, given: str) -> None:
    assert line.run("detect", "-", given=given).stdout == HEAD + "\n"


@pytest.mark.parametrize(
    "instant",
    [
        "2014-04-01 00:00:00",
        "2014-04-01T00:00:00+02:00",
        "2014-04-01T00:00:00.000000Z",
        "1396310400",
        "1396310400000.5",
    ],
)
def test_times_are_taken_in_many_forms_and_given_back_as_they_came(line: CommandLine, instant: str) -> None:
    assert line.run("detect", "-", given=f"{instant},7.50\n").stdout.splitlines()[1] == f"{instant},7.50,0.000000,"


def test_a_header_says_where_the_columns_are(line: CommandLine) -> None:
    given = "name,Value,Timestamp\nx,5,2014-04-01\n"
    assert line.run("detect", "-", given=given).stdout.splitlines()[1] == "2014-04-01,5,0.000000,"


def test_ndjson_for_programs(line: CommandLine) -> None:
    result = line.run("detect", "-", "--format", "ndjson", given="2014-04-01,5\n")
    assert json.loads(result.stdout) == {"timestamp": "2014-04-01", "value": 5.0, "score": 0.0, "kind": ""}


def test_a_wrong_command_line_and_a_missing_file(line: CommandLine, tmp_path: Path) -> None:
    line.run("detect", "-", "--format", "xml", given="", code=2)
    assert "No such file" in line.run("detect", tmp_path / "none.csv", code=1).stderr
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    assert "gzip" in line.run("detect", tmp_path / "broken.csv.gz", code=1).stderr


def test_a_line_without_end_is_refused_instead_of_read(line: CommandLine) -> None:
    result = line.run("detect", "-", given="1," + "9" * 1_000_000, code=1)
    assert "longer than" in result.stderr


def test_a_point_is_answered_before_the_next_one_comes() -> None:
    command = [sys.executable, "-c", "from energy_tracker.cli.main import main; main()", "detect", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for at in range(3):
            process.stdin.write(f"{at},1\n")
            process.stdin.flush()
            if at == 0:
                assert process.stdout.readline() == HEAD + "\n"
            assert process.stdout.readline() == f"{at},1,0.000000,\n"
        process.stdin.close()
    assert process.returncode == 0


def test_a_long_series_needs_no_more_memory_than_a_short_one() -> None:
    script = (
        "import resource, sys\n"
        "from energy_tracker.cli.main import build_app\n"
        "try:\n build_app()(['detect', '-'])\n"
        "except SystemExit:\n pass\n"
        "sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))\n"
    )

    def peak_kib(points: int) -> int:
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.writelines(f"{300 * at},{at * 7919 % 1000}\n" for at in range(points))
            process.stdin.close()
            return int(process.stderr.read())

    assert peak_kib(60_000) < peak_kib(20_000) + 4_096
