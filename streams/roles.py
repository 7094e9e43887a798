"""Puts an agent together with everything it needs, and runs it."""

import os
from collections.abc import Callable
from pathlib import Path

from runtime import Settings, SystemClock
from runtime.exposition import MetricsAddress
from runtime.log import logger
from runtime.metrics import Metrics
from store import Store
from streams._safe import SafeApp
from streams.app import create_app, run_app
from streams.conform import ConformAgent, Desk, rules_of
from streams.materialize import MaterializeAgent, Office
from streams.patience import Patience
from topics import Catalogue, Codec, Registry

_log = logger(__name__)


def conform(settings: Settings, metrics: Metrics) -> SafeApp:
    """Return the app that judges chunks."""
    clock = SystemClock()
    patience = Patience(clock=clock, metrics=metrics)
    desk = Desk(
        settings=settings,
        catalogue=Catalogue.of(settings.kafka),
        codec=Codec(Registry(settings.registry), clock),
        store=Store(settings.store),
        rules=rules_of(settings),
        clock=clock,
        metrics=metrics,
        patience=patience,
    )
    agent = ConformAgent(desk)
    app = create_app(settings.kafka, "conform", desk.catalogue.chunks.name, agent.run)
    app.place, app.release = agent.place, agent.release
    patience.stopping = lambda: app.should_stop
    return app


def materialize(settings: Settings, metrics: Metrics) -> SafeApp:
    """Return the app that brings history into the store."""
    clock = SystemClock()
    patience = Patience(clock=clock, metrics=metrics)
    office = Office(
        settings=settings,
        catalogue=Catalogue.of(settings.kafka),
        codec=Codec(Registry(settings.registry), clock),
        store=Store(settings.store),
        clock=clock,
        metrics=metrics,
        patience=patience,
    )
    agent = MaterializeAgent(office)
    app = create_app(settings.kafka, "materialize", office.catalogue.history.name, agent.run)
    app.place, app.release = agent.place, agent.release
    patience.stopping = lambda: app.should_stop
    return app


ROLES: dict[str, Callable[[Settings, Metrics], SafeApp]] = {
    "conform": conform,
    "materialize": materialize,
}
"""What `python -m streams` can be."""


def run_role(
    role: str,
    settings: Settings,
    ready_file: Path | None = None,
    metrics_at: MetricsAddress | None = None,
) -> int:
    """Run a role until it is asked to stop or crashes; return the exit code.

    Args:
        role: One of `ROLES`.
        settings: The configuration.
        ready_file: Gets the process's id once partitions are read.
        metrics_at: Where Prometheus may ask; None: nowhere.

    Raises:
        MetricsPortError: Somebody else listens there.
    """
    metrics = Metrics()
    if metrics_at is not None:
        metrics_at.serve(metrics)
    app = ROLES[role](settings, metrics)

    def ready(partitions: frozenset[int]) -> None:
        _log.info("ready", partitions=sorted(partitions))
        if ready_file is not None:
            ready_file.write_text(str(os.getpid()), encoding="utf-8")

    app.ready = ready
    return run_app(app)
