"""PySyncObj's private names: one that moves is refused by its name before a node starts."""

import socket

import pysyncobj.syncobj
import pytest

from coordinator._service.raft import compat
from coordinator._service.raft.errors import IncompatibleLibraryError


def test_the_installed_version_is_as_this_program_needs_it() -> None:
    """Run with every new version of the library."""
    assert compat.moved() == ()


def test_addresses_can_still_be_written_as_text() -> None:
    """The library replaces the socket module's function by one that works on Windows alone."""
    assert socket.inet_ntop(socket.AF_INET6, bytes(15) + b"\x01") == "::1"


@pytest.mark.parametrize(
    ("owner", "name"), compat.METHODS, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_method_that_has_moved_is_named(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Put in the place of a name that nobody calls, a rule would silently not hold."""
    for base in owner.__mro__:
        if name in vars(base):
            monkeypatch.delattr(base, name)
    with pytest.raises(IncompatibleLibraryError, match=rf"{owner.__name__}\.{name}") as raised:
        compat.install()
    assert f"{owner.__name__}.{name}" in raised.value.names


@pytest.mark.parametrize(("module", "name"), compat.GLOBALS, ids=lambda part: str(part)[:40])
def test_a_global_that_has_moved_is_named(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    """To set a name that nobody reads changes nothing."""
    monkeypatch.delattr(module, name)
    with pytest.raises(IncompatibleLibraryError, match=name):
        compat.install()


@pytest.mark.parametrize(
    ("owner", "method", "name"), compat.ROUTES, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_method_that_takes_another_way_is_named(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, name: str
) -> None:
    """The name may be there still, and the library go round it."""

    def other_way() -> None:
        pass

    monkeypatch.setattr(owner, method, other_way)
    with pytest.raises(IncompatibleLibraryError) as raised:
        compat.install()
    assert f"{owner.__name__}.{method} no longer uses {name}" in raised.value.names


def test_an_older_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 0.3.17 a vote did not survive a restart."""
    monkeypatch.setattr(compat, "VERSION", "0.3.15")
    with pytest.raises(IncompatibleLibraryError, match=r"version 0\.3\.15, below 0\.3\.17"):
        compat.install()


def test_the_settings_carry_our_own_journal_and_poller() -> None:
    """A path where the journal belongs would bring PySyncObj's own, which loses entries."""
    compat.install()
    for make in (pysyncobj.syncobj.createJournal, pysyncobj.syncobj.createPoller):
        with pytest.raises(TypeError, match="was expected"):
            make("a/path")
