"""The requests being served and those that have ended; brings them what is learnt."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    ConformanceReport,
    Receipt,
    RequestKind,
    RequestState,
    Verdict,
)
from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window
from coordinator.client import Failure, SeriesLane
from runtime.log import logger
from runtime.log import request as log_request
from worker.chunks import blocked_message
from worker.ports import Place
from worker.progress import Progress
from worker.run import Run
from worker.serving import Serving, Tools, early_status

ANSWERED_MAX = 20_000
"""Ended requests remembered, for one that is asked a second time."""

UNSTORABLE = "unstorable"
"""What failed after it had passed: the lease service takes such windows for done."""

UNSTORED_MAX = 1_000
"""Windows remembered that passed and could not be stored."""

COUNTED_MAX = 20_000
"""Chunks remembered whose bars were counted: verdict and receipt both tell of them."""

_log = logger(__name__)


class Desk:
    """Every request goes here and comes out with a final status told."""

    def __init__(self, tools: Tools, floor: int) -> None:
        """Open the desk.

        Args:
            tools: What serving takes.
            floor: Below every token of this epoch: what becomes of older chunks says nothing
                about the windows of this one.
        """
        self._tools = tools
        self._floor = floor
        self._serving = Serving(tools, self._unstored_of)
        self._unstored: OrderedDict[tuple[Series, str, Window], tuple[int, Failure]] = OrderedDict()
        self._runs: dict[str, Run] = {}
        self._answered: OrderedDict[str, BackfillStatus] = OrderedDict()
        self._counted: OrderedDict[Place, None] = OrderedDict()

    @property
    def running(self) -> int:
        """How many requests are being served."""
        return len(self._runs)

    def remember(self, statuses: Iterable[BackfillStatus]) -> None:
        """Take note of requests that have ended, whoever served them."""
        for status in statuses:
            self._answered[status.request_id] = status
            if len(self._answered) > ANSWERED_MAX:
                self._answered.popitem(last=False)

    async def take(self, request: BackfillRequest) -> None:
        """Serve a request, or take one back; return when its final status is told.

        The id is the request: one that has ended is answered with how it ended, and nothing is
        done for it.
        """
        request_id = request.request_id
        with log_request(request_id):
            ended = self._answered.get(request_id)
            if ended is not None:
                await self._tell(ended)
            elif request.kind is RequestKind.CANCEL:
                await self._take_back(request)
            elif request_id not in self._runs:
                await self._serve(request)

    async def _serve(self, request: BackfillRequest) -> None:
        run = self._runs[request.request_id] = Run(request)
        try:
            await self._end(await self._serving.serve(run))
        finally:
            del self._runs[request.request_id]
            run.ended.set()

    async def _take_back(self, request: BackfillRequest) -> None:
        run = self._runs.get(request.request_id)
        if run is not None:
            run.cancel()
            await run.ended.wait()
            return
        message = "cancelled before it was asked for"
        await self._end(early_status(request, RequestState.CANCELLED, message))

    async def _end(self, status: BackfillStatus) -> None:
        await self._tell(status)
        self.remember((status,))
        _log.info(
            "request_ended",
            state=status.state.value,
            windows=status.windows_total,
            failed=status.windows_failed,
            bars=status.bars_fetched,
            message=status.message,
        )

    async def _tell(self, status: BackfillStatus) -> None:
        tell = partial(self._tools.outbox.tell, status)
        await self._tools.patience.until_done("publish a status", tell)

    # What is learnt

    def on_receipt(self, receipt: Receipt) -> None:
        """Take the proof that a record is in the ledger, whoever brought it."""
        windows = [Window(start, end) for start, end in receipt.covers]
        series = Series(receipt.node_id, receipt.interval)
        windows = windows or [Window(receipt.start, receipt.end)]
        place = Place(receipt.chunk_partition, receipt.chunk_offset)
        self.on_fetched(place, _requests_of(receipt), receipt.bars)
        self._stored(series, receipt.lane, receipt.lease_token, windows)

    def on_report(self, report: ConformanceReport) -> None:
        """Take a verdict: no news is as good as a receipt; blocked, be it later, is lost."""
        if not report.node_id or report.start >= report.end or report.lease_token <= self._floor:
            return
        try:
            series = Series(report.node_id, report.interval)
        except InvalidValueError:
            return  # a chunk of nobody, blocked for that
        window = Window(report.start, report.end)
        place = Place(report.chunk_partition, report.chunk_offset)
        self.on_fetched(place, _requests_of(report), report.bars)
        if report.verdict in {Verdict.PASSED, Verdict.NO_NEWS}:
            self._unstored = OrderedDict(
                (place, (token, failure))
                for place, (token, failure) in self._unstored.items()
                if place[:2] != (series, report.lane)
                or token >= report.lease_token
                or not window.intersect(failure.window)
            )
        if report.verdict is Verdict.NO_NEWS:
            self._stored(series, report.lane, report.lease_token, [window])
        if report.verdict is not Verdict.BLOCKED:
            return
        failure = Failure(
            window=window,
            error_class=report.error_class or "blocked",
            message=blocked_message(report),
            chunk_partition=report.chunk_partition,
            chunk_offset=report.chunk_offset,
        )
        if report.error_class == UNSTORABLE:
            self._unstored[(series, report.lane, window)] = (report.lease_token, failure)
            if len(self._unstored) > UNSTORED_MAX:
                self._unstored.popitem(last=False)
        for run, progress in self._about(series):
            own = progress.accepted.target.lane == report.lane
            if own and report.lease_token > progress.since and progress.give_up(failure):
                run.news(self._now_s())

    def on_fetched(self, place: Place, request_ids: Iterable[str], bars: int) -> None:
        """Take note of how many bars a source answered for some requests, once for each chunk.

        Who published it knows at once; of what others published, verdict and receipt tell.
        """
        if place in self._counted:
            return
        self._counted[place] = None
        if len(self._counted) > COUNTED_MAX:
            self._counted.popitem(last=False)
        for request_id in request_ids:
            run = self._runs.get(request_id)
            if run is not None and run.progress is not None:
                run.progress.bars_fetched += bars
                run.news(self._now_s())

    def on_given_up(self, target: SeriesLane) -> None:
        """Let the requests for a lane ask what has become of their jobs."""
        for run, progress in self._about(target.series):
            if progress.accepted.target == target:
                run.ask_for_job()

    def _unstored_of(self, target: SeriesLane) -> list[Failure]:
        """Return what passed in a lane and could not be stored."""
        wanted = (target.series, target.lane)
        return [failure for place, (_, failure) in self._unstored.items() if place[:2] == wanted]

    def _stored(self, series: Series, lane: str, token: int, windows: list[Window]) -> None:
        for run, progress in self._about(series):
            if progress.counts_from(lane, token) and progress.stored(windows):
                run.news(self._now_s())

    def _about(self, series: Series) -> list[tuple[Run, Progress]]:
        return [
            (run, run.progress)
            for run in self._runs.values()
            if run.progress is not None and run.progress.accepted.node.series == series
        ]

    def _now_s(self) -> float:
        return self._tools.clock.monotonic()


def _requests_of(told: ConformanceReport | Receipt) -> tuple[str, ...]:
    return told.request_ids or (told.request_id,)
