"""Brings each verdict to whoever waits for it, whichever of the two comes first."""

import asyncio
from collections import OrderedDict

from avro_schemas import ConformanceReport, Verdict
from worker.ports import Place

EARLY_MAX = 10_000
"""Verdicts kept that nobody waits for yet: a chunk may be judged before its publisher has been
told where it stands. Others judge chunks that are not ours, so most are never asked for."""


class Verdicts:
    """Waiting holders by where their chunk stands."""

    def __init__(self) -> None:
        self._waiting: dict[Place, asyncio.Future[ConformanceReport]] = {}
        self._early: OrderedDict[Place, ConformanceReport] = OrderedDict()

    async def of(self, place: Place) -> ConformanceReport:
        """Return the verdict on the chunk that stands at `place`."""
        early = self._early.pop(place, None)
        if early is not None:
            return early
        waiting: asyncio.Future[ConformanceReport] = asyncio.get_running_loop().create_future()
        self._waiting[place] = waiting
        try:
            return await waiting
        finally:
            self._waiting.pop(place, None)

    def arrived(self, report: ConformanceReport) -> None:
        """Take a verdict."""
        if report.verdict is Verdict.EXPIRED:
            self._expired(report)
            return
        place = Place(report.chunk_partition, report.chunk_offset)
        waiting = self._waiting.get(place)
        if waiting is None:
            self._early.setdefault(place, report)  # a chunk's first verdict is the one on it
            if len(self._early) > EARLY_MAX:
                self._early.popitem(last=False)
        elif not waiting.done():
            waiting.set_result(report)

    def _expired(self, report: ConformanceReport) -> None:
        """Retention took a range of chunks unjudged: only those that are waited for matter."""
        for place, waiting in self._waiting.items():
            lost = report.chunk_offset <= place.offset < report.chunk_offset_end
            if place.partition == report.chunk_partition and lost and not waiting.done():
                waiting.set_result(report)
