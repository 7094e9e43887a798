"""Ports and addresses of the local stack."""

from dataclasses import astuple

import pytest

from bars.errors import InvalidValueError
from ops.stack.addresses import Ports
from ops.stack.listening import is_taken
from runtime.settings import Settings
from store import Dsn


def test_the_default_ports_are_those_that_settings_expect() -> None:
    """So `seamless up` and a program without configuration meet."""
    addresses, settings = Ports().addresses(), Settings()
    assert addresses.bootstrap == settings.kafka.bootstrap
    assert addresses.registry_url == settings.registry.url
    assert addresses.dsn == settings.store.dsn


def test_addresses_override_settings_through_the_environment(tmp_path) -> None:  # type: ignore[no-untyped-def]
    addresses = Ports.from_base(31_000).addresses()
    settings = Settings.from_mapping({}, tmp_path, addresses.environ())
    assert settings.kafka.bootstrap == "127.0.0.1:31000"
    assert settings.registry.url == "http://127.0.0.1:31002/apis/ccompat/v7"
    assert Dsn.parse(settings.store.dsn).pg_port == 31_005


def test_free_ports_are_six_different_ones_that_nobody_has() -> None:
    found = astuple(Ports.free())
    assert len(set(found)) == 6
    assert not any(map(is_taken, found))


@pytest.mark.parametrize("text", ["", "http", "-1", "1023", "65531", "²", "19092.0"])
def test_ports_that_are_none_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"must be 'free' or .*was") as refused:
        Ports.parse(text)
    assert refused.value.field == "ports"


def test_two_servers_never_share_a_port() -> None:
    with pytest.raises(InvalidValueError, match="six different numbers"):
        Ports(kafka=19_093)
