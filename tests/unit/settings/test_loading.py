"""Settings come from the environment; whatever is wrong there is named, all at once, and no secret shows."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.repository import SOURCE

from energy_tracker.services.alert.model.mails import MailPolicy
from energy_tracker.settings import InvalidConfiguration, OllamaAdviser, OutboxOnly, Settings, SmtpMail, load_settings
from energy_tracker.settings.variables import variables_of
from energy_tracker.wiring import options

MAIL = {"SPRING_MAIL_HOST": "mail.example.org", "SPRING_MAIL_PORT": "587"}
LOG_IN = MAIL | {"ENERGY_TRACKER_MAIL_USERNAME": "house", "ENERGY_TRACKER_MAIL_SECURITY": "starttls"}


def mistakes(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load_settings(environ)
    return dict(caught.value.errors)


def test_an_empty_environment_gives_a_loopback_only_system_in_the_xdg_folder() -> None:
    settings = load_settings({"HOME": "/home/ada"})
    assert settings.home == Path("/home/ada/.local/share/energy-tracker")
    assert settings.network.host == "127.0.0.1"
    assert list(settings.ports.model_dump().values()) == [8080, 8081, 8082, 8083, 8084, 8085, 8000]
    assert settings.mail == OutboxOnly()


def test_the_xdg_data_directory_counts_when_it_is_absolute() -> None:
    assert load_settings({"HOME": "/h", "XDG_DATA_HOME": "/data"}).home == Path("/data/energy-tracker")
    assert load_settings({"HOME": "/h", "XDG_DATA_HOME": "data"}).home == Path("/h/.local/share/energy-tracker")


def test_values_arrive_in_their_types(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "ENERGY_TRACKER_HOME": str(tmp_path),
            "ENERGY_TRACKER_USAGE_PORT": "9083",
            "ENERGY_TRACKER_ALERT_CHECK_INTERVAL": "PT1M",
            "ENERGY_TRACKER_ALERT_REMIND_AFTER": "",
            "ENERGY_TRACKER_DEFAULT_TIME_ZONE": "Australia/Sydney",
        }
    )
    assert settings.home == tmp_path
    assert settings.ports.usage == 9083
    assert settings.alerts.check_interval == timedelta(minutes=1)
    assert settings.alerts.remind_after is None
    assert settings.default_time_zone == "Australia/Sydney"


def test_a_mail_server_or_a_model_is_chosen_by_its_address() -> None:
    settings = load_settings(MAIL | {"SPRING_AI_OLLAMA_BASE_URL": "http://127.0.0.1:11434/", "OLLAMA_MODEL": "small"})
    assert isinstance(settings.mail, SmtpMail)
    assert (settings.mail.host, settings.mail.port) == ("mail.example.org", 587)
    assert isinstance(settings.adviser, OllamaAdviser)
    assert (settings.adviser.base_url, settings.adviser.model) == ("http://127.0.0.1:11434", "small")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ENERGY_TRACKER_USR_PORT", "ENERGY_TRACKER_USER_PORT"),
        ("ENERGY_TRACKER_LOGLEVEL", "ENERGY_TRACKER_LOG_LEVEL"),
        ("energy_tracker_home", "ENERGY_TRACKER_HOME"),
        ("ENERGYTRACKER_HOST", "ENERGY_TRACKER_HOST"),
        ("SPRING_MAIL_HOSTS", "SPRING_MAIL_HOST"),
        ("SPRING_KAFKA_BOOTSTRAP_SERVER", "SPRING_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest(name: str, nearest: str) -> None:
    assert mistakes({name: "x"})[name].endswith(nearest)


def test_variables_of_other_programs_are_let_pass() -> None:
    others = {"PATH": "/bin", "SPRING_PROFILES_ACTIVE": "dev", "ENERGY_TEST_SMTP": "x", "OLLAMA_MODELS": "/m"}
    load_settings(others | {"OLLAMA_MODEL": "used by something else"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENERGY_TRACKER_USER_PORT", "abc"),
        ("ENERGY_TRACKER_USER_PORT", "65536"),
        ("ENERGY_TRACKER_USER_PORT", "-1"),
        ("ENERGY_TRACKER_USER_PORT", "9" * 5_000),
        ("ENERGY_TRACKER_HOST", "127.0.0.1:8080"),
        ("ENERGY_TRACKER_HOST", "256.0.0.1"),
        ("ENERGY_TRACKER_HOME", "~nobody-of-that-name/data"),
        ("ENERGY_TRACKER_HOME", "/" + "a" * 5_000),
        ("ENERGY_TRACKER_HOME", __file__),
        ("ENERGY_TRACKER_DEFAULT_TIME_ZONE", "Europe/Atlantis"),
        ("ENERGY_TRACKER_DEFAULT_TIME_ZONE", "../../etc/passwd"),
        ("ENERGY_TRACKER_LOG_LEVEL", "loud"),
        ("ENERGY_TRACKER_ALERT_REMIND_AFTER", "2h"),
        ("ENERGY_TRACKER_ALERT_CHECK_INTERVAL", "PT0S"),
        ("ENERGY_TRACKER_INGESTION_BATCH_ITEMS", "10001"),
        ("ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK", "perhaps"),
        ("SPRING_AI_OLLAMA_BASE_URL", "localhost:11434"),
        ("SPRING_AI_OLLAMA_BASE_URL", "http://[broken"),
        ("ENERGY_TRACKER_SERVICES_AT", "http://127.0.0.1:8080"),
        ("ENERGY_TRACKER_SERVICES_AT", "127.0.0.1"),
        ("ENERGY_TRACKER_SERVICES_AT", "http://{service"),
        ("DEVICE_SERVICE_URL", "device-service:8081"),
        ("SPRING_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,,"),
        ("SPRING_KAFKA_BOOTSTRAP_SERVERS", "kafka:70000"),
        ("SPRING_KAFKA_BOOTSTRAP_SERVERS", "PLAINTEXT://kafka:9092"),
    ],
    ids=lambda part: part[:40],
)
def test_a_value_that_cannot_be_used_is_named_in_one_short_sentence(name: str, value: str) -> None:
    found = mistakes({name: value})
    assert found.keys() == {name}
    assert 10 < len(found[name]) < 400


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes({"ENERGY_TRACKER_HOM": "x", "ENERGY_TRACKER_USER_PORT": "x", "USER_SERVICE_URL": "x"})
    assert found.keys() == {"ENERGY_TRACKER_HOM", "ENERGY_TRACKER_USER_PORT", "USER_SERVICE_URL"}


def test_a_port_belongs_to_one_service_also_where_it_is_a_default() -> None:
    assert "8081" in mistakes({"ENERGY_TRACKER_USER_PORT": "8081"})["ENERGY_TRACKER_DEVICE_PORT"]
    free = load_settings({"ENERGY_TRACKER_USER_PORT": "0", "ENERGY_TRACKER_DEVICE_PORT": "0"}).ports
    assert free.user == free.device == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "::ffff:0.0.0.0", "house.example.org"])  # noqa: S104 - refused
def test_listening_beyond_this_machine_must_be_allowed_by_name(host: str) -> None:
    wish = {"ENERGY_TRACKER_HOST": host}
    assert "ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK=yes" in mistakes(wish)["ENERGY_TRACKER_HOST"]
    load_settings(wish | {"ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK": "yes"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_leave(host: str) -> None:
    assert load_settings({"ENERGY_TRACKER_HOST": host}).network.host == host


def test_what_has_no_effect_is_said() -> None:
    assert "SPRING_MAIL_HOST" in mistakes({"ENERGY_TRACKER_MAIL_FROM": "a@example.org"})["ENERGY_TRACKER_MAIL_FROM"]


def test_a_password_goes_with_a_name_and_encryption() -> None:
    secret = {"ENERGY_TRACKER_MAIL_PASSWORD": "correct horse"}
    load_settings(LOG_IN | secret)
    assert mistakes(LOG_IN).keys() == {"ENERGY_TRACKER_MAIL_PASSWORD"}
    assert mistakes(MAIL | secret).keys() == {"ENERGY_TRACKER_MAIL_PASSWORD"}
    plain = LOG_IN | secret | {"ENERGY_TRACKER_MAIL_SECURITY": "none"}
    assert mistakes(plain).keys() == {"ENERGY_TRACKER_MAIL_PASSWORD"}


def test_a_mail_server_is_trusted_by_a_file_that_can_be_read(tmp_path: Path) -> None:
    pem = tmp_path / "authority.pem"
    pem.write_text("certificate")
    name, given = "ENERGY_TRACKER_MAIL_CA_FILE", MAIL | {"ENERGY_TRACKER_MAIL_CA_FILE": str(pem)}
    assert options.mail(load_settings(given)).ca_file == pem
    assert options.mail(load_settings(MAIL)).ca_file is None
    assert "encryption" in mistakes(given | {"ENERGY_TRACKER_MAIL_SECURITY": "none"})[name]
    assert "cannot be read" in mistakes(MAIL | {name: f"{pem}x"})[name]


def test_an_attempt_to_send_a_mail_ends_before_its_claim() -> None:
    name = "ENERGY_TRACKER_MAIL_TIMEOUT"
    longest = options.mail(load_settings(MAIL | {name: "PT90S"})).timeout_s
    assert longest * 1_000 == MailPolicy().longest_attempt_ms
    assert "PT90S" in mistakes(MAIL | {name: "PT91S"})[name]


def test_a_placeholder_is_no_password() -> None:
    assert (
        "placeholder" in mistakes(LOG_IN | {"ENERGY_TRACKER_MAIL_PASSWORD": "ChangeMe"})["ENERGY_TRACKER_MAIL_PASSWORD"]
    )


def test_secrets_show_up_nowhere() -> None:
    secret = "correct horse battery"
    environ = LOG_IN | {"ENERGY_TRACKER_MAIL_PASSWORD": secret}
    settings = load_settings(environ)
    assert secret not in repr(settings) + str(settings) + settings.model_dump_json()
    broken = environ | {"ENERGY_TRACKER_MAIL_SECURITY": "none", "ENERGY_TRACKER_MAIL_TIMEOUT": "soon"}
    assert secret not in str(mistakes(broken))
    assert "hunter2" not in str(mistakes({"SPRING_AI_OLLAMA_BASE_URL": "http://u:hunter2@h:1"}))
    assert "hunter2" not in str(mistakes({"SPRING_DATASOURCE_PASSWORD": "hunter2"}))
    assert "hunter2" not in str(mistakes({"SPRING_DATASOURCE_URL": "postgres://u:hunter2@h/x"}))


def test_every_setting_is_used() -> None:
    readers = [path for folder in ("cli", "wiring") for path in (SOURCE / folder).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in readers)
    whole = {"ports", "simulation"}  # passed on as they are
    unread = [
        variable.name
        for variable in variables_of(Settings)
        if variable.path[0] not in whole and not re.search(rf"\.{variable.path[-1]}\b", code)
    ]
    assert unread == []
