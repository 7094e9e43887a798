"""The log: one JSON object a line on standard error, from our code and from libraries alike.

`logger(name)` gives a structured logger on top of the standard library's: a program that uses
this project as a library sees ordinary log records in its own format. A process of ours calls
`configure` once, and everything that logs in it goes through one handler. A request's id is
bound to the running context and stands in each line written under it.
"""

import json
import logging
import sys
import traceback
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bound_contextvars, get_contextvars, merge_contextvars

_CHATTY = ("aiokafka", "asyncio", "faust", "mode")
"""Libraries that tell at INFO what only their authors need."""

_FIELDS = "seamless_fields"
"""Attribute of a log record that holds the values of a structured line."""


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("window fetched", bars=900)`."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[structlog.stdlib.filter_by_level, merge_contextvars, _hand_over],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        ),
    )


@contextmanager
def request(request_id: str) -> Generator[None]:
    """Put a request's id into every line written inside, by this task and those it starts."""
    with bound_contextvars(request_id=request_id):
        yield


def request_id() -> str | None:
    """Return the id of the request that this context works for."""
    found = get_contextvars().get("request_id")
    return None if found is None else str(found)


def configure(role: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every line of this process through one JSON handler; call again to change it.

    Args:
        role: What this process is, e.g. `conform`; stands in each line.
        level: Name of the lowest level that is written.
        stream: Where to; standard error if not given.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_JsonLines(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for each in logging.root.manager.loggerDict.values():
        if isinstance(each, logging.Logger):  # their own handlers would write the line twice
            each.handlers.clear()
            each.propagate = True
    for name in _CHATTY:
        floor = logging.NOTSET if root.level <= logging.DEBUG else logging.WARNING
        logging.getLogger(name).setLevel(floor)
    logging.captureWarnings(capture=True)


def _hand_over(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Turn a structured line into an ordinary record: text for others, values for our format."""
    told = {key: event.pop(key) for key in ("exc_info", "stack_info") if key in event}
    name = str(event.pop("event", ""))
    words = " ".join([name, *(f"{key}={value!r}" for key, value in event.items())])
    return (words,), {**told, "extra": {_FIELDS: (name, dict(event))}}


class _JsonLines(logging.Formatter):
    """Writes a record as one JSON object on one line."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event, values = getattr(record, _FIELDS, None) or (record.getMessage(), {})
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "event": event,
        }
        for key, value in (get_contextvars() | values).items():
            line[f"{key}_" if key in line else key] = value
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            line["stack"] = record.stack_info
        return _dumps(line)


def _dumps(line: dict[str, object]) -> str:
    try:
        return json.dumps(line, default=str, allow_nan=False, ensure_ascii=False)
    except ValueError:  # NaN and infinities are no JSON
        return json.dumps({key: str(value) for key, value in line.items()}, ensure_ascii=False)
