"""Whether an answer may stand: what the strategy and the service level say. Pure."""

import math
from collections.abc import Iterable

from bars.errors import SeamlessError
from provider._call import Call, last_covered_close, share
from provider._levels import STORAGE_NAME
from provider._read import Failure
from provider._sight import Sight, inclusive, runs
from provider._state import State
from provider.errors import BackfillFailedError, DataUnavailableError, SeamlessSLAExceeded
from sources import SourceError


def check(call: Call, state: State, sight: Sight, now: int) -> None:
    """Go on if the answer may stand; its violations are then in the state.

    Args:
        call: What was asked.
        state: What it has come to.
        sight: The window as it was read.
        now: Epoch seconds.

    Raises:
        SeamlessSLAExceeded: The service level was not kept, and that is to be raised.
        SeamlessError: Bars are missing, and the strategy answers all or nothing.
    """
    violations = [*state.violations, *_thin(call, sight, now)]
    late = state.late
    if isinstance(late, SeamlessSLAExceeded):
        violations.insert(0, late)
    elif late is not None and call.answers_partly:
        state.failures.append(Failure(late.phase, late))  # no service level, but told all the same
    state.violations = violations
    if violations and call.on_violation == "fail_fast":
        raise violations[0]
    if not sight.missing.size or call.answers_partly or violations:
        return
    if late is not None and state.overdue:
        raise _overdue(call, sight, goes_on=state.goes_on) from late
    if late is not None:
        raise late
    raise_first(f for f in state.failures if f.source == STORAGE_NAME)
    if state.filled.unstored is not None:
        raise_first([Failure(STORAGE_NAME, state.filled.unstored)])
    if state.filled.failures or state.filled.reason:
        request_id = state.filled.request_id or call.ask.request_id
        failures, reason = state.filled.failures, state.filled.reason
        raise BackfillFailedError(request_id, call.ask.series, failures, reason)
    reason = f"request {call.ask.request_id} is done and no source covers them"
    raise unavailable(sight, reason + passed_over(state.failures), call.ask.request_id)


def unavailable(sight: Sight, reason: str, request_id: str | None = None) -> DataUnavailableError:
    """Return the error that names the missing bars."""
    ask = sight.ask
    missing = inclusive(runs(sight), ask.series.interval)
    return DataUnavailableError(ask.series, missing, int(sight.missing.size), reason, request_id)


def passed_over(failures: Iterable[Failure]) -> str:
    """Return what is said of sources that failed, to be put behind a reason; empty for none."""
    told = [f"{f.source}: {type(f.error).__name__}: {f.error}" for f in failures]
    return f"; passed over: {'; '.join(told)}" if told else ""


def raise_first(failures: Iterable[Failure]) -> None:
    """Raise what the first source failed with, if one has."""
    for failure in failures:
        if isinstance(failure.error, SeamlessError):
            raise failure.error
        told = f"{type(failure.error).__name__}: {failure.error}"
        raise SourceError(failure.source, told) from failure.error


def gap_too_long(call: Call, sight: Sight) -> SeamlessSLAExceeded | None:
    """Return the violation of having to wait for more bars than anybody may."""
    most = None if call.sla is None else call.sla.max_sync_gap_bars
    if most is None or sight.missing.size <= most:
        return None
    detail = f"{sight.missing.size} session bars are missing, at most {most} are waited for"
    return _violation("sync_gap", call, detail)


def _overdue(call: Call, sight: Sight, *, goes_on: bool) -> DataUnavailableError:
    request_id = call.ask.request_id
    reason = f"request {request_id} has not brought them within {call.budget.total_s:g} s"
    later = "and may still do so" if goes_on else "and does not go on for this call"
    return unavailable(sight, f"{reason} {later}", request_id)


def _thin(call: Call, sight: Sight, now: int) -> Iterable[SeamlessSLAExceeded]:
    """Yield what the answer lacks of its service level, time aside."""
    sla = call.sla
    if sla is None:
        return
    if sla.min_coverage is not None and share(sight) < sla.min_coverage:
        detail = f"{share(sight):.4f} of the session bars, must be {sla.min_coverage:g}"
        yield _violation("coverage", call, detail)
    if sla.max_lag_seconds is not None and sight.session.size:
        due = min(now, call.ask.window.end)
        closed = last_covered_close(sight)
        lag_s = due - (call.ask.window.start if closed is None else closed)
        if lag_s > sla.max_lag_seconds:
            detail = f"the last bar closed {lag_s} s before, must be {sla.max_lag_seconds}"
            yield _violation("lag", call, detail)


def _violation(phase: str, call: Call, detail: str) -> SeamlessSLAExceeded:
    elapsed_ms = call.budget.elapsed_s() * 1_000
    return SeamlessSLAExceeded(phase, call.ask.series.node, elapsed_ms, math.inf, detail)
