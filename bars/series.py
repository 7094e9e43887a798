"""What a series is called: node, interval, lane, and the names made of them."""

import re
import unicodedata
from dataclasses import dataclass

from bars.errors import InvalidValueError

NODE_BYTES_MAX = 200
INTERVAL_MAX = 2**31 - 1
"""Longest bar in seconds, 68 years: sums of times and intervals stay far inside int64."""

ROLL = "roll"
BACKFILL_PREFIX = "bf:"

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SOURCE = re.compile(r"[a-z0-9_.-]+")
_INTERVAL = re.compile(r"([1-9][0-9]{0,9})([dhms]?)")


def check_node(node: object, field: str = "node_id") -> str:
    """Return `node` if it may be a node's name.

    Raises:
        InvalidValueError: It is not a string of 1 to 200 UTF-8 bytes without control
            characters and `|`, or it begins with `~`.
    """
    allowed = "1 to 200 bytes of UTF-8 without control characters or '|', not beginning with '~'"
    if not isinstance(node, str):
        raise InvalidValueError(field, node, allowed)
    try:
        size = len(node.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(field, node, allowed) from None
    control = any(unicodedata.category(c) == "Cc" for c in node)
    if not 0 < size <= NODE_BYTES_MAX or control or "|" in node or node.startswith("~"):
        raise InvalidValueError(field, node, allowed)
    return node


def check_interval(interval: object, field: str = "interval") -> int:
    """Return `interval` if it is a whole number of seconds above zero.

    Raises:
        InvalidValueError: It is anything else.
    """
    whole = isinstance(interval, int) and not isinstance(interval, bool)
    if not isinstance(interval, int) or not whole or not 0 < interval <= INTERVAL_MAX:
        raise InvalidValueError(field, interval, "a whole number of seconds above 0")
    return interval


def parse_interval(text: object, field: str = "interval") -> int:
    """Return the seconds of `60`, `"60"`, `"60s"`, `"1m"`, `"1h"` or `"1d"`.

    Raises:
        InvalidValueError: It is none of these.
    """
    if isinstance(text, int):
        return check_interval(text, field)
    match = _INTERVAL.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidValueError(field, text, "a number of seconds or like 30s, 5m, 1h, 1d")
    return check_interval(int(match[1]) * dict(_UNITS).get(match[2], 1), field)


def interval_label(interval: int) -> str:
    """Return the shortest name of a bar length: the largest of d, h, m, s that divides it."""
    check_interval(interval)
    unit, size = next((u, s) for u, s in _UNITS if interval % s == 0)
    return f"{interval // size}{unit}"


def check_source(name: object, field: str = "source") -> str:
    """Return `name` if a source may be called so.

    Raises:
        InvalidValueError: It has other characters than `a-z 0-9 _ . -`, or none.
    """
    if not isinstance(name, str) or _SOURCE.fullmatch(name) is None:
        raise InvalidValueError(field, name, "one or more of a-z 0-9 _ . -")
    return name


def backfill_lane(source: str) -> str:
    """Return the lane of what a source answered: `bf:<source>`."""
    return BACKFILL_PREFIX + check_source(source)


def check_lane(lane: object, field: str = "lane") -> str:
    """Return `lane` if it is `roll` or `bf:<source>`.

    Raises:
        InvalidValueError: It is neither.
    """
    if lane == ROLL:
        return ROLL
    if isinstance(lane, str) and lane.startswith(BACKFILL_PREFIX):
        check_source(lane.removeprefix(BACKFILL_PREFIX), field)
        return lane
    raise InvalidValueError(field, lane, "'roll' or 'bf:<source>'")


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """The bars of one node at one bar length."""

    node: str
    """What the series is called, e.g. `ohlcv:binance:BTC/USDT:1m`."""

    interval: int
    """Bar length in seconds."""

    def __post_init__(self) -> None:
        check_node(self.node)
        check_interval(self.interval)

    @property
    def key(self) -> str:
        """The key of the series in every topic, `node|interval`."""
        return f"{self.node}|{self.interval}"

    def __str__(self) -> str:
        return self.key
