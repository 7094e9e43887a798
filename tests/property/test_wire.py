"""Documents: what is written is read again, and what nobody wrote is refused."""

import json
import typing
from dataclasses import fields
from enum import StrEnum
from types import UnionType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine import MachineConfig, Reply, SeriesLane, wire

numbers = st.integers(-(2**63) + 1, 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
windows = st.tuples(numbers, numbers).filter(lambda e: e[0] < e[1]).map(lambda e: Window(*e))
series = st.builds(Series, st.sampled_from(["n", "ohlcv:binance:BTC/USDT:1m", "ä"]), st.just(60))
lanes = st.builds(
    SeriesLane,
    series,
    st.sampled_from(["bf:s", "bf:a.b-c_9"]),
)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return any value of an annotation, so that a field added later is drawn too."""
    known: dict[Any, st.SearchStrategy[Any]] = {
        int: numbers,
        str: texts,
        bool: st.booleans(),
        Window: windows,
        Series: series,
        SeriesLane: lanes,
        Grid: st.builds(Grid, st.integers(1, 86_400), numbers),
        MachineConfig: st.builds(MachineConfig, lease_ttl_ms=st.integers(1, 10**9)),
    }
    if kind in known:
        return known[kind]
    if isinstance(kind, UnionType):
        return st.one_of([st.none() if a is type(None) else values_of(a) for a in kind.__args__])
    if typing.get_origin(kind) is tuple:
        return st.lists(values_of(typing.get_args(kind)[0]), max_size=3).map(tuple)
    if issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    hints = typing.get_type_hints(kind)
    drawn = {e.name: values_of(hints[e.name]) for e in fields(kind) if e.metadata.get("wire", True)}
    return st.builds(kind, **drawn)


commands = st.one_of([values_of(kind) for kind in wire.OPS.values()])
events = st.one_of([values_of(kind) for kind in wire.EVENTS.values()])
entries = st.builds(
    wire.Entry, term=numbers, elapsed_ms=numbers, request_id=texts, command=commands
)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(entries)
def test_an_entry_that_is_written_is_read_again(entry: wire.Entry) -> None:
    data = wire.encode_entry(entry)
    assert wire.decode_entry(data) == entry
    assert wire.encode_entry(wire.decode_entry(data)) == data
    command = wire.command_document(entry.command)
    rest = {"term": entry.term, "elapsed_ms": entry.elapsed_ms, "request_id": entry.request_id}
    assert data == wire.pack({**rest, "command": command}), "the text is that of the document"


@given(values_of(Reply))
def test_a_reply_that_is_written_is_read_again(reply: Reply) -> None:
    data = wire.encode_reply(reply)
    assert wire.decode_reply(data) == reply
    assert data == wire.pack({"reply": wire.reply_document(reply)})


@given(events)
def test_an_event_that_is_written_is_read_again(event: Any) -> None:
    assert wire.event_of(json.loads(json.dumps(wire.event_document(event)))) == event


def read(document: Any) -> Any:
    """Return a command or its refusal."""
    try:
        return wire.command_of(document)
    except InvalidValueError as error:
        return error


@given(commands, st.data())
def test_a_command_with_one_thing_wrong_is_refused_or_another_command(
    command: Any, data: st.DataObject
) -> None:
    """Whatever is put in the place of a field: a value of the right kind, or a refusal by name."""
    document = wire.command_document(command)
    name = data.draw(st.sampled_from(sorted(document)))
    document[name] = data.draw(documents)
    again = read(document)
    if isinstance(again, InvalidValueError):
        found = again.field.startswith(f"command.{name}") or name == "op"
        assert found, "the refusal names the field"
    else:
        assert wire.command_of(wire.command_document(again)) == again


@given(st.one_of(st.binary(max_size=60), documents.map(lambda d: json.dumps(d).encode())))
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises((InvalidValueError, wire.UnsupportedVersionError)):
        wire.decode_entry(data)
