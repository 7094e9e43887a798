"""Tokens, roles, and where a node may listen."""

from pathlib import Path

import pytest

from bars.errors import InvalidValueError
from coordinator._service.api.auth import Role, Tokens, check_exposure, is_loopback
from coordinator._service.api.keys import parse_key

WORKER, ADMIN = "w" * 32, "a" * 40


def file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_names_roles_and_tokens(tmp_path: Path) -> None:
    text = f"# ours\nworker {WORKER}\n\nworker {WORKER}2 # the next one\nadmin   {ADMIN}\n"
    tokens = Tokens.load(file(tmp_path, text))
    found = [tokens.role_of(f"Bearer {t}") for t in (WORKER, WORKER + "2", ADMIN, "b" * 40)]
    assert found == [Role.WORKER, Role.WORKER, Role.ADMIN, None]
    assert tokens.role_of(f"bearer  {ADMIN} ") is Role.ADMIN
    assert tokens.role_of(None) is tokens.role_of(ADMIN) is None
    assert WORKER not in repr(tokens)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"boss {ADMIN}", "line 1"),
        ("# nothing\nadmin short", "line 2"),
        (f"admin {ADMIN} {ADMIN}", "line 1"),
        ("# nothing\n", "one token or more"),
        ("admin " + "x" * 70_000, "at most 65536 bytes"),
        ("admin " + "\xe4" * 40, "ASCII"),
    ],
)
def test_a_file_that_is_wrong_is_refused_and_shows_no_token(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(InvalidValueError) as error:
        Tokens.load(file(tmp_path, text))
    assert told in str(error.value)
    assert ADMIN not in str(error.value)


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o601])
def test_a_file_that_everybody_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InvalidValueError, match=f"mode {mode:o}"):
        Tokens.load(file(tmp_path, f"admin {ADMIN}", mode))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="nowhere"):
        Tokens.load(tmp_path / "nowhere")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_on_the_loopback_a_node_needs_nothing(host: str) -> None:
    assert is_loopback(host)
    check_exposure(host, tokens=False, tls=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "coordinator-1", "127.0.0.1.x", ""])
def test_beyond_it_a_node_needs_tokens_and_a_certificate(host: str) -> None:
    check_exposure(host, tokens=True, tls=True)
    for tokens, tls in ((False, False), (True, False), (False, True)):
        with pytest.raises(InvalidValueError, match="on the loopback, or with"):
            check_exposure(host, tokens=tokens, tls=tls)


@pytest.mark.parametrize(
    ("text", "node", "numbers", "world", "as_of"),
    [
        ("nodeA:60:0:600", "nodeA", (60, 0, 600), "", ""),
        ("nodeA:60:0:600:world-1", "nodeA", (60, 0, 600), "world-1", ""),
        ("nodeA:60:0:600:world-1:x", "nodeA", (60, 0, 600), "world-1", "x"),
        ("nodeA:60:0:600::", "nodeA", (60, 0, 600), "", ""),
        ("o:b:BTC/USDT:1m:60:0:600:w:1700", "o:b:BTC/USDT:1m", (60, 0, 600), "w", "1700"),
        (
            "o:b:X:1m:60:1700:1760:world-1:2024-01-01T00:00:00Z",
            "o:b:X:1m",
            (60, 1700, 1760),
            "world-1",
            "2024-01-01T00:00:00Z",
        ),
        ("a:1:2:60:0:600:w:x", "a:1:2", (60, 0, 600), "w", "x"),
        ("n:60:0:600:7:1700", "n", (60, 0, 600), "7", "1700"),
        ("n:60:-600:0:w:x", "n", (60, -600, 0), "w", "x"),
    ],
)
def test_a_key_is_read_from_the_right(
    text: str, node: str, numbers: tuple[int, int, int], world: str, as_of: str
) -> None:
    """The node may contain colons, and so may a time that is written out."""
    key = parse_key(text)
    assert (key.node, (key.interval, key.start, key.end)) == (node, numbers)
    assert (key.world, key.as_of, key.text) == (world, as_of, text)


@pytest.mark.parametrize(
    "text", ["", "n", "n:60", "n:60:0", ":60:0:600", "n:x:0:600", "n:0:0:600", "n:60:600:0:w:x"]
)
def test_a_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="key must be"):
        parse_key(text)
