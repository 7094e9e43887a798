"""Are the numbers possible: present, finite, high above low, volume not below zero.

A price at or below zero is told, not flagged: spreads, rates and once crude oil trade there.
"""

import numpy as np

from bars.conformance._model import Severity
from bars.conformance._stage import Check, Evidence, View, rows
from bars.frame import PRICE_COLUMNS


def missing_values(view: View) -> Evidence | None:
    """A row of which some values are NaN."""
    columns = view.bars.prices
    mask = np.logical_or.reduce([np.isnan(c) for c in columns]) & view.bars.has_prices
    names = [n for n, c in zip(PRICE_COLUMNS, columns, strict=True) if np.isnan(c[mask]).any()]
    return rows(mask, f"values must be numbers, was NaN in {', '.join(names)}")


def empty_rows(view: View) -> Evidence | None:
    """A row without any value: bars are taken back by conform, never by a source."""
    return rows(~view.bars.has_prices, "a bar must have values, was NaN in all five")


def infinite_values(view: View) -> Evidence | None:
    """An infinity, which a store would turn into nothing."""
    mask = np.logical_or.reduce([np.isinf(column) for column in view.bars.prices])
    return rows(mask, "values must be finite, was inf or -inf")


def impossible_range(view: View) -> Evidence | None:
    """A price outside the range from low to high."""
    bars = view.bars
    low, high = np.minimum(bars.open, bars.close), np.maximum(bars.open, bars.close)
    mask = (bars.high < high) | (bars.low > low) | (bars.high < bars.low)
    return rows(mask & view.finite, "open and close must lie between low and high")


def negative_volume(view: View) -> Evidence | None:
    """Less than nothing was traded."""
    return rows((view.bars.volume < 0) & view.finite, "volume must not be negative")


def prices_at_or_below_zero(view: View) -> Evidence | None:
    """Prices that most instruments cannot have, and some do."""
    prices = view.bars.prices[:4]
    mask = np.logical_or.reduce([column <= 0 for column in prices]) & view.finite
    return rows(mask, "prices at or below 0")


CHECKS: tuple[Check[View], ...] = (
    Check("values.missing", Severity.BLOCK, missing_values),
    Check("values.empty", Severity.BLOCK, empty_rows),
    Check("values.infinite", Severity.BLOCK, infinite_values),
    Check("values.range", Severity.BLOCK, impossible_range),
    Check("values.volume", Severity.BLOCK, negative_volume),
    Check("values.sign", Severity.INFO, prices_at_or_below_zero),
)
