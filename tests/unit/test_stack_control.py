"""Starting and stopping services: twice, in the way of others, after crashes of everything."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.stack.errors import NotReadyError, PortTakenError, StackBusyError
from ops.stack.lock import locked
from ops.stack.processes import ProcessId, kill, spawn
from ops.stack.service import STACK_VARIABLE, Service, StackStatus
from tests.unit.stack_help import BROKEN, LISTEN, MUTE, House, with_stop_timeout

TIMEOUT_S = 20.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house in which nothing runs at the end."""
    made = House(tmp_path)
    yield made
    for process in made.control().record.processes.values():
        kill(process)


def pids(house: House, *services: Service) -> list[int | None]:
    return [house.control().status(each).pid for each in services]


def test_what_was_started_answers_and_is_remembered_by_the_next_command(house: House) -> None:
    a, b = house.service("a"), house.service("b")
    house.control().start([a, b], {}, TIMEOUT_S)
    assert [house.control().status(each).status for each in (a, b)] == ["ready", "ready"]
    assert None not in pids(house, a, b)


def test_starting_twice_starts_nothing_twice(house: House) -> None:
    a = house.service("a")
    house.control().start([a], {}, TIMEOUT_S)
    before = pids(house, a)
    house.control().start([a], {}, TIMEOUT_S)
    assert pids(house, a) == before


def test_a_dead_service_is_started_again_and_the_others_left_alone(house: House) -> None:
    a, b = house.service("a"), house.service("b")
    house.control().start([a, b], {}, TIMEOUT_S)
    before = pids(house, a, b)
    kill(house.control().record.processes["a"])
    assert house.control().status(a).status == "dead"
    house.control().start([a, b], {}, TIMEOUT_S)
    after = pids(house, a, b)
    assert after[0] not in (None, before[0])
    assert after[1] == before[1]


def test_a_taken_port_names_the_port_the_holder_and_the_way_out(house: House) -> None:
    a = house.service("a")
    with socket.create_server(("127.0.0.1", a.ports[0])), pytest.raises(PortTakenError) as refused:
        house.control().start([a], {}, TIMEOUT_S)
    assert refused.value.port == a.ports[0]
    assert f"pid {os.getpid()} " in refused.value.holder
    assert "--ports free" in str(refused.value)
    assert house.control().status(a).status == "stopped"


def test_nothing_is_started_when_one_port_is_taken(house: House) -> None:
    a, b = house.service("a"), house.service("b")
    with socket.create_server(("127.0.0.1", b.ports[0])), pytest.raises(PortTakenError):
        house.control().start([a, b], {}, TIMEOUT_S)
    assert pids(house, a) == [None]


def test_a_service_that_ends_at_start_shows_the_end_of_its_log(house: House) -> None:
    a = house.service("a", BROKEN)
    with pytest.raises(NotReadyError, match="no such keyspace") as refused:
        house.control().start([a], {}, TIMEOUT_S)
    assert refused.value.log == a.log
    assert house.control().status(a).status in ("dead", "stopped")


def test_a_service_that_never_answers_is_given_up_and_keeps_running_for_a_look(
    house: House,
) -> None:
    a = house.service("a", MUTE)
    with pytest.raises(NotReadyError, match="was not ready after 0 s: "):
        house.control().start([a], {}, timeout_s=0.3)
    seen = house.control().status(a)
    assert (seen.status, bool(seen.detail)) == ("not ready", True)
    assert seen.pid


def test_one_failure_does_not_keep_the_command_waiting_for_the_others(house: House) -> None:
    broken, mute = house.service("a", BROKEN), house.service("b", MUTE)
    with pytest.raises(NotReadyError, match="keyspace"):
        house.control().start([broken, mute], {}, timeout_s=600)


def test_a_service_that_ignores_sigterm_is_killed_and_that_is_told(house: House) -> None:
    deaf = with_stop_timeout(house.service("deaf", LISTEN, "deaf"), 0.2)
    house.control().start([deaf], {}, TIMEOUT_S)
    house.control().stop([deaf])
    assert house.control().status(deaf).status == "stopped"
    assert "killed, it had not ended 0 s after SIGTERM" in house.told[-1]


