"""Reading what a peer has pickled without ever running what it says.

PySyncObj speaks pickle, which can name any function to be called. Its messages need none: they are
dicts, lists, tuples, numbers, strings and bytes. So no name at all is looked up here.
"""

import io
import pickle
from collections import Counter
from typing import IO, Any, Never


class Refusals:
    """What was refused from peers, by reason. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, reason: str) -> None:
        """Count one more."""
        self._counts[reason] += 1

    def by_reason(self) -> dict[str, int]:
        """Return how many there were of each."""
        return dict(self._counts)


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Never:
        raise pickle.UnpicklingError(f"a message must hold plain values, was {module}.{name}")

    def persistent_load(self, pid: object, /) -> Never:
        raise pickle.UnpicklingError(f"a message must hold plain values, was a reference to {pid}")


def loads(data: bytes) -> Any:
    """Return the plain value that was pickled.

    Raises:
        pickle.UnpicklingError: It names something, or is no pickle.
    """
    try:
        return _Plain(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    # A pickle is a program for a small machine: bytes of an attacker can break it in many ways.
    except (ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(f"this is no pickle: {error}") from error


def load(file: IO[bytes]) -> Any:
    """Return the plain value that was pickled into a file.

    Raises:
        pickle.UnpicklingError: It names something, or is no pickle.
    """
    return loads(file.read())
