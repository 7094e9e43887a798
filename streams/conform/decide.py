"""What conformance says of a chunk: pure functions of the chunk and of what is known already.

`screen.screen` has found out whose bars they are meant to be; `judge` says what becomes of them.
Nothing here does I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from avro_schemas import BarChunk, ConformanceReport, Verdict
from bars.conformance import (
    ConformanceResult,
    Context,
    revisions,
    same_as_newest,
    withdraw,
)
from bars.fingerprint import content_hash
from bars.frame import COLUMNS, BarFrame
from bars.versions import Versions, newest_of_lane
from bars.window import Window, covered
from streams.conform.screen import (
    CHUNK_BARS_MAX,
    Candidate,
    Place,
    Rejection,
    Rules,
    listed_of,
)

MESSAGE_CHARS_MAX = 2_000
"""A verdict's text is cut there, like a dead letter's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """What is known already of the candidate's window."""

    versions: Versions = field(default_factory=Versions.empty)
    """The newest version of each bar in each lane: the store's, and what is on its way there."""

    ledger: tuple[Window, ...] = ()
    """What the ledger covers in the candidate's lane."""

    token: int = 0
    """The highest token committed for an overlapping window of the lane: in the ledger, in history
    that the ledger may not show yet, or by a verdict that nothing is new."""

    settled: bool = False
    """Whether the store shows everything that was ever published of the window."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What is published about one chunk, all of it or nothing."""

    report: ConformanceReport
    conformed: BarChunk | None = None
    """For history; only when the verdict is PASSED."""

    rejection: Rejection | None = None
    """For the dead letter topic; only when the verdict is BLOCKED or STALE."""


def next_known(append_us: int, last_known: int) -> int:
    """Return when a record was learnt: the broker's append time, but after everything before it.

    Records of one batch share an append time, and a broker's clock may step back.
    """
    return max(append_us, last_known + 1)


