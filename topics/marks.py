"""Following the VisibleMark of a partition."""

import asyncio

from avro_schemas import VisibleMark
from runtime import Clock, KafkaSettings
from topics.catalogue import Topic
from topics.codec import Codec
from topics.messages import RawMessage
from topics.reader import Reader
from topics.to_end import Upto, read_to_end


class MarkReader:
    """The newest mark of one partition, asked for as often as one likes."""

    def __init__(
        self, kafka: KafkaSettings, topic: Topic, partition: int, codec: Codec, clock: Clock
    ) -> None:
        self._topic = topic
        self._codec = codec
        self._clock = clock
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
        for batch in read_to_end(Upto(self._reader, self._reader.end()), self._clock):
            self._newest = batch[-1] if batch else self._newest

    async def close(self) -> None:
        """End the reader."""
        await asyncio.to_thread(self._reader.close)
