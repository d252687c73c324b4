from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from energy_tracker.storage.mysql import mysql_url
from energy_tracker.storage.sql import create_engine

SECRET = "s3cret-Ä:/@?#"
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@pytest.mark.parametrize(
    "url",
    [
        "jdbc:mysql://mysql:3306/energy_tracker",
        "jdbc:mysql://mysql/energy_tracker",
        "JDBC:mariadb://mysql:3306/energy_tracker",
        "mysql://mysql:3306/energy_tracker",
        "jdbc:mysql://mysql:3306/energy_tracker?useSSL=false&allowPublicKeyRetrieval=true&serverTimezone=UTC",
        "jdbc:mysql://mysql:3306/energy_tracker?createDatabaseIfNotExist=true&sslMode=PREFERRED&somethingNew",
        "jdbc:mysql://root:other@mysql:3306/energy_tracker?user=somebody&password=else",
    ],
)
def test_a_java_service_s_url_is_read_and_what_is_given_apart_wins(url: str) -> None:
    read = mysql_url(url, username="energy", password=SECRET)
    assert (read.drivername, read.username, read.password) == ("mysql+asyncmy", "energy", SECRET)
    assert (read.host, read.port, read.database, dict(read.query)) == ("mysql", 3306, "energy_tracker", {})


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://ada:{quote(SECRET, safe='')}@[::1]:3307/db",
        f"jdbc:mysql://[::1]:3307/db?user=ada&password={quote(SECRET, safe='')}",
    ],
)
def test_name_and_password_may_stand_in_the_url(url: str) -> None:
    read = mysql_url(url, username=None, password=None)
    assert (read.username, read.password, read.host, read.port, read.database) == ("ada", SECRET, "::1", 3307, "db")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("sslMode=REQUIRED", {"ssl_mode": "REQUIRED"}),
        ("sslmode=trust", {"ssl_mode": "REQUIRED"}),
        ("sslMode=DISABLED&useSSL=true", {}),
        ("useSSL=true", {"ssl_mode": "REQUIRED"}),
        ("requireSSL=TRUE", {"ssl_mode": "REQUIRED"}),
        ("useSSL=true&verifyServerCertificate=true", {"ssl_mode": "VERIFY_CA"}),
        ("sslMode=VERIFY_IDENTITY&sslCa=/ca.pem", {"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": "/ca.pem"}),
        ("sslMode=verify-full&serverSslCert=/ca.pem", {"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": "/ca.pem"}),
        (
            "sslMode=REQUIRED&sslCert=/c.pem&sslKey=/k.pem",
            {"ssl_mode": "REQUIRED", "ssl_cert": "/c.pem", "ssl_key": "/k.pem"},
        ),
    ],
)
def test_what_the_url_says_about_tls_is_understood(parameters: str, expected: dict[str, str]) -> None:
    read = mysql_url(f"jdbc:mysql://mysql/db?{parameters}", username="a", password=None)
    assert dict(read.query) == expected


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:{}@h/db", "must begin with"),
        ("jdbc:mysql:loadbalance://u:{}@a,b/db", "must begin with"),
        ("mysql://u:{}@a,b/db", "one host"),
        ("mysql://u:{}@address=(host=a)(port=1)/db", "one host"),
        ("mysql://u:{}@/db", "names no host"),
        ("mysql://u:{}@h:port/db", "must be a number"),
        ("mysql://u:{}@h:70000/db", "must be a number"),
        ("mysql://u:{}@h:0/db", "must not be 0"),
        ("mysql://u:{}@[::1/db", "cannot be read"),
        ("mysql://u:{}@h", "name of a database"),
        ("mysql://u:{}@h/", "name of a database"),
        ("mysql://u:{}@h/a/b", "name of a database"),
        ("mysql://:{}@h/db", "names no user"),
        ("mysql://h/db?password={}", "names no user"),
        ("mysql://u:{}@h/db?sslMode=maybe", "sslMode must be"),
        ("mysql://u:{}@h/db?sslMode=VERIFY_CA&trustCertificateKeyStoreUrl=file:x.jks", "key store"),
        ("mysql://u:{}#@h/db", "%23"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        mysql_url(url.format("s3cret"), username=None, password=None)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(name=TEXT, password=TEXT, database=TEXT.filter(lambda name: "/" not in name))
def test_any_text_survives_in_the_url_and_on_its_way_to_another_process(
    name: str, password: str, database: str
) -> None:
    in_url = f"mysql://{quote(name, safe='')}:{quote(password, safe='')}@h/{quote(database, safe='')}"
    apart = mysql_url(f"jdbc:mysql://h/{quote(database, safe='')}", username=name, password=password)
    assert mysql_url(in_url, username=None, password=None) == apart
    assert (apart.username, apart.password, apart.database) == (name, password, database)
    assert make_url(apart.render_as_string(hide_password=False)) == apart
    assert apart.render_as_string().count("***") >= 1


@given(st.text(max_size=60))
def test_no_text_does_more_than_raise_a_sentence(text: str) -> None:
    for url in (text, f"jdbc:mysql://{text}", f"mysql://h/db?{text}"):
        try:
            mysql_url(url, username="u", password="p")
        except ValueError as error:
            assert str(error).endswith(".")  # noqa: PT017 - that it raises is not promised


def test_a_file_for_tls_that_is_not_there_is_named() -> None:
    url = mysql_url("mysql://h/db?sslMode=VERIFY_CA&sslCa=/missing/ca.pem", username="u", password="p")
    with pytest.raises(ValueError, match=r"/missing/ca\.pem"):
        create_engine(url)
