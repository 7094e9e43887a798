"""Whether a peer's message has the shape of one of Raft's. Pure.

A peer that has the secret may still be of another version or broken; what it says must not break
this node. Commands are not taken from peers at all: who wants something asks the leader's API.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Message = dict[str, Any]

_ENTRY_PARTS: Final = 3


def fault_of(message: object) -> str | None:
    """Return why a message is not to be acted on; None: nothing is wrong with it."""
    if not isinstance(message, dict):
        return "message_shape"
    kind = message.get("type")
    if kind == "apply_command":
        return "message_command"
    fits = _KINDS.get(kind) if isinstance(kind, str) else None
    if fits is None:
        return "message_kind"
    return None if fits(message) else "message_shape"


def _numbers(*names: str) -> Callable[[Message], bool]:
    return lambda message: all(_number(message.get(name)) for name in names)


def _number(value: object) -> bool:
    return type(value) is int and value >= 0


def _append(message: Message) -> bool:
    if not (_number(message.get("term")) and _number(message.get("commit_index"))):
        return False
    if "serialized" in message:
        return "prevLogIdx" not in message and _chunk(message["serialized"])
    if "transmission" in message:
        return False  # Entries never come in parts here: they are small.
    places = _number(message.get("prevLogIdx")) and _number(message.get("prevLogTerm"))
    entries = message.get("entries")
    return places and isinstance(entries, list) and _follow(message["prevLogIdx"], entries)


def _follow(before: int, entries: list[object]) -> bool:
    for number, entry in enumerate(entries, start=before + 1):
        if not isinstance(entry, tuple) or len(entry) != _ENTRY_PARTS:
            return False
        command, index, term = entry
        if type(command) is not bytes or not command or index != number or not _number(term):
            return False
    return True


def _chunk(chunk: object) -> bool:
    match chunk:
        case None:
            return True
        case (bytes(), bool(), bool()):
            return True
        case _:
            return False


def _next(message: Message) -> bool:
    flags = isinstance(message.get("reset"), bool) and isinstance(message.get("success"), bool)
    # An older program says no level.
    numbers = _numbers("next_node_idx", "term", *(("level",) if "level" in message else ()))
    return flags and numbers(message)


_KINDS: Final[Mapping[str, Callable[[Message], bool]]] = {
    "ping": lambda _: True,
    "request_vote": _numbers("term", "last_log_index", "last_log_term"),
    "response_vote": _numbers("term"),
    "timeout_now": _numbers("term"),
    "append_entries": _append,
    "next_node_idx": _next,
}
