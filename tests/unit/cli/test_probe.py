"""The health check of a container says what a service says, and loads nothing but the standard library."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from energy_tracker.cli import probe

DOWN = {"status": "DOWN", "components": {"kafka": {"status": "DOWN", "details": {}}}}


class Service(HTTPServer):
    """Answers the health of a service."""

    answer: tuple[int, dict[str, Any]] = (200, {"status": "UP"})
    asked: str = ""


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked = self.path
        status, body = self.server.answer
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """Stay silent."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_service_that_is_up_is_healthy(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([str(service.server_port)]) == 0
    assert service.asked == "/actuator/health"
    assert capsys.readouterr().out == ""


def test_one_that_is_down_says_what_is(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.answer = (503, DOWN)
    assert probe.main([str(service.server_port)]) == 1
    assert "kafka" in capsys.readouterr().out


def test_where_nothing_listens_nothing_is_healthy(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    port = service.server_port
    service.shutdown()
    service.server_close()
    assert probe.main([str(port)]) == 1
    assert f"no answer on port {port}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["8080", "8081"], ["usage"], ["-1"], [""]])
def test_other_arguments_are_a_mistake(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(arguments) == 2
    assert "PORT" in capsys.readouterr().err


def test_a_port_that_is_none_is_not_healthy() -> None:
    assert probe.main(["65536"]) == 1


def test_it_loads_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import energy_tracker.cli.probe;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["energy_tracker"]
