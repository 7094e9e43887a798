"""Commands, replies, events and the state as versioned JSON documents in UTF-8.

One version of the documents for all of them. Beside it there is a level, of what may stand in
them: it rises when a program can write a command, a field or a choice that the one before it
does not know. What two replicas understand differently would part them, so

* a leader proposes a command only when every node that it hears knows its level;
* a node that meets what it does not know in an entry or a snapshot stops, and goes on when it is
  started with a newer program;
* a command that is to be obeyed otherwise than before gets another name.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bars.errors import SeamlessError
from coordinator.machine import commands as c
from coordinator.machine import replies as r
from coordinator.machine._codec import Document, UnknownNameError, codec_of, refused, tagged
from coordinator.machine._facts import state_document, state_of
from coordinator.machine._written import table_of, text_of
from coordinator.machine.frozen import frozen
from coordinator.machine.values import NAME_CHARS_MAX

__all__ = [
    "EVENTS",
    "LEVEL",
    "OPS",
    "VERSION",
    "Document",
    "Entry",
    "UnsupportedVersionError",
    "command_document",
    "command_of",
    "decode_entry",
    "decode_reply",
    "encode_command",
    "encode_entry",
    "encode_reply",
    "entry_of",
    "event_document",
    "event_of",
    "level_of",
    "newer",
    "pack",
    "pack_parts",
    "reply_document",
    "reply_of",
    "reply_text",
    "state_document",
    "state_of",
    "unpack",
]

VERSION = 1

LEVEL = 2
"""Of this program; a node that says none is of level 1."""

OPS: Mapping[str, type[c.AnyCommand]] = {
    "tick": c.Tick,
    "barrier": c.Barrier,
    "open_session": c.OpenSession,
    "keep_session": c.KeepSession,
    "close_session": c.CloseSession,
    "submit_job": c.SubmitJob,
    "cancel_job": c.CancelJob,
    "query_job": c.QueryJob,
    "acquire": c.Acquire,
    "claim_window": c.ClaimWindow,
    "end_claim": c.EndClaim,
    "renew": c.Renew,
    "progress": c.Progress,
    "complete": c.Complete,
    "fail": c.Fail,
    "release": c.Release,
    "resync": c.Resync,
    "revoke": c.Revoke,
    "requeue": c.Requeue,
    "unpoison": c.Unpoison,
    "force_complete": c.ForceComplete,
    "pause_lane": c.PauseLane,
    "resume_lane": c.ResumeLane,
    "set_policy": c.SetPolicy,
    "bump_epoch": c.BumpEpoch,
    "configure": c.Configure,
}
"""Every command by its name in documents."""

_LEVELS: Mapping[type[c.AnyCommand], int] = {
    c.Configure: 2,
    c.ClaimWindow: 2,
    c.EndClaim: 2,
}
"""Commands that level 1 does not know."""

EVENTS: Mapping[str, type[r.Event]] = {
    "session_opened": r.SessionOpened,
    "session_ended": r.SessionEnded,
    "job_submitted": r.JobSubmitted,
    "job_cancelled": r.JobCancelled,
    "job_finished": r.JobFinished,
    "lease_granted": r.LeaseGranted,
    "window_claimed": r.WindowClaimed,
    "lease_ended": r.LeaseEnded,
    "window_done": r.WindowDone,
    "window_waits": r.WindowWaits,
    "window_split": r.WindowSplit,
    "window_failed": r.WindowFailed,
    "windows_undone": r.WindowsUndone,
    "stale_claim": r.StaleClaim,
    "ordered": r.Ordered,
}
"""Every event by its name in documents."""

_REPLY_HEAD, _REPLY_TAIL = b'{"reply":', b',"v":%d}' % VERSION
"""What `pack` puts around a reply."""

_COMMAND = tagged(OPS, "op")
_EVENT = tagged(EVENTS, "event")


class UnsupportedVersionError(SeamlessError):
    """A document of a version, or with names in it, that this program does not know."""


@frozen
class Entry:
    """What a replicated log holds for one command."""

    term: int
    """Term of the leader that proposed it."""

    elapsed_ms: int
    """Milliseconds since that leader's entry before, by its monotonic clock."""

    command: c.AnyCommand

    request_id: str = ""
    """Names the command: what comes again under a known id is answered, not obeyed. Empty: it is
    obeyed whenever it comes."""


def command_document(command: c.AnyCommand) -> Document:
    """Return a command without its time: `{"op": ..., fields}`."""
    return _COMMAND.encode(command)


def command_of(document: Document, path: str = "command") -> c.AnyCommand:
    """Return the command of a document.

    Raises:
        InvalidValueError: It is none, and which field is not allowed.
    """
    command: c.AnyCommand = _COMMAND.decode(document, path)
    return command


