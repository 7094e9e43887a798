"""The codec with a registry that does as it is told, on a clock that does too."""

import asyncio
import dataclasses
import json

import numpy as np
import pytest

from avro_schemas import BackfillRequest, BarChunk, Receipt, RequestKind, Watermark, load
from runtime import Deadline, KafkaSettings, RegistrySettings
from runtime.http import HttpAnswer, HttpRequest, NoAnswerError
from runtime.testing import ManualClock
from topics import (
    Catalogue,
    Codec,
    NotAvroError,
    NotRegisteredError,
    Registry,
    RegistryUnavailableError,
    SchemaMismatchError,
    UnknownSchemaError,
    UnwritableRecordError,
)
from topics._schemas import KEPT_MAX, UNKNOWN_TTL_S, Kept

CATALOGUE = Catalogue.of(KafkaSettings())
REQUEST = BackfillRequest(request_id="r-1", kind=RequestKind.SUBMIT, node_id="n", interval=60)
WATERMARK = Watermark(role="conform", partition=1, next_input_offset=2, last_known=3)


class FakeRegistry:
    """A registry in memory that counts, hangs and goes away."""

    def __init__(self) -> None:
        self.schemas: dict[int, tuple[str, str]] = {}
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    def add(self, schema: object, kind: str = "AVRO") -> int:
        """Register a schema."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        schema_id = 100 + len(self.schemas)
        self.schemas[schema_id] = (text, kind)
        return schema_id

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Answer as a registry would."""
        self.asked.append(request.url.removeprefix("http://r"))
        self.was_asked.set()
        await self.gate.wait()
        if self.down:
            raise NoAnswerError("refused")
        content: dict[str, object] | None
        if request.method == "POST":
            text = json.loads(request.body or b"")["schema"]
            known = [i for i, (t, _) in self.schemas.items() if t == text]
            content = {"id": known[0]} if known else None
        else:
            found = self.schemas.get(int(request.url.rpartition("/")[2]))
            content = None if found is None else {"schema": found[0], "schemaType": found[1]}
        if content is None:
            content, status = {"error_code": 40403, "message": "unknown"}, 404
        else:
            status = 200
        return HttpAnswer(status=status, headers={}, body=json.dumps(content).encode())

    async def aclose(self) -> None:
        """Nothing is kept open."""


@pytest.fixture
def fake() -> FakeRegistry:
    """A registry with nothing in it."""
    return FakeRegistry()


@pytest.fixture
def clock() -> ManualClock:
    """Time."""
    return ManualClock()


@pytest.fixture
def codec(fake: FakeRegistry, clock: ManualClock) -> Codec:
    """A codec of that registry."""
    return Codec(Registry(RegistrySettings(url="http://r"), http=fake), clock)


def payload(schema_id: int, body: bytes = b"") -> bytes:
    """Return a value in the wire format."""
    return b"\0" + schema_id.to_bytes(4, "big") + body


async def test_a_record_goes_out_and_in(fake: FakeRegistry, codec: Codec) -> None:
    schema_id = fake.add(CATALOGUE.requests.schema)
    value = await codec.encode(CATALOGUE.requests, REQUEST)
    assert value[:5] == payload(schema_id)
    assert await codec.decode(CATALOGUE.requests, value) == REQUEST


async def test_the_union_of_history_tells_its_records_apart(
    fake: FakeRegistry, codec: Codec
) -> None:
    fake.add(CATALOGUE.history.schema)
    value = await codec.encode(CATALOGUE.history, WATERMARK)
    assert await codec.decode(CATALOGUE.history, value) == WATERMARK


async def test_a_writer_without_the_union_is_read_into_it(fake: FakeRegistry, codec: Codec) -> None:
    older = load("Watermark")
    older["fields"] = older["fields"][:-1]
    schema_id = fake.add(older)
    body = b"\x0econform\x02\x04\x06"
    assert await codec.decode(CATALOGUE.history, payload(schema_id, body)) == WATERMARK


async def test_the_registry_is_asked_once_for_each_schema(fake: FakeRegistry, codec: Codec) -> None:
    fake.add(CATALOGUE.requests.schema)
    for _ in range(3):
        value = await codec.encode(CATALOGUE.requests, REQUEST)
        await codec.decode(CATALOGUE.requests, value)
    assert len(fake.asked) == 2


