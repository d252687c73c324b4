"""Looks at every part that the system needs, and says of each what is wrong and how to mend it. Changes nothing."""

import os
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_tracker.cli.instance import InstanceUnclear, is_locked, running_instance
from energy_tracker.cli.ports import owner_of, probe
from energy_tracker.kit.problems import Problem

if TYPE_CHECKING:
    from energy_tracker.settings import Settings

Verdict = Literal["ok", "warning", "broken"]

_OLDEST_PYTHON: Final = (3, 11)
_LITTLE_DISK: Final = 500 * 1024 * 1024
_NO_DISK: Final = 20 * 1024 * 1024
_BUILT_IN: Final = 1_767_225_600  # 2026-01-01: a clock before this program was written is wrong
_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one part; `mend` says what to do where it is not ok."""

    part: str
    verdict: Verdict
    detail: str
    mend: str = ""

    def document(self) -> dict[str, Any]:
        """Return the finding as a JSON document."""
        return asdict(self)


def examine(settings: "Settings") -> Iterator[Finding]:
    """Yield the state of every part, given settings that can be read."""
    yield Finding("settings", "ok", "every variable is known and has a right value")
    yield from _python()
    yield from _clock()
    yield from _zones(settings)
    if settings.services_at is not None:
        from energy_tracker.cli.doctor_services import examine_services

        yield from examine_services(settings)
        return
    yield from _folder(settings.home)
    running, finding = _running(settings.home)
    yield finding
    yield from _databases(settings.home)
    yield from _ports(settings, running)
    yield from _servers(settings)


def wrong_settings(errors: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Yield what is wrong with the environment, and the parts that can be judged without settings."""
    for name, detail in errors:
        yield Finding(f"setting {name}", "broken", detail, f"correct or unset {name}")
    yield from _python()
    yield from _clock()


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < _OLDEST_PYTHON:
        yield Finding("python", "broken", f"Python {version}", "install Python 3.11 or newer")
    else:
        yield Finding("python", "ok", f"Python {version}")


def _clock() -> Iterator[Finding]:
    now_s = time.time()
    if now_s < _BUILT_IN:
        stamp = time.strftime("%Y-%m-%d", time.gmtime(now_s))
        yield Finding("clock", "broken", f"the clock says {stamp}", "set the clock, best by NTP")
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s)))


def _zones(settings: "Settings") -> Iterator[Finding]:
    try:
        ZoneInfo(settings.default_time_zone)
        summer = ZoneInfo("Europe/Berlin")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        yield Finding("time zones", "broken", str(error), "pip install --force-reinstall tzdata")
        return
    yield Finding("time zones", "ok", f"{settings.default_time_zone} by default; {summer.key} is known")


def _folder(home: Path) -> Iterator[Finding]:
    if not home.exists():
        parent = next(folder for folder in home.parents if folder.exists())
        if not os.access(parent, os.W_OK):
            mend = f"make it, or allow writing to {parent}, or name another folder in ENERGY_TRACKER_HOME"
            yield Finding("data folder", "broken", f"{home} is missing and cannot be made", mend)
            return
        yield Finding("data folder", "ok", f"{home} is not there yet; the first start makes it")
    elif not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", "broken", f"{home} cannot be written to", f"chown or chmod {home}")
        return
    else:
        yield Finding("data folder", "ok", str(home))
    existing = home if home.exists() else next(folder for folder in home.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GiB free"
    if free < _NO_DISK:
        yield Finding("disk", "broken", detail, "make room: readings are refused (507) until there is some")
    elif free < _LITTLE_DISK:
        yield Finding("disk", "warning", detail, "make room soon")
    else:
        yield Finding("disk", "ok", detail)


def _running(home: Path) -> tuple[Mapping[str, str], Finding]:
    """Return the addresses of the running services (none: empty) and what to say about it."""
    try:
        if not home.is_dir() or not is_locked(home):
            return {}, Finding("running", "ok", "nothing runs on the data folder")
        instance = running_instance(home)
    except InstanceUnclear as problem:
        return {}, Finding("running", "warning", problem.detail, "wait for it to end, or stop it")
    except PermissionError as error:
        return {}, Finding("running", "broken", f"{error.filename}: {error.strerror}", f"chown the files in {home}")
    if instance is None:
        return {}, Finding("running", "ok", "nothing runs on the data folder")
    for service, url in instance.urls.items():
        state = _health(url)
        if state != "UP":
            mend = f"read its log; {url}/actuator/health says which part is down"
            return instance.urls, Finding("running", "broken", f"{service}-service at {url}: {state}", mend)
    return instance.urls, Finding("running", "ok", f"process {instance.pid}: {len(instance.urls)} services are UP")


def _health(url: str) -> str:
    import httpx

    try:
        answer = httpx.get(f"{url}/actuator/health", timeout=_TIMEOUT_S, trust_env=False)
        return str(answer.json().get("status", "?"))
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return f"does not answer ({type(error).__name__})"


def _databases(home: Path) -> Iterator[Finding]:
    checks: Mapping[str, Callable[[Path], str]] = {
        "log.db": _check_wal,
        "readings.db": _check_wal,
        "relational.db": _check_relational,
    }
    for name, check in checks.items():
        path = home / name
        if not path.exists():
            yield Finding(name, "ok", "not there yet; the first start makes it")
            continue
        mend = f"stop everything, keep a copy of {path}, then `energy-tracker restore BACKUP --replace`"
        try:
            verdict = check(path)
        except (sqlite3.Error, Problem) as error:
            detail = error.detail if isinstance(error, Problem) else str(error)
            yield Finding(name, "broken", detail, mend)
            continue
        size = f"{path.stat().st_size / 1024**2:.1f} MiB"
        if verdict.startswith("ok"):
            yield Finding(name, "ok", f"{size}, {verdict.removeprefix('ok, ')}")
        else:
            yield Finding(name, "broken", verdict[:300], mend)


def _check_wal(path: Path) -> str:
    import apsw

    from energy_tracker.storage.sqlite_files import open_for_reading, unreadable

    with closing(open_for_reading(path)) as connection:
        try:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchall()[0][0])
            version = connection.execute("PRAGMA user_version").fetchall()[0][0]
        except apsw.Error as error:
            raise unreadable(path, error) from error
    return f"ok, schema version {version}" if verdict == "ok" else verdict


