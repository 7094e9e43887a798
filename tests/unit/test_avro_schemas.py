"""The schema files and the typed records beside them say the same."""

import dataclasses
import enum
import io
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import fastavro
import numpy as np
import pytest

import avro_schemas
from avro_schemas import (
    NAMES,
    BackfillRequest,
    BarChunk,
    ConformanceReport,
    Flag,
    Prices,
    RequestKind,
    RequestState,
    Revision,
    RevisionKind,
    Verdict,
    history_schema,
    load,
)

RENAMED = {"FlagRecord": "Flag", "RevisionRecord": "Revision", "Covered": None}
"""Records that are called otherwise in Python; `Covered` is a pair of ints there."""

PLAIN: dict[str, Any] = {
    "string": str,
    "int": int,
    "long": int,
    "boolean": bool,
    "double": float,
}

ARRAYS: dict[str, Any] = {"long": np.dtype(np.int64), "double": np.dtype(np.float64)}


def records(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a record and every record inside it."""
    if isinstance(schema, list):
        for branch in schema:
            yield from records(branch)
    elif isinstance(schema, dict) and schema["type"] == "record":
        yield schema
        for field in schema["fields"]:
            yield from records(field["type"])
    elif isinstance(schema, dict) and schema["type"] == "array":
        yield from records(schema["items"])


def enums(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every enum of a schema."""
    for record in records(schema):
        for field in record["fields"]:
            if isinstance(field["type"], dict) and field["type"]["type"] == "enum":
                yield field["type"]


def plain(value: object) -> object:
    """Return what Avro JSON would say of a Python default."""
    if isinstance(value, np.ndarray | tuple):
        return list(value)
    return value.value if isinstance(value, enum.Enum) else value


def default_of(field: "dataclasses.Field[Any]") -> object:
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return field.default if field.default is dataclasses.MISSING else plain(field.default)


def fits(avro: Any, python: Any) -> bool:
    """Return whether a Python type is how a field of an Avro type is carried."""
    if isinstance(avro, str):
        return python is PLAIN.get(avro) or getattr(python, "__name__", None) == avro
    if isinstance(avro, list):
        inner = next(branch for branch in avro if branch != "null")
        return (
            isinstance(python, UnionType)
            and NoneType in get_args(python)
            and any(fits(inner, arg) for arg in get_args(python))
        )
    if avro["type"] == "array":
        if get_origin(python) is tuple:
            return fits(avro["items"], get_args(python)[0])
        return avro["items"] in ARRAYS and get_args(get_args(python)[1])[0] is (
            ARRAYS[avro["items"]].type
        )
    if avro["type"] == "enum":
        return python is str or python.__name__ == avro["name"]
    if avro["name"] == "Covered":
        return bool(python == tuple[int, int])
    return bool(python.__name__ == (RENAMED.get(avro["name"]) or avro["name"]))


ALL = [
    pytest.param(record, id=f"{name}.{record['name']}")
    for name in NAMES
    for record in records(load(name))
    if RENAMED.get(record["name"], record["name"]) is not None
]


@pytest.mark.parametrize("record", ALL)
def test_a_record_has_the_names_order_defaults_and_types_of_its_schema(
    record: dict[str, Any],
) -> None:
    """A field added on one side only would be lost, or refused, on its way."""
    typed = getattr(avro_schemas, RENAMED.get(record["name"]) or record["name"])
    fields = dataclasses.fields(typed)
    assert [f.name for f in fields] == [f["name"] for f in record["fields"]]
    hints = get_type_hints(typed)
    for mine, theirs in zip(fields, record["fields"], strict=True):
        assert default_of(mine) == theirs.get("default", dataclasses.MISSING), mine.name
        assert fits(theirs["type"], hints[mine.name]), (mine.name, hints[mine.name])


@pytest.mark.parametrize("record", ALL)
def test_a_record_is_frozen_slotted_and_named_by_keyword(record: dict[str, Any]) -> None:
    typed = getattr(avro_schemas, RENAMED.get(record["name"]) or record["name"])
    params = typed.__dataclass_params__
    assert params.frozen
    assert hasattr(typed, "__slots__")
    assert all(field.kw_only for field in dataclasses.fields(typed))


@pytest.mark.parametrize("name", NAMES)
def test_every_record_and_every_field_says_what_it_means(name: str) -> None:
    for record in records(load(name)):
        assert record["doc"]
        if record["name"] != "Prices":
            assert all(field["doc"] for field in record["fields"]), record["name"]


@pytest.mark.parametrize("python", [RequestKind, RequestState, Verdict, RevisionKind])
def test_enums_agree_and_begin_with_unknown_for_readers_that_are_older(
    python: type[enum.StrEnum],
) -> None:
    found = [e for name in NAMES for e in enums(load(name)) if e["name"] == python.__name__]
    assert found
    for schema in found:
        assert schema["symbols"] == [member.value for member in python]
        assert schema["default"] == "UNKNOWN" == schema["symbols"][0]


def test_severities_agree_with_those_of_conformance() -> None:
    from bars.conformance import Severity  # noqa: PLC0415  only this test looks up a layer

    schema = next(e for e in enums(load("ConformanceReport")) if e["name"] == "SeverityName")
    assert schema["symbols"] == ["UNKNOWN", *(s.name for s in Severity)]


def test_the_package_has_a_record_for_each_schema_and_no_file_is_left_out() -> None:
    from importlib.resources import files  # noqa: PLC0415

    found = {f.name for f in files("avro_schemas").iterdir() if f.name.endswith(".avsc")}
    assert found == {f"{name}.avsc" for name in NAMES}
    assert all(hasattr(avro_schemas, name) for name in NAMES)


def test_load_returns_a_copy_that_may_be_changed() -> None:
    load("Receipt")["fields"].clear()
    assert load("Receipt")["fields"]


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"must be one of BackfillRequest, .*, was 'Bar'"):
        load("Bar")


