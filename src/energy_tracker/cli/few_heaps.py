"""Has the threads of a process share few heaps.

glibc gives each thread a heap of its own, and what was freed in one serves none of the others. The clients of Kafka
have many threads, and are replaced after an outage: usage-service then held twice the memory and more.
"""

import ctypes
import os
import sys
from typing import Final

HEAPS: Final = 2
_M_ARENA_MAX: Final = -8
"""The parameter's number in glibc's malloc.h."""
_VARIABLE: Final = "MALLOC_ARENA_MAX"


def keep_few_heaps() -> None:
    """Limit the heaps of this process, before it starts threads; where another C library runs, nothing happens.

    Who has set glibc's own variable has decided.
    """
    if sys.platform != "linux" or _VARIABLE in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, HEAPS)
