"""What a source answered, as the record that is judged; and what a verdict means. Pure."""

from avro_schemas import BarChunk, ConformanceReport, Verdict
from bars.fingerprint import content_hash
from bars.frame import BarFrame
from coordinator.client import HeldLease, LeaseFailure
from worker.ports import Place

REQUESTS_NAMED_MAX = 100
"""Requests that a chunk names."""

OBSERVABILITY = "qmtl://observability/seamless/"
"""Where the reports of a node are found."""


def chunk_of(lease: HeldLease, bars: BarFrame, source: str, *, empty_confirmed: bool) -> BarChunk:
    """Return the chunk of a window: the bars in the source's own order, nothing touched."""
    return BarChunk(
        node_id=lease.target.series.node,
        interval=lease.target.series.interval,
        start=lease.window.start,
        end=lease.window.end,
        lane=lease.target.lane,
        source=source,
        empty_confirmed=empty_confirmed,
        request_id=lease.job_ids[0] if lease.job_ids else "",
        request_ids=lease.job_ids[:REQUESTS_NAMED_MAX],
        lease_token=lease.token,
        content_hash=content_hash(bars),
        ts=bars.ts,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=bars.volume,
    )


def failure_of(report: ConformanceReport, place: Place) -> LeaseFailure | None:
    """Return why a verdict means that the window has to be fetched again or given up.

    None: the window is done. A stale or expired chunk is fetched again under a fresh token,
    which is above every one committed so far; what is covered meanwhile is no longer wanted.
    """
    if report.verdict in {Verdict.PASSED, Verdict.NO_NEWS}:
        return None
    if report.verdict is Verdict.STALE:
        return LeaseFailure(
            error_class=report.error_class or "stale_token",
            message=report.message or "a higher token is committed for the window",
            divisible=False,
            chunk_partition=place.partition,
            chunk_offset=place.offset,
        )
    if report.verdict is Verdict.EXPIRED:
        return LeaseFailure(
            error_class=report.error_class or "expired",
            message=report.message or "retention took the chunk before it was judged",
            divisible=False,
            chunk_partition=place.partition,
            chunk_offset=place.offset,
        )
    return LeaseFailure(
        error_class=report.error_class or "blocked",
        message=blocked_message(report),
        retriable=False,
        chunk_partition=place.partition,
        chunk_offset=place.offset,
    )


def blocked_message(report: ConformanceReport) -> str:
    """Return what was found, and where all of it stands."""
    found = [
        f"{flag.check} on {flag.rows} rows" for flag in report.flags if flag.severity == "BLOCK"
    ]
    what = report.message or ", ".join(found[:5]) or "conformance blocked the chunk"
    return f"{what}; reports: {OBSERVABILITY}{report.node_id}"
