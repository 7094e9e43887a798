"""Where the VisibleMark may stand."""

from avro_schemas import BarChunk, VisibleMark, Watermark
from bars.series import ROLL
from streams.materialize.seam import Seam
from tests.unit.judging import SERIES, chunk, slots
from topics import history_key, watermark_key

WHOLE = slots(0, 4)


def bars(lane: str = "bf:one") -> BarChunk:
    return chunk(WHOLE, {0: 1.0}, lane=lane, source="", known=1)


def conform(next_: int, known: int = 1) -> Watermark:
    return Watermark(role="conform", partition=0, next_input_offset=next_, last_known=known)


def roll(next_: int, open_from: int = -1) -> Watermark:
    return Watermark(
        role="roll", partition=0, next_input_offset=next_, last_known=8, open_from=open_from
    )


def seam(**fields: int) -> Seam:
    return Seam(VisibleMark(partition=0, **{"history_offset": 0, **fields}))


def test_it_moves_to_just_after_a_watermark_and_carries_it() -> None:
    found = seam()
    found.pass_over(0, None, bars(), in_ledger=True)
    assert found.mark.history_offset == 0
    found.pass_over(1, None, conform(7, 99))
    mark = found.mark
    assert (mark.history_offset, mark.conform_next, mark.conform_last_known) == (2, 7, 99)
    assert mark.ledger_offset == 0


def test_it_never_stands_inside_another_writers_transaction() -> None:
    """The records of two writers interleave."""
    found = seam()
    found.pass_over(0, None, bars())
    found.pass_over(1, None, bars(ROLL))
    found.pass_over(2, None, conform(7))
    assert found.mark == VisibleMark(partition=0, history_offset=0)
    found.pass_over(3, None, roll(5, open_from=1))
    mark = found.mark
    assert (mark.history_offset, mark.conform_next, mark.roll_next) == (4, 7, 5)
    assert (mark.roll_last_known, mark.roll_open_from) == (8, 1)


def test_a_flush_that_was_cut_inside_a_transaction_does_not_move_it() -> None:
    found = seam()
    found.pass_over(0, None, conform(1))
    found.pass_over(1, None, bars(), in_ledger=True)
    assert (found.mark.history_offset, found.mark.ledger_offset) == (1, -1)
    found.pass_over(2, None, bars(), in_ledger=True)
    found.pass_over(3, None, conform(3))
    assert (found.mark.history_offset, found.mark.ledger_offset) == (4, 2)


def test_what_lies_below_it_is_passed_over_without_moving_it_back() -> None:
    """After a restart the last records are read again."""
    found = seam(history_offset=10, conform_next=9, ledger_offset=8)
    found.pass_over(8, None, bars(), in_ledger=True)
    found.pass_over(9, None, conform(4))
    assert (found.mark.history_offset, found.mark.conform_next) == (10, 9)
    assert found.mark.ledger_offset == 8


def test_records_that_are_delivered_again_change_nothing() -> None:
    found = seam()
    script: list[BarChunk | Watermark] = [bars(), conform(1), bars(), conform(2)]
    for offset, record in enumerate(script):
        found.pass_over(offset, None, record, in_ledger=isinstance(record, BarChunk))
    mark = found.mark
    for offset, record in enumerate(script):
        found.pass_over(offset, None, record, in_ledger=isinstance(record, BarChunk))
        assert found.mark == mark
    found.pass_over(4, None, conform(3))
    assert found.mark.history_offset == 5


def test_a_record_that_was_given_up_is_not_in_the_ledger() -> None:
    found = seam()
    found.pass_over(0, None, bars(), in_ledger=True)
    found.pass_over(1, None, bars(), in_ledger=False)
    found.pass_over(2, None, conform(2))
    assert found.mark.ledger_offset == 0


def test_the_key_tells_the_writer_of_what_cannot_be_read() -> None:
    key = history_key(SERIES.node, SERIES.interval, "bf:one", 0, 60).encode()
    found = seam()
    found.pass_over(0, key, None)
    found.pass_over(1, None, roll(1))
    assert found.mark.history_offset == 0
    found.pass_over(2, None, conform(1))
    assert found.mark.history_offset == 3


def test_an_unreadable_watermark_leaves_the_mark_where_it_is() -> None:
    found = seam()
    found.pass_over(0, watermark_key("conform", 0).encode(), None)
    assert found.mark.history_offset == 0
    found.pass_over(1, None, conform(5))
    assert (found.mark.history_offset, found.mark.conform_next) == (2, 5)


def test_a_stranger_in_the_topic_is_passed_over() -> None:
    found = seam()
    found.pass_over(0, b"whatever", None)
    found.pass_over(1, None, None)
    found.pass_over(2, None, conform(1))
    assert found.mark.history_offset == 3
