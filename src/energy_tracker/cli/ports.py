"""The ports of the services, and who sits on one that is taken."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from energy_tracker.cli.access import SERVICES
from energy_tracker.cli.instance import InstanceUnclear, is_locked, running_instance
from energy_tracker.kit.problems import FieldError, Problem

if TYPE_CHECKING:
    from energy_tracker.settings import Settings


class PortsTaken(Problem):
    """Ports that the services need cannot be opened; the detail names each, who has it, and what to do."""

    status = 409
    title = "A port is in use"


class AlreadyRunning(Problem):
    """The services run on this data folder already."""

    status = 409
    title = "It runs already"


@contextmanager
def explained_ports(settings: "Settings") -> Iterator[None]:
    """Say more where services cannot open their ports: all that are taken, by whom, or that they run already."""
    from energy_tracker.wiring.http_server import PortTaken

    try:
        yield
    except PortTaken:
        if is_locked(settings.home):
            raise AlreadyRunning(_running_sentence(settings.home)) from None
        taken = [found for service in SERVICES if (found := _taken(settings, service))]
        if not taken:
            raise
        message = "Stop the program that has it, or set the variable that is named to a free port."
        raise PortsTaken(message, errors=taken) from None


def probe(host: str, port: int) -> OSError | None:
    """Return why a port cannot be listened on, None where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probing:
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probing.bind((host, port))
    except OSError as error:
        return error
    return None


def owner_of(port: int) -> str:
    """Return which process listens on a port, as far as this one may know (Linux); empty where it may not."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for handle in (process / "fd").iterdir():
                if str(handle.readlink()) in inodes:
                    return f"process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:
            continue
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
                yield fields[9]


def _taken(settings: "Settings", service: str) -> FieldError | None:
    port = getattr(settings.ports, service)
    error = probe(settings.network.host, port)
    if error is None:
        return None
    variable = f"ENERGY_TRACKER_{service.upper()}_PORT"
    if error.errno == errno.EACCES:
        return FieldError(variable, f"port {port} of {service}-service may not be opened by this user")
    owner = owner_of(port)
    return FieldError(variable, f"port {port} of {service}-service is in use{f' by {owner}' if owner else ''}")


def _running_sentence(home: Path) -> str:
    try:
        instance = running_instance(home)
    except InstanceUnclear:
        instance = None
    if instance is None:
        return f"Another process works on {home}; wait for it to end, or stop it."
    return f"Process {instance.pid} serves {home}, at {instance.urls['user']} and the next; Ctrl-C there stops it."
