"""What a final status says about what was asked."""

import numpy as np

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState
from bars.calendars import AlwaysOpen
from bars.window import Window
from provider._ask import TS_END, Ask
from provider._request_fill import outcome
from provider._sight import Reason, absences, look
from runtime import NodeSettings
from tests.unit.judging import MINUTE, SERIES, slots

REQUEST = BackfillRequest(
    request_id="r",
    kind=RequestKind.SUBMIT,
    node_id=SERIES.node,
    interval=MINUTE,
    start=10 * MINUTE,
    end=20 * MINUTE,
)


def told(start: int, end: int, session_bars: int = 0) -> Window | None:
    status = BackfillStatus(
        request_id="r",
        state=RequestState.DONE,
        node_id=SERIES.node,
        interval=MINUTE,
        start=start * MINUTE,
        end=end * MINUTE,
        session_bars=session_bars,
    )
    return outcome(REQUEST, status).listed


def test_a_request_before_the_listing_leaves_what_lies_behind_it() -> None:
    assert told(20, 20) == Window(20 * MINUTE, TS_END)


def test_a_request_after_the_listing_leaves_what_lies_before_it() -> None:
    assert told(10, 10) == Window(0, 10 * MINUTE)


def test_bars_before_the_end_of_a_listing_are_not_called_unlisted() -> None:
    """The first ten bars are there, and the source says that there are no others."""
    node = NodeSettings(series=SERIES, sources=("one",), calendar="24/7")
    ask = Ask(SERIES, slots(0, 20), node, AlwaysOpen(), "r")
    sight = look(ask, [slots(0, 10)], 10**9, told(10, 10))
    assert sight.session.size == 10
    found = absences(sight, np.arange(10, dtype=np.int64) * MINUTE)
    assert [(a.start, a.slots, a.reason) for a in found] == [(10 * MINUTE, 10, Reason.UNLISTED)]
