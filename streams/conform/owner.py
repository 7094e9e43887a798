"""One partition of the chunks, from the moment it is assigned until it is revoked.

The owner first fences its predecessor, and only then reads what that one has left: the mark, the
history from there on, and how far the chunks were judged. From then on nothing of the partition
can change without it, so what it remembers is the truth.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from avro_schemas import BarChunk, VisibleMark
from bars.window import merge
from runtime import Clock, Settings
from runtime.log import logger
from runtime.metrics import Metrics
from store import Store
from streams.conform.confirmed import Confirmed
from streams.conform.decide import (
    Judgement,
    Knowledge,
    expired,
    judge,
    lost,
    next_known,
    reject,
    unreadable,
)
from streams.conform.overlay import Overlay, entry_of
from streams.conform.publish import Outgoing, Publisher, offsets_of_conformed
from streams.conform.recovery import Recovered, recover
from streams.conform.screen import Candidate, Place, Rejection, Rules, screen
from streams.conform.stored import Stored, ask
from streams.errors import InputGoneError, OverlayFullError, OwnerLostError, StoreBehindError
from streams.patience import Patience, in_thread, transaction_max_s
from topics import (
    Catalogue,
    Codec,
    FencedProducer,
    MarkReader,
    RawMessage,
    Reader,
    UnreadableRecordError,
    UnwritableRecordError,
)

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all owners of a process share."""

    settings: Settings
    catalogue: Catalogue
    codec: Codec
    store: Store
    rules: Rules
    clock: Clock
    metrics: Metrics
    patience: Patience

    @property
    def group(self) -> str:
        """The group that keeps how far the chunks are judged; nobody subscribes with it."""
        return f"{self.settings.kafka.prefix}conform.watermark"


