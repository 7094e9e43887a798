"""What a call would do, said without doing it."""

from typing import Any

from bars.history_coverage import to_ranges
from bars.protocols import DataAvailabilityStrategy
from bars.window import Window, merge, subtract
from provider._call import Call, share
from provider._engine import Engine
from provider._sight import inclusive, runs

WINDOWS_MAX = 1_000
"""Windows that are listed; `requests` counts all."""


async def explain(engine: Engine, call: Call) -> dict[str, Any]:
    """Return the plan of a call: which source has what, what is missing, what would be done."""
    look = await engine.look(call)
    sight = call.sight(look.covered)
    grid, gaps = call.ask.grid, runs(sight)
    told: tuple[Window, ...] = ()
    reads = []
    for held in look.held:
        own = subtract(held.windows, told)
        told = merge((*told, *own))
        ranges = [[r.start, r.end] for r in to_ranges(own, grid)]
        if ranges:
            reads.append({"source": held.level.name, "ranges": ranges})
    action = _action(engine, call, int(sight.missing.size))
    pieces: tuple[Window, ...] = ()
    if engine.filler is not None and gaps and action in {"fetch", "background"}:
        pieces = engine.filler.pieces(call.ask, gaps)
    return {
        "node_id": call.ask.series.node,
        "interval": call.ask.series.interval,
        "window": [call.ask.window.start, call.ask.window.end],
        "strategy": call.strategy.value,
        "session_bars": int(sight.session.size),
        "coverage_ratio": share(sight),
        "reads": reads,
        "passed_over": [
            {"source": f.source, "error": f"{type(f.error).__name__}: {f.error}"}
            for f in look.failures
        ],
        "missing": [list(r) for r in inclusive(gaps, grid.interval)],
        "missing_bars": int(sight.missing.size),
        "action": action,
        "requests": len(pieces),
        "windows": [[w.start, w.end] for w in pieces[:WINDOWS_MAX]],
    }


def _action(engine: Engine, call: Call, missing_bars: int) -> str:
    """Return none, fail, answer (with gaps), fetch or background."""
    if not missing_bars:
        return "none"
    if call.strategy is DataAvailabilityStrategy.FAIL_FAST:
        return "fail"
    if engine.filler is None:
        return "answer" if call.answers_partly else "fail"
    behind = call.strategy is DataAvailabilityStrategy.PARTIAL_FILL
    most = None if call.sla is None else call.sla.max_sync_gap_bars
    if most is not None and missing_bars > most:
        if call.on_violation == "fail_fast":
            return "fail"
        behind = True
    elif behind and engine.config.mode == "sync":
        behind = False
    if behind:
        return "background" if engine.background else "answer"
    return "fetch"
