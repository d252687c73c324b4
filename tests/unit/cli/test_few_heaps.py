"""How many heaps glibc makes for the threads of a process."""

import os
import platform
import subprocess
import sys

import pytest

from energy_tracker.cli.few_heaps import HEAPS

PROGRAM = """
import ctypes, sys, threading
from energy_tracker.cli.few_heaps import keep_few_heaps
keep_few_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
together = threading.Barrier(5)
def allocate():
    together.wait()
    kept = [libc.malloc(5_000) for _ in range(100)]
    together.wait()
    for each in kept:
        libc.free(each)
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
together.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
together.wait()
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this C library is not glibc")


def heaps(**variables: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment | variables, check=True, capture_output=True, text=True
    )
    return done.stdout.count("<heap nr=")


def test_threads_share_few_heaps() -> None:
    assert heaps() <= HEAPS


def test_who_has_set_the_variable_of_glibc_has_decided() -> None:
    assert heaps(MALLOC_ARENA_MAX="4") > HEAPS
