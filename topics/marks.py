"""Following the VisibleMark of a partition."""

import asyncio

from avro_schemas import VisibleMark
from runtime import KafkaSettings
from topics.catalogue import Topic
from topics.codec import Codec
from topics.errors import KafkaUnavailableError
from topics.messages import RawMessage
from topics.reader import Reader

_POLL_S = 1.0
_POLLS_MAX = 120
"""Polls without an end in sight; each waits for records at most `_POLL_S`."""


class MarkReader:
    """The newest mark of one partition, asked for as often as one likes."""

    def __init__(self, kafka: KafkaSettings, topic: Topic, partition: int, codec: Codec) -> None:
        self._topic = topic
        self._partition = partition
        self._codec = codec
        self._reader = Reader(kafka, topic.name, partition)
        self._mark = VisibleMark(partition=partition, history_offset=0)
        self._newest: RawMessage | None = None
        """Read and not decoded: the registry, or a broker, may fail between the two."""

    async def read(self) -> VisibleMark:
        """Return the newest mark that is committed now; one of 0 while there is none.

        Raises:
            KafkaUnavailableError: No broker answered in time.
            RegistryUnavailableError: The registry did not.
        """
        await asyncio.to_thread(self._read_to_end)
        newest = self._newest
        if newest is not None and newest.value is not None:
            mark = await self._codec.decode(self._topic, newest.value)
            if isinstance(mark, VisibleMark):
                self._mark = mark
        self._newest = None
        return self._mark

    def _read_to_end(self) -> None:
        """Keep the last record that has come."""
        if self._reader.position < 0:
            self._reader.seek(self._reader.low())
        end = self._reader.end()
        for _ in range(_POLLS_MAX):
            if self._reader.position >= end:
                return
            for message in self._reader.poll(_POLL_S):
                self._newest = message
        raise KafkaUnavailableError(
            f"mark of partition {self._partition}",
            f"stood at {self._reader.position} of {end} for {_POLLS_MAX * _POLL_S:.0f} s",
        )

    async def close(self) -> None:
        """End the reader."""
        await asyncio.to_thread(self._reader.close)
