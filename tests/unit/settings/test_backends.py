"""Each backend is chosen by the one variable that it cannot do without; what belongs together is asked for together."""

from datetime import timedelta
from pathlib import Path

import pytest

from energy_tracker.settings import (
    InfluxReadings,
    InvalidConfiguration,
    KafkaLog,
    MysqlDatasource,
    SmtpMail,
    SqliteDatasource,
    SqliteLog,
    SqliteReadings,
    load_settings,
)

KAFKA = {"SPRING_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
MYSQL = {"SPRING_DATASOURCE_URL": "jdbc:mysql://mysql:3306/energy_tracker"}
INFLUX = {"INFLUX_URL": "http://influxdb:8086", "INFLUX_TOKEN": "f00d-f00d", "INFLUX_ORG": "house"}
LOGIN = {"ENERGY_TRACKER_KAFKA_USERNAME": "house", "ENERGY_TRACKER_KAFKA_PASSWORD": "correct horse"}


def mistakes(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load_settings(environ)
    return dict(caught.value.errors)


def test_without_variables_everything_is_in_sqlite() -> None:
    settings = load_settings({})
    assert (settings.datasource, settings.log, settings.readings) == (SqliteDatasource(), SqliteLog(), SqliteReadings())
    assert settings.peers.device_url == "http://127.0.0.1:8081/api/v1/device"


def test_the_variables_of_the_contract_choose_the_backends() -> None:
    login = {"SPRING_DATASOURCE_USERNAME": "house", "SPRING_DATASOURCE_PASSWORD": "correct horse"}
    settings = load_settings(KAFKA | MYSQL | login | INFLUX | {"INFLUX_BUCKET": "b", "USER_SERVICE_URL": "http://u/a/"})
    assert isinstance(settings.datasource, MysqlDatasource)
    assert settings.datasource.url.get_secret_value() == MYSQL["SPRING_DATASOURCE_URL"]
    assert settings.datasource.username == "house"
    assert isinstance(settings.log, KafkaLog)
    assert (settings.log.partitions, settings.log.replication, settings.log.security) == (6, 1, "plaintext")
    assert isinstance(settings.readings, InfluxReadings)
    assert (settings.readings.bucket, settings.readings.retention) == ("b", None)
    assert settings.peers.user_url == "http://u/a"


def test_each_backend_is_chosen_on_its_own() -> None:
    assert load_settings(KAFKA).readings == SqliteReadings()
    assert load_settings(MYSQL).log == SqliteLog()


def test_readings_in_influxdb_need_the_log_in_kafka() -> None:
    assert "SPRING_KAFKA_BOOTSTRAP_SERVERS" in mistakes(INFLUX)["INFLUX_URL"]


def test_what_a_backend_cannot_do_without_is_asked_for() -> None:
    found = mistakes(KAFKA | {"INFLUX_URL": "http://influxdb:8086"})
    assert found == dict.fromkeys(("INFLUX_TOKEN", "INFLUX_ORG"), "is needed too where INFLUX_URL is set")


@pytest.mark.parametrize("wrong", ["a b", "ä", "x" * 101, "a\n"])
def test_a_prefix_of_topics_is_one_that_kafka_takes(wrong: str) -> None:
    assert load_settings(KAFKA | {"ENERGY_TRACKER_KAFKA_TOPIC_PREFIX": "home-2."}).log.topic_prefix == "home-2."
    assert mistakes(KAFKA | {"ENERGY_TRACKER_KAFKA_TOPIC_PREFIX": wrong}).keys() == {
        "ENERGY_TRACKER_KAFKA_TOPIC_PREFIX"
    }


def test_several_brokers_are_separated_by_commas() -> None:
    log = load_settings({"SPRING_KAFKA_BOOTSTRAP_SERVERS": "one:9092, two:9093,[::1]:9092,three"}).log
    assert isinstance(log, KafkaLog)
    assert log.bootstrap_servers == "one:9092,two:9093,[::1]:9092,three"


def test_a_name_and_a_password_go_with_sasl() -> None:
    load_settings(KAFKA | LOGIN | {"ENERGY_TRACKER_KAFKA_SECURITY": "sasl_tls"})
    for wrong in (LOGIN, {"ENERGY_TRACKER_KAFKA_SECURITY": "sasl_plaintext"}):
        assert mistakes(KAFKA | wrong).keys() == {"ENERGY_TRACKER_KAFKA_PASSWORD"}


def test_certificates_go_with_encryption_and_with_their_keys(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("certificate")
    pem, tls = str(tmp_path / "a.pem"), KAFKA | {"ENERGY_TRACKER_KAFKA_SECURITY": "tls"}
    load_settings(tls | {"ENERGY_TRACKER_KAFKA_CERTIFICATE_FILE": pem, "ENERGY_TRACKER_KAFKA_KEY_FILE": pem})
    assert mistakes(KAFKA | {"ENERGY_TRACKER_KAFKA_CA_FILE": pem}).keys() == {"ENERGY_TRACKER_KAFKA_CA_FILE"}
    assert (
        "cannot be read" in mistakes(tls | {"ENERGY_TRACKER_KAFKA_CA_FILE": f"{pem}x"})["ENERGY_TRACKER_KAFKA_CA_FILE"]
    )
    assert "go together" in mistakes(tls | {"ENERGY_TRACKER_KAFKA_KEY_FILE": pem})["ENERGY_TRACKER_KAFKA_KEY_FILE"]


def test_a_bucket_keeps_readings_for_an_hour_or_more() -> None:
    kept = load_settings(KAFKA | INFLUX | {"ENERGY_TRACKER_INFLUX_RETENTION": "P30D"}).readings
    assert isinstance(kept, InfluxReadings)
    assert kept.retention == timedelta(days=30)
    name = "ENERGY_TRACKER_INFLUX_RETENTION"
    assert "an hour or more" in mistakes(KAFKA | INFLUX | {name: "PT59M"})[name]


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse \n")
    settings = load_settings(MYSQL | {"SPRING_DATASOURCE_PASSWORD_FILE": str(tmp_path / "password")})
    assert isinstance(settings.datasource, MysqlDatasource)
    assert settings.datasource.password is not None
    assert settings.datasource.password.get_secret_value() == "correct horse "


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "65536 bytes")]
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "password").write_bytes(content)
    found = mistakes(MYSQL | {"SPRING_DATASOURCE_PASSWORD_FILE": str(tmp_path / "password")})
    assert said in found["SPRING_DATASOURCE_PASSWORD_FILE"]
    assert found.keys() == {"SPRING_DATASOURCE_PASSWORD_FILE"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    found = mistakes(KAFKA | INFLUX | {"INFLUX_TOKEN": "", "INFLUX_TOKEN_FILE": missing})
    assert missing in found["INFLUX_TOKEN_FILE"]


def test_a_mistake_in_a_file_is_told_of_the_file_and_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("changeme\n")
    found = mistakes(MYSQL | {"SPRING_DATASOURCE_PASSWORD_FILE": str(tmp_path / "password")})
    assert "placeholder" in found["SPRING_DATASOURCE_PASSWORD_FILE"]
    assert "changeme" not in str(found)


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse")
    both = {"SPRING_DATASOURCE_PASSWORD": "x y z", "SPRING_DATASOURCE_PASSWORD_FILE": str(tmp_path / "password")}
    assert "SPRING_DATASOURCE_PASSWORD " in mistakes(MYSQL | both)["SPRING_DATASOURCE_PASSWORD_FILE"]


def test_the_log_in_of_the_mail_server_has_two_names() -> None:
    mail = {"SPRING_MAIL_HOST": "mail", "ENERGY_TRACKER_MAIL_SECURITY": "tls", "SPRING_MAIL_USERNAME": "house"}
    settings = load_settings(mail | {"SPRING_MAIL_PASSWORD": "correct horse"}).mail
    assert isinstance(settings, SmtpMail)
    assert settings.username == "house"
    assert settings.password is not None
    twice = mistakes(mail | {"SPRING_MAIL_PASSWORD": "a b", "ENERGY_TRACKER_MAIL_PASSWORD": "a b"})
    assert twice.keys() >= {"SPRING_MAIL_PASSWORD"}


@pytest.mark.parametrize("address", ["postgres://house/db", "jdbc:h2:mem:x", "mysql"])
def test_other_databases_are_refused(address: str) -> None:
    assert "MySQL" in mistakes({"SPRING_DATASOURCE_URL": address})["SPRING_DATASOURCE_URL"]
