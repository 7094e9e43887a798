"""The fetch worker as one object: requests in, chunks and statuses out. No process, no Kafka."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from avro_schemas import BackfillRequest, ConformanceReport
from coordinator.client import LANES_MAX, LeaseClient, SeriesLane, check_ttl_ms, token_of
from runtime.clock import Clock
from runtime.metrics import Metrics
from runtime.settings import Settings
from sources import Source
from worker.desk import Desk
from worker.fetching import Fetcher
from worker.intake import Intake
from worker.patience import Patience
from worker.ports import Evidence, Inbox, LedgerView, Outbox
from worker.serving import Tools
from worker.terms import TermsBook
from worker.verdicts import Verdicts
from worker.waiting import until_first_ends
from worker.windows import Means

EVIDENCE_POLL_S = 0.5

NO_LANE = "none"
"""No lane is called so: a worker without a source is granted nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What the worker works with; each may be the real one or one in memory."""

    clock: Clock
    leases: LeaseClient
    sources: Mapping[str, Source]
    """By name."""

    inbox: Inbox | None
    """None: it serves what is given to it by `take`, and nothing else."""

    outbox: Outbox
    evidence: Evidence
    """Must see everything that is committed after the worker has been made."""

    ledger: LedgerView
    metrics: Metrics = field(default_factory=Metrics)


class FetchWorker:
    """Serves the requests of one prefix of topics."""

    def __init__(
        self,
        settings: Settings,
        collaborators: Collaborators,
        *,
        epoch: int,
        name: str = "worker",
    ) -> None:
        """Make a worker.

        Args:
            settings: Nodes, sources, windows, retries.
            collaborators: Everything outside.
            epoch: The epoch of the lease service's tokens.
            name: What the lease service calls it; no other worker is called so.

        Raises:
            InvalidValueError: The life of a lease leaves no time to write.
        """
        self._evidence = collaborators.evidence
        self._verdicts = Verdicts()
        self._patience = Patience(collaborators.clock, collaborators.metrics)
        terms = TermsBook(settings, collaborators.sources)
        tools = Tools(
            settings=settings,
            clock=collaborators.clock,
            patience=self._patience,
            leases=collaborators.leases,
            ledger=collaborators.ledger,
            outbox=collaborators.outbox,
            terms=terms,
            on_job_ended=self._on_job_ended,
        )
        self._desk = Desk(tools, token_of(epoch, 0))
        means = Means(
            clock=collaborators.clock,
            metrics=collaborators.metrics,
            patience=self._patience,
            leases=collaborators.leases,
            terms=terms,
            outbox=collaborators.outbox,
            verdicts=self._verdicts,
            lanes=_lanes(collaborators.sources.values()),
            lease_ttl_ms=check_ttl_ms(settings.backfill.lease_ttl_ms, "backfill.lease_ttl_ms"),
            max_concurrent_requests=settings.backfill.max_concurrent_requests,
            on_fetched=self._desk.on_fetched,
            on_given_up=self._desk.on_given_up,
        )
        self._fetcher = Fetcher(means, name)
        self._intake = (
            None
            if collaborators.inbox is None
            else Intake(collaborators.inbox, collaborators.outbox, self._desk, self._patience)
        )
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Take nothing more; `run` then gives back the leases, commits and returns.

        Requests that run are left as they are: whoever reads them next plans them anew against
        the ledger.
        """
        self._stop.set()

    async def run(self) -> None:
        """Serve requests until stopped.

        Raises:
            SeamlessError: Something that waiting does not mend.
        """
        works: list[Coroutine[Any, Any, object]] = [
            self._fetcher.run(),
            self._watch(),
            self._stop.wait(),
        ]
        if self._intake is not None:
            works.append(self._intake.run())
        await until_first_ends(*works)

    async def take(self, request: BackfillRequest) -> None:
        """Serve a request, or take one back; return when its final status is told.

        Only while `run` does.
        """
        await self._desk.take(request)

    def _on_job_ended(self, target: SeriesLane) -> None:
        self._fetcher.look_after(target)

    async def _watch(self) -> None:
        """Bring verdicts and receipts to those that wait for them."""
        poll = partial(self._evidence.poll, EVIDENCE_POLL_S)
        while True:
            for proof in await self._patience.until_done("read verdicts and receipts", poll):
                if isinstance(proof, ConformanceReport):
                    self._verdicts.arrived(proof)
                    self._desk.on_report(proof)
                else:
                    self._desk.on_receipt(proof)


def _lanes(sources: Iterable[Source]) -> tuple[str, ...]:
    """Return the lanes to ask for; none, which is any, where they are too many to be named."""
    lanes = tuple(sorted(source.lane for source in sources)) or (NO_LANE,)
    return lanes if len(lanes) <= LANES_MAX else ()
