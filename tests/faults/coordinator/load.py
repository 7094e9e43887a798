"""Workers that hold leases and write down what they were told; the clients are the real ones."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from random import Random
from typing import Any

import httpx

from bars.series import Series
from bars.window import Grid, Window
from coordinator._cluster import Budget as Patience
from coordinator._cluster import Cluster, Told
from coordinator.client import (
    Budget,
    ClientOptions,
    CoordinatorUnavailableError,
    DistributedBackfillCoordinator,
    HeldLease,
    LeaseFailure,
    LeaseLostError,
    SessionLostError,
)
from coordinator.machine import JobSpec, SeriesLane, wire
from runtime.clock import Clock, SystemClock
from runtime.http import Http, HttpAnswer, HttpRequest, NoAnswerError
from tests.simulation.history import NEVER, History, Op

BARS = 10
WINDOWS = 20_000
LANES = 4
SESSION_TTL_MS = 600_000
HOLDING_S = 0.2
"""How long a worker has a lease at most before it says something of it."""

PATIENCE_S = 30.0
"""How long a test waits for workers."""

HAND = "hand"
"""Session of the test itself."""

BUDGET = Budget(whole_s=30.0, attempt_s=1.0)

OPS = {
    "/v1/sessions": "open_session",
    "/v1/sessions:keep": "keep_session",
    "/v1/jobs": "submit_job",
    "/v1/leases:acquire": "acquire",
    "/v1/leases:renew": "renew",
    "/v1/leases:progress": "progress",
    "/v1/leases:complete": "complete",
    "/v1/leases:fail": "fail",
    "/v1/leases:release": "release",
}


class Heard:
    """What all workers together were told."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.grants: list[tuple[float, int, float]] = []
        """When a grant came, in which term, and how long it took."""

        self.failure: BaseException | None = None
        """What has ended a worker that should have gone on."""

        self._news = asyncio.Event()

    def add(self, op: Op, told: Told | None) -> None:
        """Write down a command and what became of it."""
        self.history.ops.append(op)
        self.history.count("answered" if told else "given up")
        if told is not None and op.reply is not None and op.reply.leases:
            grant = (op.returned, int(told.document["term"]), op.returned - op.called)
            self.grants.append(grant)
        self.stir()

    def stir(self) -> None:
        """Have those look again who wait for something."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def worked(self, answers: int) -> None:
        """Return when so many questions have been answered: less shows nothing."""
        await self._until(lambda: self.history.counts.get("answered", 0) >= answers)

    async def granted(self, after: float, term: int = 0) -> float:
        """Return when the first lease was granted after a time and above a term."""
        found: list[float] = []
        place = 0

        def look() -> bool:
            nonlocal place
            fresh, place = self.grants[place:], len(self.grants)
            found.extend(came for came, at, _ in fresh if came > after and at > term)
            return bool(found)

        await self._until(look)
        return found[0]

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self.failure is not None:
                    raise self.failure
                await self._news.wait()


class ByWay:
    """An `Http` whose requests go by a way of the test's own."""

    def __init__(self, way: httpx.AsyncBaseTransport) -> None:
        self._http = httpx.AsyncClient(transport=way, timeout=None)

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer, if the way brings it."""
        try:
            answer = await self._http.request(
                request.method,
                request.url,
                params=request.query,
                content=request.body,
                headers={**request.headers, "Content-Type": "application/json"},
            )
        except httpx.TransportError as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error
        return HttpAnswer(status=answer.status_code, headers=answer.headers, body=answer.content)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class Listening(Cluster):
    """What a client asks through, listened to. For one question at a time."""

    def __init__(
        self,
        client: DistributedBackfillCoordinator,
        http: Http,
        name: str,
        heard: Heard,
    ) -> None:
        asked = client._cluster
        super().__init__(asked.urls, http, asked._clock, asked._rng)
        self._name = name
        self._heard = heard
        self._key = ""

    def new_key(self) -> str:
        """Return what names one change."""
        self._key = super().new_key()
        return self._key

    async def change(
        self,
        path: str,
        body: Mapping[str, object],
        budget: Patience,
        again: Mapping[str, object] | None = None,
    ) -> Told:
        """Have something done, and write down what came of it."""
        called, told = time.monotonic(), None
        try:
            told = await super().change(path, body, budget, again)
        finally:
            self._heard.add(self._op(path, body, called, told), told)
        return told

    def _op(self, path: str, body: Mapping[str, object], called: float, told: Told | None) -> Op:
        answered: dict[str, Any] = {}
        if told is not None:
            answered = {
                "returned": time.monotonic(),
                "reply": wire.reply_of(told.document["reply"], "reply"),
                "index": told.document["raft_index"],
            }
        return Op(
            worker=self._name,
            request_id=self._key,
            command=wire.command_of({**body, "op": OPS[path]}, ""),
            called=called,
            **{"returned": NEVER, **answered},
        )


class Worker:
    """One worker that works until it is told to end."""

    def __init__(
        self,
        name: str,
        client: DistributedBackfillCoordinator,
        chance: Random,
    ) -> None:
        self.name = name
        self.client = client
        self.ending = False
        self.holds_s = HOLDING_S
        self.lost: list[str] = []
        """Leases that were gone while it might still have written, and how long before that end."""

        self._chance = chance

    async def live(self) -> None:
        """Take leases and do something with them."""
        await self._open_session()
        while not self.ending:
            try:
                await self._once()
            except SessionLostError:
                await self._open_session()
            except CoordinatorUnavailableError:
                continue  # as `Heard` counts it: what it held ends by itself

    async def _open_session(self) -> None:
        with suppress(CoordinatorUnavailableError):
            await self.client.open_session(self.name, SESSION_TTL_MS)

    async def _once(self) -> None:
        for lease in await self.client.acquire(self.name, self._chance.choice((1, 1, 2))):
            await self._hold(lease)

    async def _hold(self, lease: HeldLease) -> None:
        """Do something with a lease.

        Up to `stop_s` it must be in force. By a way that loses a quarter of all requests a holder
        comes later than that now and then: its own bad luck, nothing that the service has promised.
        """
        try:
            await self._tell_of(lease)
        except LeaseLostError as error:
            left_s = lease.stop_s - self.client._clock.monotonic()
            if left_s > 0:
                self.lost.append(f"{self.name}, {left_s:.1f} s before it had to stop: {error}")

    async def _tell_of(self, lease: HeldLease) -> None:
        chance, client = self._chance, self.client
        await asyncio.sleep(chance.uniform(0.0, self.holds_s))
        if chance.random() < 0.2:
            lease = await client.renew(lease)
        if chance.random() < 0.2 and lease.window.end - lease.window.start > 1:
            first = Window(lease.window.start, lease.window.start + 1)
            lease = await client.progress(lease, (first,))
        way = chance.random()
        if way < 0.8:
            await client.complete(lease)
        elif way < 0.95:
            await client.fail(lease, LeaseFailure(error_class="source"))
        else:
            await client.release(lease)


class Load:
    """Some workers, and as much work as they can do."""

    def __init__(
        self, heard: Heard, workers: Sequence[Worker], hand: DistributedBackfillCoordinator
    ) -> None:
        self.heard = heard
        self.workers = workers
        self.hand = hand
        """A client for the test itself."""

        self._lives: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Ask for windows, and let the workers live."""
        await self.hand.open_session(HAND, SESSION_TTL_MS)
        for lane in range(LANES):
            await self.hand.submit_job(job(f"job{lane}", f"node{lane}"))
        for worker in self.workers:
            life = asyncio.create_task(worker.live())
            life.add_done_callback(self._look_at_end)
            self._lives.append(life)

    async def end(self) -> None:
        """Return when every worker has come to the end of what it does.

        Raises:
            Exception: What has ended a worker before.
        """
        for worker in self.workers:
            worker.ending = True
        async with asyncio.timeout(BUDGET.whole_s):
            await asyncio.gather(*self._lives)

    def _look_at_end(self, life: asyncio.Task[None]) -> None:
        if not life.cancelled() and life.exception() is not None:
            self.heard.failure = life.exception()
            self.heard.stir()

    async def kill(self) -> None:
        """End them where they stand."""
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)


