"""From judgements to the records of one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from avro_schemas import ConformanceReport, Record, Watermark
from runtime import Clock
from streams.conform.decide import Judgement
from topics import (
    Catalogue,
    Codec,
    Headers,
    RawMessage,
    Topic,
    deadletter_headers,
    history_key,
    report_key,
    watermark_key,
)

ROLE = "conform"
"""What this writer of history is called in watermarks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One record of a transaction."""

    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: Headers = ()
    conformed: bool = False
    """Whether it brings bars to history."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Encodes what one partition's owner publishes."""

    catalogue: Catalogue
    codec: Codec
    clock: Clock

    async def records(self, message: RawMessage, judgement: Judgement) -> list[Outgoing]:
        """Return the records about one chunk: the verdict, and where its bars or bytes go."""
        found = [await self.verdict(judgement.report)]
        chunk = judgement.conformed
        if chunk is not None:
            key = history_key(chunk.node_id, chunk.interval, chunk.lane, chunk.start, chunk.end)
            found.append(await self._encoded(self.catalogue.history, key, chunk, conformed=True))
        if judgement.rejection is not None:
            headers = deadletter_headers(
                message,
                judgement.rejection.error_class,
                judgement.rejection.message,
                1,
                self.clock.wall_us(),
            )
            found.append(
                Outgoing(
                    topic=self.catalogue.deadletter.name,
                    key=message.key,
                    value=message.value,
                    headers=headers,
                )
            )
        return found

    async def verdict(self, report: ConformanceReport) -> Outgoing:
        """Return a verdict."""
        key = report_key(report.node_id, report.interval, report.start, report.end)
        return await self._encoded(self.catalogue.reports, key, report)

    async def watermark(self, partition: int, next_offset: int, last_known: int) -> Outgoing:
        """Return the last record of a transaction."""
        mark = Watermark(
            role=ROLE, partition=partition, next_input_offset=next_offset, last_known=last_known
        )
        return await self._encoded(self.catalogue.history, watermark_key(ROLE, partition), mark)

    async def _encoded(
        self, topic: Topic, key: str, record: Record, *, conformed: bool = False
    ) -> Outgoing:
        value = await self.codec.encode(topic, record)
        return Outgoing(topic=topic.name, key=key, value=value, conformed=conformed)


def offsets_of_conformed(
    outgoing: Sequence[Outgoing], delivered_offsets: Sequence[int]
) -> list[int]:
    """Return the history offsets of the records that brought bars, in order."""
    pairs = zip(outgoing, delivered_offsets, strict=True)
    return [offset for record, offset in pairs if record.conformed]
