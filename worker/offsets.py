"""Which offsets of the request topic are finished, and how far that may be committed. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Partition:
    committed: int
    """Everything below is committed, as far as this process knows."""

    open: dict[int, bool] = field(default_factory=dict)
    """Offset to whether it is finished, ascending."""


class OffsetBook:
    """The records that were read and are not committed: only a finished prefix ever is.

    Requests end in any order. A request that ended behind one that still runs is read again
    after a restart, and answered from its last status.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self._times: Counter[int] = Counter()

    def tenure(self, partition: int) -> int:
        """Return a number that differs before and after a partition was somebody else's."""
        return self._times[partition]

    def forget(self, partition: int) -> None:
        """Take note that a partition is somebody else's: its records are read there, or again."""
        self._partitions.pop(partition, None)
        self._times[partition] += 1

    def begin(self, partition: int, offset: int) -> bool:
        """Take note of a record; return whether it is new.

        One that is read again (the group was rebalanced) is not: it runs already, or has ended.
        """
        book = self._partitions.setdefault(partition, _Partition(offset))
        if offset < book.committed or offset in book.open:
            return False
        book.open[offset] = False
        return True

    def finish(self, partition: int, offset: int, tenure: int) -> None:
        """Take note that nothing more is to be done for a record that was read in a tenure."""
        if tenure == self._times[partition] and offset in self._partitions[partition].open:
            self._partitions[partition].open[offset] = True

    def ready(self) -> Mapping[int, int]:
        """Return the first offset not to be committed, for partitions where that has moved."""
        found: dict[int, int] = {}
        for partition, book in self._partitions.items():
            for offset, finished in book.open.items():
                if not finished:
                    break
                found[partition] = offset + 1
        return found

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Take note that a commit succeeded."""
        for partition, offset in offsets.items():
            book = self._partitions[partition]
            book.committed = max(book.committed, offset)
            for each in [o for o in book.open if o < book.committed]:
                del book.open[each]

    @property
    def unfinished(self) -> int:
        """How many records are being worked on."""
        return sum(not done for book in self._partitions.values() for done in book.open.values())
