"""A configuration that cannot be used: `up` ends at once, names the variable and what is right, and no secret."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from energy_tracker.wiring.standalone import SERVICES

SECRET = "correct-horse-battery"

CASES = [
    ({"ENERGY_TRACKER_HOMEE": "/tmp/x"}, 4, "ENERGY_TRACKER_HOME"),  # noqa: S108 - a path that nothing is written to
    ({"SPRING_MAIL_HSOT": "localhost"}, 4, "SPRING_MAIL_HOST"),
    ({"ENERGY_TRACKER_USER_PORT": "http"}, 4, "1 to 65535"),
    ({"ENERGY_TRACKER_HOST": "0.0.0.0"}, 4, "ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK"),  # noqa: S104 - refused
    ({"ENERGY_TRACKER_DEFAULT_TIME_ZONE": "Europe/Berlni"}, 4, "Europe/Berlin"),
    ({"ENERGY_TRACKER_DEFAULT_TIME_ZONE": "localtime"}, 4, "IANA"),
    ({"SPRING_DATASOURCE_URL": f"jdbc:mysql://me:{SECRET}@db:3306/x"}, 4, "serve"),
    ({"SPRING_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}, 4, "SQLite"),
    ({"USER_SERVICE_URL": "http://user-service:8080/api/v1/user"}, 4, "--at"),
    ({"INFLUX_URL": "http://influxdb:8086", "INFLUX_TOKEN": "", "INFLUX_ORG": ""}, 4, "INFLUX_TOKEN"),
    ({"ENERGY_TRACKER_USER_PORT": "TAKEN"}, 1, "ENERGY_TRACKER_USER_PORT"),
]


async def start(folder: Path, variables: dict[str, str]) -> tuple[int | None, str]:
    """Run `energy-tracker up`; return its exit code and all that it says."""
    ports = {f"ENERGY_TRACKER_{service.upper()}_PORT": "0" for service in SERVICES}
    kept = {name: text for name, text in os.environ.items() if "ENERGY" not in name and "SPRING" not in name}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from energy_tracker.cli.main import main; main()",
        "up",
        env=kept | {"ENERGY_TRACKER_HOME": str(folder / "home")} | ports | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize(("variables", "code", "named"), CASES, ids=[next(iter(case[0])) for case in CASES])
async def test_a_wrong_configuration_ends_the_start(
    tmp_path: Path, variables: dict[str, str], code: int, named: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        given = {name: port if text == "TAKEN" else text for name, text in variables.items()}
        ended, said = await start(tmp_path, given)
    assert ended == code, said
    assert named in said
    assert all(name in said for name in given)
    assert "Traceback" not in said
    assert SECRET not in said
