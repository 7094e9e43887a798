"""Frozen dataclasses as JSON documents and back, by their own annotations.

A document holds the fields that differ from their defaults, a `Window` as `[start, end]`, numbers
as whole numbers of 64 bits. Decoding takes nothing on trust: what is not allowed is refused with
the path of the field, what was found and what is allowed.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

from bars.errors import InvalidValueError
from bars.window import Window

Document: TypeAlias = Any
"""What `json.loads` returns."""

INT_MAX = 2**63 - 1
FOUND_CHARS_MAX = 200
_PAIR = 2


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type are written and read."""

    encode: Callable[[Any], Document]
    decode: Callable[[Document, str], Any]
    write: Callable[[Any], str]
    """Returns the text of what `encode` returns, names in their order and nothing between: in one
    step, since every command, reply and fact is written."""


class UnknownNameError(InvalidValueError):
    """A field, a command or a choice of a name that this program does not have.

    Somebody has written it wrongly, or a newer program has written it.
    """


def refused(field: str, found: object, allowed: str) -> InvalidValueError:
    """Return the refusal of a value; what was found is told as far as it is short."""
    return InvalidValueError(field or "document", _short(found), allowed)


def _unknown(field: str, found: object, allowed: str) -> UnknownNameError:
    return UnknownNameError(field, _short(found), allowed)


def _short(found: object) -> object:
    told = repr(found)
    return told[:FOUND_CHARS_MAX] + "..." if len(told) > FOUND_CHARS_MAX else found


