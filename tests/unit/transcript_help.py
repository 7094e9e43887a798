"""Transcripts: a file of commands, and what the machine answers and tells, line by line.

A command is a line that begins with `> `; below it stand the answer and, indented, the events. A
token is written `epoch.counter`, a lane by its node, a window `[start,end)`. Lines that begin with
`#` and empty lines are for the reader.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from bars.window import Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    BumpEpoch,
    CancelJob,
    CloseSession,
    Complete,
    Event,
    Fail,
    ForceComplete,
    KeepSession,
    Lease,
    MachineConfig,
    OpenSession,
    PauseLane,
    Policy,
    Progress,
    QueryJob,
    Release,
    Renew,
    Reply,
    Requeue,
    ResumeLane,
    Resync,
    Revoke,
    SeriesLane,
    SetPolicy,
    State,
    SubmitJob,
    Tick,
    Unpoison,
    apply,
    initial,
    token_of,
    wire,
)
from coordinator.machine.views import window_token
from tests.unit.machine_help import spec, target

CONFIG = MachineConfig(
    lease_ttl_ms=1_000, max_attempts=2, retry_backoff_ms=100, jitter_ppm=0, ageing_ms=60_000
)


def window_of(text: str) -> Window:
    start, end = text.strip("[)").split(",")
    return Window(int(start), int(end))


def token_from(text: str) -> int:
    epoch, counter = text.split(".")
    return token_of(int(epoch), int(counter))


def told_token(token: int) -> str:
    return f"{token >> 40}.{token & (2**40 - 1)}"


def told_window(window: Window) -> str:
    return f"[{window.start},{window.end})"


def told_lease(lease: Lease) -> str:
    done = "".join(f" done {told_window(window)}" for window in lease.done)
    return (
        f"{told_token(lease.token)} {lease.target.series.node}{told_window(lease.window)}{done}"
        f" attempts={lease.attempts} for {','.join(lease.job_ids)}"
    )


def told_reply(reply: Reply) -> str:
    parts = [reply.code.value]
    parts += [f"end={reply.end.value}"] if reply.end else []
    parts += [f"lease {told_lease(lease)}" for lease in reply.leases]
    if reply.job is not None:
        parts += ["todo", *map(told_window, reply.job.todo)] if reply.job.todo else ["all done"]
        parts += ["failed", *map(told_window, reply.job.failed)] if reply.job.failed else []
        parts.append(f"bars {reply.job.bars_done}/{reply.job.bars}")
    parts += [f"wait {reply.wait_ms} ms"] if reply.wait_ms is not None else []
    parts += [f"({reply.message})"] if reply.message else []
    return " ".join(parts)


def told_event(event: Event) -> str:
    """Return an event by its fields in their order, nested ones as they are written here."""
    document = wire.event_document(event)
    parts = [str(document.pop("event"))]
    for name in document:
        value = getattr(event, name)
        if isinstance(value, Lease):
            parts.append(told_lease(value))
        elif isinstance(value, SeriesLane):
            parts.append(value.series.node)
        elif name == "failure":
            parts.append(
                f"{told_window(value.window)} {value.error_class} attempts={value.attempts}"
            )
        elif isinstance(value, Window):
            parts.append(told_window(value))
        elif isinstance(value, tuple):
            parts += map(told_window, value)
        elif name == "token":
            parts.append(told_token(value) if value else "by hand")
        elif name in {"attempts", "not_before_ms"}:
            parts.append(f"{name}={value}")
        else:
            parts.append(str(getattr(value, "value", value)))
    return " ".join(parts)


class Player:
    """Plays a transcript."""

    def __init__(self) -> None:
        self.state: State = initial(1, CONFIG)

    def play(self, text: str) -> str:
        """Return the transcript as the machine would have it."""
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith("> "):
                lines += [line, *self.step(line.removeprefix("> ").split())]
            elif line.startswith("#") or not line:
                lines.append(line)
        return "\n".join(lines) + "\n"

    def step(self, words: list[str]) -> list[str]:
        applied = apply(self.state, self.command(words[0], words[1:]))
        self.state = applied.state
        return [told_reply(applied.reply), *(f"  {told_event(e)}" for e in applied.events)]

    def command(self, op: str, words: list[str]) -> AnyCommand:
        if op in _PLAIN:
            return _PLAIN[op](words)
        if op in _HOLDER:
            lease = self.state.leases.get(token_from(words[0]))
            session = lease.session_id if lease else "late"
            return _HOLDER[op](session, token_from(words[0]), words[1:])
        if op == "revoke":
            lease = self.state.leases[token_from(words[0])]
            return Revoke(token=lease.token, window=lease.window, reason="transcript")
        if op == "epoch":
            epoch = self.state.epoch
            return BumpEpoch(epoch=int(words[0]), expected=epoch, reason="transcript")
        return self._lane_command(op, target(words[0]), words[1:])

    def _lane_command(self, op: str, lane: SeriesLane, words: list[str]) -> AnyCommand:
        if op in {"pause", "resume", "policy"}:
            rule = self.state.rules.get(lane.key)
            version, why = (rule.version if rule else 0), "transcript"
            if op == "policy":
                policy = Policy(words[0])
                return SetPolicy(target=lane, version=version, policy=policy, reason=why)
            kind = PauseLane if op == "pause" else ResumeLane
            return kind(target=lane, version=version, reason=why)
        window = window_of(words[0])
        known = {
            "target": lane,
            "window": window,
            "token": window_token(self.state, lane, window),
            "reason": "transcript",
        }
        kinds: Mapping[str, Callable[..., AnyCommand]] = {
            "requeue": Requeue,
            "unpoison": Unpoison,
            "force": lambda **values: ForceComplete(evidence=words[1], **values),
        }
        return kinds[op](**known)


def _submit(words: list[str]) -> AnyCommand:
    job_id, node, window, *more = words
    wanted, options = window_of(window), dict(word.split("=") for word in more if "=" in word)
    job = spec(
        job_id,
        wanted.start,
        wanted.end,
        node=node,
        priority=int(options.get("priority", 0)),
        refetch="refetch" in more,
    )
    bars = options.get("session_bars")
    return SubmitJob(spec=replace(job, session_bars=int(bars) if bars else None))


def _fail(session: str, token: int, words: list[str]) -> AnyCommand:
    how = words[0] if words else ""
    return Fail(
        session_id=session,
        token=token,
        error_class="source",
        retriable=how != "permanent",
        divisible=how != "whole",
        rate_limited=how == "limited",
        retry_after_ms=int(words[1]) if how == "limited" else 0,
    )


_PLAIN: Mapping[str, Callable[[list[str]], AnyCommand]] = {
    "pass": lambda words: Tick(elapsed_ms=int(words[0])),
    "open": lambda words: OpenSession(session_id=words[0], ttl_ms=int(words[1])),
    "keep": lambda words: KeepSession(session_id=words[0]),
    "close": lambda words: CloseSession(session_id=words[0]),
    "submit": _submit,
    "cancel": lambda words: CancelJob(job_id=words[0]),
    "job": lambda words: QueryJob(job_id=words[0]),
    "acquire": lambda words: Acquire(session_id=words[0], limit=int((words[1:] or ["1"])[0])),
    "resync": lambda words: Resync(
        target=target(words[0]),
        judged=int(words[1]),
        covered=tuple(map(window_of, words[2:])),
    ),
}
_HOLDER: Mapping[str, Callable[[str, int, list[str]], AnyCommand]] = {
    "renew": lambda session, token, words: Renew(
        session_id=session, token=token, published="published" in words
    ),
    "progress": lambda session, token, words: Progress(
        session_id=session, token=token, done=tuple(map(window_of, words))
    ),
    "complete": lambda session, token, words: Complete(
        session_id=session, token=token, chunk_offset=int((words or ["-1"])[0])
    ),
    "fail": _fail,
    "release": lambda session, token, _: Release(session_id=session, token=token),
}
