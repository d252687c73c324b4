"""What the doctor says of broken folders, taken ports and dead servers."""

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import apsw
import pytest
from tests.support.command_line import CommandLine

from energy_tracker.cli.doctor import Finding, examine, wrong_settings
from energy_tracker.settings import InvalidConfiguration, load_settings

SERVICES = ("USER", "DEVICE", "INGESTION", "USAGE", "ALERT", "INSIGHT")


@pytest.fixture
def examined(tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    def look(**variables: str) -> dict[str, Finding]:
        free = {f"ENERGY_TRACKER_{service}_PORT": "0" for service in SERVICES}
        settings = load_settings({"ENERGY_TRACKER_HOME": str(tmp_path / "home"), **free, **variables})
        return {finding.part: finding for finding in examine(settings)}

    return look


def database(path: Path, *, rows: int = 2_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a, b)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((row, "x" * 100) for row in range(rows)))
        connection.execute("CREATE INDEX i ON t (b, a)")
    return path


def test_a_folder_that_is_not_there_yet_is_well(examined):
    findings = examined()
    assert {finding.verdict for finding in findings.values()} == {"ok"}
    assert "first start makes it" in findings["data folder"].detail


@pytest.mark.parametrize("name", ["log.db", "readings.db", "relational.db"])
@pytest.mark.parametrize("damage", ["garbage", "truncated", "torn"])
def test_a_broken_database_is_named_with_the_way_out(examined, tmp_path, name, damage):
    path = database(tmp_path / "home" / name)
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        path.write_bytes(b"this is no database at all, whatever its name says" * 100)
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[8_192:12_288] = b"\xa5" * 4_096
        path.write_bytes(content)
    before = path.read_bytes()
    finding = examined()[name]
    assert finding.verdict == "broken"
    assert "restore BACKUP --replace" in finding.mend
    assert path.read_bytes() == before


def test_a_sound_database_is_well(examined, tmp_path):
    database(tmp_path / "home" / "log.db")
    assert examined()["log.db"].verdict == "ok"


def test_missing_tables_are_named(examined, tmp_path):
    (tmp_path / "home").mkdir()
    with closing(sqlite3.connect(tmp_path / "home" / "relational.db")) as connection:
        connection.execute("CREATE TABLE other (a)")
        connection.commit()
    finding = examined()["relational.db"]
    assert (finding.verdict, "tables of" in finding.detail) == ("broken", True)


def test_a_taken_port_is_named_with_the_variable_that_changes_it(examined):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = examined(ENERGY_TRACKER_USAGE_PORT=str(port))[f"port {port}"]
    assert finding.verdict == "broken"
    assert "usage-service cannot listen" in finding.detail
    assert "ENERGY_TRACKER_USAGE_PORT" in finding.mend


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """A server that says one thing to whoever connects first."""
    servers: list[socket.socket] = []
    threads: list[Thread] = []

    def serve(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def answer_once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4_096):
                    pass

        threads.append(Thread(target=answer_once))
        threads[-1].start()
        return int(server.getsockname()[1])

    yield serve
    for thread in threads:
        thread.join(5)
    for server in servers:
        server.close()


def test_dead_servers_are_named(examined, dead_port):
    findings = examined(
        SPRING_MAIL_HOST="127.0.0.1",
        SPRING_MAIL_PORT=str(dead_port),
        SPRING_AI_OLLAMA_BASE_URL=f"http://127.0.0.1:{dead_port}",
    )
    assert (findings["mail"].verdict, findings["adviser"].verdict) == ("broken", "broken")
    assert "SPRING_MAIL_HOST" in findings["mail"].mend
    assert "SPRING_AI_OLLAMA_BASE_URL" in findings["adviser"].mend


def test_living_servers_are_told_from_others(examined, answering):
    right = examined(SPRING_MAIL_HOST="127.0.0.1", SPRING_MAIL_PORT=str(answering(b"220 mail ESMTP\r\n")))
    assert right["mail"].verdict == "ok"
    wrong = examined(SPRING_MAIL_HOST="127.0.0.1", SPRING_MAIL_PORT=str(answering(b"SSH-2.0-x\r\n")))
    assert "does not greet" in wrong["mail"].detail


def test_a_folder_that_cannot_be_made_is_named(examined, tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(InvalidConfiguration) as refused:
        examined()
    (finding, *_) = wrong_settings(refused.value.errors)
    assert finding.part == "setting ENERGY_TRACKER_HOME"


def http_answer(status: int, document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


def test_services_elsewhere_are_asked_and_the_data_folder_is_left_alone(examined, answering, dead_port, tmp_path):
    database(tmp_path / "home" / "log.db").write_bytes(b"garbage" * 1_000)
    up = {"status": "UP", "components": {"database": {"status": "UP", "details": {}}}}
    log = {"status": "DOWN", "details": {"error": "Kafka does not answer."}}
    down = {"status": "DOWN", "components": {"log": log}}
    ports = {
        "USER": answering(http_answer(200, up)),
        "DEVICE": dead_port,
        "INGESTION": answering(http_answer(503, down)),
        "USAGE": answering(http_answer(200, ["something else"])),
        "ALERT": answering(b"220 mail ESMTP\r\n"),
    }
    variables = {f"ENERGY_TRACKER_{service}_PORT": str(port) for service, port in ports.items()}
    findings = examined(ENERGY_TRACKER_SERVICES_AT="http://127.0.0.1", **variables)
    assert "not looked at" in findings["data folder"].detail
    assert "log.db" not in findings
    assert (findings["user-service"].verdict, "database" in findings["user-service"].detail) == ("ok", True)
    assert "log: Kafka does not answer." in findings["ingestion-service"].detail
    assert "ENERGY_TRACKER_DEVICE_PORT" in findings["device-service"].mend
    for other in ("usage-service", "alert-service"):
        assert findings[other].verdict == "broken"


def test_the_command_asks_services_elsewhere(tmp_path, monkeypatch, dead_port):
    monkeypatch.setenv("ENERGY_TRACKER_USER_PORT", str(dead_port))
    said = CommandLine(tmp_path / "home").run("--at", "http://127.0.0.1", "doctor", code=1).stdout
    assert "user-service" in said
    assert "--at" in said


def test_the_command_ends_with_1_and_says_what_is_broken(tmp_path, monkeypatch):
    for service in SERVICES:
        monkeypatch.setenv(f"ENERGY_TRACKER_{service}_PORT", "0")
    line = CommandLine(tmp_path / "home")
    assert line.ask("doctor")["ok"] is True
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "log.db").write_bytes(b"garbage" * 1_000)
    broken = line.ask("doctor", code=1)
    assert [finding["part"] for finding in broken["findings"] if finding["verdict"] == "broken"] == ["log.db"]
    assert "1 broken" in line.run("doctor", code=1).stdout
    monkeypatch.setenv("ENERGY_TRACKER_USAGE_PROT", "8083")
    misspelt = line.ask("doctor", code=1)
    assert "ENERGY_TRACKER_USAGE_PORT" in misspelt["findings"][0]["detail"]
    assert "ENERGY_TRACKER_USAGE_PORT" in line.run("users", "list", code=4).stderr
