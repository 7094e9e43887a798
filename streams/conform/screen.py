"""Whose bars a chunk is meant to be: the part of the judgement that needs no store. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from avro_schemas import BarChunk, Verdict
from bars.calendars import Calendar, expected
from bars.conformance import ConformancePipeline
from bars.errors import InvalidValueError
from bars.series import BACKFILL_PREFIX, Series
from bars.window import Window, merge
from runtime import NodeSettings
from topics import partition_of

CHUNK_BARS_MAX = 2_000
"""Rows of a chunk, and of the history record that it becomes."""

CHUNK_SLOTS_MAX = 100_000
"""Slots of a chunk's window: what the store is asked for has to fit into memory."""

TIME_END = 253_402_300_800
"""End of the year 9999: the store and its ledger have times from 1970 until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says, and the checks."""

    nodes: Mapping[Series, NodeSettings]
    calendars: Callable[[NodeSettings], Calendar]
    lanes: frozenset[str]
    """Of the configured sources."""

    ranks: Mapping[str, int]
    partitions: int
    pipeline: ConformancePipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a chunk stands in its topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a chunk goes to the dead letter topic."""

    error_class: str
    message: str
    verdict: Verdict = Verdict.BLOCKED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A chunk of a configured series and lane, with a window that can be asked for."""

    chunk: BarChunk
    place: Place
    series: Series
    node: NodeSettings
    window: Window
    covers: tuple[Window, ...]
    """What the chunk says it covers, merged; inside its window."""

    session_bars: int


def screen(chunk: BarChunk, place: Place, rules: Rules) -> Candidate | Rejection:
    """Return the chunk as a candidate, or why nobody can say what its bars should be."""
    try:
        series = Series(chunk.node_id, chunk.interval)
    except InvalidValueError as error:
        return Rejection("unknown_node", str(error))
    node = rules.nodes.get(series)
    if node is None:
        return Rejection("unknown_node", f"series {series} is not in the configuration")
    wrong = _wrong_address(chunk, series, place, rules) or _wrong_window(chunk, node)
    if wrong is not None:
        return wrong
    window = Window(chunk.start, chunk.end)
    try:
        claimed = merge(Window(*each) for each in chunk.covers) or (window,)
        session = expected(rules.calendars(node), node.grid, window, listed_of(node))
    except InvalidValueError as error:
        return Rejection("bad_window", str(error))
    if not all(window.covers(each) for each in claimed):
        return Rejection("bad_window", f"covers must lie inside the window {window}")
    return Candidate(
        chunk=chunk,
        place=place,
        series=series,
        node=node,
        window=window,
        covers=claimed,
        session_bars=int(session.size),
    )


def _wrong_address(chunk: BarChunk, series: Series, place: Place, rules: Rules) -> Rejection | None:
    if chunk.lane not in rules.lanes:
        allowed = ", ".join(sorted(rules.lanes)) or "there is no source"
        return Rejection("unknown_source", f"lane must be one of {allowed}, was {chunk.lane!r}")
    if chunk.source and chunk.lane != BACKFILL_PREFIX + chunk.source:
        return Rejection(
            "unknown_source", f"source {chunk.source!r} cannot write lane {chunk.lane!r}"
        )
    home = partition_of(series.key, rules.partitions)
    if place.partition != home:
        # Elsewhere another process would judge it, and their versions would have no one order.
        return Rejection(
            "wrong_partition", f"{series} belongs to partition {home}, was in {place.partition}"
        )
    if not chunk.is_final:
        return Rejection("not_final", "a backfill chunk must be final, bars were still building")
    return None


def _wrong_window(chunk: BarChunk, node: NodeSettings) -> Rejection | None:
    if chunk.start >= chunk.end:
        return Rejection(
            "bad_window", f"window must not be empty, was [{chunk.start}, {chunk.end})"
        )
    if chunk.start < 0 or chunk.end > TIME_END:
        return Rejection(
            "bad_window",
            f"window must lie in the years 1970 to 9999, was [{chunk.start}, {chunk.end})",
        )
    slots = node.grid.slots(Window(chunk.start, chunk.end))
    if not 0 < slots <= CHUNK_SLOTS_MAX:
        return Rejection(
            "bad_window", f"window must have 1 to {CHUNK_SLOTS_MAX} slots, had {slots}"
        )
    if chunk.ts.size > CHUNK_BARS_MAX:
        return Rejection(
            "too_many_bars", f"a chunk has at most {CHUNK_BARS_MAX} bars, had {chunk.ts.size}"
        )
    return None


def listed_of(node: NodeSettings) -> Window | None:
    """Return while a series exists, as far as the configuration says; None: no limits."""
    if node.listed_start is None and node.listed_end is None:
        return None
    start = node.listed_start if node.listed_start is not None else -(2**62)
    return Window(start, node.listed_end if node.listed_end is not None else 2**62)