def _check_relational(path: Path) -> str:
    from energy_tracker.storage.migrations import schemas

    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_TIMEOUT_S)) as connection:
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            return verdict
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        found = []
        for schema in schemas():
            if schema.version_table not in tables:
                return f"the tables of {schema.service}-service are missing"
            row = connection.execute(f"SELECT version_num FROM {schema.version_table}").fetchone()  # noqa: S608 - the name of a folder of this package
            if row is None or row[0] > schema.head:
                return f"{schema.service}-service: revision {row and row[0]}, this release knows {schema.head}"
            found.append(
                f"{schema.service} {row[0]}" + ("" if row[0] == schema.head else " (the next start updates it)")
            )
    return f"ok, {', '.join(found)}"


def _ports(settings: "Settings", running: Mapping[str, str]) -> Iterator[Finding]:
    if running:
        return
    from energy_tracker.cli.access import SERVICES

    host = settings.network.host
    for service in SERVICES:
        port = getattr(settings.ports, service)
        name = f"port {port}"
        error = probe(host, port)
        if error is not None:
            owner = owner_of(port)
            detail = f"{service}-service cannot listen on {host}:{port}: {error.strerror}" + (owner and f", by {owner}")
            mend = f"stop what uses it, or set ENERGY_TRACKER_{service.upper()}_PORT to a free one"
            yield Finding(name, "broken", detail, mend)
        else:
            yield Finding(name, "ok", f"free for {service}-service")


def _servers(settings: "Settings") -> Iterator[Finding]:
    if settings.mail.kind == "smtp":
        yield _smtp(settings.mail.host, settings.mail.port)
    else:
        yield Finding("mail", "ok", "no mail server is set: mails stay in the outbox (`energy-tracker alerts outbox`)")
    if settings.adviser.kind == "ollama":
        yield _ollama(settings.adviser.base_url, settings.adviser.model)
    else:
        yield Finding("adviser", "ok", "advice by rules, without a model")


def _smtp(host: str, port: int) -> Finding:
    mend = "start the mail server, or correct SPRING_MAIL_HOST and SPRING_MAIL_PORT; mails wait meanwhile"
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as connection:
            connection.settimeout(_TIMEOUT_S)
            greeting = connection.recv(200).decode("ascii", "replace").strip()
    except OSError as error:
        return Finding("mail", "broken", f"{host}:{port} does not answer: {error}", mend)
    if not greeting.startswith("220"):
        return Finding("mail", "broken", f"{host}:{port} does not greet as a mail server: {greeting[:80]!r}", mend)
    return Finding("mail", "ok", f"{host}:{port}: {greeting[:80]}")


def _ollama(base_url: str, model: str) -> Finding:
    import httpx

    mend = "start Ollama, or correct SPRING_AI_OLLAMA_BASE_URL; meanwhile the rules advise"
    try:
        answer = httpx.get(f"{base_url}/api/tags", timeout=_TIMEOUT_S, trust_env=False)
        names = [str(each["name"]) for each in answer.raise_for_status().json()["models"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return Finding("adviser", "broken", f"{base_url} does not answer as Ollama does: {type(error).__name__}", mend)
    if not any(name == model or name.partition(":")[0] == model for name in names):
        return Finding("adviser", "broken", f"{base_url} has no model {model!r}", f"ollama pull {model}")
    return Finding("adviser", "ok", f"{base_url} has {model}")