def job(job_id: str, node: str) -> JobSpec:
    """Return a job with more windows than anybody does in a test."""
    whole = Window(0, WINDOWS * BARS)
    return JobSpec(
        job_id=job_id,
        target=SeriesLane(Series(node, 1), "bf:s"),
        window=whole,
        missing=(whole,),
        grid=Grid(1),
        window_bars=BARS,
    )


@asynccontextmanager
async def load_on(
    urls: Sequence[str],
    heard: Heard,
    seed: int,
    clocks: Sequence[Clock],
    way: Callable[[], httpx.AsyncBaseTransport],
) -> AsyncGenerator[Load]:
    """Have workers, one for each clock; `start` begins.

    Args:
        urls: Of the nodes.
        heard: Gets all that they are told.
        seed: Of what they do.
        clocks: Theirs.
        way: Makes what their requests go by.
    """
    async with AsyncExitStack() as stack:

        async def client_of(name: str, clock: Clock) -> DistributedBackfillCoordinator:
            options = ClientOptions(budget=BUDGET, clock=clock, rng=Random(f"{seed} {name}"))
            client = DistributedBackfillCoordinator(urls, options)
            http = await stack.enter_async_context(aclosing(ByWay(way())))
            client._cluster = Listening(client, http, name, heard)
            return await stack.enter_async_context(client)

        workers = []
        for number, clock in enumerate(clocks):
            client = await client_of(f"w{number}", clock)
            workers.append(Worker(f"w{number}", client, Random(f"{seed} {number}")))
        load = Load(heard, workers, await client_of(HAND, SystemClock()))
        stack.push_async_callback(load.kill)
        yield load
