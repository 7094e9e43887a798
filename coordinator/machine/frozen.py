"""Values that the type checker freezes: for those that are made anew with every command.

Assigning to a field of a frozen dataclass is refused by mypy and again when the program runs. The
second costs: each field of each new value is set through `object.__setattr__`, some hundreds for a
lease that is taken and completed, 4 % of what a node does for it. All that sets fields is under
mypy here, so for these the first is enough.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(kind: type[T]) -> type[T]:
    """Make a dataclass of keyword arguments with slots, equal and hashed by its fields."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)
