"""From a request to windows: clipping, cutting, what is covered, where nothing trades."""

from dataclasses import replace

import pytest

from avro_schemas import BackfillRequest, RequestKind
from bars.calendars import AlwaysOpen, Exchange, Weekly
from bars.series import Series
from bars.window import Grid, Window
from worker.errors import RefusedRequestError
from worker.plan import RANGES_MAX, Plan, Terms, plan

MINUTE = 60
NOW = 10**9


def request(start: int, end: int) -> BackfillRequest:
    return BackfillRequest(
        request_id="r", kind=RequestKind.SUBMIT, node_id="n", interval=MINUTE, start=start, end=end
    )


def terms(**changes: object) -> Terms:
    made = Terms(
        series=Series("n", MINUTE),
        grid=Grid(MINUTE),
        calendar=AlwaysOpen(),
        listed=None,
        window_bars=10,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def minutes(*edges: tuple[int, int]) -> tuple[Window, ...]:
    return tuple(Window(start * MINUTE, end * MINUTE) for start, end in edges)


def made(start: int, end: int, given: Terms | None = None, now: int = NOW) -> Plan:
    return plan(request(start * MINUTE, end * MINUTE), given or terms(), (), now)


def test_windows_are_cut_at_multiples_of_window_bars_whatever_the_request() -> None:
    found = made(3, 25)
    assert found.windows == minutes((3, 10), (10, 20), (20, 25))
    assert found.missing == minutes((3, 25))
    assert (found.session_bars, found.covered_bars) == (22, 0)


def test_cuts_follow_the_origin_of_the_grid() -> None:
    found = plan(request(0, 1200), terms(grid=Grid(MINUTE, origin=30)), (), NOW)
    assert found.windows == (Window(30, 630), Window(630, 1230))


def test_a_request_between_the_open_times_is_aligned() -> None:
    assert plan(request(61, 179), terms(), (), NOW).windows == (Window(120, 180),)


def test_what_is_covered_is_spared_and_counted() -> None:
    found = plan(request(0, 1800), terms(), minutes((4, 12)), NOW)
    assert found.windows == minutes((0, 4), (12, 20), (20, 30))
    assert found.missing == minutes((0, 4), (12, 30))
    assert (found.session_bars, found.covered_bars) == (30, 8)


def test_a_request_that_is_covered_has_nothing_to_fetch_and_says_so() -> None:
    found = plan(request(0, 1800), terms(), minutes((0, 12), (12, 30)), NOW)
    assert (found.windows, found.missing, found.covered_bars) == ((), (), 30)
    assert found.note == "all of it is covered"


def test_a_request_is_clipped_to_when_the_series_is_listed() -> None:
    found = made(0, 30, terms(listed=Window(5 * MINUTE, 12 * MINUTE)))
    assert found.window == Window(5 * MINUTE, 12 * MINUTE)
    assert found.windows == minutes((5, 10), (10, 12))


def test_a_request_outside_the_listed_period_comes_to_nothing() -> None:
    found = made(0, 5, terms(listed=Window(5 * MINUTE, 12 * MINUTE)))
    assert found.window is None
    assert "listed" in found.note


@pytest.mark.parametrize(
    ("now", "settle_s", "bars"),
    [
        (600, 0, 10),
        (599, 0, 9),
        (600, 1, 9),
        (659, 59, 10),
        (660, 60, 10),
        (59, 0, 0),
    ],
)
def test_only_bars_that_have_been_closed_long_enough_are_asked_for(
    now: int, settle_s: int, bars: int
) -> None:
    """The bar that opens at 540 closes at 600."""
    found = made(0, 100, terms(settle_s=settle_s), now)
    assert found.session_bars == bars
    if not bars:
        assert found.note == "no bar of it has closed yet"


def test_windows_in_which_nothing_trades_are_not_fetched() -> None:
    """Sunday 17:00 to Friday 17:00 in New York; 2017-04-21 is a Friday, UTC-4."""
    weekend = terms(
        calendar=Weekly("fx", "America/New_York", "Sun 17:00", "Fri 17:00"),
        grid=Grid(3_600),
        series=Series("n", 3_600),
        window_bars=6,
    )
    friday, monday = 1_492_732_800, 1_492_992_000
    found = plan(request(friday, monday), weekend, (), NOW * 2)
    assert found.session_bars == 21 + 3
    hours = [((w.start - friday) // 3_600, (w.end - friday) // 3_600) for w in found.windows]
    assert hours == [(0, 6), (6, 12), (12, 18), (18, 24), (66, 72)]
    assert found.missing == (Window(friday, monday),), "one range spans the weekend"


def test_ranges_do_not_begin_or_end_where_nothing_trades() -> None:
    daily = Terms(
        series=Series("n", 86_400),
        grid=Grid(86_400),
        calendar=Exchange("XNYS"),
        listed=None,
        window_bars=1,
    )
    saturday = 1_362_182_400
    week = request(saturday, saturday + 9 * 86_400)
    found = plan(week, daily, (), NOW * 2)
    assert [(w.start - saturday) // 86_400 for w in found.windows] == [2, 3, 4, 5, 6]
    assert found.missing == (Window(saturday + 2 * 86_400, saturday + 7 * 86_400),)


def test_a_request_for_a_weekend_has_nothing_to_fetch_and_says_so() -> None:
    daily = Terms(
        series=Series("n", 86_400),
        grid=Grid(86_400),
        calendar=Exchange("XNYS"),
        listed=None,
        window_bars=1,
    )
    found = plan(request(1_362_182_400, 1_362_182_400 + 2 * 86_400), daily, (), NOW * 2)
    assert (found.windows, found.note) == ((), "nothing trades in it")


def test_too_many_windows_are_refused_with_the_field() -> None:
    with pytest.raises(RefusedRequestError, match="100000 windows") as refused:
        made(0, 1_000_010, terms(), now=NOW)
    assert refused.value.field == "end"


def test_a_long_plan_is_the_same_as_its_parts_together() -> None:
    """Calendars are asked in spans: no bar is counted twice or lost at their edges."""
    whole = made(3, 25_007)
    assert whole.session_bars == 25_004
    assert sum((w.end - w.start) // MINUTE for w in whole.windows) == 25_004


def test_more_gaps_than_the_lease_service_takes_are_refused() -> None:
    """It would refuse the job, the worker would end, and read the same request again."""
    held = minutes(*((minute, minute + 1) for minute in range(0, 2 * RANGES_MAX + 2, 2)))
    whole = request(0, held[-1].end)
    assert len(plan(whole, terms(), held, NOW).missing) == RANGES_MAX
    with pytest.raises(RefusedRequestError, match="gaps"):
        plan(replace(whole, end=whole.end + MINUTE), terms(), held, NOW)
