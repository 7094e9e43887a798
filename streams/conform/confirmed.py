"""Which leases have found that nothing is new. Pure.

A chunk that is no news leaves nothing in history or the ledger, and all the same somebody has
looked under a later lease than a sleeper's. Without its token the sleeper's older answer would
pass as the newer one.
"""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field

from avro_schemas import ConformanceReport, Verdict
from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window

CONFIRMED_MAX = 5_000
"""Verdicts of a partition that are remembered, and read again by whoever takes it over."""

Place = tuple[Series, str, Window]


@dataclass(slots=True, eq=False)
class Confirmed:
    """The tokens of the newest chunks of a partition that were no news."""

    most: int = CONFIRMED_MAX
    _order: OrderedDict[Place, None] = field(default_factory=OrderedDict)
    _of: defaultdict[tuple[Series, str], dict[Window, int]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def __len__(self) -> int:
        return len(self._order)

    def add(self, report: ConformanceReport) -> None:
        """Take note of a verdict; only `NO_NEWS` matters."""
        if report.verdict is not Verdict.NO_NEWS:
            return
        try:
            series = Series(report.node_id, report.interval)
            place = (series, report.lane, Window(report.start, report.end))
        except InvalidValueError:
            return  # written by somebody else
        own = self._of[place[:2]]
        own[place[2]] = max(own.get(place[2], 0), report.lease_token)
        self._order[place] = None
        self._order.move_to_end(place)
        if len(self._order) > self.most:
            self._forget(self._order.popitem(last=False)[0])

    def token(self, series: Series, lane: str, window: Window) -> int:
        """Return the highest token under which an overlapping window was no news, 0 if none."""
        own = self._of.get((series, lane), {})
        return max((token for each, token in own.items() if each.intersect(window)), default=0)

    def _forget(self, place: Place) -> None:
        series, lane, window = place
        own = self._of[series, lane]
        del own[window]
        if not own:
            del self._of[series, lane]
