"""Times as people write them."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from bars.errors import InvalidValueError
from runtime.times import format_time, parse_time

AUGUST_19 = 1_092_873_600


@pytest.mark.parametrize(
    "value",
    [
        "2004-08-19",
        " 2004-08-19 ",
        "2004-08-19T00:00",
        "2004-08-19 00:00:00",
        "2004-08-19T00:00:00Z",
        "2004-08-19T02:00:00+02:00",
        "20040819T000000",
        "1092873600",
        "+1092873600",
        AUGUST_19,
        date(2004, 8, 19),
        datetime(2004, 8, 19, tzinfo=UTC),
        datetime(2004, 8, 18, 20, tzinfo=timezone(timedelta(hours=-4))),
    ],
    ids=repr,
)
def test_one_moment_can_be_written_in_many_ways(value: object) -> None:
    assert parse_time(value) == AUGUST_19


def test_a_naive_time_is_utc() -> None:
    assert parse_time(datetime(2004, 8, 19)) == AUGUST_19  # noqa: DTZ001 - that is the case


def test_small_numbers_are_seconds_unless_they_look_like_a_date() -> None:
    assert parse_time("0") == 0
    assert parse_time("-60") == -60
    assert parse_time(20_040_819) == 20_040_819


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "2004",
        "20040819",
        "2004-13-01",
        "2004-08-19T25:00",
        "2004-08-19T00:00:00.5",
        "1092873600000000",
        10**12,
        1.5,
        True,
        None,
    ],
)
def test_what_is_no_time_or_could_be_two_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match="start must be"):
        parse_time(value, "start")


def test_times_are_written_as_short_as_they_are() -> None:
    assert format_time(AUGUST_19) == "2004-08-19"
    assert format_time(AUGUST_19 + 48_600) == "2004-08-19T13:30:00Z"
    assert format_time(-60) == "1969-12-31T23:59:00Z"
