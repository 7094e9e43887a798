"""One request being served, as everybody who learns something about it sees it."""

import asyncio
from dataclasses import dataclass, field

from avro_schemas import BackfillRequest
from worker.progress import Progress

LEDGER_FIRST_S = 3.0
"""So long without news, a request asks the ledger: a receipt may have been missed."""

LEDGER_CAP_S = 30.0
"""Asked in vain, it asks half as often, but at least so often."""


@dataclass(slots=True, eq=False)
class Run:
    """One request being served."""

    request: BackfillRequest
    progress: Progress | None = None
    """None until it is planned."""

    cancelled: bool = False
    job_news: bool = False
    """Whether its job has lost a window."""

    ledger_due_s: float = 0.0
    """When to ask the ledger, monotonic."""

    ledger_pause_s: float = LEDGER_FIRST_S
    vain: int = 0
    """Times in a row that the ledger was asked in vain."""

    job_missed: int = 0
    """Times in a row that the lease service did not know its job."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing more is done for it."""

    def news(self, now_s: float) -> None:
        """Take note that something was learnt: the ledger need not be asked for a while."""
        self.ledger_pause_s = LEDGER_FIRST_S
        self.vain = 0
        self.ledger_due_s = now_s + LEDGER_FIRST_S
        self.changed.set()

    def asked_in_vain(self, now_s: float) -> None:
        """Take note that the ledger had no news."""
        self.vain += 1
        self.ledger_pause_s = min(2 * self.ledger_pause_s, LEDGER_CAP_S)
        self.ledger_due_s = now_s + self.ledger_pause_s

    def cancel(self) -> None:
        """Let it end as cancelled."""
        self.cancelled = True
        self.changed.set()

    def ask_for_job(self) -> None:
        """Let it ask what has become of its job."""
        self.job_news = True
        self.changed.set()
