"""An agent in the midst of which something raises: `python -m tests.faults.raising conform ...`.

It raises as often as the file says that `SEAMLESS_TEST_RAISES` names, an error that no part of
ours expects; after that it works.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from streams.materialize.prove import Prover
from streams.process import main

P = ParamSpec("P")
T = TypeVar("T")


class UnexpectedError(RuntimeError):
    """What was raised on purpose."""


def breaking(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, but it raises while the file says so."""
    file = Path(os.environ["SEAMLESS_TEST_RAISES"])

    def broken(*args: P.args, **kwargs: P.kwargs) -> T:
        left = int(file.read_text(encoding="ascii")) if file.exists() else 0
        if left > 0:
            file.write_text(str(left - 1), encoding="ascii")
            raise UnexpectedError(f"raised on purpose, {left - 1} more to come")
        return function(*args, **kwargs)

    return broken


if __name__ == "__main__":
    owner = importlib.import_module("streams.conform.owner")
    setattr(owner, "judge", breaking(owner.judge))  # noqa: B010
    setattr(Prover, "prove", breaking(Prover.prove))  # noqa: B010
    sys.exit(main(sys.argv[1:], os.environ))
