"""Values that only the type checker freezes are, to all others, what frozen dataclasses are."""

from dataclasses import dataclass, field, replace

import pytest

from coordinator.machine.frozen import frozen


@frozen
class _Seen:
    name: str
    parts: tuple[int, ...] = ()
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strict:
    name: str
    parts: tuple[int, ...] = ()
    note: str = field(default="", compare=False)


def test_mypy_refuses_to_change_one() -> None:
    seen = _Seen(name="a")
    seen.name = "b"  # type: ignore[misc]  # mypy fails here if it ever lets this pass
    with pytest.raises(AttributeError):
        seen.more = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        _Seen("a")  # type: ignore[call-arg]


def test_it_is_equal_hashed_and_shown_like_a_frozen_dataclass() -> None:
    seen, strict = _Seen(name="a", parts=(1,)), _Strict(name="a", parts=(1,))
    assert hash(seen) == hash(strict)
    assert seen == _Seen(name="a", parts=(1,), note="not compared")
    assert seen != replace(seen, parts=())
    assert repr(seen) == repr(strict).replace("_Strict", "_Seen")
