"""Where the store is, and what is said of an address that is none."""

import pytest

from bars.errors import InvalidValueError
from store import Dsn


def test_ports_and_user_have_defaults() -> None:
    assert Dsn.parse("questdb://db") == Dsn("db", 9000, 8812, None, None)


def test_every_part_is_read() -> None:
    found = Dsn.parse("questdb://me:s%40cret@10.0.0.7:9001?pg_port=8813")
    assert found == Dsn("10.0.0.7", 9001, 8813, "me", "s@cret")
    assert found.address == "10.0.0.7:9001"


def test_an_ipv6_host_keeps_its_colons() -> None:
    assert Dsn.parse("questdb://[::1]:9001") == Dsn("::1", 9001)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("postgres://db", "scheme"),
        ("db:9000", "scheme"),
        ("questdb://", "scheme"),
        ("questdb://:9000", "host"),
        ("questdb://[::1", "host"),
        ("questdb://db:no", "port"),
        ("questdb://db:", "port"),
        ("questdb://db:0", "port"),
        ("questdb://db:65536", "port"),
        ("questdb://db?pg_port=-1", "pg_port"),
        ("questdb://db?pg_port=", "pg_port"),
        ("questdb://db?pg_port=1&pg_port=2", "option"),
        ("questdb://db?ssl=1", "option"),
        ("questdb://db/table", "path"),
        ("questdb://db#x", "fragment"),
        ("questdb://:pw@db", "user"),
        ("questdb://me@db", "password"),
        ("questdb://me:@db", "password"),
    ],
)
def test_a_wrong_part_is_named(text: str, part: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Dsn.parse(text)
    assert caught.value.field == f"dsn {part}"


@pytest.mark.parametrize("rest", ["db:no", "db?pg_port=x", "db/table", "db#x", ":1"])
def test_no_message_shows_the_password(rest: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Dsn.parse(f"questdb://me:hunter2@{rest}")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Dsn.parse("questdb://me:hunter2@db"))
