"""Where the VisibleMark may stand: after a writer's last word, never inside a transaction. Pure.

Every transaction in history ends with the Watermark of its writer. Two writers, `conform` and the
roller, may write into one partition at the same time, so their records interleave: the mark moves
only where neither has written anything since its last watermark.
"""

from dataclasses import replace

from avro_schemas import BarChunk, VisibleMark, Watermark
from bars.series import ROLL
from topics import HistoryKey, WatermarkKey, parse_history_key

CONFORM = "conform"
"""Role of the writer of all lanes but `roll`."""


class Seam:
    """Follows one partition of history, record by record."""

    def __init__(self, mark: VisibleMark) -> None:
        """Begin where the mark stands."""
        self._mark = mark
        self._reached = mark
        self._ledger_offset = mark.ledger_offset
        self._writing: set[str] = set()
        self._passed = mark.history_offset - 1

    @property
    def mark(self) -> VisibleMark:
        """As far as it may be published."""
        return self._mark

    def pass_over(
        self,
        offset: int,
        key: bytes | None,
        record: BarChunk | Watermark | None,
        *,
        in_ledger: bool = False,
    ) -> None:
        """Take the next record, which is visible in the store or never will be.

        Args:
            offset: Where it stands.
            key: Its key; tells whose it is where its value could not be read.
            record: Its value, None if it was a tombstone or unreadable.
            in_ledger: Whether it has entered the ledger.
        """
        if offset <= self._passed:
            return  # read again, after a restart or a rebalance
        self._passed = offset
        if in_ledger:
            self._ledger_offset = offset
        if isinstance(record, Watermark):
            self._reached = _followed(self._reached, record)
            self._writing.discard(record.role)
            if not self._writing:
                self._mark = self._reached = replace(
                    self._reached, history_offset=offset + 1, ledger_offset=self._ledger_offset
                )
            return
        role = _writer_of(key, record)
        if role is not None:
            self._writing.add(role)


def _followed(mark: VisibleMark, watermark: Watermark) -> VisibleMark:
    if watermark.role == ROLL:
        return replace(
            mark,
            roll_next=watermark.next_input_offset,
            roll_last_known=watermark.last_known,
            roll_open_from=watermark.open_from,
        )
    return replace(
        mark,
        conform_next=watermark.next_input_offset,
        conform_last_known=watermark.last_known,
    )


def _writer_of(key: bytes | None, record: BarChunk | None) -> str | None:
    if record is not None:
        return ROLL if record.lane == ROLL else CONFORM
    found = parse_history_key(key)
    if isinstance(found, HistoryKey):
        return ROLL if found.lane == ROLL else CONFORM
    return found.role if isinstance(found, WatermarkKey) else None