def test_a_frozen_service_is_seen_and_stopped(house: House) -> None:
    a = house.service("a", MUTE)
    with pytest.raises(NotReadyError):
        house.control().start([a], {}, timeout_s=0)
    house.control().record.processes["a"].signal(signal.SIGSTOP)
    assert house.control().status(a).status == "not ready"
    house.control().stop([a])
    assert pids(house, a) == [None]


def test_stopping_spares_a_stranger_on_a_port_of_ours(house: House) -> None:
    a = house.service("a")
    stranger = spawn(a.prepare(()), a.environ, house.path / "stranger.log")
    assert stranger
    try:
        house.control().stop([a])
        assert stranger.alive()
    finally:
        kill(stranger)


def test_stopping_spares_who_got_the_pid_of_something_dead(house: House) -> None:
    a = house.service("a")
    stranger = spawn(a.prepare(()), a.environ, house.path / "stranger.log")
    assert stranger
    try:
        control = house.control()
        recycled = ProcessId(stranger.pid, "another beginning")
        control.change(replace(control.record, processes={"a": recycled}))
        assert house.control().status(a).status == "dead"
        house.control().stop([a])
        assert stranger.alive()
    finally:
        kill(stranger)
    assert house.control().record.processes == {}


def test_a_process_started_just_before_everything_was_killed_is_known_again(house: House) -> None:
    """The command died between starting it and writing it down."""
    a = house.service("a")
    house.control().start([a], {}, TIMEOUT_S)
    before, control = pids(house, a), house.control()
    control.change(replace(control.record, processes={}))
    assert house.control().status(a).status == "ready"
    house.control().start([a], {}, TIMEOUT_S)
    assert pids(house, a) == before
    control = house.control()
    control.change(replace(control.record, processes={}))
    house.control().stop([a])
    assert pids(house, a) == [None]


def test_what_a_killed_service_left_behind_is_ended_before_it_starts_again(house: House) -> None:
    control, a, b = house.control(), house.service("a"), house.service("b")
    mark = {STACK_VARIABLE: f"{control.record.id}/a"}
    orphan = spawn(a.prepare(()), a.environ | mark, house.path / "orphan.log")
    # On a port of its own: it would end by itself if the orphan were the first to listen.
    stranger = spawn(b.prepare(()), b.environ, house.path / "stranger.log")
    assert orphan
    assert stranger
    try:
        a = replace(house.service("a"), leftovers=lambda: [orphan, stranger])
        control.start([a], {}, TIMEOUT_S)
        assert not orphan.alive()
        assert stranger.alive()
    finally:
        kill(orphan)
        kill(stranger)


def test_what_a_killed_service_left_behind_does_not_keep_its_port(house: House) -> None:
    """A supervisor was killed, its child lives on: the port is our own, not somebody else's."""
    control, a = house.control(), replace(house.service("a"), find=tuple)
    control.start([a], {}, TIMEOUT_S)
    orphan = control.record.processes["a"]
    control.change(replace(control.record, processes={}))
    control.start([replace(a, leftovers=lambda: [orphan])], {}, TIMEOUT_S)
    assert not orphan.alive()
    assert control.status(a).status == "ready"


def test_a_log_that_grew_too_long_is_put_aside_once(house: House) -> None:
    a = house.service("a")
    a.log.parent.mkdir()
    a.log.write_bytes(b"x" * (16 * 2**20 + 1))
    house.control().start([a], {}, TIMEOUT_S)
    assert a.log.read_text() == "listening\n"
    assert a.log.with_suffix(".log.1").exists()


def test_two_commands_on_one_folder_take_turns(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with locked(tmp_path / "lock", 1):
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(20)
    with (
        pytest.raises(StackBusyError, match="another command") as busy,
        locked(tmp_path / "lock", 0.1),
    ):
        pytest.fail("two at once")
    assert busy.value.pid
    leave.set()
    with locked(tmp_path / "lock", 20):
        thread.join()


def test_a_stack_without_services_is_not_ready() -> None:
    """Or a script that waits for `seamless status` would go on with nothing there."""
    assert not StackStatus(state="x", services=()).ready
