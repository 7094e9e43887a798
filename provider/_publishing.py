"""Publishes the live bars of a series, by one provider at a time: whoever holds its lease.

The others ask for the lease again and again. Who gets it goes on after the last bar that is in the
topic; who loses it publishes nothing more, and bars on their way are given up before its end.
"""

import asyncio
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from avro_schemas import BarChunk
from bars.errors import SeamlessError
from bars.fingerprint import content_hash
from bars.series import ROLL, Series
from coordinator.client import Claim, CoordinatorError, LeaseLostError, stop_s, token_of
from provider._join import reconcile
from provider.live import FINAL_KEY, PollingFeed
from runtime import Backoff, Clock
from runtime.log import logger
from topics import TopicsError

LIVE_TS = 2**40
"""The claim of a series is about a bar far beyond all that anybody fetches."""

SOURCE = "live"

ASKS_A_LIFE = 4
"""Times in the life of a lease that its holder renews it, and that the others ask for it."""

_RETRY = Backoff(0.2, 5.0)

log = logger(__name__)


class Claims(Protocol):
    """What publishing asks of the lease service."""

    async def claim(self, key: str, lease_ms: int) -> Claim | None:
        """Return the right to a key; None: somebody else has it."""
        ...

    async def keep(self, claim: Claim) -> None:
        """Let it live on; `LeaseLostError` when it has ended."""
        ...

    async def complete(self, claim: Claim) -> None:
        """Give it back."""
        ...

    async def raise_epoch(self, above_token: int) -> int:
        """Return the epoch of the tokens."""
        ...


class Topic(Protocol):
    """Where the bars go."""

    async def last_end(self, series: Series) -> int | None:
        """Return where the last published bars of a series end."""
        ...

    async def publish(self, chunk: BarChunk) -> None:
        """Return once a bar is acknowledged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """What publishing takes."""

    claims: Claims
    topic: Topic
    clock: Clock
    ttl_ms: int
    """Life of a lease."""


class Publisher:
    """Publishes the closed bars of one series while it holds the lease."""

    def __init__(self, series: Series, feed: PollingFeed, press: Press) -> None:
        self.series = series
        """Whose bars."""

        self._feed = feed
        self._press = press
        self._asked_s = 0.0
        """When the lease was asked for or renewed last."""

    @property
    def key(self) -> str:
        """What the lease service calls the right to publish the series."""
        return f"{self.series.node}:{self.series.interval}:{LIVE_TS}:{LIVE_TS}:live:"

    async def run(self) -> None:
        """Publish whenever the lease is ours; ends when it is cancelled."""
        retry = 0
        while True:
            try:
                claim = await self._claim()
                if claim is None:
                    await self._press.clock.sleep(self._pause_s)
                    continue
                await self._hold(claim)
            except LeaseLostError as error:
                log.warning("live_lease_lost", series=self.series.key, reason=str(error))
            except SeamlessError as error:
                retry += 1
                log.warning("live_publishing_waits", series=self.series.key, reason=str(error))
                await self._press.clock.sleep(_RETRY.delay_s(retry))
            else:
                retry = 0

    @property
    def _pause_s(self) -> float:
        return self._press.ttl_ms / 1_000 / ASKS_A_LIFE

    async def _claim(self) -> Claim | None:
        self._asked_s = self._press.clock.monotonic()
        return await self._press.claims.claim(self.key, self._press.ttl_ms)

    async def _hold(self, claim: Claim) -> None:
        """Publish under a claim until it is lost, and give it back in any other case."""
        keeping = asyncio.ensure_future(self._keep(claim))
        publishing = asyncio.ensure_future(self._publish(claim))
        try:
            await asyncio.wait((keeping, publishing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (keeping, publishing):
                task.cancel()
            await asyncio.wait((keeping, publishing))
            await self._give_back(claim)
        for task in (keeping, publishing):
            if not task.cancelled():
                task.result()

    async def _give_back(self, claim: Claim) -> None:
        try:
            await self._press.claims.complete(claim)
        except CoordinatorError as error:  # then it ends by itself
            log.info("live_lease_not_given_back", series=self.series.key, reason=str(error))

    async def _keep(self, claim: Claim) -> None:
        """Renew the lease until that fails for good, or its time is up."""
        clock = self._press.clock
        while True:
            await clock.sleep(self._pause_s)
            asked_s = clock.monotonic()
            try:
                await self._press.claims.keep(claim)
            except LeaseLostError:
                raise
            except CoordinatorError as error:
                log.warning("live_lease_not_renewed", series=self.series.key, reason=str(error))
                self._check(claim)
            else:
                self._asked_s = asked_s

    async def _publish(self, claim: Claim) -> None:
        token = token_of(await self._press.claims.raise_epoch(0), claim.number)
        tenure = f"live:{uuid.uuid4()}"
        end = await self._press.topic.last_end(self.series)
        log.info("live_publisher", series=self.series.key, token=token, since=end)
        about: Any = {"node_id": self.series.node, "interval": self.series.interval}
        bars = self._feed.subscribe(**about) if end is None else self._feed.follow(end, **about)
        async with aclosing(bars) as closed:  # type: ignore[type-var]
            async for ts, frame in closed:
                if not frame.attrs.get(FINAL_KEY, True):
                    continue
                chunk = chunk_of(self.series, ts, frame, token, tenure)
                if chunk.ts.size:
                    await self._until_published(claim, chunk)

    async def _until_published(self, claim: Claim, chunk: BarChunk) -> None:
        """Publish a bar, again while that may help and the lease lasts."""
        for pause_s in _RETRY:
            self._check(claim)
            try:
                await self._press.topic.publish(chunk)
            except TopicsError as error:
                if not error.retriable:
                    raise
                log.warning("live_bar_waits", series=self.series.key, reason=str(error))
                await self._press.clock.sleep(pause_s)
            else:
                return

    def _check(self, claim: Claim) -> None:
        if self._press.clock.monotonic() >= stop_s(self._asked_s, self._press.ttl_ms):
            raise LeaseLostError(claim.number, None, "its time was up before it was renewed")


def chunk_of(series: Series, ts: int, frame: pd.DataFrame, token: int, tenure: str) -> BarChunk:
    """Return the record of one closed bar. Pure."""
    end = ts + series.interval
    bars, _ = reconcile(frame, SOURCE)
    return BarChunk(
        node_id=series.node,
        interval=series.interval,
        start=ts,
        end=end,
        lane=ROLL,
        source=SOURCE,
        covers=((ts, end),),
        is_final=True,
        request_id=tenure,
        request_ids=(tenure,),
        lease_token=token,
        content_hash=content_hash(bars),
        ts=bars.ts,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=bars.volume,
    )