def test_final_states_are_those_after_which_nothing_is_said() -> None:
    final = {state for state in RequestState if state.final}
    assert final == {
        RequestState.DONE,
        RequestState.FAILED,
        RequestState.CANCELLED,
        RequestState.REJECTED,
    }


def as_avro(value: Any) -> Any:
    """Return a typed record as fastavro takes it."""
    if dataclasses.is_dataclass(value):
        return {f.name: as_avro(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple) and len(value) == 2 and all(type(v) is int for v in value):
        return {"start": value[0], "end": value[1]}
    return [as_avro(v) for v in value] if isinstance(value, tuple) else plain(value)


CHUNK = BarChunk(
    node_id="ohlcv:binance:BTC/USDT:1m",
    interval=60,
    start=0,
    end=120,
    lane="bf:daily",
    covers=((0, 60), (60, 120)),
    content_hash="0" * 32,
    ts=np.array([0, 60], np.int64),
    open=np.array([1.5, np.nan]),
    high=np.array([2.0, np.nan]),
    low=np.array([1.0, np.nan]),
    close=np.array([-0.0, np.nan]),
    volume=np.array([5e-324, np.nan]),
)


def written(schema: Any, record: Any) -> Any:
    """Return a record after it was written and read by the schema."""
    parsed = fastavro.parse_schema(schema)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed, record)
    buffer.seek(0)
    return fastavro.schemaless_reader(buffer, parsed, None)


def test_a_chunk_with_nan_and_signed_zero_survives_its_schema() -> None:
    before = as_avro(CHUNK)
    after = written(load("BarChunk"), before)
    assert isinstance(after, Mapping)
    np.testing.assert_array_equal(after["open"], CHUNK.open)
    assert np.signbit(after["close"][0])
    assert after["covers"] == [{"start": 0, "end": 60}, {"start": 60, "end": 120}]


def test_a_report_with_flags_and_revisions_survives_its_schema() -> None:
    prices = Prices(open=1.0, high=2.0, low=0.5, close=1.5, volume=0.0)
    report = ConformanceReport(
        verdict=Verdict.PASSED,
        chunk_partition=1,
        chunk_offset=7,
        chunk_offset_end=8,
        flags=(Flag(check="time.gaps", severity="INFO", rows=2, sample_ts=(60,), message="m"),),
        revisions=(
            Revision(ts=60, kind=RevisionKind.CHANGED, before=prices, after=prices),
            Revision(ts=120, kind=RevisionKind.WITHDRAWN, before=prices),
        ),
    )
    before = as_avro(report)
    assert written(load("ConformanceReport"), before) == before


def test_the_history_union_takes_chunks_and_watermarks() -> None:
    names = [branch["name"] for branch in history_schema()]
    assert names == ["BarChunk", "Watermark"]
    chunk = {**as_avro(CHUNK), "-type": "seamless.BarChunk"}
    assert written(history_schema(), chunk)["node_id"] == CHUNK.node_id


def test_a_request_needs_only_its_id_and_kind() -> None:
    """A cancellation says nothing else."""
    request = BackfillRequest(request_id="r", kind=RequestKind.CANCEL)
    assert written(load("BackfillRequest"), {"request_id": "r", "kind": "CANCEL"}) == as_avro(
        request
    )
