"""Keys of records, and the partition that a series has in every topic.

Keys are plain UTF-8 text, never Avro: a registry's id inside a key would change partitions and
break compaction. A node holds no `|` and never begins with `~`, so the parts of a key can be told
apart and a watermark is never taken for a series.
"""

from dataclasses import dataclass

from confluent_kafka import murmur2

_SEPARATOR = "|"
_WATERMARK = "~wm"
_HISTORY_PARTS = 5
_WATERMARK_PARTS = 3


def partition_of(series_key: str, partitions: int) -> int:
    """Return the partition of a key: murmur2 of its UTF-8 bytes, as Kafka's own default."""
    return murmur2(series_key.encode(), partitions)


def series_key(node: str, interval: int) -> str:
    """Return the key of a series in the topics of chunks and live bars."""
    return f"{node}|{interval}"


def history_key(node: str, interval: int, lane: str, start: int, end: int) -> str:
    """Return the key of a history record: a later one of the same window and lane replaces it."""
    return f"{node}|{interval}|{lane}|{start}|{end}"


def watermark_key(role: str, partition: int) -> str:
    """Return the key of a writer's watermark in history."""
    return f"{_WATERMARK}|{role}|{partition}"


def report_key(node: str, interval: int, start: int, end: int) -> str:
    """Return the key of the reports on a series' window."""
    return f"{node}|{interval}|{start}|{end}"


def visible_key(partition: int) -> str:
    """Return the key of a partition's VisibleMark."""
    return str(partition)


@dataclass(frozen=True, slots=True)
class HistoryKey:
    """The parts of a history record's key, or of a receipt's."""

    node: str
    interval: int
    lane: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WatermarkKey:
    """The parts of a watermark's key."""

    role: str
    partition: int


def parse_history_key(key: bytes | None) -> HistoryKey | WatermarkKey | None:
    """Return what a key in history names; None for one that this project did not write.

    Readers that keep one series tell by it which records to decode.
    """
    try:
        parts = (key or b"").decode().split(_SEPARATOR)
        if parts[0] == _WATERMARK and len(parts) == _WATERMARK_PARTS:
            return WatermarkKey(parts[1], int(parts[2]))
        if len(parts) == _HISTORY_PARTS and not parts[0].startswith("~"):
            node, interval, lane, start, end = parts
            return HistoryKey(node, int(interval), lane, int(start), int(end))
    except ValueError:
        pass
    return None
