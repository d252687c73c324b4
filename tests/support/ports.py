"""Ports of the loopback interface that nobody uses."""

import socket
from contextlib import ExitStack


def free_ports(count: int, *, pair: bool = False) -> list[int]:
    """Return so many free ports; with `pair`, the one after each is free too."""
    while True:
        with ExitStack() as stack:
            taken = [_bound(stack, 0) for _ in range(count)]
            try:
                if pair:
                    for port in taken:
                        _bound(stack, port + 1)
            except (OSError, OverflowError):
                continue
            return taken


def _bound(stack: ExitStack, port: int) -> int:
    one = stack.enter_context(socket.socket())
    one.bind(("127.0.0.1", port))
    return int(one.getsockname()[1])
