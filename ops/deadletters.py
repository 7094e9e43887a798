"""Dead letters: which there are, and what has to be asked for so that what they held is there.

The bytes are never sent again: they are wrong, or were fetched under a lease that is over. What is
missing is fetched anew, under a fresh lease, and only where the ledger lacks it.
"""

import asyncio
import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from avro_schemas import BackfillRequest, BarChunk, RequestKind
from bars.errors import InvalidValueError
from bars.series import BACKFILL_PREFIX, Series
from bars.window import Window, merge
from runtime import Clock, Settings, SystemClock
from topics import (
    Catalogue,
    Codec,
    DeadLetterInfo,
    HistoryKey,
    RawMessage,
    Registry,
    Tail,
    UnreadableRecordError,
    deadletter_info,
    parse_history_key,
    read_to_end,
)

EVERYTHING = 2**62
REQUESTED_BY = "seamless deadletters replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which letters are meant."""

    error_class: str | None = None
    node: str | None = None
    since: int | None = None
    """Epoch seconds; when the record was first seen."""

    until: int | None = None
    """The same; not included."""

    def mean(self, info: DeadLetterInfo, key: str) -> bool:
        """Return whether a letter is one of them."""
        seen_s = info.first_seen_us / 1_000_000
        return (
            self.error_class in {None, info.error_class}
            and (self.node is None or key.partition("|")[0] == self.node)
            and (self.since is None or seen_s >= self.since)
            and (self.until is None or seen_s < self.until)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Which bars a letter was meant to bring."""

    series: Series
    lane: str
    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter."""

    partition: int
    offset: int
    """Where it stands among the dead letters."""

    info: DeadLetterInfo
    key: str
    bars: Bars | None
    """None: nobody can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """The letters about one lane of a series, and the requests that stand for them."""

    letters: tuple[Letter, ...]
    requests: tuple[BackfillRequest, ...]


async def read_letters(settings: Settings, filters: Filters, limit: int) -> list[Letter]:
    """Return the newest letters that are meant, oldest first.

    Args:
        settings: Where Kafka and the registry are.
        filters: Which are meant.
        limit: How many at most.

    Raises:
        TopicsError: Kafka or the registry did not serve.
    """
    topics = Catalogue.of(settings.kafka)
    name, clock = topics.deadletter.name, SystemClock()
    found = await asyncio.to_thread(_meant, settings, name, filters, limit, clock)
    registry = Registry(settings.registry)
    codec = Codec(registry, clock)
    try:
        return [await _letter(message, info, topics, codec) for message, info in found]
    finally:
        await registry.close()


def lots_of(letters: Iterable[Letter]) -> Iterator[Lot]:
    """Yield what has to be asked for; letters that cannot be replayed are in none."""
    by_lane: defaultdict[tuple[Series, str], list[tuple[Letter, Window]]] = defaultdict(list)
    for letter in letters:
        bars = letter.bars
        if bars is not None and bars.lane.startswith(BACKFILL_PREFIX):
            by_lane[bars.series, bars.lane].append((letter, bars.window))
    for (series, lane), found in by_lane.items():
        source = lane.removeprefix(BACKFILL_PREFIX)
        windows = merge(window for _, window in found)
        yield Lot(
            letters=tuple(letter for letter, _ in found),
            requests=tuple(_request(series, source, window) for window in windows),
        )


def _request(series: Series, source: str, window: Window) -> BackfillRequest:
    return BackfillRequest(
        request_id=str(uuid.uuid4()),
        kind=RequestKind.SUBMIT,
        node_id=series.node,
        interval=series.interval,
        start=window.start,
        end=window.end,
        source=source,
        requested_by=REQUESTED_BY,
        reason="dead letters",
    )


def _meant(
    settings: Settings, topic: str, filters: Filters, limit: int, clock: Clock
) -> list[tuple[RawMessage, DeadLetterInfo]]:
    newest: defaultdict[int, deque[tuple[RawMessage, DeadLetterInfo]]] = defaultdict(
        lambda: deque(maxlen=limit)
    )
    with Tail(settings.kafka, (topic,), EVERYTHING) as tail:
        for batch in read_to_end(tail, clock):
            for message in batch:
                info = deadletter_info(message)
                if info is not None and filters.mean(info, _text(message.key)):
                    newest[message.partition].append((message, info))
    every = [each for found in newest.values() for each in found]
    every.sort(key=lambda each: (each[1].first_seen_us, each[0].partition, each[0].offset))
    return every[-limit:]


async def _letter(
    message: RawMessage, info: DeadLetterInfo, topics: Catalogue, codec: Codec
) -> Letter:
    bars = None
    if info.topic == topics.chunks.name:
        bars = await _chunk_bars(message, topics, codec)
    elif info.topic == topics.history.name:
        bars = _history_bars(message)
    return Letter(
        partition=message.partition,
        offset=message.offset,
        info=info,
        key=_text(message.key),
        bars=bars,
    )


async def _chunk_bars(message: RawMessage, topics: Catalogue, codec: Codec) -> Bars | None:
    try:
        chunk = await codec.decode(topics.chunks, message.value)
    except UnreadableRecordError:
        return None
    if not isinstance(chunk, BarChunk):
        return None
    return _bars(chunk.node_id, chunk.interval, chunk.lane, chunk.start, chunk.end)


def _history_bars(message: RawMessage) -> Bars | None:
    key = parse_history_key(message.key)
    if not isinstance(key, HistoryKey):
        return None
    return _bars(key.node, key.interval, key.lane, key.start, key.end)


def _bars(node: str, interval: int, lane: str, start: int, end: int) -> Bars | None:
    try:
        return Bars(series=Series(node, interval), lane=lane, window=Window(start, end))
    except InvalidValueError:
        return None


def _text(key: bytes | None) -> str:
    return (key or b"").decode("utf-8", "replace")