async def test_an_unknown_id_is_fetched_once_however_many_wait(
    fake: FakeRegistry, codec: Codec
) -> None:
    schema_id = fake.add(CATALOGUE.visible.schema)
    fake.gate.clear()
    value = payload(schema_id, b"\0\0\0\0\0\0\0\0")
    waiting = [asyncio.ensure_future(codec.decode(CATALOGUE.visible, value)) for _ in range(50)]
    await fake.was_asked.wait()
    waiting[0].cancel()  # who began it may go: the others still get their answer
    fake.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(record == found[1] for record in found[1:])
    assert len(fake.asked) == 1


async def test_nothing_is_registered_by_writing(fake: FakeRegistry, codec: Codec) -> None:
    with pytest.raises(NotRegisteredError, match="seamless topics apply"):
        await codec.encode(CATALOGUE.requests, REQUEST)
    assert fake.schemas == {}


async def test_a_schema_registered_later_is_found(fake: FakeRegistry, codec: Codec) -> None:
    with pytest.raises(NotRegisteredError):
        await codec.encode(CATALOGUE.requests, REQUEST)
    fake.add(CATALOGUE.requests.schema)
    assert await codec.encode(CATALOGUE.requests, REQUEST)


async def test_an_id_that_nobody_has_is_asked_for_once_in_a_while(
    fake: FakeRegistry, codec: Codec, clock: ManualClock
) -> None:
    """Poison by the thousand must not become a thousand requests."""
    for _ in range(5):
        with pytest.raises(UnknownSchemaError) as raised:
            await codec.decode(CATALOGUE.visible, payload(100))
    assert raised.value.error_class == "unknown_schema"
    assert len(fake.asked) == 1
    clock.advance(UNKNOWN_TTL_S)
    fake.add(CATALOGUE.visible.schema)
    await codec.decode(CATALOGUE.visible, payload(100, bytes(8)))


async def test_a_registry_that_comes_back_is_waited_for(
    fake: FakeRegistry, codec: Codec, clock: ManualClock
) -> None:
    schema_id = fake.add(CATALOGUE.visible.schema)
    fake.down = True
    value = payload(schema_id, bytes(8))
    waiting = asyncio.ensure_future(codec.decode(CATALOGUE.visible, value))
    await clock.run(20)
    assert not waiting.done()
    assert 3 <= len(fake.asked) <= 12  # it is not hammered
    fake.down = False
    await clock.run(6)
    await waiting


async def test_waiting_ends_with_the_callers_deadline(
    fake: FakeRegistry, codec: Codec, clock: ManualClock
) -> None:
    fake.down = True
    deadline = Deadline.after(clock, 3)
    waiting = asyncio.ensure_future(codec.decode(CATALOGUE.visible, payload(5), deadline))
    await clock.run(3)
    with pytest.raises(RegistryUnavailableError, match="refused") as raised:
        await waiting
    assert raised.value.retriable
    assert clock.monotonic() <= 3


async def test_a_registry_that_hangs_is_left_at_the_deadline(
    fake: FakeRegistry, codec: Codec, clock: ManualClock
) -> None:
    fake.gate.clear()
    deadline = Deadline.after(clock, 3)
    waiting = asyncio.ensure_future(codec.encode(CATALOGUE.requests, REQUEST, deadline))
    await clock.run(3)
    with pytest.raises(RegistryUnavailableError):
        await waiting
    fake.gate.set()


@pytest.mark.parametrize("value", [None, b"", b"\0\0\0\0", b'{"ts": 1}', b"\1\0\0\0\5abc"])
async def test_what_is_not_in_the_wire_format_is_no_avro(codec: Codec, value: bytes | None) -> None:
    with pytest.raises(NotAvroError) as raised:
        await codec.decode(CATALOGUE.chunks, value)
    assert (raised.value.error_class, raised.value.schema_id) == ("not_avro", None)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ('{"type": "object"}', "JSON"),
        ('"string"', "AVRO"),
        ("no json", "AVRO"),
        ('{"type": "record", "name": "X", "fields": [{"name": "a", "type": "nope"}]}', "AVRO"),
        (json.dumps(load("Receipt")), "AVRO"),
    ],
)
async def test_a_schema_of_something_else_is_a_mismatch(
    fake: FakeRegistry, codec: Codec, schema: str, kind: str
) -> None:
    """The registry may hold anything under an id; nothing of it may stop a reader."""
    schema_id = fake.add(schema, kind)
    for _ in range(2):
        with pytest.raises(SchemaMismatchError) as raised:
            await codec.decode(CATALOGUE.visible, payload(schema_id, bytes(40)))
        assert (raised.value.error_class, raised.value.schema_id) == ("schema_mismatch", schema_id)


