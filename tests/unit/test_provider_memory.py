"""The provider's behaviour on bars in memory."""

import pytest

from provider import Storage
from provider.testing import MemoryStorage
from tests.provider_help import LANE
from tests.provider_suite import ProviderSuite


class TestMemory(ProviderSuite):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage({LANE: 1, "roll": 0})
