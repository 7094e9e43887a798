"""From bytes to values: what a client sends is JSON of a few levels, and small.

Nothing here trusts the sender: names given twice, numbers that are none, and lists in lists in
lists are refused before anybody looks at what they mean.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from bars.errors import InvalidValueError

DEPTH_MAX = 8
"""A job with its ranges has three levels."""

KEY_CHARS_MAX = 120
"""Of an Idempotency-Key; with what is put before and after it, a request id stays below 200."""

TEXT_CHARS_MAX = 10_000
"""Of any text in a body: no name, message or reason needs as much."""

_KEY = re.compile(rf"[!-~]{{1,{KEY_CHARS_MAX}}}")
_FIELD = "body"
_OBJECT = "one JSON object"
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def parse_object(text: bytes) -> dict[str, Any]:
    """Return the object that a body holds; an empty body holds one without members.

    Raises:
        InvalidValueError: It is anything else.
    """
    if not text:
        return {}
    if _too_deep(text):
        raise InvalidValueError(_FIELD, "more levels", f"at most {DEPTH_MAX} levels deep")
    try:
        found = _DECODER.decode(text.decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(_FIELD, str(error)[:100], _OBJECT) from None
    if not isinstance(found, dict):
        raise InvalidValueError(_FIELD, type(found).__name__, _OBJECT)
    return found


def _too_deep(text: bytes) -> bool:
    if text.count(b"[") + text.count(b"{") <= DEPTH_MAX:
        return False  # those in strings counted too
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        depth += {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}.get(text[found.start()], 0)
        if depth > DEPTH_MAX:
            return True
    return False


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValueError(_FIELD, twice, "without names that are given twice")
    for name, value in found.items():
        if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
            raise InvalidValueError(
                name[:100], f"{len(value)} characters", f"at most {TEXT_CHARS_MAX} characters"
            )
    return found


def _no_constant(name: str) -> None:
    raise InvalidValueError(_FIELD, name, "numbers that JSON has")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_no_constant)


def only(found: Mapping[str, object], *names: str, where: str = _FIELD) -> None:
    """Refuse fields that nobody knows.

    Raises:
        InvalidValueError: There is one.
    """
    for name in found:
        if name not in names:
            raise InvalidValueError(where, name, f"one of {', '.join(names) or 'nothing'}")


def text_of(
    found: Mapping[str, object], name: str, *, most: int, default: str | None = None
) -> str:
    """Return a text of one character or more.

    Raises:
        InvalidValueError: It is none, or it is missing and has no default.
    """
    value = found.get(name, default)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise InvalidValueError(name, value, f"text of 1 to {most} characters")
    return value


def whole_of(
    found: Mapping[str, object], name: str, low: int, high: int, default: int | None = None
) -> int:
    """Return a whole number between two bounds, both allowed.

    Raises:
        InvalidValueError: It is none, or it is missing and has no default.
    """
    value = found.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidValueError(name, value, f"a whole number from {low} to {high}")
    return value


def number_of(
    found: Mapping[str, object], name: str, low: float, high: float, default: float
) -> float:
    """Return a number between two bounds, both allowed.

    Raises:
        InvalidValueError: It is none.
    """
    value = found.get(name, default)
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not good:
        raise InvalidValueError(name, value, f"a number from {low:g} to {high:g}")
    return float(value)  # type: ignore[arg-type]


def check_key(key: str | None) -> str:
    """Return an Idempotency-Key.

    Raises:
        InvalidValueError: It is missing, too long, or has characters that nobody can see.
    """
    allowed = f"1 to {KEY_CHARS_MAX} visible ASCII characters"
    if not key or not _KEY.fullmatch(key):
        raise InvalidValueError("Idempotency-Key", key, allowed)
    return key
