"""Is a history linearizable? Wing and Gong's search with Lowe's memory of what was tried. Pure.

An operation may take effect at any moment between its call and its return; one that never returned
may take effect later, or never. A history is right if there is an order of effects that the model
allows. The search is exponential where it refutes, so histories are cut to `OPS_MAX` operations.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

OPS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One operation as its caller saw it."""

    called: float
    returned: float = math.inf
    """When it returned; infinity: it never did."""

    what: Any
    """What the model is asked."""

    result: Any = None
    """What came back; None: nobody knows."""


Model: TypeAlias = Callable[[Any, Call], Iterable[Hashable]]
"""Returns the states that a call may lead to from a state; none: it cannot have happened there."""


def linearizable(calls: Sequence[Call], model: Model, initial: Hashable) -> bool:
    """Return whether some order of effects explains all results."""
    calls = sorted(calls, key=lambda call: call.called)[:OPS_MAX]
    must = sum(1 << number for number, call in enumerate(calls) if call.returned < math.inf)
    todo: list[tuple[int, Hashable]] = [(0, initial)]
    seen = set(todo)
    while todo:
        done, state = todo.pop()
        if done & must == must:
            return True
        first_return = math.inf
        for number, call in enumerate(calls):
            # Nothing takes effect behind something that was called after its return.
            if call.called > first_return:
                break
            if done >> number & 1:
                continue
            first_return = min(first_return, call.returned)
            for after in model(state, call):
                step = (done | 1 << number, after)
                if step not in seen:
                    seen.add(step)
                    todo.append(step)
    return False