def lost(next_offset: int, offsets: Sequence[int], low: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges of chunks that retention took between those that were read.

    Args:
        next_offset: The first that has not been judged.
        offsets: Those that were read, ascending.
        low: The first offset that the topic still has. A gap above it holds nothing but the
            markers and aborted records of transactions.
    """
    starts = (next_offset, *(offset + 1 for offset in offsets))
    gaps = ((start, min(end, low)) for start, end in zip(starts, offsets, strict=False))
    return tuple((start, end) for start, end in gaps if start < end)


def unreadable(place: Place, error_class: str, message: str) -> Judgement:
    """Return the judgement on bytes that are no chunk."""
    told = f"chunk {place.partition}/{place.offset} cannot be read: {message}"
    return Judgement(
        report=ConformanceReport(
            verdict=Verdict.BLOCKED,
            chunk_partition=place.partition,
            chunk_offset=place.offset,
            chunk_offset_end=place.offset + 1,
            error_class=error_class,
            message=told,
        ),
        rejection=Rejection(error_class, told),
    )


def expired(partition: int, start: int, end: int) -> ConformanceReport:
    """Return the verdict on chunks `[start, end)` that retention took before anybody read them."""
    return ConformanceReport(
        verdict=Verdict.EXPIRED,
        chunk_partition=partition,
        chunk_offset=start,
        chunk_offset_end=end,
        error_class="expired",
        message=f"retention took chunks {start} to {end - 1} of partition {partition} unjudged",
    )


def reject(chunk: BarChunk, place: Place, rejection: Rejection) -> Judgement:
    """Return the judgement on a chunk that was rejected before it was compared with anything."""
    report = replace(
        _report(chunk, place),
        verdict=rejection.verdict,
        error_class=rejection.error_class,
        message=rejection.message[:MESSAGE_CHARS_MAX],
    )
    return Judgement(report=report, rejection=rejection)


def judge(candidate: Candidate, knowledge: Knowledge, known: int, rules: Rules) -> Judgement:
    """Return what becomes of a candidate.

    Args:
        candidate: From `screen`.
        knowledge: Of its window; taken no earlier than the last judgement of its partition.
        known: The version that its bars become if they pass, epoch microseconds.
        rules: As for `screen`.
    """
    chunk = candidate.chunk
    stale = _stale(chunk, knowledge)
    if stale is not None:
        return _rejected(candidate, stale)
    columns = {name: getattr(chunk, name) for name in COLUMNS}
    result = rules.pipeline.run(columns, _context(candidate, knowledge, rules))
    if result.bars is None or not result.passed:
        told = "; ".join(f"{finding.check}: {finding.message}" for finding in result.blocking)
        return _rejected(candidate, Rejection("conformance", told), result)
    full = withdraw(result.bars, result.withdrawn)
    blocked = _blocked(chunk, full, result)
    if blocked is not None:
        return _rejected(candidate, blocked, result)
    report = replace(_report_of(candidate), flags=result.flags)
    if _no_news(candidate, knowledge, full):
        return Judgement(report=replace(report, verdict=Verdict.NO_NEWS))
    changed = revisions(knowledge.versions, full, chunk.lane, rules.ranks, known)
    return Judgement(
        report=replace(report, verdict=Verdict.PASSED, known=known, revisions=changed),
        conformed=_conformed(candidate, full, known),
    )


def _stale(chunk: BarChunk, knowledge: Knowledge) -> Rejection | None:
    if knowledge.token <= chunk.lease_token:
        return None
    return Rejection(
        "stale_token",
        f"token {chunk.lease_token} is below {knowledge.token}, which somebody else has "
        "committed for an overlapping window of the lane",
        Verdict.STALE,
    )


def _context(candidate: Candidate, knowledge: Knowledge, rules: Rules) -> Context:
    return Context(
        series=candidate.series,
        grid=candidate.node.grid,
        window=candidate.window,
        listed=listed_of(candidate.node),
        calendar=rules.calendars(candidate.node),
        covers=candidate.covers,
        lane=candidate.chunk.lane,
        ranks=rules.ranks,
        stored=knowledge.versions,
        content_hash=candidate.chunk.content_hash or None,
    )


def _blocked(chunk: BarChunk, full: BarFrame, result: ConformanceResult) -> Rejection | None:
    """Return why a chunk whose bars are right may not pass all the same, or None."""
    if not chunk.ts.size and not chunk.empty_confirmed:
        return Rejection(
            "empty_unconfirmed", "no bars, and the source cannot prove that there are none"
        )
    if len(full) > CHUNK_BARS_MAX:
        return Rejection(
            "too_many_bars",
            f"with the {result.withdrawn.size} bars that it withdraws it would have {len(full)} "
            f"rows, at most {CHUNK_BARS_MAX} fit: fetch the window in smaller pieces",
        )
    return None


def _no_news(candidate: Candidate, knowledge: Knowledge, full: BarFrame) -> bool:
    """Return whether the store shows, to the last bar, what the chunk says."""
    return (
        knowledge.settled
        and all(covered(window, knowledge.ledger) for window in candidate.covers)
        and same_as_newest(newest_of_lane(knowledge.versions, candidate.chunk.lane), full)
    )


def _conformed(candidate: Candidate, full: BarFrame, known: int) -> BarChunk:
    """Return the history record."""
    whole = candidate.covers == (candidate.window,)
    return replace(
        candidate.chunk,
        covers=() if whole else tuple((w.start, w.end) for w in candidate.covers),
        known=known,
        known_each=candidate.chunk.known_each[:0],
        content_hash=content_hash(full),
        chunk_partition=candidate.place.partition,
        chunk_offset=candidate.place.offset,
        **{name: getattr(full, name) for name in COLUMNS},
    )


def _report_of(candidate: Candidate) -> ConformanceReport:
    report = _report(candidate.chunk, candidate.place)
    return replace(report, session_bars=candidate.session_bars)


def _report(chunk: BarChunk, place: Place) -> ConformanceReport:
    return ConformanceReport.on(chunk, place.partition, place.offset, Verdict.UNKNOWN)


def _rejected(
    candidate: Candidate, rejection: Rejection, result: ConformanceResult | None = None
) -> Judgement:
    report = replace(
        _report_of(candidate),
        verdict=rejection.verdict,
        error_class=rejection.error_class,
        message=rejection.message[:MESSAGE_CHARS_MAX],
        flags=result.flags if result is not None else (),
    )
    return Judgement(report=report, rejection=rejection)
