"""The coordinator's section: one local node with nothing said, and no half-described cluster."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from runtime.settings import CoordinatorSettings, Settings

BASE = Path("/etc/seamless")
THREE = {
    "urls": [f"https://c{i}:18070" for i in (1, 2, 3)],
    "peers": [f"c{i}:18075" for i in (1, 2, 3)],
}


def read(
    section: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> CoordinatorSettings:
    return Settings.from_mapping({"coordinator": section}, BASE, environ or {}).coordinator


def test_nothing_said_is_one_node_on_this_machine() -> None:
    found = read({})
    assert found == CoordinatorSettings()
    assert (len(found.urls), len(found.peers)) == (1, 1)
    assert all("127.0.0.1" in address for address in (*found.urls, *found.peers))


@pytest.mark.parametrize(
    ("mapping", "environ", "has"),
    [
        ({}, {}, False),
        ({"backfill": {}}, {"SEAMLESS_BACKFILL_WINDOW_BARS": "10"}, False),
        ({"coordinator": {}}, {}, True),
        ({"coordinator": None}, {}, True),
        ({}, {"SEAMLESS_COORDINATOR_URLS": "http://127.0.0.1:18070"}, True),
    ],
)
def test_leases_come_from_the_service_when_there_is_a_section(
    mapping: Mapping[str, object], environ: Mapping[str, str], has: bool
) -> None:
    """Naming it is asking for it; a node of one's own needs no key in it."""
    assert Settings.from_mapping(mapping, BASE, environ).has_coordinator is has


def test_relative_paths_are_relative_to_the_file() -> None:
    found = read({"token_file": "tokens", "data_dir": "/var/c", "secret_file": "../secret"})
    assert found.token_file == BASE / "tokens"
    assert found.data_dir == Path("/var/c")
    assert found.secret_file == BASE / "../secret"
    assert found.tls_key is None


def test_paths_of_the_environment_are_relative_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read({}, {"SEAMLESS_COORDINATOR_TOKEN_FILE": "t"}).token_file == tmp_path / "t"


def test_the_environment_may_name_the_cluster() -> None:
    found = read(
        {},
        {
            "SEAMLESS_COORDINATOR_URLS": ",".join(THREE["urls"]),
            "SEAMLESS_COORDINATOR_PEERS": ",".join(THREE["peers"]),
        },
    )
    assert found.urls == tuple(THREE["urls"])
    assert found.peers == tuple(THREE["peers"])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"peers": ["a:1", "b:1"], "urls": ["http://a:2", "http://b:2"]}, "peers"),
        ({"peers": [], "urls": []}, "peers"),
        ({"urls": ["http://a:2"]}, "urls"),
        ({"urls": ["http://a:2", "https://b:2", "http://c:2"]}, "urls"),
        ({"urls": ["http://a:2", "http://a:2", "http://c:2"]}, "urls"),
        ({"urls": ["http://a/x", "http://b:2", "http://c:2"]}, "urls.0"),
        ({"listen": "0.0.0.0"}, "listen"),
        ({"raft_listen": "a:b"}, "raft_listen"),
        ({"tls_certificate": "cert.pem"}, "tls_key"),
        ({"tls_key": "key.pem"}, "tls_certificate"),
        ({"label_nodes": ["a|b"]}, "label_nodes.0"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_path(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({**THREE, **changes})
    assert caught.value.key == f"coordinator.{key}"