class Owner:
    """Judges the chunks of one partition."""

    def __init__(self, desk: Desk, partition: int) -> None:
        self.partition = partition
        self._desk = desk
        kafka = desk.settings.kafka
        self._producer = FencedProducer(kafka, f"{kafka.prefix}conform-{partition}")
        self._marks = MarkReader(kafka, desk.catalogue.visible, partition, desk.codec, desk.clock)
        self._publisher = Publisher(desk.catalogue, desk.codec, desk.clock)
        self._overlay = Overlay(partition)
        self._confirmed = Confirmed()
        self._next = 0
        self._last_known = 0

    @property
    def next(self) -> int:
        """The first chunk that is not judged yet."""
        return self._next

    async def open(self) -> None:
        """Take the partition over.

        Raises:
            FencedError: Somebody else has already taken it over again.
            InputGoneError: The chunks are not those that were judged before.
            TopicsError: Kafka or the registry did not serve.
        """
        await asyncio.to_thread(self._producer.start)
        await self.reload()

    async def reload(self) -> None:
        """Read anew what is visible of the partition.

        Raises:
            InputGoneError: The chunks are not those that were judged before.
            TopicsError: Kafka or the registry did not serve.
        """
        found = await self._desk.patience.until_done("history_near_store", self._recover)
        chunks = self._desk.catalogue.chunks.name
        judged = await asyncio.to_thread(
            self._producer.committed, self._desk.group, chunks, self.partition
        )
        self._overlay, self._last_known = found.overlay, found.last_known
        self._confirmed = found.confirmed
        self._next = max(found.next, judged or 0)
        low, end = await asyncio.to_thread(self._bounds)
        if self._next > end:
            raise InputGoneError(chunks, self.partition, self._next, end)
        if self._next < low:
            verdict = await self._expired(self._next, low)
            await self._publish([verdict], low, self._last_known)

    async def close(self) -> None:
        """Let the partition go."""
        await asyncio.to_thread(self._producer.close)
        await self._marks.close()

    async def judge(self, messages: Sequence[RawMessage]) -> None:
        """Judge chunks and publish what becomes of them, all in one transaction.

        Args:
            messages: Ascending by offset; those that are judged already are skipped.

        Raises:
            FencedError: Another process owns the partition now; nothing is published.
            AbortedTransactionError: Nothing is published; reload and do it again.
            MarkWentBackError: The same, for what is remembered here is too short.
        """
        fresh = [m for m in messages if m.offset >= self._next]
        if not fresh:
            return
        screened = [await self._screen(message) for message in fresh]
        candidates = [each for each in screened if isinstance(each, Candidate)]
        stored = await self._desk.patience.until_done(
            "store_behind_history", lambda: self._learn(candidates)
        )
        outgoing = await self._lost([m.offset for m in fresh])
        known = self._last_known
        verdicts: Counter[str] = Counter()
        for message, each in zip(fresh, screened, strict=True):
            made = each
            if isinstance(made, Candidate):
                proposed = next_known(message.timestamp_ms * 1_000, known)
                made = judge(made, self._knowledge(made, stored), proposed, self._desk.rules)
            made, records = await self._records(message, made)
            outgoing += records
            if made.conformed is not None:
                known = made.conformed.known
                self._overlay.add(entry_of(made.conformed))
            self._confirmed.add(made.report)
            self._tell(made)
            verdicts[made.report.verdict] += 1
        await self._publish(outgoing, fresh[-1].offset + 1, known)
        _log.info("judged", partition=self.partition, next=self._next, **verdicts)

    async def _recover(self) -> Recovered:
        mark = await self._marks.read()
        desk = self._desk
        found = await recover(desk.settings.kafka, desk.catalogue, desk.codec, mark, desk.clock)
        if found.next < self._next:  # a commit returns before all of it can be read
            raise OwnerLostError(self.partition, f"history ends before chunk {self._next}")
        return found

    async def _learn(self, candidates: Sequence[Candidate]) -> Stored:
        """Follow the mark and ask the store; it must not lie too far behind history."""
        mark = await self._marks.read()
        self._overlay.advance(mark.history_offset)
        if self._overlay.full:
            raise OverlayFullError(self.partition, mark.history_offset)
        wanted = [(candidate.series, candidate.window) for candidate in candidates]
        found = await self._desk.patience.until_done(
            "store", lambda: asyncio.to_thread(ask, self._desk.store, wanted)
        )
        # Checked last: an older copy may be put back between any two questions.
        await self._check_store(mark)
        return found

    async def _check_store(self, mark: VisibleMark) -> None:
        highest = await asyncio.to_thread(self._desk.store.ledger.highest_offset, self.partition)
        if highest < mark.ledger_offset:
            raise StoreBehindError(self.partition, mark.ledger_offset, highest)

    async def _screen(self, message: RawMessage) -> Candidate | Judgement:
        place = Place(partition=message.partition, offset=message.offset)
        desk = self._desk
        try:
            chunk = await desk.patience.until_done(
                "registry", lambda: desk.codec.decode(desk.catalogue.chunks, message.value)
            )
        except UnreadableRecordError as error:
            return unreadable(place, error.error_class, str(error))
        if not isinstance(chunk, BarChunk):
            return unreadable(place, "schema_mismatch", f"a {type(chunk).__name__} is no chunk")
        found = screen(chunk, place, desk.rules)
        return reject(chunk, place, found) if isinstance(found, Rejection) else found

    def _knowledge(self, candidate: Candidate, stored: Stored) -> Knowledge:
        series, window, lane = candidate.series, candidate.window, candidate.chunk.lane
        entries = stored.entries(series, window, lane)
        tokens = [self._overlay.token(series, lane, window)]
        tokens += [self._confirmed.token(series, lane, window)]
        return Knowledge(
            versions=self._overlay.versions(series, window, stored.versions(series, window)),
            ledger=merge(entry.window for entry in entries),
            token=max([*tokens, *(entry.token for entry in entries)]),
            settled=self._overlay.settled(series, window),
        )

    async def _lost(self, offsets: Sequence[int]) -> list[Outgoing]:
        """Return the verdicts on chunks that retention took while they were waiting."""
        if offsets[-1] - self._next + 1 == len(offsets):
            return []
        low, _ = await asyncio.to_thread(self._bounds)
        gone = lost(self._next, offsets, low)
        return [await self._expired(*each) for each in gone]

    async def _expired(self, start: int, end: int) -> Outgoing:
        """Return the verdict on chunks that nobody will ever judge, and raise the alarm."""
        report = expired(self.partition, start, end)
        self._desk.metrics.chunks_judged.add(end - start, verdict=report.verdict)
        _log.error("expired", partition=self.partition, start=start, end=end)
        return await self._publisher.verdict(report)

    async def _records(
        self, message: RawMessage, judgement: Judgement
    ) -> tuple[Judgement, list[Outgoing]]:
        """Return a judgement with its records; another one where they would be too large."""
        until_done, records = self._desk.patience.until_done, self._publisher.records
        try:
            return judgement, await until_done("registry", lambda: records(message, judgement))
        except UnwritableRecordError as error:
            place = Place(partition=message.partition, offset=message.offset)
            other = unreadable(place, "unwritable", str(error))
            return other, await until_done("registry", lambda: records(message, other))

    async def _publish(self, outgoing: Sequence[Outgoing], next_: int, last_known: int) -> None:
        mark = await self._desk.patience.until_done(
            "registry", lambda: self._publisher.watermark(self.partition, next_, last_known)
        )
        limit_s = transaction_max_s(self._desk.settings.kafka.transaction_timeout_ms)
        offsets = await in_thread(
            "transaction", limit_s, lambda: self._transact([*outgoing, mark], next_)
        )
        self._overlay.commit(offsets_of_conformed(outgoing, offsets[:-1]))
        self._next, self._last_known = next_, last_known

    def _transact(self, outgoing: Sequence[Outgoing], next_: int) -> list[int]:
        """Publish everything or nothing; return where each record stands."""
        self._producer.begin()
        for each in outgoing:
            self._producer.produce(
                each.topic, each.key, each.value, each.headers, partition=self.partition
            )
        chunks = (self._desk.catalogue.chunks.name, self.partition)
        delivered = self._producer.commit({chunks: next_}, self._desk.group)
        return [each.offset for each in delivered]

    def _bounds(self) -> tuple[int, int]:
        kafka = self._desk.settings.kafka
        with Reader(kafka, self._desk.catalogue.chunks.name, self.partition) as reader:
            return reader.low(), reader.end()

    def _tell(self, judgement: Judgement) -> None:
        report, metrics = judgement.report, self._desk.metrics
        metrics.chunks_judged.add(verdict=report.verdict)
        for flag in report.flags:
            metrics.conformance_flags.add(check=flag.check, severity=flag.severity)
        for kind, count in Counter(revision.kind for revision in report.revisions).items():
            metrics.revisions.add(count, kind=kind)
        if judgement.rejection is not None:
            metrics.dead_letters.add(error_class=judgement.rejection.error_class)
            _log.warning(
                "rejected",
                partition=report.chunk_partition,
                offset=report.chunk_offset,
                verdict=report.verdict,
                error_class=report.error_class,
                reason=report.message,
            )
