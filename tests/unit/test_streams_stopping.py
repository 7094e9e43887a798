"""What is asked to stop while it waits claims nothing any more: not for what follows either."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import faust

from streams._safe import SafeApp
from streams.conform import ConformAgent, Desk
from streams.errors import StoppedError
from streams.materialize import MaterializeAgent, Office
from topics import RawMessage


class Events:
    """A stream of one event a group."""

    def __init__(self, *offsets: int) -> None:
        self.offsets = offsets
        self.acked: list[int] = []

    async def noack_take(self, *_args: object, **_named: object) -> AsyncIterator[list[Any]]:
        for offset in self.offsets:
            message = SimpleNamespace(
                topic="t", partition=0, offset=offset, key=None, value=b"", headers=(), timestamp=1
            )
            yield [SimpleNamespace(message=message)]

    async def ack(self, event: Any) -> None:
        self.acked.append(event.message.offset)


class App:
    """Remembers what was called durable."""

    def __init__(self) -> None:
        self.durable: list[int] = []

    def mark_durable(self, events: Sequence[Any]) -> None:
        self.durable += [event.message.offset for event in events]

    def add_future(self, work: Any) -> None:
        work.close()


async def test_conform_judges_nothing_behind_what_it_has_not_judged() -> None:
    """A watermark behind it would pass over it: no verdict, and its bars are lost."""
    judged: list[int] = []

    class Stopping(ConformAgent):
        async def judge(self, messages: Sequence[RawMessage]) -> None:
            if messages[0].offset == 4:
                raise StoppedError("store")
            judged.extend(message.offset for message in messages)

    events, app = Events(3, 4, 5), App()
    await Stopping(cast("Desk", None)).run(cast("SafeApp", app), cast("faust.Stream[Any]", events))
    assert judged == app.durable == [3]
    assert events.acked == [3, 4, 5]


async def test_materialize_takes_in_nothing_behind_what_it_has_not_read() -> None:
    """The mark would pass over it, though it is not in the store."""
    read: list[int] = []

    class Stopping(MaterializeAgent):
        async def read(self, event: Any) -> Any:
            read.append(event.message.offset)
            raise StoppedError("registry")

    store = SimpleNamespace(writer=lambda: None)
    settings = SimpleNamespace(
        materialize=SimpleNamespace(visible_timeout_s=1, flush_rows=10, flush_wait_ms=1)
    )
    office = SimpleNamespace(store=store, settings=settings, metrics=None, clock=None)
    events, app = Events(3, 4), App()
    agent = Stopping(cast("Office", office))
    await agent.run(cast("SafeApp", app), cast("faust.Stream[Any]", events))
    assert (read, app.durable, events.acked) == ([3], [], [3, 4])
