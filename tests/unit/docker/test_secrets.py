"""Secrets are made once, kept, handed out to whom they are for, and never shown."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support.compose import in_default, read_compose, variables_in
from tests.support.scripts import load_script


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the script on a volume of its own, with this user in place of those of the containers."""
    module = load_script("docker/secrets/make_secrets.py")
    readers = {name: (os.getuid(), names) for name, (_, names) in module.READERS.items()}
    monkeypatch.setattr(module, "READERS", readers)
    monkeypatch.setattr(module, "VOLUME", tmp_path / "secrets")
    monkeypatch.setattr(module, "EXPORTED", tmp_path / "exported")
    monkeypatch.setattr(module.os, "chown", lambda *_: None)
    monkeypatch.setattr(module.os, "fchown", lambda *_: None)
    module.VOLUME.mkdir()
    export(module)
    yield module
    for folder in module.VOLUME.iterdir():
        folder.chmod(0o700)


def export(script: Any, **given: str) -> None:
    for folder in script.VOLUME.iterdir():
        folder.chmod(0o700)  # the container's script may look past this, a test that is not root may not
    lines = [f"{name}={given.get(name, '')}\n" for name in (*script.MADE, *script.OF_OTHERS)]
    script.EXPORTED.write_text("".join(lines), encoding="utf-8")


def handed_out(script: Any) -> dict[str, str]:
    """Return what each file holds, by folder and name."""
    return {
        f"{folder.name}/{file.name}": file.read_text(encoding="utf-8")
        for folder in script.VOLUME.iterdir()
        for file in folder.iterdir()
    }


def test_the_first_start_makes_secrets_that_differ(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([]) == 0
    files = handed_out(script)
    kept = {name: files[f"kept/{name}"] for name in script.MADE}
    assert len(set(kept.values())) == len(script.MADE)
    assert all(len(secret) >= 43 and script.TAKEN_BY_ALL.fullmatch(secret) for secret in kept.values())
    shown = capsys.readouterr()
    assert not any(secret in shown.out + shown.err for secret in kept.values())


def test_each_container_finds_what_it_needs_and_no_more(script: Any) -> None:
    assert script.main([]) == 0
    found = set(handed_out(script)) - {f"kept/{name}" for name in script.MADE}
    assert found == {
        "mysql/SPRING_DATASOURCE_PASSWORD",
        "mysql/MYSQL_ROOT_PASSWORD",
        "influxdb/INFLUX_TOKEN",
        "influxdb/INFLUX_PASSWORD",
        "user-service/SPRING_DATASOURCE_PASSWORD",
        "device-service/SPRING_DATASOURCE_PASSWORD",
        "usage-service/INFLUX_TOKEN",
        "alert-service/SPRING_DATASOURCE_PASSWORD",
        "grafana/GRAFANA_PASSWORD",
    }


def test_only_the_reader_may_read(script: Any) -> None:
    assert script.main([]) == 0
    modes = {
        path.relative_to(script.VOLUME): stat.S_IMODE(path.stat().st_mode)
        for path in script.VOLUME.rglob("*")
        if path.is_file()
    }
    assert set(modes.values()) == {0o400}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in script.VOLUME.iterdir()} == {0o500}


def test_a_second_start_keeps_them(script: Any) -> None:
    assert script.main([]) == 0
    before = handed_out(script)
    export(script)
    assert script.main([]) == 0
    assert handed_out(script) == before


def test_exported_ones_are_taken_at_the_first_start(script: Any) -> None:
    export(script, INFLUX_TOKEN="mine==", ENERGY_TRACKER_MAIL_PASSWORD='any "of\\ it')
    assert script.main([]) == 0
    files = handed_out(script)
    assert files["influxdb/INFLUX_TOKEN"] == files["usage-service/INFLUX_TOKEN"] == "mine=="
    assert files["alert-service/ENERGY_TRACKER_MAIL_PASSWORD"] == 'any "of\\ it'
    export(script)
    assert script.main([]) == 0
    assert handed_out(script)["influxdb/INFLUX_TOKEN"] == "mine=="
    assert "alert-service/ENERGY_TRACKER_MAIL_PASSWORD" not in handed_out(script)


def test_one_that_differs_later_is_refused_unless_it_shall_replace(
    script: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([]) == 0
    before = handed_out(script)
    export(script, SPRING_DATASOURCE_PASSWORD="another")
    assert script.main([]) == 1
    shown = capsys.readouterr().err
    assert "SPRING_DATASOURCE_PASSWORD" in shown
    assert "another" not in shown
    assert handed_out(script) == before
    export(script, SPRING_DATASOURCE_PASSWORD="another")
    assert script.main(["--replace"]) == 0
    after = handed_out(script)
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.endswith("SPRING_DATASOURCE_PASSWORD")
    }
    assert after["mysql/SPRING_DATASOURCE_PASSWORD"] == "another"


@pytest.mark.parametrize("secret", ["with space", "it's", 'a"b', "back\\slash", "ümlaut", "two\nlines"])
def test_what_a_server_would_spoil_is_refused(secret: str, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    export(script, MYSQL_ROOT_PASSWORD=secret)
    assert script.main([]) == 1
    assert secret not in capsys.readouterr().err
    assert handed_out(script) == {}


def test_other_arguments_are_a_mistake(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--help"]) == 2
    assert "--replace" in capsys.readouterr().err


def test_compose_and_the_script_speak_of_the_same_secrets_and_users(script: Any) -> None:
    compose = read_compose()
    content = compose["configs"]["exported"]["content"]
    assert list(variables_in(content)) == [*script.MADE, *script.OF_OTHERS]
    assert in_default(content) == "".join(f"{name}=\n" for name in (*script.MADE, *script.OF_OTHERS))
    mounted = {
        name: volume["volume"]["subpath"]
        for name, service in compose["services"].items()
        for volume in service.get("volumes", [])
        if isinstance(volume, dict) and volume["source"] == "secrets"
    }
    assert mounted == {name: name for name in script.READERS}
    readers = load_script("docker/secrets/make_secrets.py").READERS
    for name in ("mysql", "influxdb", "grafana"):
        assert compose["services"][name]["user"].split(":")[0] == str(readers[name][0])
