"""The same storage in PostgreSQL: one server of its own for the module."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ops.stack.listening import free_ports
from provider import PostgresStorage, Storage, StoreUnavailableError
from tests.provider_help import LANE, SERIES, clock_at
from tests.provider_suite import ProviderSuite
from tests.storage_suite import StorageSuite

pytestmark = pytest.mark.servers

RANKS = {LANE: 1, "roll": 0}
USER = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL does not run as root."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A dsn: `SEAMLESS_TEST_POSTGRES`, or that of a server started for this module."""
    given = os.environ.get("SEAMLESS_TEST_POSTGRES")
    if given:
        yield given
        return
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or server is None:
        pytest.skip("needs PostgreSQL: its programs on PATH, or SEAMLESS_TEST_POSTGRES")
    with tempfile.TemporaryDirectory(prefix="seamless-pg-") as folder:
        (port,) = free_ports(1)
        data = Path(folder) / "data"
        Path(folder).chmod(0o777)
        init = [initdb, "-D", str(data), "-U", "seamless", "-A", "trust", "--no-sync"]
        subprocess.run(init, check=True, capture_output=True, user=USER)
        run = [server, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        running = subprocess.Popen(run, stderr=subprocess.PIPE, text=True, user=USER)
        try:
            assert running.stderr is not None
            for line in running.stderr:
                if "ready to accept connections" in line:
                    break
            yield f"postgresql://seamless@127.0.0.1:{port}/postgres"
        finally:
            running.send_signal(signal.SIGINT)  # ends what is connected; SIGTERM waits for it
            running.communicate(timeout=60)


@pytest.fixture
async def storage(postgres: str) -> AsyncIterator[Storage]:
    made = PostgresStorage(postgres, RANKS, clock_at(), prefix=f"t{secrets.token_hex(4)}_")
    yield made
    await made.close()


class TestPostgres(StorageSuite):
    """Every storage's suite."""


class TestProviderOnPostgres(ProviderSuite):
    """All that a provider does."""


async def test_a_server_that_is_away_says_so_without_the_password() -> None:
    storage = PostgresStorage("postgresql://me:secret@127.0.0.1:9/bars")
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:9/bars") as away:
        await storage.ledger(SERIES)
    assert "secret" not in str(away.value)
    assert away.value.retriable


@pytest.mark.parametrize("wrong", [("no dsn at all", "x_"), ("postgresql://h/d", "X-")])
def test_a_wrong_address_or_prefix_is_refused(wrong: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="must be"):
        PostgresStorage(wrong[0], prefix=wrong[1])
