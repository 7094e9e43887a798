"""A frame as it came: columns with their names, types and lengths, nothing changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bars.frame import COLUMNS, BarFrame

Frame: TypeAlias = BarFrame | pd.DataFrame | Mapping[str, Any]
"""What can be judged: bars, a DataFrame, or columns by name."""

TYPES = {name: "int64" if name == "ts" else "float64" for name in COLUMNS}
"""The exact type of each column."""


@dataclass(frozen=True, slots=True, eq=False)
class RawFrame:
    """Columns in the order they came; a name may stand there twice."""

    names: tuple[object, ...]
    types: tuple[str, ...]
    """Of each column, as its owner calls it (`float64`, `Float64`, `list`)."""

    values: tuple[Any, ...]
    index: str = ""
    """What the index of a DataFrame is, where it is more than row numbers."""

    @classmethod
    def of(cls, frame: Frame) -> "RawFrame":
        """Return the columns of any frame; later changes to a DataFrame do not reach them."""
        if isinstance(frame, BarFrame):
            return cls(COLUMNS, tuple(TYPES.values()), tuple(getattr(frame, n) for n in COLUMNS))
        if isinstance(frame, pd.DataFrame):
            columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
            return cls(
                tuple(frame.columns),
                tuple(str(column.dtype) for column in columns),
                tuple(np.array(column.to_numpy()) for column in columns),
                _index(frame.index),
            )
        return cls(
            tuple(frame),
            tuple(_type(value) for value in frame.values()),
            tuple(np.array(v) if isinstance(v, np.ndarray) else v for v in frame.values()),
        )

    def at(self, name: str) -> int:
        """Return the position of a column that is there."""
        return self.names.index(name)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each column of bars that is there."""
        return {n: np.shape(self.values[self.at(n)]) for n in COLUMNS if n in self.names}

    def typed(self) -> BarFrame | None:
        """Return the bars, or None where a column is missing, repeated or of another type."""
        if any(self.names.count(name) != 1 for name in COLUMNS):
            return None
        if any(self.types[self.at(name)] != kind for name, kind in TYPES.items()):
            return None
        shapes = set(self.shapes.values())
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            return None
        return BarFrame(*(self.values[self.at(name)] for name in COLUMNS))


def _type(value: object) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__


def _index(index: pd.Index) -> str:
    if index.name is None and str(index.dtype) == "int64":
        return ""
    name = "unnamed" if index.name is None else index.name
    return f"{name} of {index.dtype}"
