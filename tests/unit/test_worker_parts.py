"""The small parts: progress, verdicts, epochs, the lock, the group."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from avro_schemas import (
    BackfillRequest,
    ConformanceReport,
    Flag,
    RequestKind,
    RequestState,
    Verdict,
)
from bars.window import Window
from coordinator.client import Failure, machine_config, token_of
from runtime.settings import BackfillSettings, Settings, SourceSettings
from runtime.testing import ManualClock
from tests.unit.worker_help import MINUTE, NODE, SERIES, ask, settings_of
from topics import Member
from worker.accept import accept
from worker.alone import MachineLock, check_alone, wait_alone
from worker.chunks import blocked_message, failure_of
from worker.epoch import EpochFileError, next_epoch
from worker.errors import RefusedRequestError, SecondWorkerError
from worker.groups import SHARED
from worker.plan import plan
from worker.ports import Place
from worker.progress import Progress
from worker.terms import terms_of
from worker.verdicts import EARLY_MAX, Verdicts


def progress_of(request: BackfillRequest) -> Progress:
    settings = settings_of()
    accepted = accept(request, settings)
    terms = terms_of(settings, accepted.node, None)
    return Progress(accepted, plan(request, terms, (), 10**9))


def minutes(start: int, end: int) -> Window:
    return Window(start * MINUTE, end * MINUTE)


def lost(start: int, end: int) -> Failure:
    return Failure(window=minutes(start, end), error_class="source", message="gone")


def provided(*sources: str) -> Settings:
    """Return the configuration with a source that providers bring."""
    settings = settings_of()
    own = SourceSettings(name="own", kind="provider")
    node = replace(settings.nodes[SERIES], sources=sources)
    return replace(settings, sources={**settings.sources, "own": own}, nodes={SERIES: node})


def test_a_fetch_worker_serves_no_source_that_a_provider_brings() -> None:
    settings = provided("own", "second")
    assert accept(ask("r", 0, 10), settings).source == "second"
    with pytest.raises(RefusedRequestError, match=r"source must be empty or .*: second, was"):
        accept(ask("r", 0, 10, source="own"), settings)
    with pytest.raises(RefusedRequestError, match="a node with a source that can be asked here"):
        accept(ask("r", 0, 10), provided("own"))


def test_who_has_one_source_serves_that_one() -> None:
    accepted = accept(ask("r", 0, 10), provided("first", "own"), {"own"})
    assert (accepted.source, accepted.target.lane, accepted.lanes) == ("own", "bf:own", None)


# Progress


@pytest.mark.parametrize(("listed", "edge"), [(minutes(30, 60), 20), (minutes(2, 10), 10)])
def test_a_request_outside_the_listing_says_on_which_side_of_it_it_lies(
    listed: Window, edge: int
) -> None:
    settings = settings_of()
    accepted = accept(ask("r", 10, 20), settings)
    terms = terms_of(settings, accepted.node, listed)
    status = Progress(accepted, plan(accepted.request, terms, (), 10**9)).verdict()
    assert (status.start, status.end) == (edge * MINUTE, edge * MINUTE)
    assert (status.state, status.windows_total) == (RequestState.DONE, 0)


def test_a_window_is_done_when_all_of_it_is_covered() -> None:
    progress = progress_of(ask("r", 0, 30))
    assert progress.stored([minutes(0, 15)])
    assert progress.status(RequestState.RUNNING).windows_done == 1
    assert not progress.stored([minutes(0, 15)]), "no news"
    assert progress.stored([minutes(10, 20), minutes(50, 60)])
    assert progress.status(RequestState.RUNNING).windows_done == 2
    assert not progress.settled
    assert progress.rest == (minutes(20, 30),)


def test_a_window_is_done_or_failed_never_both() -> None:
    progress = progress_of(ask("r", 0, 20))
    assert progress.stored([minutes(0, 10)])
    assert not progress.give_up(lost(0, 10)), "stored is stored"
    assert progress.give_up(lost(10, 20))
    assert not progress.stored([minutes(10, 20)])
    status = progress.verdict()
    assert (status.state, status.windows_done, status.windows_failed) == (
        RequestState.FAILED,
        1,
        1,
    )
    assert status.message == "1 of 2 windows failed, the first: source: gone"


def test_which_evidence_counts_depends_on_what_was_asked() -> None:
    anything = progress_of(ask("r", 0, 20))
    assert anything.counts_from("roll", 0)
    named = progress_of(ask("r", 0, 20, source="second"))
    assert named.counts_from("bf:second", 0)
    assert not named.counts_from("bf:first", 0)
    again = progress_of(ask("r", 0, 20, refetch=True))
    again.since = 7
    assert not again.counts_from("bf:first", 7)
    assert again.counts_from("bf:first", 8)
    assert not again.counts_from("roll", 8)


def test_windows_lost_without_a_reason_of_their_own_are_told_too() -> None:
    progress = progress_of(ask("r", 0, 20))
    progress.give_up(lost(0, 10))
    assert progress.lose([minutes(0, 20)], "failed", "like the others")
    assert [f.error_class for f in progress.verdict().failures] == ["source", "failed"]


# Verdicts


def report(offset: int, verdict: Verdict = Verdict.PASSED, end: int = 0) -> ConformanceReport:
    return ConformanceReport(
        verdict=verdict,
        chunk_partition=1,
        chunk_offset=offset,
        chunk_offset_end=end or offset + 1,
        node_id=NODE,
    )


async def test_a_verdict_may_come_before_it_is_waited_for() -> None:
    verdicts = Verdicts()
    verdicts.arrived(report(4))
    assert (await verdicts.of(Place(1, 4))).chunk_offset == 4


async def test_a_verdict_finds_who_waits_for_it_and_nobody_else() -> None:
    verdicts = Verdicts()
    first, second = (asyncio.create_task(verdicts.of(Place(1, offset))) for offset in (4, 5))
    await asyncio.sleep(0)
    verdicts.arrived(report(5))
    assert (await second).chunk_offset == 5
    assert not first.done()
    first.cancel()


async def test_an_expired_range_of_chunks_finds_all_that_wait_in_it() -> None:
    verdicts = Verdicts()
    waiting = [asyncio.create_task(verdicts.of(Place(1, offset))) for offset in (3, 4, 9, 10)]
    await asyncio.sleep(0)
    verdicts.arrived(report(4, Verdict.EXPIRED, end=10))
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [False, True, True, False]
    for task in waiting:
        task.cancel()


async def test_verdicts_that_nobody_asks_for_are_kept_up_to_a_number() -> None:
    verdicts = Verdicts()
    for offset in range(EARLY_MAX + 1):
        verdicts.arrived(report(offset))
    oldest = asyncio.create_task(verdicts.of(Place(1, 0)))
    newest = asyncio.create_task(verdicts.of(Place(1, EARLY_MAX)))
    await asyncio.sleep(0)
    assert (oldest.done(), newest.done()) == (False, True)
    oldest.cancel()


async def test_the_first_verdict_on_a_chunk_is_the_one_on_it() -> None:
    """One that follows says that what passed could not be stored; the lease is done by then."""
    verdicts = Verdicts()
    verdicts.arrived(report(4))
    verdicts.arrived(report(4, Verdict.BLOCKED))
    assert (await verdicts.of(Place(1, 4))).verdict is Verdict.PASSED


def test_a_blocked_verdict_tells_checks_and_where_the_reports_are() -> None:
    flags = (
        Flag(check="ohlc.order", severity="BLOCK", rows=3, sample_ts=(), message="x"),
        Flag(check="gap", severity="INFO", rows=9, sample_ts=(), message="y"),
    )
    blocked = ConformanceReport(
        verdict=Verdict.BLOCKED,
        chunk_partition=0,
        chunk_offset=0,
        chunk_offset_end=1,
        node_id=NODE,
        flags=flags,
    )
    expected = f"ohlc.order on 3 rows; reports: qmtl://observability/seamless/{NODE}"
    assert blocked_message(blocked) == expected
    failure = failure_of(blocked, Place(0, 0))
    assert failure is not None
    assert (failure.error_class, failure.retriable) == ("blocked", False)


# Terms


@pytest.mark.parametrize(
    ("start", "end", "derived", "listed"),
    [
        (None, None, None, None),
        (60, None, None, (60, 2**40)),
        (None, 600, None, (0, 600)),
        (None, None, Window(60, 600), (60, 600)),
        (120, None, Window(60, 600), (120, 600)),
        (120, 180, Window(60, 600), (120, 180)),
    ],
)
def test_the_source_fills_in_what_the_configuration_leaves_open(
    start: int | None, end: int | None, derived: Window | None, listed: tuple[int, int] | None
) -> None:
    settings = settings_of()
    node = settings.nodes[SERIES]
    changed = type(node)(
        series=SERIES,
        sources=node.sources,
        calendar=node.calendar,
        listed_start=start,
        listed_end=end,
    )
    found = terms_of(settings, changed, derived).listed
    assert found == (None if listed is None else Window(*listed))


def test_the_lease_machine_is_configured_as_the_settings_say() -> None:
    backfill = BackfillSettings(
        lease_ttl_ms=9_000, max_attempts=2, retry_backoff_ms=70, jitter_ratio=0.5
    )
    made = machine_config(backfill)
    assert (made.lease_ttl_ms, made.max_attempts, made.retry_backoff_ms, made.jitter_ppm) == (
        9_000,
        2,
        70,
        500_000,
    )


def test_a_request_to_cancel_is_never_planned() -> None:
    cancel = BackfillRequest(request_id="r", kind=RequestKind.CANCEL)
    with pytest.raises(ValueError, match="kind must be SUBMIT or CANCEL"):
        accept(cancel, settings_of())


# Epochs


def test_an_epoch_is_above_the_file_and_the_ledger_and_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "state" / "epoch"
    assert next_epoch(path, 0) == 1
    assert next_epoch(path, 0) == 2
    assert next_epoch(path, token_of(7, 12_345)) == 8
    assert next_epoch(path, token_of(3, 1)) == 9
    assert path.read_text(encoding="ascii") == "9\n"


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "99999999999", "\u0663", "\xff"])
def test_a_file_that_holds_no_epoch_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "epoch"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EpochFileError, match="must hold a number"):
        next_epoch(path, 0)
    assert path.read_text(encoding="utf-8") == text


# Alone


def test_a_second_lock_is_refused_and_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lock"
    with MachineLock(path):
        with pytest.raises(SecondWorkerError, match=r"process [0-9]+ on"), MachineLock(path):
            pass
        with pytest.raises(SecondWorkerError), MachineLock(path):
            pass
    with MachineLock(path):
        pass


def test_those_that_share_a_service_share_the_lock_and_nobody_else_does(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = MachineLock(path, shared=True), MachineLock(path, shared=True)
    with first, second, pytest.raises(SecondWorkerError), MachineLock(path):
        pass
    with MachineLock(path), pytest.raises(SecondWorkerError), MachineLock(path, shared=True):
        pass


def member(name: str, kind: str = "") -> Member:
    return Member(name, f"worker{kind}@{name}", "10.0.0.1")


def test_a_worker_that_grants_leases_to_itself_goes_when_others_share_a_service() -> None:
    """Whoever came first: two that grant would have everything fetched twice."""
    found = [member("z", SHARED), member("a")]
    with pytest.raises(SecondWorkerError, match="worker"):
        check_alone(found, "a")


async def test_a_dead_member_is_waited_for_until_its_session_ends() -> None:
    clock = ManualClock()

    async def members() -> list[Member]:
        return [member("dead")] if clock.monotonic() < 15 else []

    waiting = asyncio.create_task(wait_alone(members, clock, 15))
    await clock.run(14)
    assert not waiting.done()
    await clock.run(2)
    await waiting


async def test_a_member_that_outlives_a_session_is_a_worker_and_is_named() -> None:
    clock = ManualClock()

    async def members() -> list[Member]:
        return [member("alive")]

    waiting = asyncio.create_task(wait_alone(members, clock, 15))
    await clock.run(30)
    with pytest.raises(SecondWorkerError, match=r"worker@alive from 10\.0\.0\.1"):
        await waiting


def test_of_two_that_start_at_once_one_stays() -> None:
    both = [member("a"), member("b")]
    check_alone(both, "a")
    check_alone([member("a")], "a")
    check_alone([], "a")
    with pytest.raises(SecondWorkerError, match="worker@a"):
        check_alone(both, "b")
