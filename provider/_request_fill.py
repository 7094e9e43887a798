"""Brings missing bars over Kafka: one request a call, whose status is followed to its end."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState
from bars.window import Window
from provider._ask import TS_END, Ask
from provider._filled import Filled, Progress
from provider._flight import WITHDRAWN
from provider._slots import Slots
from runtime.log import logger
from topics import TopicsError

TAKE_BACK_S = 5.0
"""A request that cannot be taken back by then goes on."""

log = logger(__name__)


class Requests(Protocol):
    """Where requests go."""

    go_on: bool
    """Whether one that nobody follows any longer is served all the same."""

    def submit(
        self, request: BackfillRequest, on_sent: Callable[[], None]
    ) -> AsyncGenerator[BackfillStatus]:
        """Ask, and yield each status, the last one being final.

        `on_sent` is called as soon as somebody else may know of the request.
        """
        ...

    async def take_back(self, request_id: str) -> None:
        """Say that nobody wants it any more."""
        ...

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        ...


class RequestFiller:
    """Publishes what is missing as one request and waits for its final status."""

    def __init__(self, requests: Requests, slots: Slots) -> None:
        """Make a filler.

        Args:
            requests: Publishes and follows.
            slots: Requests that are followed at a time.
        """
        self._requests = requests
        self._slots = slots

    def goes_on(self, ask: Ask) -> bool:
        """Return whether a request that nobody follows is served all the same."""
        del ask
        return self._requests.go_on

    def pieces(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the one request that is published."""
        del ask
        return (Window(gaps[0].start, gaps[-1].end),)

    async def fill(self, ask: Ask, gaps: tuple[Window, ...], progress: Progress) -> Filled:
        """Return once every gap is in the ledger or has finally failed."""
        request = BackfillRequest(
            request_id=ask.request_id,
            kind=RequestKind.SUBMIT,
            node_id=ask.series.node,
            interval=ask.series.interval,
            start=gaps[0].start,
            end=gaps[-1].end,
            requested_by="provider",
            reason="fetch",
        )
        sent = asyncio.Event()
        async with self._slots:
            try:
                return await self._follow(request, sent, progress)
            except asyncio.CancelledError as cancelled:
                # Of what nobody has heard, a cancel would be all that anybody hears.
                if WITHDRAWN in cancelled.args and sent.is_set():
                    await self._take_back(request)
                raise

    async def _follow(
        self, request: BackfillRequest, sent: asyncio.Event, progress: Progress
    ) -> Filled:
        async with aclosing(self._requests.submit(request, sent.set)) as statuses:
            async for status in statuses:
                log.debug(
                    "backfill_status", request_id=request.request_id, state=status.state.value
                )
                if status.windows_total:
                    progress(status.windows_done / status.windows_total)
                if status.state.final:
                    return outcome(request, status)
        raise AssertionError("the last status is final")

    async def _take_back(self, request: BackfillRequest) -> None:
        """Say that nobody wants a request; whoever asks again does so by another one."""
        try:
            async with asyncio.timeout(TAKE_BACK_S):
                await self._requests.take_back(request.request_id)
        except (TopicsError, TimeoutError) as error:
            log.warning("backfill_not_taken_back", request_id=request.request_id, error=str(error))

    async def close(self) -> None:
        """Flush and let go of the producer; harmless when repeated."""
        await self._requests.close()


def outcome(request: BackfillRequest, status: BackfillStatus) -> Filled:
    """Return what a final status says. Pure."""
    if status.state is not RequestState.DONE:
        reason = f"it was {status.state.value.lower()}"
        told = f"{reason}: {status.message}" if status.message else reason
        return Filled(failures=status.failures, reason=told, request_id=request.request_id)
    return Filled(listed=_listed(request, status), request_id=request.request_id)


def _listed(request: BackfillRequest, status: BackfillStatus) -> Window | None:
    """Return the listed period as far as the clipping of a finished request tells it."""
    if not status.session_bars:  # whoever knows the source expects no bar at all there
        over = status.start == status.end == request.start > 0
        return Window(0, request.start) if over else Window(request.end, TS_END)
    start = 0 if status.start <= request.start else min(status.start, request.end)
    end = TS_END if status.end >= request.end else max(status.end, request.start)
    return None if (start, end) == (0, TS_END) else Window(start, end)
