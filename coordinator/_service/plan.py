"""What one node of the lease service is, by the configuration; nothing is opened yet."""

import os
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from bars.errors import InvalidValueError
from coordinator._service.api.api import ApiOptions
from coordinator._service.api.auth import Tokens, check_exposure, is_loopback
from coordinator._service.api.server import tls_context
from coordinator._service.raft.settings import Member, RaftSettings
from coordinator.lease import check_ttl_ms
from runtime.clock import Clock
from runtime.settings import Settings

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node."""

    raft: RaftSettings
    api: ApiOptions
    makes_secret: bool
    """Whether a secret that is not there is made: only where all nodes are on this machine."""


def plan_node(settings: Settings, number: int, clock: Clock) -> NodePlan:
    """Return what a node of the configuration is.

    Args:
        settings: The configuration.
        number: Which node, 1 for the first.
        clock: For the API.

    Raises:
        InvalidValueError: There is no such node, a file cannot be used, the API would be open to
            others without tokens and TLS, or leases would leave no time to write.
    """
    section = settings.coordinator
    check_ttl_ms(settings.backfill.lease_ttl_ms, "backfill.lease_ttl_ms")
    if not 1 <= number <= len(section.peers):
        raise InvalidValueError("--node", number, f"1 to {len(section.peers)}, as the peers are")
    data = section.data_dir or settings.state_dir / "coordinator"
    members = tuple(
        Member(node_id=f"node-{at}", address=address, url=url)
        for at, (address, url) in enumerate(zip(section.peers, section.urls, strict=True), 1)
    )
    me = members[number - 1]
    scheme, _, address = me.url.partition("://")
    host, port = host_port(section.listen or address)
    tls = None
    if section.tls_certificate is not None and section.tls_key is not None:
        tls = tls_context(section.tls_certificate, section.tls_key)
    if (scheme == "https") is not (tls is not None):
        found = f"{me.url} {'with' if tls else 'without'} a certificate"
        raise InvalidValueError("coordinator.urls", found, "https with a certificate, or http")
    tokens = Tokens.load(section.token_file) if section.token_file is not None else None
    check_exposure(host, tokens=tokens is not None, tls=tls is not None)
    return NodePlan(
        raft=RaftSettings(
            node_id=me.node_id,
            members=members,
            bind=section.raft_listen or me.address,
            folder=data / me.node_id,
            secret_file=section.secret_file or data / "secret",
        ),
        api=ApiOptions(
            host=host,
            port=port,
            tokens=tokens,
            tls=tls,
            trust=_trust(section.tls_ca),
            clock=clock,
        ),
        makes_secret=section.secret_file is None and all(map(_is_here, section.peers)),
    )


def host_port(address: str) -> tuple[str, int]:
    """Return host and port of an address that the configuration has accepted."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def make_secret(file: Path) -> None:
    """Make the nodes' secret if it is not there; of several that try, one does."""
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.touch(mode=0o600)
    part.write_text(secrets.token_hex(SECRET_BYTES) + "\n", "ascii")
    try:
        os.link(part, file)
    except FileExistsError:
        pass  # another node was faster, and its secret is the one
    finally:
        part.unlink()


def _trust(authority: Path | None) -> ssl.SSLContext | bool:
    if authority is None:
        return True
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        found = f"{authority}: {error.strerror}"
        raise InvalidValueError("coordinator.tls_ca", found, "PEM of an authority") from None


def _is_here(address: str) -> bool:
    return is_loopback(host_port(address)[0])
