"""The ring of events that readers follow: bounded, and honest about what it no longer holds."""

from dataclasses import replace

from coordinator._service.api.watch import Page, Watch
from coordinator.machine import KeepSession, MachineConfig, OpenSession, SessionOpened, SubmitJob
from coordinator.testing import MemoryCluster
from runtime.testing import ManualClock
from tests.unit.machine_help import spec


class Bench:
    """A watch of at most `events_max` events on a node in memory."""

    def __init__(self, events_max: int) -> None:
        clock = ManualClock()
        self.cluster = MemoryCluster(clock, ["a"], config=MachineConfig())
        self.watch = Watch(self.cluster["a"], clock, events_max)
        self.first = self.cluster.index + 1

    def open(self, name: str) -> None:
        """One event."""
        self.cluster.append(OpenSession(session_id=name, ttl_ms=60_000), "")

    async def page(self, from_index: int, limit: int = 100) -> Page:
        """What there is, at once."""
        return await self.watch.page(from_index, limit, 0)


def names(page: Page) -> list[str]:
    return [told.event.session_id for told in page.events if isinstance(told.event, SessionOpened)]


async def test_the_oldest_entries_give_way_and_whoever_wants_them_is_told_of_the_gap() -> None:
    bench = Bench(events_max=3)
    for name in "abcde":
        bench.open(name)
    kept = await bench.page(bench.first + 2)
    assert names(kept) == ["c", "d", "e"]
    assert not kept.gap
    assert kept.next_index == bench.first + 5
    for lost in (bench.first, bench.first + 1):
        page = await bench.page(lost)
        assert names(page) == ["c", "d", "e"]
        assert page.gap


async def test_what_has_no_events_takes_no_room_and_moves_the_end() -> None:
    bench = Bench(events_max=2)
    bench.open("a")
    for _ in range(10):
        bench.cluster.append(KeepSession(session_id="nobody"), "")
    page = await bench.page(bench.first)
    assert names(page) == ["a"]
    assert not page.gap
    assert page.next_index == bench.first + 11


async def test_events_of_one_entry_are_never_parted() -> None:
    bench = Bench(events_max=100)
    bench.open("a")
    bench.cluster.append(SubmitJob(spec=replace(spec("none", 0, 10), missing=())), "")
    bench.open("b")
    page = await bench.page(bench.first, limit=2)
    assert [told.index - bench.first for told in page.events] == [0, 1, 1]
    assert page.next_index == bench.first + 2
    rest = await bench.page(page.next_index)
    assert names(rest) == ["b"]
