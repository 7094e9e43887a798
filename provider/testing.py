"""What a strategy's own tests need: bars in memory, and sources that do as a test says."""

from provider.storage_memory import MemoryStorage
from sources.testing import Call, ScriptedFetcher

__all__ = ["Call", "MemoryStorage", "ScriptedFetcher"]
