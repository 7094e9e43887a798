"""One road with agents as processes, for all tests of a module that send requests down it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ops.stack import LocalStack
from tests.faults.road import Road


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def road(
    local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Road]:
    """Every test asks for series of its own."""
    made = Road(local_stack, Path(tmp_path_factory.mktemp("road")))
    await made.open()
    yield made
    await made.close()
