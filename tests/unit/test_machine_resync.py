"""What the ledger does not show although it should is undone, and nothing else."""

from bars.window import Window
from coordinator.machine import (
    Code,
    ForceComplete,
    JobFinished,
    Resync,
    WindowsUndone,
)
from coordinator.machine.views import window_token
from tests.unit.machine_help import Bench, spec, target


def resync(bench: Bench, *covered: tuple[int, int], judged: int = 1_000) -> tuple[Window, ...]:
    """Return what a resync undoes."""
    bench.events.clear()
    windows = tuple(Window(*each) for each in covered)
    command = Resync(target=target(), covered=windows, judged=judged)
    assert bench.do(command).code is Code.OK
    undone = [event.windows for event in bench.events if isinstance(event, WindowsUndone)]
    return undone[0] if undone else ()


def done(bench: Bench, *offsets: int) -> None:
    """Complete the next windows with chunks at these offsets."""
    for offset in offsets:
        bench.complete(bench.grant(), chunk_offset=offset)


def test_a_done_window_that_the_ledger_lacks_is_wanted_again() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    done(bench, 5, 6, 7)
    assert resync(bench, (0, 10), (20, 30)) == (Window(10, 20),)
    assert bench.job("job").todo == (Window(10, 20),)
    assert bench.job("job").bars_done == 20
    done(bench, 8)
    assert JobFinished(job_id="job") in bench.events


def test_what_the_ledger_shows_stays_done() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    done(bench, 5, 6, 7)
    before = bench.state
    assert resync(bench, (0, 100)) == ()
    assert bench.state == before


def test_what_is_not_visible_yet_stays_done() -> None:
    """An outage of the store is no reason to fetch anything twice."""
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    done(bench, 5, 6, 7)
    assert resync(bench, judged=6) == (Window(0, 10),)


def test_of_many_done_windows_those_too_old_to_be_known_one_by_one_wait_for_the_last_of_them() -> (
    None
):
    bench = Bench()
    bench.submit(spec("job", 0, 300))
    done(bench, *range(30))
    assert resync(bench, judged=13) == (), "the first 14 are remembered by their highest offset"
    assert resync(bench, judged=15) == (Window(0, 150),)


def test_what_is_fetched_again_is_judged_by_its_newest_chunk() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    done(bench, 5)
    bench.submit(spec("again", 0, 10, refetch=True))
    done(bench, 50)
    assert resync(bench, judged=20) == ()


def test_what_a_person_has_completed_stays_done() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    window = Window(0, 10)
    bench.do(
        ForceComplete(
            target=target(),
            window=window,
            token=window_token(bench.state, target(), window),
            evidence="x",
            reason="x",
        )
    )
    assert resync(bench) == ()


def test_what_a_job_has_failed_in_stays_failed() -> None:
    bench = Bench()
    bench.submit(spec("failed", 0, 10))
    bench.fail(bench.grant(), retriable=False)
    bench.submit(spec("other", 0, 10))
    done(bench, 1)
    assert resync(bench) == (Window(0, 10),)
    assert bench.job("failed").todo == ()
    assert bench.job("other").todo == (Window(0, 10),)


def test_a_lane_that_no_job_wants_has_nothing_to_undo() -> None:
    assert resync(Bench()) == ()
