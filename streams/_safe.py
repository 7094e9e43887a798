"""Faust with a consumer that commits only what an agent reported durable.

Faust's own acknowledgements decide nothing here: when an agent raises they acknowledge records
that nobody has processed, and on transactional and compacted topics they stop at the gaps in the
offsets. The subclasses below are handed to Faust through its own hooks; nothing is patched.

They also hide aborted transactions, and let an app choose where each partition begins.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, EventT, Message
from faust.types.transports import ConsumerCallback, TransportT

from streams.errors import DriverChangedError, UnplacedPartitionError

READ_COMMITTED: Final = "read_committed"

PLACE_TIMEOUT_S: Final = 60.0
"""Shorter than `broker_request_timeout`, after which Faust would go on without a start."""

FETCH_WAIT_MS: Final = 100
"""How long a broker may wait for a record before it answers a fetch that found none.

The client has one fetch in flight for each broker. Where a partition is at its end and the others
are not, one that waits holds up all of them; Faust's own 1,500 ms cost a third of the speed.
"""

CLIENT_OPTIONS: Final = {"_isolation_level": READ_COMMITTED, "_fetch_max_wait_ms": FETCH_WAIT_MS}

Place = Callable[[Mapping[int, int | None]], Awaitable[Mapping[int, int]]]
"""Given the committed offset of each newly assigned partition: where each is to begin."""

Release = Callable[[frozenset[int]], Awaitable[None]]
"""Told of partitions that are somebody else's now; nothing of them is in work any more."""

Ready = Callable[[frozenset[int]], None]
"""Told of all partitions that are read from now on."""


class SafeThread(driver.AIOKafkaConsumerThread):
    """The thread that holds the Kafka client."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # The driver has no settings for these.
        for name, value in CLIENT_OPTIONS.items():
            if not hasattr(consumer, name):
                raise DriverChangedError(f"its client has no {name}")
            setattr(consumer, name, value)
        return consumer


class SafeConsumer(driver.Consumer):
    """Commits up to the first record that was delivered and is not durable."""

    def __init__(self, transport: TransportT, callback: ConsumerCallback, **options: Any) -> None:
        missing = _NEEDED - set(dir(driver.Consumer)) - _annotated(driver.Consumer)
        if missing:
            raise DriverChangedError(f"its consumer has no {', '.join(sorted(missing))}")
        self._inflight: defaultdict[TP, set[int]] = defaultdict(set)
        self._durable: dict[TP, int] = {}
        self._starts: dict[TP, int] = {}
        self._revocations = 0
        self._is_ours = False
        self._seeking = asyncio.Lock()

        async def deliver(message: Message) -> None:
            if message.tp not in self._starts:
                raise UnplacedPartitionError(message.topic, message.partition)
            self._inflight[message.tp].add(message.offset)
            await callback(message)

        super().__init__(transport, deliver, **options)

    def _new_consumer_thread(self) -> SafeThread:
        return SafeThread(self, loop=self.loop, beacon=self.beacon)

    def mark_durable(self, messages: Iterable[Message]) -> None:
        """Note that the records need never be delivered again."""
        for message in messages:
            tp = message.tp
            if tp in self._starts:
                self._inflight[tp].discard(message.offset)
                self._durable[tp] = max(message.offset, self._durable.get(tp, -1))

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Any:
        return (tp for tp in list(self._durable) if topics is None or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        self._gap.pop(tp, None)
        last = self._durable.get(tp)
        return None if last is None else min(self._inflight[tp] | {last + 1})

    async def perform_seek(self) -> None:
        """Begin every assigned partition where the app says, not where the group committed.

        Faust calls it after a rebalance, and from its fetcher when that finds the flow stopped:
        twice at the same time, if it so happens, or between a revocation and the assignment that
        follows. Then the partitions are somebody else's already, whom opening them would fence.
        """
        async with self._seeking:
            if self._is_ours:
                await self._perform_seek()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """From now on, and until something is revoked, the assignment can be relied on."""
        self._is_ours = True
        await super().on_partitions_assigned(assigned, generation_id)

    async def _perform_seek(self) -> None:
        await super().perform_seek()
        app = _safe(self.app)
        revocations = self._revocations
        assigned = {tp for tp in self.assignment() if tp.topic == app.input_topic}
        new = {tp.partition: self._committed_offset[tp] for tp in assigned - self._starts.keys()}
        if new:
            chosen = await asyncio.wait_for(app.place(new), PLACE_TIMEOUT_S)
            if revocations != self._revocations:
                # Assigned anew meanwhile: the next call will choose.
                await app.release(frozenset(new))
                return
            self._starts.update({TP(app.input_topic, p): start for p, start in chosen.items()})
        await self.seek_wait({tp: self._resume_at(tp) for tp in assigned})
        app.ready(frozenset(tp.partition for tp in assigned))

    def _resume_at(self, tp: TP) -> int:
        """Return where to go on: nothing durable is read again, nothing in flight is left out."""
        reached = self._new_offset(tp)
        return self._starts[tp] if reached is None else max(reached, self._starts[tp])

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the partitions, once the agent has finished what it holds of them."""
        self._revocations += 1
        self._is_ours = False
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._inflight.pop(tp, None)
            self._durable.pop(tp, None)
            self._starts.pop(tp, None)
        app = _safe(self.app)
        await app.release(frozenset(tp.partition for tp in revoked if tp.topic == app.input_topic))


_NEEDED = {"_new_offset", "_acked", "_acked_index", "_gap", "_committed_offset", "perform_seek"}
"""What of the driver's inside is used here."""


def _annotated(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}


def _safe(app: AppT) -> "SafeApp":
    if isinstance(app, SafeApp):
        return app
    raise DriverChangedError(f"its app is a {type(app).__name__}")


class SafeTransport(driver.Transport):
    """The driver with our consumer."""

    Consumer = SafeConsumer


class SafeApp(faust.App):
    """A Faust app on one input topic whose records are raw bytes."""

    input_topic: str
    """The topic that its agent reads."""

    place: Place
    """Chooses where partitions begin."""

    release: Release
    """Lets partitions go."""

    ready: Ready
    """Hears that reading begins."""

    on_crashed: Callable[[BaseException], None] = staticmethod(lambda _reason: None)
    """Hears that the app has crashed and will end."""

    def mark_durable(self, events: Iterable[EventT[Any]]) -> None:
        """Note that the records need never be delivered again; their offsets are committed soon."""
        consumer = self.consumer
        if not isinstance(consumer, SafeConsumer):
            raise DriverChangedError(f"its consumer is a {type(consumer).__name__}")
        consumer.mark_durable(event.message for event in events)

    def _new_transport(self) -> TransportT:
        return SafeTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Make none: there are no tables."""

    def _crash(self, reason: BaseException) -> None:
        if not self.crashed:
            self.on_crashed(reason)
        super()._crash(reason)