def event_document(event: r.Event) -> Document:
    """Return an event: `{"event": ..., fields}`."""
    return _EVENT.encode(event)


def event_of(document: Document, path: str = "event") -> r.Event:
    """Return the event of a document.

    Raises:
        InvalidValueError: It is none, and which field is not allowed.
    """
    event: r.Event = _EVENT.decode(document, path)
    return event


def reply_document(reply: r.Reply) -> Document:
    """Return a reply as a document."""
    return codec_of(r.Reply).encode(reply)


def reply_of(document: Document, path: str = "reply") -> r.Reply:
    """Return the reply of a document.

    Raises:
        InvalidValueError: It is none, and which field is not allowed.
    """
    reply: r.Reply = codec_of(r.Reply).decode(document, path)
    return reply


def level_of(command: c.AnyCommand) -> int:
    """Return the level that a node must have to know a command and all that it says."""
    if isinstance(command, c.Acquire) and command.lanes:
        return 2
    return _LEVELS.get(type(command), 1)


def encode_command(command: c.AnyCommand) -> bytes:
    """Return a command as it stands in an entry."""
    return _COMMAND.write(command).encode()


def entry_of(term: int, elapsed_ms: int, request_id: str, command: bytes) -> bytes:
    """Return the entry of a command that is written already: who appends has no time to lose.

    Args:
        term: As in `Entry`.
        elapsed_ms: As in `Entry`.
        request_id: As in `Entry`.
        command: As `encode_command` writes it.
    """
    # What `pack` would make of it: the names in their order.
    named = text_of(request_id)
    parts = (command, elapsed_ms, named, term, VERSION)
    return b'{"command":%b,"elapsed_ms":%d,"request_id":%b,"term":%d,"v":%d}' % parts


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as it stands in the log."""
    command = encode_command(entry.command)
    return entry_of(entry.term, entry.elapsed_ms, entry.request_id, command)


@dataclass(frozen=True, slots=True)
class _Envelope:
    term: int
    elapsed_ms: int
    request_id: str
    command: Document = field(default=None, metadata={"wire": False})


def decode_entry(data: bytes) -> Entry:
    """Return the entry that stands in the log.

    Raises:
        UnsupportedVersionError: Its version, or a name in it, is not known here.
        InvalidValueError: It is no entry, and which field is not allowed.
    """
    document = unpack(data)
    try:
        return _entry_of(document)
    except UnknownNameError as error:
        raise newer(error) from None


def newer(error: UnknownNameError) -> UnsupportedVersionError:
    """Return what is said of a name in our own writing that this program does not have."""
    return UnsupportedVersionError(f"{error}: a newer program has written it")


def _entry_of(document: dict[str, Document]) -> Entry:
    body = document.pop("command", None)
    envelope: _Envelope = codec_of(_Envelope).decode(document, "")
    if len(envelope.request_id) > NAME_CHARS_MAX:
        allowed = f"at most {NAME_CHARS_MAX} characters"
        raise refused("request_id", envelope.request_id, allowed)
    return Entry(
        term=envelope.term,
        elapsed_ms=envelope.elapsed_ms,
        request_id=envelope.request_id,
        command=command_of(body),
    )


def encode_reply(reply: r.Reply) -> bytes:
    """Return a reply as it is stored and sent."""
    return _REPLY_HEAD + codec_of(r.Reply).write(reply).encode() + _REPLY_TAIL


def reply_text(data: bytes) -> bytes:
    """Return the reply in its bytes as JSON of its own, for a document that it is a part of."""
    return data.removeprefix(_REPLY_HEAD).removesuffix(_REPLY_TAIL)


def decode_reply(data: bytes) -> r.Reply:
    """Return the reply of its bytes.

    Raises:
        UnsupportedVersionError: Its version is not known here.
        InvalidValueError: It is no reply, and which field is not allowed.
    """
    return reply_of(unpack(data).get("reply"))


def pack(fields: Mapping[str, Document]) -> bytes:
    """Return a document of this version: the same fields always give the same bytes."""
    return text_of({"v": VERSION, **fields})


def pack_parts(fields: Mapping[str, Iterable[bytes]]) -> Iterator[bytes]:
    """Yield what `pack` returns, of fields that are text already."""
    return table_of({"v": (text_of(VERSION),), **fields})


def unpack(data: bytes) -> dict[str, Document]:
    """Return the fields of a document of this version.

    Raises:
        UnsupportedVersionError: Its version is not known here.
        InvalidValueError: It is no JSON object with a version.
    """
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise refused("document", data[:100], "JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise refused("document", document, "an object")
    version = document.pop("v", None)
    if not isinstance(version, int) or isinstance(version, bool):
        raise refused("v", version, f"the version, {VERSION}")
    if version != VERSION:
        raise UnsupportedVersionError(f"v must be {VERSION}, was {version}")
    return document
