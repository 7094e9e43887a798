"""Versions on the whole road: what is asked again, changed, withdrawn and outranked."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from avro_schemas import ConformanceReport, Revision, RevisionKind, Verdict
from bars.frame import BarFrame
from bars.series import Series
from sources.testing import write_truth
from tests.faults.road import WINDOWS, Road
from tests.servers.agents import Road as Ends

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]


async def reports(road: Road, series: Series) -> list[ConformanceReport]:
    """Return every verdict on a series."""
    async with Ends(road.settings) as ends:
        found = await ends.everything(ends.catalogue.reports)
    every = [record for _, record in found if isinstance(record, ConformanceReport)]
    return [report for report in every if report.node_id == series.node]


async def revisions(road: Road, series: Series) -> list[Revision]:
    """Return every change that was ever reported of a series, ascending by ts."""
    every = [revision for report in await reports(road, series) for revision in report.revisions]
    return sorted(every, key=lambda revision: revision.ts)


def dearer(bars: BarFrame, rows: list[int]) -> BarFrame:
    """Return the bars with a higher close and high in some rows."""
    close, high = bars.close.copy(), bars.high.copy()
    close[rows] += 1
    high[rows] += 1
    return replace(bars, close=close, high=high)


async def test_covered_bars_are_not_fetched_again(road: Road) -> None:
    series = road.series()
    await road.done(road.ask(series))
    calls = road.calls(series)
    status = await road.done(road.ask(series))
    assert (status.windows_total, road.calls(series)) == (0, calls)
    assert status.session_bars_covered == status.session_bars > 0


async def test_a_changed_source_is_told_bar_by_bar(road: Road) -> None:
    """New versions of what changed, a withdrawal of what is gone, and nothing else is said."""
    series = road.series()
    await road.done(road.ask(series))
    old = road.truth[series.node]
    rows, gone = [3, 700, 701], 1_000
    road.truth[series.node] = dearer(old, rows).take(np.arange(len(old)) != gone)
    write_truth(road.places.truth, road.truth)
    await road.done(road.ask(series, refetch=True))
    await asyncio.to_thread(road.compare, series)
    told = [(r.ts, r.kind) for r in await revisions(road, series)]
    changed = [(int(old.ts[row]), RevisionKind.CHANGED) for row in rows]
    assert told == [*changed, (int(old.ts[gone]), RevisionKind.WITHDRAWN)]
    verdicts = [report.verdict for report in await reports(road, series)]
    news = len({row // (len(old) // WINDOWS + 1) for row in [*rows, gone]})
    assert verdicts.count(Verdict.PASSED) >= WINDOWS + news
    assert verdicts.count(Verdict.NO_NEWS) > 0
    assert verdicts.count(Verdict.PASSED) + verdicts.count(Verdict.NO_NEWS) == 2 * WINDOWS


async def test_a_lower_lane_is_stored_and_told_and_not_read(road: Road) -> None:
    """The reader goes on getting the first source's bars; the report names what lost."""
    series = road.series()
    await road.done(road.ask(series))
    rows = [10, 20]
    second = {**road.truth, series.node: dearer(road.truth[series.node], rows)}
    write_truth(road.places.second, second)
    await road.done(road.ask(series, source="second"))
    await asyncio.to_thread(road.compare, series)
    told = [(r.ts, r.kind) for r in await revisions(road, series)]
    ts = road.truth[series.node].ts
    assert told == [(int(ts[row]), RevisionKind.OUTRANKED) for row in rows]
