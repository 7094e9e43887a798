"""What must hold in every run, each as a pure function of what was seen. Empty: it held."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias

from bars.window import Grid
from coordinator.machine import (
    Acquire,
    ClaimWindow,
    Code,
    Complete,
    EndClaim,
    Fail,
    KeepSession,
    Lease,
    OpenSession,
    Release,
    Renew,
    SeriesLane,
)
from tests.simulation.history import History, Op
from tests.simulation.wgl import Call, linearizable

HOLDS: Final = 0.9
"""Part of a lease's life in which its holder acts; clocks are right to five parts in a hundred."""

RATE_MAX: Final = 1.05

EXAMPLES_MAX: Final = 5

LANE: Final = "bf:s"
"""The one lane of every series in a run."""

Checker: TypeAlias = Callable[[History], Iterable[str]]


def no_divergence(history: History) -> Iterator[str]:
    """Every node applies the same entries with the same replies."""
    gold: dict[int, tuple[int, str]] = {}
    for seen in history.applications:
        mine = (seen.entry, seen.chain)
        if gold.setdefault(seen.index, mine) != mine:
            yield f"{seen.node} applied another entry {seen.index} at {seen.now:.3f}"
    for seen in history.restored:
        chain = _chain_at(gold, seen.index)
        if chain is not None and chain != seen.chain:
            yield f"{seen.node} restored another state {seen.index} at {seen.now:.3f}"


def _chain_at(gold: Mapping[int, tuple[int, str]], index: int) -> str | None:
    # Entries without a command leave no trace: the one before them says it.
    while index > 1:
        if index in gold:
            return gold[index][1]
        index -= 1
    return None


def nothing_acknowledged_is_lost(history: History) -> Iterator[str]:
    """What was answered stands in the log where the answer said, on every node."""
    least = min((ending.applied for ending in history.endings), default=0)
    for op in history.ops:
        if op.reply is None:
            continue
        said = history.said.get(op.index)
        if said is None or said.request_id != op.request_id:
            yield f"{op.request_id} was answered from entry {op.index}, which is not it"
        elif op.index > least:
            yield f"{op.request_id} is entry {op.index}, some node ends at {least}"


def a_request_has_one_reply(history: History) -> Iterator[str]:
    """A command that comes twice is obeyed once."""
    first: dict[str, tuple[int, bytes]] = {}
    for index in sorted(history.said):
        said = history.said[index]
        if said.stale or not said.request_id:
            continue
        before = first.setdefault(said.request_id, (index, said.reply))
        if before[1] != said.reply:
            yield f"{said.request_id} has one reply at {before[0]} and another at {index}"


def tokens_only_grow(history: History) -> Iterator[str]:
    """No token is granted twice, and none is below one that had come back before it was asked."""
    grants = [(op, lease) for op in _acquired(history) for lease in _leases(op)]
    grants += [(op, lease) for op in history.ops if (lease := _claim(op)) is not None]
    owners: dict[int, str] = {}
    for op, lease in grants:
        if owners.setdefault(lease.token, op.request_id) != op.request_id:
            yield f"token {lease.token} was granted to {owners[lease.token]} and {op.request_id}"
    returned = sorted((op.returned, lease.token) for op, lease in grants)
    highest: list[int] = []
    for _, token in returned:
        highest.append(max(token, highest[-1]) if highest else token)
    for op, lease in grants:
        before = bisect_left(returned, (op.called, -1))
        if before and lease.token <= highest[before - 1]:
            yield f"token {lease.token} follows {highest[before - 1]} in time"


@dataclass(frozen=True, slots=True)
class _Holding:
    """A lease as its holder believes in it."""

    lease: Lease
    begin: float
    end: float


def one_live_lease_a_window(history: History) -> Iterator[str]:
    """No two holders may believe at the same time that a bar is theirs to fetch."""
    lanes: dict[str, list[_Holding]] = defaultdict(list)
    for holding in _holdings(history):
        lanes[holding.lease.target.key].append(holding)
    for holdings in lanes.values():
        holdings.sort(key=lambda each: each.begin)
        active: list[_Holding] = []
        for each in holdings:
            active = [other for other in active if other.end > each.begin]
            for other in active:
                if _overlap(each.lease, other.lease):
                    yield (
                        f"leases {other.lease.token} and {each.lease.token} are both alive"
                        f" at {each.begin:.3f}"
                    )
            active.append(each)


def _overlap(one: Lease, other: Lease) -> bool:
    same = one.token == other.token
    return not same and one.window.start < other.window.end and other.window.start < one.window.end


def _holdings(history: History) -> Iterator[_Holding]:
    held: dict[int, _Holding] = {}
    sessions: dict[str, float] = {}
    for op in sorted(history.ops, key=lambda each: each.called):
        command, reply = op.command, op.reply
        good = reply is not None and reply.code is Code.OK
        believed = op.called + history.lease_ttl_s * HOLDS
        if isinstance(command, OpenSession | KeepSession) and good:
            sessions[op.worker] = op.called + history.session_ttl_s * HOLDS
        elif isinstance(command, Acquire) and reply is not None:
            end = min(believed, sessions.get(op.worker, 0.0))
            held |= {lease.token: _Holding(lease, op.returned, end) for lease in reply.leases}
        elif (claim := _claim(op)) is not None:
            held[claim.token] = _Holding(
                claim, op.returned, op.called + history.session_ttl_s * HOLDS
            )
        elif isinstance(command, Renew) and good:
            end = min(believed, sessions.get(op.worker, 0.0))
            old = held[command.token]
            held[command.token] = replace(old, end=max(old.end, end))
        elif isinstance(command, Complete | Fail | Release | EndClaim):
            # Whoever has said so does not act on the lease any more, heard or not.
            old = held[command.token]
            held[command.token] = replace(old, end=min(old.end, op.called))
    for token, holding in held.items():
        end = min(holding.end, history.cancelled.get(token, math.inf))
        if holding.begin < end:
            yield replace(holding, end=end)