@cache
def codec_of(kind: Any) -> Codec:
    """Return the codec of an annotation.

    Args:
        kind: int, bool, str, an enum of strings, `Window`, a frozen dataclass, a tuple of one of
            these, or one of these or None.
    """
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, types.UnionType):
        (inner,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
        return _optional(codec_of(inner))
    if typing.get_origin(kind) is tuple:
        return _many(codec_of(typing.get_args(kind)[0]))
    if issubclass(kind, StrEnum):
        return _choice(kind)
    record = _Record(kind)
    return Codec(record.encode, record.decode, record.writer({}))


def tagged(kinds: Mapping[str, type], tag: str) -> Codec:
    """Return the codec of one of several dataclasses, told apart by the field `tag`."""
    names = {kind: name for name, kind in kinds.items()}

    @cache
    def writer(name: str) -> Callable[[Any], str]:
        return _Record(kinds[name]).writer({tag: _quoted(name)})

    def write(value: object) -> str:
        return writer(names[type(value)])(value)

    def encode(value: object) -> Document:
        name = names[type(value)]
        return {tag: name, **codec_of(kinds[name]).encode(value)}

    def decode(document: Document, path: str) -> object:
        fields = _table(document, path)
        name = fields.get(tag)
        if not isinstance(name, str) or name not in kinds:
            raise _unknown(_at(path, tag), name, f"one of {', '.join(kinds)}")
        rest = dict(fields)
        del rest[tag]
        return codec_of(kinds[name]).decode(rest, path)

    return Codec(encode, decode, write)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _table(document: Document, path: str) -> dict[str, Document]:
    if not isinstance(document, dict):
        raise refused(path, document, "an object")
    return document


def _same(value: Any) -> Document:
    return value


def _int(document: Document, path: str) -> int:
    whole = isinstance(document, int) and not isinstance(document, bool)
    if not whole or abs(document) > INT_MAX:
        raise refused(path, document, "a whole number of 64 bits")
    return int(document)


def _bool(document: Document, path: str) -> bool:
    if not isinstance(document, bool):
        raise refused(path, document, "true or false")
    return document


def _str(document: Document, path: str) -> str:
    if not isinstance(document, str):
        raise refused(path, document, "a string")
    try:
        document.encode()
    except UnicodeEncodeError:
        raise refused(path, document, "a string of whole characters") from None
    return document


def _window(document: Document, path: str) -> Window:
    if not isinstance(document, list) or len(document) != _PAIR:
        raise refused(path, document, "[start, end]")
    start, end = _int(document[0], f"{path}[0]"), _int(document[1], f"{path}[1]")
    if start >= end:
        raise refused(path, document, "[start, end] with start before end")
    return Window(start, end)


_quoted: Callable[[str], str] = json.JSONEncoder().encode
_TEXT, _WHOLE = Codec(_same, _str, _quoted), Codec(_same, _int, int.__repr__)


def _is_plainly(codec: Codec, found: object) -> bool:
    """Return whether a codec would read a value as it stands, seen at a glance."""
    if codec is _TEXT:
        return type(found) is str and found.isascii()
    return codec is _WHOLE and type(found) is int and -INT_MAX <= found <= INT_MAX


_PLAIN: Mapping[Any, Codec] = {
    int: _WHOLE,
    bool: Codec(_same, _bool, lambda value: "true" if value else "false"),
    str: _TEXT,
    Window: Codec(
        lambda window: [window.start, window.end],
        _window,
        lambda window: f"[{window.start},{window.end}]",
    ),
}


def _optional(inner: Codec) -> Codec:
    return Codec(
        lambda value: None if value is None else inner.encode(value),
        lambda document, path: None if document is None else inner.decode(document, path),
        lambda value: "null" if value is None else inner.write(value),
    )


def _many(inner: Codec) -> Codec:
    def decode(document: Document, path: str) -> tuple[Any, ...]:
        if not isinstance(document, list):
            raise refused(path, document, "a list")
        return tuple(inner.decode(each, f"{path}[{i}]") for i, each in enumerate(document))

    return Codec(
        lambda values: [inner.encode(value) for value in values],
        decode,
        lambda values: f"[{','.join([inner.write(value) for value in values])}]",
    )


def _choice(kind: type[StrEnum]) -> Codec:
    members = {member.value: member for member in kind}

    def decode(document: Document, path: str) -> StrEnum:
        if not isinstance(document, str) or document not in members:
            raise _unknown(path, document, f"one of {', '.join(members)}")
        return members[document]

    return Codec(lambda value: value.value, decode, lambda value: _quoted(value.value))


class _Record:
    """The codec of a dataclass; a field with `wire: False` in its metadata stays out.

    A class whose `WIRE_WHOLE` is true is written with its defaults: they may change in a later
    program, and what was replicated must not.
    """

    def __init__(self, kind: type) -> None:
        hints = typing.get_type_hints(kind)
        whole: bool = getattr(kind, "WIRE_WHOLE", False)
        fields = [each for each in dataclasses.fields(kind) if each.metadata.get("wire", True)]
        self._kind = kind
        self._codecs = {each.name: codec_of(hints[each.name]) for each in fields}
        self._defaults = {each.name: each.default for each in fields}
        self._rows = [
            (each.name, codec.encode, whole or each.default is dataclasses.MISSING, each.default)
            for each, codec in zip(fields, self._codecs.values(), strict=True)
        ]

    def encode(self, value: object) -> Document:
        document = {}
        for name, encode, always, default in self._rows:
            found = getattr(value, name)
            if always or found != default:
                document[name] = found if encode is _same else encode(found)
        return document

    def writer(self, more: Mapping[str, str]) -> Callable[[Any], str]:
        """Return what writes a record, with further members that are text already."""
        rows: list[tuple[str, str, Callable[[Any], str] | None, bool, Any]] = [
            (name, f"{_quoted(name)}:", self._codecs[name].write, always, default)
            for name, _, always, default in self._rows
        ]
        rows += [(name, f"{_quoted(name)}:{text}", None, True, None) for name, text in more.items()]
        rows.sort(key=itemgetter(0))

        def write(value: object) -> str:
            parts = []
            for name, begin, member, always, default in rows:
                if member is None:
                    parts.append(begin)
                else:
                    found = getattr(value, name)
                    if always or found != default:
                        parts.append(begin + member(found))
            return f"{{{','.join(parts)}}}"

        return write

    def decode(self, document: Document, path: str) -> object:
        table = _table(document, path)
        if not table.keys() <= self._codecs.keys():
            # Before anything else is looked at: what a newer program says may be of other kinds.
            name = next(name for name in table if name not in self._codecs)
            allowed = f"one of {', '.join(self._codecs)}"
            raise _unknown(_at(path, str(name)), table[name], allowed)
        values = {}
        for name, codec in self._codecs.items():
            if name in table:
                found = table[name]
                if _is_plainly(codec, found):
                    values[name] = found  # as most are: no path to be told is put together
                else:
                    values[name] = codec.decode(found, _at(path, name))
            elif self._defaults[name] is dataclasses.MISSING:
                raise refused(_at(path, name), None, "given")
        try:
            return self._kind(**values)
        except InvalidValueError as error:
            raise refused(_at(path, error.field), error.found, error.allowed) from error
