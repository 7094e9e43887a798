"""What programs of each level know: whoever adds a command or a field raises the level for it."""

from dataclasses import fields
from typing import get_type_hints

import pytest

from bars.series import Series
from bars.window import Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    ClaimWindow,
    Configure,
    EndClaim,
    JobSpec,
    MachineConfig,
    Policy,
    SetPolicy,
    SubmitJob,
    wire,
)
from tests.unit.machine_help import spec, target

FIRST = {
    "tick": "",
    "barrier": "",
    "open_session": "session_id ttl_ms",
    "keep_session": "session_id",
    "close_session": "session_id",
    "submit_job": "spec",
    "cancel_job": "job_id",
    "query_job": "job_id",
    "acquire": "session_id limit",
    "renew": "session_id token published",
    "progress": "session_id token chunk_offset session_bars done",
    "complete": "session_id token chunk_offset session_bars",
    "fail": (
        "session_id token error_class message retriable divisible rate_limited retry_after_ms"
        " chance_ppm chunk_partition chunk_offset"
    ),
    "release": "session_id token",
    "resync": "target covered judged",
    "revoke": "reason token window",
    "requeue": "reason target window token",
    "unpoison": "reason target window token",
    "force_complete": "reason target window token evidence",
    "pause_lane": "reason target version",
    "resume_lane": "reason target version",
    "set_policy": "reason target version policy",
    "bump_epoch": "reason epoch expected",
}
"""Commands and their fields that every program knows. Never changes."""

PARTS: dict[type, str] = {
    JobSpec: ("job_id target window missing grid window_bars priority refetch session_bars"),
    MachineConfig: (
        "lease_ttl_ms max_attempts retry_backoff_ms retry_cap_ms jitter_ppm "
        "retry_after_max_ms ageing_ms live_windows_max grant_max jobs_max ranges_max "
        "windows_max failures_max sessions_max session_leases_max source_requests_max "
        "stall_lives split_bars_min poisoned_max rules_max ended_max"
    ),
    Policy: "any newest_first strict_oldest_first",
}
"""What commands are made of."""

SECOND = {
    "acquire": "lanes",
    "claim_window": "session_id ttl_ms series window",
    "end_claim": "session_id token",
    "configure": "reason config version",
}
"""What level 2 has beside them."""


def test_every_command_and_field_has_a_level() -> None:
    """One that was added without it would stop nodes in the middle of an upgrade."""
    known: dict[str, set[str]] = {op: set(names.split()) for op, names in FIRST.items()}
    for op, names in SECOND.items():
        known.setdefault(op, set()).update(names.split())
    now = {
        op: {each.name for each in fields(kind) if each.metadata.get("wire", True)}
        for op, kind in wire.OPS.items()
    }
    assert now == known, "a new name takes a new level, see `wire.level_of`"
    assert wire.LEVEL == 2


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_what_commands_are_made_of_is_as_the_levels_say(part: type) -> None:
    """A field or a choice that is added there is one that an older program does not know."""
    if issubclass(part, Policy):
        assert {each.value for each in part} == set(PARTS[part].split())
    else:
        assert set(get_type_hints(part)) - {"WIRE_WHOLE"} == set(PARTS[part].split())


@pytest.mark.parametrize(
    ("command", "level"),
    [
        (SubmitJob(spec=spec("job", 0, 10)), 1),
        (SetPolicy(target=target(), version=0, policy=Policy.ANY, reason="x"), 1),
        (Acquire(session_id="w"), 1),
        (Acquire(session_id="w", lanes=("bf:s",)), 2),
        (ClaimWindow(session_id="o", ttl_ms=1, series=Series("n", 1), window=Window(0, 1)), 2),
        (EndClaim(session_id="o", token=1), 2),
        (Configure(config=MachineConfig(), version=0, reason="x"), 2),
    ],
)
def test_a_command_has_the_level_of_the_newest_that_it_says(
    command: AnyCommand, level: int
) -> None:
    """What is as it always was is left out of the document, so older nodes read the rest."""
    assert wire.level_of(command) == level
