"""Getting rows into the store and proving that they are there. Blocking."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from runtime.log import logger
from runtime.metrics import Metrics
from store import (
    BarWriter,
    Mismatch,
    MissingTableError,
    RefusedRowsError,
    Store,
    StoreWentBackError,
    UnstorableRowError,
)
from streams.materialize.batch import Item

MISMATCHES_MAX = 3
"""A row that was sent that often and never came back as it was sent will not."""

UNSTORABLE = "unstorable"

_log = logger(__name__)


class Prover:
    """Writes records and reads them back; gives up those that cannot be stored."""

    def __init__(self, store: Store, metrics: Metrics, visible_timeout_s: float) -> None:
        self._store = store
        self._writer: BarWriter = store.writer()
        self._metrics = metrics
        self._visible_timeout_s = visible_timeout_s

    def write(self, items: Iterable[Item]) -> frozenset[str]:
        """Send the rows of the records; return the tables they went to.

        Raises:
            StoreUnavailableError: The outcome is unknown; send the same again.
            TableMismatchError: A table is not as this project makes it.
        """
        sending = [item for item in items if item.stored is not None]
        if not sending:
            return frozenset()
        try:
            return self._send(sending)
        except MissingTableError:
            self._check_tables(sending)
        except (UnstorableRowError, RefusedRowsError):
            # A table that somebody changed refuses everything, and that is not the records' fault.
            self._check_tables(sending)
        return frozenset().union(*(self._send_alone(item) for item in sending))

    def prove(self, items: Sequence[Item], tables: Iterable[str]) -> None:
        """Return once every row that was not given up can be read, as it was sent.

        Raises:
            SuspendedTableError: A table does not apply what it acknowledges.
            StoreUnavailableError: The store is away; write the same again.
        """
        self._writer.wait_visible(tables, self._visible_timeout_s)
        suspects = [item for item in items if item.stored is not None]
        while suspects:
            found = self._writer.verify([i.stored.rows for i in suspects if i.stored is not None])
            suspects = [item for item in suspects if self._differs(item, found)]
            if suspects:
                self._writer.wait_visible(self.write(suspects), self._visible_timeout_s)

    def enter(self, items: Iterable[Item], reached: Mapping[int, int]) -> None:
        """Put what was proved into the ledger.

        Args:
            items: The records, in the order they were read.
            reached: The highest offset of each of their partitions that is in the ledger.

        Raises:
            StoreWentBackError: It is not there any more.
            SuspendedTableError: The ledger does not apply what it acknowledges.
            StoreUnavailableError: The store is away.
        """
        self.check(reached)
        entries = [entry for item in items if item.stored for entry in item.stored.entries]
        self._store.ledger.add(entries)

    def check(self, reached: Mapping[int, int]) -> None:
        """Make sure that the ledger still holds what it held.

        Raises:
            StoreWentBackError: It does not: an older copy of the store was put back.
        """
        found = self._store.ledger.highest_offsets(reached)
        for partition, offset in reached.items():
            if found[partition] < offset:
                raise StoreWentBackError(partition, offset, found[partition])

    def _send(self, items: Iterable[Item]) -> frozenset[str]:
        rows = [item.stored.rows for item in items if item.stored is not None]
        return frozenset(self._writer.write(rows))

    def _send_alone(self, item: Item) -> frozenset[str]:
        try:
            return self._send([item])
        except (UnstorableRowError, RefusedRowsError) as error:
            self._give_up(item, str(error))
            return frozenset()

    def _check_tables(self, items: Iterable[Item]) -> None:
        self._store.ensure_tables({i.stored.rows.series.interval for i in items if i.stored})

    def _differs(self, item: Item, found: Sequence[Mismatch]) -> bool:
        """Return whether the record has to be written again; gives it up in the end."""
        own = [mismatch for mismatch in found if _is_of(item, mismatch)]
        if not own:
            return False
        item.mismatches += 1
        if item.mismatches < MISMATCHES_MAX:
            return True
        first = own[0]
        self._give_up(
            item,
            f"{len(own)} rows were read back otherwise {item.mismatches} times; the first, "
            f"ts {first.ts}: sent {first.sent}, stored {first.stored}",
        )
        return False

    def _give_up(self, item: Item, reason: str) -> None:
        message = item.message
        item.fail(UNSTORABLE, reason)
        self._metrics.dead_letters.add(error_class=UNSTORABLE)
        _log.error(UNSTORABLE, partition=message.partition, offset=message.offset, reason=reason)


def _is_of(item: Item, mismatch: Mismatch) -> bool:
    if item.stored is None:
        return False
    rows = item.stored.rows
    if (rows.series, rows.lane) != (mismatch.series, mismatch.lane):
        return False
    at = np.flatnonzero(rows.bars.ts == mismatch.ts)
    known = rows.known if isinstance(rows.known, int) else rows.known[at]
    return bool(at.size) and bool(np.any(known == mismatch.known))
