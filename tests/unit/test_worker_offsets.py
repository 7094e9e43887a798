"""What may be committed: a finished prefix, never more."""

from hypothesis import given
from hypothesis import strategies as st

from worker.offsets import OffsetBook


def test_only_the_finished_prefix_is_ready() -> None:
    book = OffsetBook()
    for offset in (5, 6, 8):
        assert book.begin(0, offset)
    book.finish(0, 6, 0)
    assert book.ready() == {}
    book.finish(0, 5, 0)
    assert book.ready() == {0: 7}
    book.finish(0, 8, 0)
    assert book.ready() == {0: 9}
    assert book.unfinished == 0


def test_partitions_do_not_hold_each_other_up() -> None:
    book = OffsetBook()
    book.begin(0, 1)
    book.begin(1, 1)
    book.finish(1, 1, 0)
    assert book.ready() == {1: 2}


def test_a_record_that_comes_again_is_not_new() -> None:
    book = OffsetBook()
    assert book.begin(0, 1)
    assert not book.begin(0, 1)
    book.finish(0, 1, 0)
    assert not book.begin(0, 1)
    book.committed(book.ready())
    assert not book.begin(0, 1)
    assert book.begin(0, 2)


def test_a_commit_that_failed_is_ready_again() -> None:
    book = OffsetBook()
    book.begin(0, 1)
    book.finish(0, 1, 0)
    assert book.ready() == book.ready() == {0: 2}
    book.committed({0: 2})
    assert book.ready() == {}


@given(st.permutations(range(8)), st.integers(0, 8))
def test_nothing_unfinished_is_ever_below_what_is_ready(order: list[int], finished: int) -> None:
    book = OffsetBook()
    for offset in range(8):
        book.begin(0, offset)
    for offset in order[:finished]:
        book.finish(0, offset, 0)
    ready = book.ready().get(0, 0)
    assert all(offset >= ready for offset in order[finished:])
    assert ready == min(order[finished:], default=8)


def test_what_was_begun_before_a_partition_was_somebody_elses_finishes_nothing_after() -> None:
    """The same record is read again from where the other one has committed."""
    book = OffsetBook()
    before = book.tenure(0)
    assert book.begin(0, 5)
    book.forget(0)
    book.finish(0, 5, before)
    assert book.ready() == {}
    assert book.begin(0, 5)
    book.finish(0, 5, before)
    assert book.ready() == {}
    book.finish(0, 5, book.tenure(0))
    assert book.ready() == {0: 6}