async def test_a_record_of_another_topic_is_refused(codec: Codec) -> None:
    with pytest.raises(UnwritableRecordError, match="BackfillRequest"):
        await codec.encode(CATALOGUE.requests, WATERMARK)
    with pytest.raises(UnwritableRecordError, match="raw bytes"):
        await codec.encode(CATALOGUE.deadletter, WATERMARK)


def chunk(bars: int, **other: object) -> BarChunk:
    """Return a chunk of that many bars."""
    prices = np.ones(bars)
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    values = {
        "node_id": "n",
        "interval": 60,
        "start": 0,
        "end": 60,
        "lane": "roll",
        "content_hash": "",
        "ts": np.arange(bars, dtype=np.int64),
        **columns,
        **other,
    }
    return BarChunk(**values)  # type: ignore[arg-type]


async def test_a_chunk_above_the_limit_is_not_written(codec: Codec, fake: FakeRegistry) -> None:
    fake.add(CATALOGUE.chunks.schema)
    assert await codec.encode(CATALOGUE.chunks, chunk(2_000))
    with pytest.raises(UnwritableRecordError, match="2,000 bars"):
        await codec.encode(CATALOGUE.chunks, chunk(2_001))
    with pytest.raises(UnwritableRecordError, match="524288"):
        await codec.encode(CATALOGUE.chunks, chunk(1, node_id="x" * 600_000))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("interval", 2**63),
        ("interval", 1.0),
        ("interval", True),
        ("interval", None),
        ("node_id", b"n"),
        ("node_id", "\ud800"),
        ("is_final", 1),
        ("ts", [1]),
        ("ts", np.zeros(1, np.int32)),
        ("ts", np.zeros((1, 1), np.int64)),
        ("open", np.zeros(1, np.float32)),
        ("chunk_partition", 2**31),
    ],
)
async def test_nothing_is_cast(codec: Codec, path: str, value: object) -> None:
    with pytest.raises(UnwritableRecordError) as raised:
        await codec.encode(CATALOGUE.chunks, chunk(1, **{path: value}))
    assert raised.value.path == f"BarChunk.{path}"


async def test_prices_keep_every_bit(codec: Codec, fake: FakeRegistry) -> None:
    """NaN withdraws a bar; infinities are for conformance to judge, not for the codec."""
    fake.add(CATALOGUE.chunks.schema)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])
    sent = dataclasses.replace(chunk(5), close=odd)
    found = await codec.decode(CATALOGUE.chunks, await codec.encode(CATALOGUE.chunks, sent))
    assert isinstance(found, BarChunk)
    assert found.close.tobytes() == odd.tobytes()


async def test_numbers_of_numpy_are_whole_numbers(codec: Codec, fake: FakeRegistry) -> None:
    fake.add(CATALOGUE.coverage.schema)
    receipt = Receipt(
        node_id="n",
        interval=int(np.int64(60)),
        lane="roll",
        start=np.int64(0),  # type: ignore[arg-type]
        end=60,
        covers=((0, 60),),
        known=1,
        bars=1,
        content_hash="",
        history_partition=0,
        history_offset=0,
        chunk_partition=0,
        chunk_offset=0,
    )
    assert (
        await codec.decode(CATALOGUE.coverage, await codec.encode(CATALOGUE.coverage, receipt))
        == receipt
    )


def test_a_full_cache_forgets_what_was_not_used_for_longest() -> None:
    kept: Kept[int, str] = Kept(2)
    kept.put(1, "a")
    kept.put(2, "b")
    assert kept.get(1) == "a"
    kept.put(3, "c")
    assert [kept.get(n) for n in (1, 2, 3)] == ["a", None, "c"]
    assert KEPT_MAX > 2
