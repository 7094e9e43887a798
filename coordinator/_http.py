"""How a client reaches the nodes: its token, whom it trusts, how patient it is."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from bars.errors import InvalidValueError
from coordinator._cluster import Budget
from coordinator.private import read_private_text
from runtime.clock import Clock, SystemClock
from runtime.coordinator import CoordinatorSettings
from runtime.http import Http


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What concerns the client and not its questions."""

    token: str | None = field(default=None, repr=False)
    """Bearer token."""

    tls_ca: Path | None = None
    """PEM of the authority to trust; None: those that the machine trusts."""

    budget: Budget = field(default_factory=Budget)
    """How long a question may take, attempts and pauses included."""

    clock: Clock = field(default_factory=SystemClock)
    rng: Random = field(default_factory=SystemRandom)

    @classmethod
    def of(cls, settings: CoordinatorSettings) -> "ClientOptions":
        """Return what the configuration says.

        Raises:
            InvalidValueError: The token's file cannot be read, or others can.
        """
        token = None
        if settings.client_token_file is not None:
            field_name = "coordinator.client_token_file"
            token = read_private_text(settings.client_token_file, field_name)
        return cls(token=token, tls_ca=settings.tls_ca)


def open_http(options: ClientOptions) -> Http:
    """Return what sends requests to nodes.

    Raises:
        InvalidValueError: The authority's file cannot be read.
    """
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    try:
        verify = ssl.create_default_context(cafile=options.tls_ca)
    except OSError as error:
        found = f"{options.tls_ca}: {error.strerror}"
        raise InvalidValueError("coordinator.tls_ca", found, "PEM of an authority") from None
    from runtime.aio import AioHttp  # noqa: PLC0415 - who only names leases does without

    return AioHttp(verify, headers)
