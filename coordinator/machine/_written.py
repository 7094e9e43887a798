"""The state as JSON text in parts: a fact is written once for as long as it stays what it is.

The parts are those of the text that the whole document would give, whatever was written before.
None takes long to make: who writes a large state down holds nobody up who needs the interpreter.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from coordinator.machine._codec import Document, codec_of
from coordinator.machine._facts import state_document
from coordinator.machine._sorted import SortedMap
from coordinator.machine.state import State

_ENCODER = json.JSONEncoder(separators=(",", ":"), sort_keys=True)


def text_of(document: Document) -> bytes:
    """Return a document as text: the same always gives the same bytes."""
    return _ENCODER.encode(document).encode()


def table_of(fields: Mapping[str, Iterable[bytes]]) -> Iterator[bytes]:
    """Yield the text of an object of one field or more, the parts of each given."""
    opening = b"{"
    for name, parts in sorted(fields.items()):
        yield opening + text_of(name) + b":"
        yield from parts
        opening = b","
    yield b"}"


class Written:
    """The texts of the facts that were written last.

    For several threads: what one has written another may write again, and that is all.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, bytes]] = {}

    def state(self, state: State) -> Iterator[bytes]:
        """Yield the text of a state: equal states give equal texts."""
        facts: Mapping[str, SortedMap[Any, Any]] = {
            "sessions": state.sessions,
            "jobs": state.jobs,
            "lanes": state.lanes,
            "leases": state.leases,
            "ended": state.ended,
            "poisoned": state.poisoned,
            "rules": state.rules,
        }
        none: dict[str, Any] = dict.fromkeys(facts, SortedMap())
        shell = state_document(replace(state, **none))
        before, kept = self._kept, dict[int, tuple[object, bytes]]()
        parts: dict[str, Iterable[bytes]] = {
            name: (text_of(value),) for name, value in shell.items()
        }
        parts |= {name: _many(each, before, kept) for name, each in facts.items()}
        yield from table_of(parts)
        self._kept = kept


def _many(
    facts: SortedMap[Any, Any],
    before: Mapping[int, tuple[object, bytes]],
    kept: dict[int, tuple[object, bytes]],
) -> Iterator[bytes]:
    """Yield the text of a list of facts.

    A fact never changes, and one that is kept is alive: nothing else has its identity.
    """
    texts = []
    for _, fact in facts.between():
        known = before.get(id(fact)) or (fact, _text_of_fact(fact))
        kept[id(fact)] = known
        texts.append(known[1])
    yield b"[" + b",".join(texts) + b"]"


def _text_of_fact(fact: object) -> bytes:
    kind: Any = type(fact)
    return codec_of(kind).write(fact).encode()
