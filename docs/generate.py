"""Writes docs/reference from the code; with `--check`, only says which page is stale."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from typer.main import get_command
from typer.testing import CliRunner

from energy_tracker.cli.main import build_app
from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.alert.api import AlertApi
from energy_tracker.services.device.api import DeviceApi
from energy_tracker.services.ingestion.api import IngestionApi
from energy_tracker.services.insight.api import InsightApi
from energy_tracker.services.usage.api import create_api as create_usage_api
from energy_tracker.services.usage.api_forecast import forecast_routes
from energy_tracker.services.usage.api_outdoor import outdoor_routes
from energy_tracker.services.usage.api_watch import watch_routes
from energy_tracker.services.user.api import UserApi
from energy_tracker.settings import PortSettings
from energy_tracker.settings.tree import Settings
from energy_tracker.settings.variables import Variable, variables_of

REFERENCE = Path(__file__).resolve().parent / "reference"
GENERATED = "<!-- Written by `make docs`. Change the code, not this page. -->\n"
HELP_WIDTH = 100
NOT_CALLED: Any = None  # stands where a use case would; routes are only described here, never called


def settings_page() -> str:
    """Return the page of all environment variables, one table for each section of the tree."""
    lines = [
        GENERATED,
        "# Settings",
        "",
        "All settings are environment variables; an empty one counts as not set. An unknown or misspelt one, or one",
        "whose value cannot be used, ends the start with a sentence that names it.",
        "",
        "A secret `X` may be given as `X_FILE` instead: the name of a file that holds it, as containers have them.",
    ]
    for section, group in groupby(variables_of(Settings), key=lambda variable: variable.path[:-1][:1]):
        rows = list(group)
        title = section[0].replace("_", " ").capitalize() if section else "General"
        lines += ["", f"## {title}", "", rows[0].section.__doc__ or "", ""]
        lines += ["| variable | default | value | meaning |", "|---|---|---|---|"]
        lines += [_setting_row(variable) for variable in rows]
    return "\n".join(lines) + "\n"


def _setting_row(variable: Variable) -> str:
    default = "" if variable.default is None else variable.default
    shown = f"`{default}`" if default and " " not in default else default
    alias = "" if variable.alias is None else f" (or `{variable.alias}`)"
    return f"| `{variable.name}`{alias} | {shown} | {variable.form} | {variable.description} |"


def http_page() -> str:
    """Return the page of all calls, one table for each service."""
    ports = PortSettings().model_dump()
    lines = [
        GENERATED,
        "# HTTP calls",
        "",
        "Each running service shows its calls with all fields at `/docs`, and as OpenAPI at `/openapi.json`.",
        "Errors are `application/problem+json` (RFC 9457). Times are instants in ISO-8601, energies kWh, powers W.",
    ]
    bare = _app("any")
    shared = bare.openapi()["paths"]
    lines += _calls("Every service", bare, ())
    for service, app in _described_apps():
        lines += _calls(f"{service}-service, port {ports[service]}", app, shared.keys())
    return "\n".join(lines) + "\n"


def _described_apps() -> Iterator[tuple[str, FastAPI]]:
    routers: Mapping[str, APIRouter] = {
        "user": UserApi(NOT_CALLED).router(),
        "device": DeviceApi(NOT_CALLED).router(),
        "ingestion": IngestionApi(NOT_CALLED).router(),
        "alert": AlertApi(NOT_CALLED).router(),
        "insight": InsightApi(NOT_CALLED).router(),
    }
    for service, router in routers.items():
        app = _app(service)
        app.include_router(router)
        yield service, app
    parts: dict[str, Any] = dict.fromkeys(("queries", "explain", "rebuild", "dead_letters"), NOT_CALLED)
    usage = create_usage_api(**parts, health=Health(), telemetry=Telemetry("usage"))
    usage.include_router(forecast_routes(NOT_CALLED))
    usage.include_router(watch_routes(NOT_CALLED, NOT_CALLED))
    usage.include_router(outdoor_routes(NOT_CALLED))
    yield "usage", usage


def _app(service: str) -> FastAPI:
    return create_app(service, description="", health=Health(), telemetry=Telemetry(service))


def _calls(title: str, app: FastAPI, without: Collection[str]) -> list[str]:
    rows = [
        _call_row(method, path, call)
        for path, calls in app.openapi()["paths"].items()
        if path not in without
        for method, call in calls.items()
    ]
    return ["", f"## {title}", "", "| call | what it does | answers |", "|---|---|---|", *rows]


def _call_row(method: str, path: str, call: Mapping[str, Any]) -> str:
    query = "&".join(item["name"] for item in call.get("parameters", []) if item["in"] == "query")
    target = f"{path}?{query}" if query else path
    answers = " ".join(sorted(code for code in call["responses"] if code != "default"))
    return f"| `{method.upper()} {target}` | {call.get('summary', '')} | {answers} |"


def cli_page() -> str:
    """Return the page of all commands: what each answers to `--help`."""
    app = build_app()
    runner = CliRunner()
    lines = [GENERATED, "# Commands", "", "What each command answers to `--help`."]
    for words in [(), *_commands(get_command(app), ())]:
        title = " ".join(("energy-tracker", *words))
        answer = runner.invoke(app, [*words, "--help"], prog_name="energy-tracker", terminal_width=HELP_WIDTH)
        if answer.exit_code != 0:
            raise RuntimeError(f"{title} --help failed: {answer.output}") from answer.exception
        text = "\n".join(line.rstrip() for line in answer.output.strip().splitlines())
        lines += ["", f"## {title}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield (*words, name)
            yield from _commands(inner, (*words, name))


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "http.md": http_page,
    "cli.md": cli_page,
}


def stale_pages() -> Iterator[tuple[Path, str]]:
    """Yield the path and the right text of every page that differs from what the code says."""
    for name, render in PAGES.items():
        path, text = REFERENCE / name, render()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main() -> int:
    """Write the stale pages, or with `--check` name them and fail."""
    check = sys.argv[1:] == ["--check"]
    stale = list(stale_pages())
    for path, text in stale:
        if not check:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.name} {'is stale; run make docs' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
