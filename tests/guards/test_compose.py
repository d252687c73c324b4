"""docker-compose.yml is what its contract says: names, ports, variables, health, and nothing open or secret."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.compose import MAIN, SCALE, in_default, read_compose, variables_in
from tests.support.repository import ROOT

from energy_tracker.cli import probe
from energy_tracker.settings import Settings, load_settings
from energy_tracker.settings.variables import variables_of

COMPOSE = read_compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCALED: dict[str, dict[str, Any]] = read_compose(SCALE)["services"]
OURS = {"user": 8080, "device": 8081, "ingestion": 8082, "usage": 8083, "alert": 8084, "insight": 8085}
PUBLISHED = {
    "mysql": {(3306, 3306)},
    "kafka": {(9094, 9094)},
    "kafka-ui": {(8070, 8080)},
    "influxdb": {(8072, 8086)},
    "mailpit": {(8025, 8025), (1025, 1025)},
    "ollama": {(11434, 11434)},
    **{f"{name}-service": {(port, port)} for name, port in OURS.items()},
}
DATASOURCE = {
    "SPRING_DATASOURCE_URL": "jdbc:mysql://mysql:3306/energy_tracker",
    "SPRING_DATASOURCE_USERNAME": "energy_tracker",
    "SPRING_DATASOURCE_PASSWORD_FILE": "/run/secrets/SPRING_DATASOURCE_PASSWORD",
}
KAFKA = {"SPRING_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
PEERS = {
    "USER_SERVICE_URL": "http://user-service:8080/api/v1/user",
    "DEVICE_SERVICE_URL": "http://device-service:8081/api/v1/device",
    "USAGE_SERVICE_URL": "http://usage-service:8083/api/v1/usage",
}
VARIABLES = {
    "user-service": DATASOURCE,
    "device-service": DATASOURCE | PEERS,
    "ingestion-service": KAFKA | PEERS,
    "usage-service": KAFKA
    | PEERS
    | {
        "INFLUX_URL": "http://influxdb:8086",
        "INFLUX_TOKEN_FILE": "/run/secrets/INFLUX_TOKEN",
        "INFLUX_ORG": "energy-tracker",
        "INFLUX_BUCKET": "usage-bucket",
    },
    "alert-service": DATASOURCE | KAFKA | {"SPRING_MAIL_HOST": "mailpit", "SPRING_MAIL_PORT": "1025"},
    "insight-service": PEERS | {"SPRING_AI_OLLAMA_BASE_URL": "http://ollama:11434", "OLLAMA_MODEL": "deepseek-r1"},
}
ONE_SHOT = {"secrets", "grafana-token"}
BESIDE = {
    "kafka-ui": {"tools"},
    "grafana": {"tools", "metrics"},
    "grafana-token": {"tools", "metrics"},
    "prometheus": {"metrics"},
}
KEPT = {
    "mysql": "/var/lib/mysql",
    "kafka": "/var/lib/kafka/data",
    "influxdb": "/var/lib/influxdb2",
    "mailpit": "/data",
    "ollama": "/" + "root/.ollama",  # where its image has it
    "grafana": "/var/lib/grafana",
    "prometheus": "/prometheus",
}
# Set by what they mean here, not by who starts it: where a secret lies, and what only commands in a container use.
FIXED = re.compile(r"/run/secrets/[A-Z_]+|http://\{service\}-service")
LOOPBACK_PORT = re.compile(r"127\.0\.0\.1:\$\{([A-Z_]+):-(\d+)\}:(\d+)")
NOT_IN_CONTAINERS = re.compile(r"ENERGY_TRACKER_(HOME|[A-Z]+_PORT)")

everyone = pytest.mark.parametrize("name", SERVICES)
ours = pytest.mark.parametrize("short", OURS)


def environment(name: str) -> dict[str, str]:
    return {variable: str(text) for variable, text in SERVICES[name].get("environment", {}).items()}


def mounts(name: str) -> list[tuple[str, str]]:
    """Return source and target of what a service mounts."""
    found = []
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, dict):
            found.append((volume["source"], volume["target"]))
        else:
            source, target, *_ = volume.split(":")
            found.append((source, target))
    return found


def test_the_services_are_those_of_the_contract() -> None:
    assert set(SERVICES) == {*PUBLISHED, *ONE_SHOT, "grafana", "prometheus"}
    assert {name: set(service["profiles"]) for name, service in SERVICES.items() if "profiles" in service} == BESIDE


@pytest.mark.parametrize("name", PUBLISHED)
def test_their_ports_are_those_of_the_contract(name: str) -> None:
    found = {LOOPBACK_PORT.fullmatch(port) for port in SERVICES[name]["ports"]}
    assert {(int(port[2]), int(port[3])) for port in found if port} == PUBLISHED[name]


@pytest.mark.parametrize("file", [MAIN, SCALE], ids=lambda file: file.name)
def test_everything_is_published_on_this_machine_only(file: Path) -> None:
    services = read_compose(file)["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert [port for port in ports if not LOOPBACK_PORT.fullmatch(port)] == []
    assert [name for name, service in services.items() if service.get("network_mode") == "host"] == []


@pytest.mark.parametrize("name", VARIABLES)
def test_their_variables_are_those_of_the_contract(name: str) -> None:
    given = {variable: in_default(text) for variable, text in environment(name).items()}
    assert VARIABLES[name].items() <= given.items()


@everyone
def test_every_variable_can_be_overridden_by_exporting_it(name: str) -> None:
    fixed = {variable: text for variable, text in environment(name).items() if not text.startswith("${")}
    assert {variable: text for variable, text in fixed.items() if not FIXED.fullmatch(text)} == {}


def test_every_setting_reaches_a_service() -> None:
    passed = {variable for short in OURS for variable in environment(f"{short}-service")}
    missing = [
        variable.name
        for variable in variables_of(Settings)
        if not {*variable.names} & passed and not NOT_IN_CONTAINERS.fullmatch(variable.name)
    ]
    assert missing == []


@ours
def test_what_a_service_is_given_are_settings_that_load(short: str, tmp_path: Path) -> None:
    environ = {variable: in_default(text) for variable, text in environment(f"{short}-service").items()}
    for variable in [variable for variable, text in environ.items() if text.startswith("/run/secrets/")]:
        secret = tmp_path / variable
        secret.write_text("made-at-the-first-start", encoding="utf-8")
        environ[variable] = str(secret)
    settings = load_settings(environ)
    assert settings.network.host == "0.0.0.0"  # noqa: S104 - inside its container
    assert SERVICES[f"{short}-service"]["command"] == ["serve", short]


@everyone
def test_images_have_a_version(name: str) -> None:
    image, _, tag = in_default(SERVICES[name]["image"]).partition(":")
    assert image
    assert re.match(r"v?\d", tag), f"{name}: {tag or 'no tag'}"


def test_one_image_is_built_for_all_our_services() -> None:
    built = {name: service for name, service in SERVICES.items() if "build" in service}
    assert set(built) == {*(f"{short}-service" for short in OURS), *ONE_SHOT}
    assert len({service["image"] for service in built.values()}) == 1
    assert all(service["build"] == built["secrets"]["build"] for service in built.values())


@everyone
def test_what_goes_on_running_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= set(check)


@ours
def test_our_health_checks_need_no_program_but_python(short: str) -> None:
    check = SERVICES[f"{short}-service"]["healthcheck"]["test"]
    assert check == ["CMD", "python", "-m", probe.__name__, str(OURS[short])]


@everyone
def test_nothing_waits_for_less_than_it_needs(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        best = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        tolerated = {("alert-service", "mailpit"), ("insight-service", "ollama")}  # down, they stop nothing
        assert how == {"condition": "service_started" if (name, other) in tolerated else best}


@everyone
def test_containers_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "secrets")
    assert set(service.get("cap_add", [])) <= ({"CHOWN", "DAC_OVERRIDE"} if name in ONE_SHOT else set())
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert not service.get("privileged")


@pytest.mark.parametrize("name", KEPT)
def test_data_outlives_its_container_in_a_named_volume(name: str) -> None:
    volume = {target: source for source, target in mounts(name)}[KEPT[name]]
    assert volume in COMPOSE["volumes"]


@everyone
def test_what_is_mounted_exists(name: str) -> None:
    for source, _ in mounts(name):
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_no_password_stands_anywhere() -> None:
    texts = {**{f"{name}": str(service) for name, service in SERVICES.items()}, "configs": str(COMPOSE["configs"])}
    defaults = [
        (place, variable, default)
        for place, text in texts.items()
        for variable, default in variables_in(text).items()
        if re.search(r"PASSWORD|TOKEN|SECRET", variable) and not variable.endswith("_FILE") and default
    ]
    assert defaults == []


@everyone
def test_no_environment_holds_a_secret(name: str) -> None:
    secret = {variable for variable in environment(name) if re.search(r"PASSWORD|TOKEN|SECRET", variable)}
    assert {variable for variable in secret if not variable.endswith("_FILE")} == set()
    given = {variables for text in environment(name).values() for variables in variables_in(text)}
    assert not {
        variable
        for variable in given
        if variable in COMPOSE["configs"]["exported"]["content"].replace("=", " ").split()
    }


def test_the_example_lists_all_variables_with_their_defaults() -> None:
    used: dict[str, str] = {}
    for file in (MAIN, SCALE):
        lines = [line.split("  #")[0] for line in file.read_text(encoding="utf-8").splitlines()]
        text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
        for variable, default in variables_in(text).items():
            assert used.setdefault(variable, default or "") == (default or ""), f"{variable} has two defaults"
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    listed = [line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#[A-Z]", line)]
    assert dict(listed) == used
    assert len(listed) == len(used)
    assert [line for line in lines if line and not line.startswith("#")] == []  # a copy changes nothing of itself


def test_the_image_has_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"ARG VERSION={version}\n" in dockerfile
    assert in_default(SERVICES["secrets"]["image"]) == f"energy-tracker:{version}"


def test_the_image_runs_as_a_user_of_its_own() -> None:
    user = next(line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if line.startswith("USER "))
    assert user == "USER 10001:10001"
    assert [name for name, service in SERVICES.items() if service.get("user") == "0:0"] == sorted(
        ONE_SHOT, reverse=True
    )


def test_the_gateway_takes_the_ports_of_what_is_scaled() -> None:
    scaled = {name: service for name, service in SCALED.items() if name != "gateway"}
    assert {name: service["ports"] for name, service in scaled.items()} == {
        "ingestion-service": [],
        "usage-service": [],
    }
    assert sorted(SCALED["gateway"]["ports"]) == sorted(port for name in scaled for port in SERVICES[name]["ports"])
    configuration = (ROOT / "docker" / "nginx" / "gateway.conf").read_text(encoding="utf-8")
    for name in scaled:
        port = OURS[name.removesuffix("-service")]
        assert re.search(
            rf"listen {port};\s+set \$replicas {name};\s+location / {{ proxy_pass http://\$replicas:{port}; }}",
            configuration,
        )
    assert "proxy_next_upstream error timeout http_502 http_503;" in configuration  # never non_idempotent
    for key in ("read_only", "cap_drop", "security_opt", "healthcheck", "logging", "deploy", "restart", "user"):
        assert key in SCALED["gateway"]
    assert re.fullmatch(r"nginx:\d+\.\d+\.\d+-alpine", SCALED["gateway"]["image"])


def test_prometheus_asks_every_service() -> None:
    configuration = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    asked = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert set(asked) == {f"{short}-service" for short in OURS}
    for short, port in OURS.items():
        job = asked[f"{short}-service"]
        assert job["metrics_path"] == "/actuator/prometheus"
        (found,) = job["dns_sd_configs"]
        assert (found["names"], found["type"], found["port"]) == ([f"{short}-service"], "A", port)
