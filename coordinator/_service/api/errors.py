"""What is answered instead of obeying: one shape of document for every refusal.

`{"error": {"code": ..., "message": ..., ...}}`, with `field`, `found` and `allowed` where a value
was wrong, `leader` where another node is to be asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bars.errors import InvalidValueError, SeamlessError
from coordinator._service.log import (
    LogError,
    NotLeaderError,
    OlderNodesError,
    QueueFullError,
    StoppedLogError,
    UnknownOutcomeError,
)

FOUND_CHARS_MAX = 200
"""A wrong value is shown cut to so many characters."""

MESSAGE_CHARS_MAX = 500
"""So is what says that it is wrong."""

RETRY_AFTER_S = 1


class RequestRefusedError(SeamlessError):
    """A request that is not obeyed, with its place among HTTP's answers.

    Attributes:
        status: HTTP's number.
        code: A word for programs.
        headers: Headers that belong to the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal as HTTP carries it."""

    status: int
    document: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal_of(error: SeamlessError) -> Refusal | None:
    """Return how an error is told; None: it is no answer to a request but a fault of ours."""
    match error:
        case RequestRefusedError():
            return _refusal(error.status, error.code, error, headers=error.headers)
        case InvalidValueError():
            wrong = {
                "field": error.field,
                "found": shown(error.found),
                "allowed": error.allowed,
            }
            return _refusal(400, "invalid", error, wrong)
        case LogError():
            return _of_log(error)
        case _:
            return None


def _of_log(error: LogError) -> Refusal | None:
    later = {"Retry-After": str(RETRY_AFTER_S)}
    match error:
        case NotLeaderError(leader_url=None):
            return _refusal(503, "no_leader", error, headers=later)
        case NotLeaderError():
            return _refusal(421, "not_leader", error, {"leader": error.leader_url})
        case QueueFullError():
            return _refusal(429, "queue_full", error, headers=later)
        case OlderNodesError():
            return _refusal(503, "older_nodes", error, headers=later)
        case UnknownOutcomeError():
            return _refusal(504, "unknown_outcome", error)
        case StoppedLogError():
            return _refusal(503, "stopped", error, headers=later)
        case LogError(retriable=False):
            return _refusal(413, "too_large", error)
        case _:
            return None


def shown(found: object) -> object:
    """Return a wrong value as it may stand in an answer: JSON, and short."""
    try:
        text = json.dumps(found, allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps(repr(found))
    if len(text) <= FOUND_CHARS_MAX:
        return json.loads(text)
    return text[:FOUND_CHARS_MAX] + "..."


def _refusal(
    status: int,
    code: str,
    error: SeamlessError,
    more: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Refusal:
    message = str(error)
    if len(message) > MESSAGE_CHARS_MAX:
        message = message[:MESSAGE_CHARS_MAX] + "..."
    document = {"error": {"code": code, "message": message, **(more or {})}}
    return Refusal(status=status, document=document, headers=headers or {})
