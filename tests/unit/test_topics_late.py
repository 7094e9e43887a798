"""Records that a client hands out together with an error are not lost."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from avro_schemas import VisibleMark
from runtime import KafkaSettings
from runtime.testing import ManualClock
from topics import (
    Catalogue,
    KafkaUnavailableError,
    MarkReader,
    RawMessage,
    Reader,
    RegistryUnavailableError,
    Tail,
    marks,
    reader,
    tail,
)

KAFKA = KafkaSettings()
AWAY = KafkaError(KafkaError.KAFKA_STORAGE_ERROR, "a disk is slow")


class Given:
    """A message of the client."""

    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self.topic: Callable[[], str] = lambda: "t"
        self.partition: Callable[[], int] = lambda: 0
        self.offset: Callable[[], int] = lambda: offset
        self.error: Callable[[], KafkaError | None] = lambda: error
        self.key = self.value = self.headers = lambda: None
        self.timestamp: Callable[[], tuple[int, int]] = lambda: (1, 1)


class Client:
    """A consumer that hands out one batch, and never again."""

    def __init__(self, *_args: object) -> None:
        self.waiting = [Given(3), Given(4), Given(-1, AWAY), Given(5)]

    def assign(self, places: object) -> None:
        """Take a position."""

    def poll(self, timeout_s: float) -> Given | None:
        del timeout_s
        return self.waiting.pop(0) if self.waiting else None

    def consume(self, *_args: object) -> list[Given]:
        found, self.waiting = self.waiting, []
        return found

    def position(self, places: list[Any]) -> list[Any]:
        return places


def test_a_reader_returns_them_before_it_tells_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "Consumer", Client)
    mine = Reader(KAFKA, "t", 0)
    mine.seek(3)
    assert [m.offset for m in mine.poll(0)] == [3, 4, 5]
    with pytest.raises(KafkaUnavailableError):
        mine.poll(0)
    assert (mine.poll(0), mine.position) == ([], 6)


def test_a_tail_returns_them_before_it_tells_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict among them would never come again, and its request would never end."""
    monkeypatch.setattr(tail, "Consumer", Client)
    monkeypatch.setattr(tail, "bounds", lambda *_args: {("t", 0): SimpleNamespace(low=0, end=3)})
    mine = Tail(KAFKA, ("t",))
    assert [m.offset for m in mine.poll(0)] == [3, 4, 5]
    with pytest.raises(KafkaUnavailableError):
        mine.poll(0)
    assert mine.positions == {("t", 0): 6}


class OneMark:
    """A reader of a partition with one mark, which is handed out once; then comes a marker."""

    topic = "v"
    partition = 0

    def __init__(self, *_args: object) -> None:
        self.position = -1
        self.fails = 0

    def low(self) -> int:
        return 0

    def end(self) -> int:
        return 2

    def seek(self, offset: int) -> None:
        self.position = offset

    def poll(self, timeout_s: float) -> list[RawMessage]:
        del timeout_s
        if self.fails:
            self.fails -= 1
            raise KafkaUnavailableError("read", "away")
        self.position += 1
        if self.position > 1:
            return []
        self.fails = 1
        return [
            RawMessage(topic="v", partition=0, offset=0, key=b"0", value=b"mark", timestamp_ms=1)
        ]


class Registryless:
    """Decodes at the second try."""

    def __init__(self) -> None:
        self.away = True

    async def decode(self, *_args: object) -> VisibleMark:
        if self.away:
            self.away = False
            raise RegistryUnavailableError("schema", "away")
        return VisibleMark(partition=0, history_offset=7)


async def test_a_mark_is_not_lost_between_reading_and_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Conformance would take the store for older than it is, until the next one comes."""
    monkeypatch.setattr(marks, "Reader", OneMark)
    codec: Any = Registryless()
    mine = MarkReader(KAFKA, Catalogue.of(KAFKA).visible, 0, codec, ManualClock())
    with pytest.raises(KafkaUnavailableError):
        await mine.read()
    with pytest.raises(RegistryUnavailableError):
        await mine.read()
    assert (await mine.read()).history_offset == 7
