"""Names that look like SQL stay names."""

import pytest

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window
from store.sql import between, inside, literal, one_of


def test_quotes_are_doubled_and_backslashes_left_alone() -> None:
    assert literal("it's") == "'it''s'"
    assert literal("\\' OR 1=1 --") == "'\\'' OR 1=1 --'"


def test_a_text_with_nul_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="NUL"):
        literal("a\0b")


def test_times_are_microseconds_and_windows_half_open() -> None:
    assert between(Window(60, 120)) == "ts >= 60000000 AND ts < 120000000"


def test_one_name_is_compared_and_several_are_listed() -> None:
    assert one_of("lane", ["b", "a", "b"]) == "lane IN ('a', 'b')"
    assert one_of("lane", ["a"]) == "lane = 'a'"


def test_a_series_is_found_by_node_and_time() -> None:
    condition = inside(Series("x", 60), Window(0, 60))
    assert condition == "node = 'x' AND ts >= 0 AND ts < 60000000"


def test_a_name_with_a_quote_is_not_looked_up_in_an_index() -> None:
    """The server would take the quotes at its ends off, and find another name."""
    assert one_of("node", ["'a'"]) == "node::varchar = '''a'''"
    assert one_of("node", ["'", "b", "'a", "c"]) == (
        "(node IN ('b', 'c') OR node::varchar IN ('''', '''a'))"
    )