def time_never_runs_ahead(history: History) -> Iterator[str]:
    """The replicated clock is never faster than the fastest of the nodes' own."""
    for seen in history.applications:
        if seen.clock_ms > seen.now * 1_000 * RATE_MAX:
            yield f"at {seen.now:.3f} the clock of {seen.node} shows {seen.clock_ms} ms"
            return


def a_failed_disk_is_silent(history: History) -> Iterator[str]:
    """A node says nothing after its disk has failed."""
    for name in history.after_failure:
        yield f"{name} sent something after its disk had failed"


def nodes_stop_for_a_reason(history: History) -> Iterator[str]:
    """No node stops by itself."""
    yield from history.broken


def all_are_equal_after_healing(history: History) -> Iterator[str]:
    """Five seconds after the last fault all nodes hold the same, one leads and serves."""
    if history.equal_after_s is None:
        yield f"not equal after healing: {history.endings}"
    if not history.served_after_heal:
        yield "no command was answered after healing"
    if len({ending.digest for ending in history.endings}) != 1:
        yield f"digests differ: {history.endings}"
    if sum(ending.leads for ending in history.endings) != 1:
        yield f"not one leader: {history.endings}"


def leases_are_linearizable(history: History) -> Iterator[str]:
    """Each window is granted, renewed and ended as by one machine that does one thing at a time."""
    for key, calls in _calls_by_window(history).items():
        if not linearizable(calls, _window_model, 0):
            yield f"no order of effects explains {key}: {calls}"


def _calls_by_window(history: History) -> dict[str, list[Call]]:
    keys: dict[int, str] = {}
    calls: dict[str, list[Call]] = defaultdict(list)
    for op in _acquired(history):
        for lease in _leases(op):
            keys[lease.token] = f"{lease.target.key} {lease.window}"
    for op in history.ops:
        command, reply = op.command, op.reply
        result = None if reply is None else reply.code
        if isinstance(command, Acquire):
            for lease in _leases(op):
                what = ("grant", lease.token)
                calls[keys[lease.token]].append(_call(op, what, Code.OK))
        elif isinstance(command, Renew):
            calls[keys[command.token]].append(_call(op, ("renew", command.token), result))
        elif isinstance(command, Complete | Fail | Release):
            calls[keys[command.token]].append(_call(op, ("end", command.token), result))
    return calls


def _call(op: Op, what: tuple[str, int], result: Code | None) -> Call:
    return Call(called=op.called, returned=op.returned, what=what, result=result)


def _window_model(state: int, call: Call) -> Iterator[int]:
    """Return what a window may become: its live token, or minus the last one that was.

    A lease may expire at any moment; what cannot be is that it comes back.
    """
    kind, token = call.what
    last = abs(state)
    taken = call.result in {Code.OK, Code.RETRY_LATER, Code.GIVEN_UP}
    if kind == "grant":
        if token > last:
            yield token
        return
    if state == token and (taken or call.result is None):
        yield state if kind == "renew" else -token
    if not taken:
        # It was late: the lease is over by now, whoever has the window.
        yield -token if last == token else state


def _acquired(history: History) -> list[Op]:
    return [
        op
        for op in history.ops
        if isinstance(op.command, Acquire) and op.reply is not None and op.returned < math.inf
    ]


def _claim(op: Op) -> Lease | None:
    """Return what an older client was given as if it were a lease: series have one lane here."""
    command, token = op.command, None if op.reply is None else op.reply.found
    if not isinstance(command, ClaimWindow) or op.reply is None or op.reply.code is not Code.OK:
        return None
    assert token is not None
    return Lease(
        token=token,
        session_id=command.session_id,
        target=SeriesLane(command.series, LANE),
        window=command.window,
        job_ids=(),
        grid=Grid(command.series.interval),
        attempts=0,
        granted_ms=0,
        expires_ms=0,
        moved_ms=0,
    )


def _leases(op: Op) -> tuple[Lease, ...]:
    return () if op.reply is None else op.reply.leases


CHECKERS: Final[tuple[Checker, ...]] = (
    no_divergence,
    nothing_acknowledged_is_lost,
    a_request_has_one_reply,
    tokens_only_grow,
    one_live_lease_a_window,
    time_never_runs_ahead,
    a_failed_disk_is_silent,
    nodes_stop_for_a_reason,
    all_are_equal_after_healing,
    leases_are_linearizable,
)


def violations(history: History) -> list[str]:
    """Return what did not hold, a few examples of each."""
    return [
        f"{check.__name__}: {found}"
        for check in CHECKERS
        for found in islice(check(history), EXAMPLES_MAX)
    ]
