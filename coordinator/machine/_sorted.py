"""An immutable mapping in the order of its keys, of which a changed copy costs little.

Keys and values lie in small runs. A change copies one run and the list of runs, so with n keys it
costs about n / 128 + 256 words of memory, copied by the interpreter at once: some microseconds with
20,000 keys, where copying a dict takes some hundreds. Two of them are equal when their items are,
whatever their history; so a copy that was written down and read again is as good as the original.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

RUN_MAX = 256
"""Keys of a run; a longer one is cut in two."""

RUN_MIN = 64
"""A shorter one is joined with its neighbour."""


class SortedMap(Mapping[K, V], Generic[K, V]):
    """The mapping. Keys must be comparable with each other, and must not change."""

    __slots__ = ("_firsts", "_keys", "_len", "_values")

    def __init__(self, items: Iterable[tuple[K, V]] = ()) -> None:
        """Hold some items; where a key comes twice its last value counts."""
        last = dict(items)
        keys: tuple[Any, ...] = tuple(sorted(last))
        runs = [keys[i : i + RUN_MAX // 2] for i in range(0, len(keys), RUN_MAX // 2)]
        self._keys: tuple[tuple[Any, ...], ...] = tuple(runs)
        self._values: tuple[tuple[V, ...], ...] = tuple(
            tuple(last[key] for key in run) for run in runs
        )
        self._firsts: tuple[Any, ...] = tuple(run[0] for run in runs)
        self._len = len(keys)

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[K]:
        for run in self._keys:
            yield from run

    def __getitem__(self, key: K) -> V:
        run = bisect_right(self._firsts, key) - 1
        if run >= 0:
            keys = self._keys[run]
            i = bisect_left(keys, key)
            if i < len(keys) and keys[i] == key:
                return self._values[run][i]
        raise KeyError(key)

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D) -> V | D: ...
    def get(self, key: K, default: V | D | None = None) -> V | D | None:
        """Return the value, or the default: an error that is caught would cost more."""
        run = bisect_right(self._firsts, key) - 1
        if run >= 0:
            keys = self._keys[run]
            i = bisect_left(keys, key)
            if i < len(keys) and keys[i] == key:
                return self._values[run][i]
        return default

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SortedMap):
            return NotImplemented
        return self is other or (
            len(self) == len(other)
            and all(a == b for a, b in zip(self.between(), other.between(), strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SortedMap({dict(self.between())!r})"

    def first(self) -> tuple[K, V] | None:
        """Return the least key and its value; None when there are none."""
        return (self._keys[0][0], self._values[0][0]) if self._len else None

    def before(self, key: K) -> tuple[K, V] | None:
        """Return the greatest key below `key` and its value, or None."""
        run = bisect_left(self._firsts, key) - 1
        if run < 0:
            return None
        i = bisect_left(self._keys[run], key) - 1
        return self._keys[run][i], self._values[run][i]

    def between(self, low: K | None = None, high: K | None = None) -> Iterator[tuple[K, V]]:
        """Yield the items from `low` on, to before `high`, ascending; None: no bound."""
        run = 0 if low is None else max(bisect_right(self._firsts, low) - 1, 0)
        for keys, values in zip(self._keys[run:], self._values[run:], strict=True):
            start = 0 if low is None else bisect_left(keys, low)
            for i in range(start, len(keys)):
                if high is not None and not keys[i] < high:
                    return
                yield keys[i], values[i]

    def put(self, key: K, value: V) -> "SortedMap[K, V]":
        """Return a copy in which a key has a value."""
        if not self._len:
            return self._made(((key,),), ((value,),), 1, (key,))
        run = max(bisect_right(self._firsts, key) - 1, 0) if len(self._firsts) > 1 else 0
        keys, values = self._keys[run], self._values[run]
        i = bisect_left(keys, key)
        if i < len(keys) and keys[i] == key:
            told: tuple[tuple[V, ...], ...] = (_with(values, i, i + 1, (value,)),)
            if len(self._values) > 1:
                told = _with(self._values, run, run + 1, told)
            return self._made(self._keys, told, self._len, self._firsts)
        keys, values = _with(keys, i, i, (key,)), _with(values, i, i, (value,))
        return self._spliced(run, run + 1, keys, values, self._len + 1)

    def drop(self, key: K) -> "SortedMap[K, V]":
        """Return a copy without a key, or the same where there is none."""
        run = bisect_right(self._firsts, key) - 1
        if run < 0:
            return self
        keys, values = self._keys[run], self._values[run]
        i = bisect_left(keys, key)
        if i == len(keys) or keys[i] != key:
            return self
        keys, values = keys[:i] + keys[i + 1 :], values[:i] + values[i + 1 :]
        end = run + 1
        if len(keys) < RUN_MIN and end < len(self._keys):
            keys, values = keys + self._keys[end], values + self._values[end]
            end += 1
        return self._spliced(run, end, keys, values, self._len - 1)

    def _spliced(
        self, start: int, end: int, keys: tuple[Any, ...], values: tuple[V, ...], size: int
    ) -> "SortedMap[K, V]":
        """Return a copy in which one run, cut if it is too long, is in the place of some."""
        if end - start == len(self._keys) and 0 < len(keys) <= RUN_MAX:  # As in most.
            return self._made((keys,), (values,), size, keys[:1])
        parts: tuple[tuple[Any, ...], ...]
        told: tuple[tuple[V, ...], ...]
        firsts: tuple[Any, ...]
        if not keys:
            parts, told, firsts = (), (), ()
        elif len(keys) <= RUN_MAX:
            parts, told, firsts = (keys,), (values,), keys[:1]
        else:
            cut = len(keys) // 2
            parts, told = (keys[:cut], keys[cut:]), (values[:cut], values[cut:])
            firsts = (keys[0], keys[cut])
        return self._made(
            _with(self._keys, start, end, parts),
            _with(self._values, start, end, told),
            size,
            _with(self._firsts, start, end, firsts),
        )

    @staticmethod
    def _made(
        keys: tuple[tuple[Any, ...], ...],
        values: tuple[tuple[V, ...], ...],
        size: int,
        firsts: tuple[Any, ...],
    ) -> "SortedMap[Any, V]":
        made: SortedMap[Any, V] = _NEW(SortedMap)
        made._keys = keys
        made._values = values
        made._len = size
        made._firsts = firsts
        return made


_NEW = SortedMap.__new__


def _with(those: tuple[D, ...], start: int, end: int, instead: tuple[D, ...]) -> tuple[D, ...]:
    """Return a tuple with other items in the place of some; concatenating copies at once."""
    return those[:start] + instead + those[end:]
