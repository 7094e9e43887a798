"""Giving memory back: flushes come and go, and what held one is not needed by the next.

Left alone, every thread keeps an arena of its own and Arrow keeps what it once had: a worker that
needs 240 MB at its peak then holds 400 for ever.
"""

import contextlib
import ctypes
from collections.abc import MutableMapping

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of glibc's `mallopt`."""

_LARGE_BYTES = 256 * 1_024
"""A column of a flush is larger: it gets pages of its own, which go back when it goes."""

_FREE_BYTES_MAX = 1_048_576
_ARENAS_MAX = 1
"""One thread at a time runs Python; what the others free is of use to all."""


def give_back(environ: MutableMapping[str, str]) -> None:
    """Make the allocators of this process return what is free.

    Call it before a library is loaded: Arrow decides at that moment, and its own allocator takes
    4 MB as soon as a type crosses into another library, whichever pool it was told to use later.

    Args:
        environ: Of this process; what is set there already is left as it is.
    """
    environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with contextlib.suppress(OSError, AttributeError):  # another C library has other switches
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS_MAX)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES_MAX)
