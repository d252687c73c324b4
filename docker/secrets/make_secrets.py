"""Makes the secrets of the containers in the volume /secrets, once.

It runs at each start, and with `docker compose run --rm secrets --replace` it takes exported ones instead of the kept.
`kept/NAME` holds a secret, for root alone. Each container gets a folder with copies of what it needs, and of nothing
else, that only its user may read.
"""
# ruff: noqa: INP001 - a script that a container runs, no package

import os
import re
import secrets
import sys
from pathlib import Path

VOLUME = Path("/secrets")
EXPORTED = Path("/run/exported")
SERVICE_USER, MYSQL_USER, INFLUXDB_USER, GRAFANA_USER = 10001, 999, 1000, 472
MADE = ("SPRING_DATASOURCE_PASSWORD", "MYSQL_ROOT_PASSWORD", "INFLUX_TOKEN", "INFLUX_PASSWORD", "GRAFANA_PASSWORD")
OF_OTHERS = ("ENERGY_TRACKER_KAFKA_PASSWORD", "ENERGY_TRACKER_MAIL_PASSWORD")  # of servers elsewhere: never made
READERS: dict[str, tuple[int, tuple[str, ...]]] = {
    "mysql": (MYSQL_USER, ("SPRING_DATASOURCE_PASSWORD", "MYSQL_ROOT_PASSWORD")),
    "influxdb": (INFLUXDB_USER, ("INFLUX_TOKEN", "INFLUX_PASSWORD")),
    "user-service": (SERVICE_USER, ("SPRING_DATASOURCE_PASSWORD",)),
    "device-service": (SERVICE_USER, ("SPRING_DATASOURCE_PASSWORD",)),
    "ingestion-service": (SERVICE_USER, ("ENERGY_TRACKER_KAFKA_PASSWORD",)),
    "usage-service": (SERVICE_USER, ("INFLUX_TOKEN", "ENERGY_TRACKER_KAFKA_PASSWORD")),
    "alert-service": (SERVICE_USER, ("SPRING_DATASOURCE_PASSWORD", *OF_OTHERS)),
    "grafana": (GRAFANA_USER, ("GRAFANA_PASSWORD",)),
}
TAKEN_BY_ALL = re.compile(r"[!#-&(-\[\]-~]+")  # printable ASCII; MySQL's image spoils quotes and backslashes
RANDOM_BYTES = 32


class Unusable(Exception):
    """A secret cannot be taken as it is given; says which, never what it holds."""


def read_exported(file: Path) -> dict[str, str]:
    """Return what was exported, by name. Raises `Unusable`."""
    given: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, equals, secret = line.partition("=")
        if not equals or name not in {*MADE, *OF_OTHERS}:
            message = "an exported secret holds the end of a line"
            raise Unusable(message)
        if secret and name in MADE and not TAKEN_BY_ALL.fullmatch(secret):
            message = f"{name}: it must be printable ASCII without spaces, quotes and backslashes"
            raise Unusable(message)
        if secret:
            given[name] = secret
    return given


def decide(volume: Path, exported: dict[str, str], *, replace: bool) -> dict[str, str]:
    """Return all secrets: kept ones, else exported, else new ones. Raises `Unusable`."""
    decided = {name: exported[name] for name in OF_OTHERS if name in exported}
    for name in MADE:
        file = volume / "kept" / name
        kept = file.read_text(encoding="utf-8") if file.exists() else None
        given = exported.get(name)
        if kept and given and kept != given and not replace:
            message = (
                f"{name}: the exported one differs from the one of the first start, which the data was made with; "
                "unset it, or change it in that server too and run `docker compose run --rm secrets --replace`"
            )
            raise Unusable(message)
        decided[name] = (given if replace else kept) or kept or given or secrets.token_urlsafe(RANDOM_BYTES)
    return decided


def write(file: Path, secret: str, user: int) -> None:
    """Write a secret that only the user may read; whoever looks sees the old one or the new one, whole."""
    beside = file.with_name(f".{file.name}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        os.fchown(descriptor, user, user)
        opened.write(secret)
        opened.flush()
        os.fsync(descriptor)
    beside.replace(file)


def folder(path: Path, user: int) -> Path:
    """Return the folder, made where it is missing, that only the user may look into."""
    path.mkdir(mode=0o500, exist_ok=True)
    os.chown(path, user, user)
    return path


def hand_out(volume: Path, decided: dict[str, str]) -> None:
    """Keep the secrets, and give every reader its own."""
    kept = folder(volume / "kept", os.getuid())
    for name in MADE:
        write(kept / name, decided[name], os.getuid())
    for reader, (user, names) in READERS.items():
        place = folder(volume / reader, user)
        for name in names:
            if name in decided:
                write(place / name, decided[name], user)
            else:
                (place / name).unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Make or hand out the secrets; return the exit code."""
    if arguments not in ([], ["--replace"]):
        sys.stderr.write("usage: make_secrets.py [--replace]\n")
        return 2
    try:
        exported = read_exported(EXPORTED)
        first = not (VOLUME / "kept").exists()
        hand_out(VOLUME, decide(VOLUME, exported, replace=bool(arguments)))
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("secrets made\n" if first else "secrets of the first start handed out\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
