"""Times as people write them, and back: ISO 8601 or epoch seconds, UTC unless it says otherwise."""

import re
from datetime import UTC, date, datetime

from bars.errors import InvalidValueError

TIME_ALLOWED = "a time like 2004-08-19, 2004-08-19T13:30:00+02:00 (UTC when naive) or epoch seconds"

_EPOCH = re.compile(r"[-+]?[0-9]+")
_LOOKS_LIKE_A_DATE = re.compile(r"[0-9]{4}|[0-9]{8}")
_LATEST = 253_402_300_799  # 9999-12-31T23:59:59; more than this is milliseconds by mistake


def parse_time(value: object, field: str = "time") -> int:
    """Return epoch seconds.

    Args:
        value: ISO 8601 text or digits, epoch seconds, a `date` or a `datetime`.
        field: What it is called in an error.

    Raises:
        InvalidValueError: It is none of these, has a part of a second, or could be read both as
            a year or date and as seconds (`2004`, `20040819`).
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, int) and not isinstance(value, bool):
        return _epoch(value, value, field)
    elif isinstance(value, str):
        text = value.strip()
        if _EPOCH.fullmatch(text) and not _LOOKS_LIKE_A_DATE.fullmatch(text):
            return _epoch(int(text), value, field)
        moment = _iso(text, value, field)
    else:
        raise InvalidValueError(field, value, TIME_ALLOWED)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.microsecond:
        raise InvalidValueError(field, value, "a time in whole seconds")
    return int(moment.timestamp())


def _epoch(seconds: int, value: object, field: str) -> int:
    if abs(seconds) > _LATEST:
        raise InvalidValueError(field, value, "epoch seconds before the year 10000")
    return seconds


def _iso(text: str, value: object, field: str) -> datetime:
    try:
        if _EPOCH.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValueError(field, value, TIME_ALLOWED) from None


def format_time(ts: int) -> str:
    """Return epoch seconds as ISO text in UTC: a date at midnight, else date and time with `Z`."""
    moment = datetime.fromtimestamp(ts, UTC)
    if ts % 86_400 == 0:
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat() + "Z"
