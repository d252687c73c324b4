"""`detect`: how strange each point of any series is."""

import csv
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from energy_tracker.cli.left_out import LeftOut
from energy_tracker.cli.output import Output
from energy_tracker.cli.running import guard

if TYPE_CHECKING:
    from energy_tracker.cli.series_points import Point
    from energy_tracker.services.usage.model.series_detection.detector import PointScore


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect)


def detect(
    file: Annotated[str, typer.Argument(help="A CSV file of timestamp,value (.gz too), or - for standard input.")],
    form: Annotated[str, typer.Option("--format", help="csv or ndjson.")] = "csv",
) -> None:
    """Score each point of a series of timestamp,value: 0 (as ever) to 1 (never seen the like), and what is strange.

    Only the points before count, so it can follow a series that is still being written. Alarm from 0.65: plain noise
    reaches that once in about 1 000 points, 0.8 once in 5 000. An event is scored where it begins; what belongs to it
    stays at 0.4 or below. Lines that cannot be used are named on standard error and left out; the exit code is then 1.
    """
    if form not in {"csv", "ndjson"}:
        raise typer.BadParameter("The format is csv or ndjson.", param_hint="--format")
    output = Output(as_json=False)
    guard(lambda: _detect(file, form, output), output)


def _detect(file: str, form: str, output: Output) -> None:
    from energy_tracker.cli.series_points import opened, read_points
    from energy_tracker.services.usage.model.series_detection.detector import SeriesDetector

    left_out = LeftOut(output)
    detector = SeriesDetector()
    write = _writer(form, sys.stdout)
    with opened(file) as lines:
        for point in read_points(lines, left_out):
            write(point, detector.score(point.instant_s, point.value))
            if file == "-":  # somebody may be waiting for the point that was just written
                sys.stdout.flush()
    if left_out.count:
        left_out.fail()


def _writer(form: str, stream: TextIO) -> "Callable[[Point, PointScore], object]":
    if form == "ndjson":
        import msgspec

        encode = msgspec.json.encode
        return lambda point, scored: stream.write(
            encode(
                {
                    "timestamp": point.instant_text,
                    "value": point.value,
                    "score": round(scored.score, 6),
                    "kind": scored.kind,
                }
            ).decode()
            + "\n"
        )
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("timestamp", "value", "score", "kind"))
    return lambda point, scored: writer.writerow(
        (point.instant_text, point.value_text, f"{scored.score:.6f}", scored.kind)
    )
