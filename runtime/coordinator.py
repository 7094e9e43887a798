"""The settings of the lease service: where its nodes are, and what each of them keeps where."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime import _kinds as k
from runtime._section import MISSING, Section, setting
from runtime.errors import Problem

_ADDRESS = r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\[\]]+):[1-9][0-9]{0,4}"
NODES_ALLOWED = (1, 3, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings(Section):
    """How to reach the lease service, and what its nodes look like."""

    urls: tuple[str, ...] = setting(
        k.many(k.text("a URL like http://host:18070", rf"https?://{_ADDRESS}")),
        ("http://127.0.0.1:18070",),
    )
    """API of each node, node 1 first."""

    peers: tuple[str, ...] = setting(
        k.many(k.text("an address like host:18075", _ADDRESS)), ("127.0.0.1:18075",)
    )
    """Where each node is reached by the others, in the same order."""

    listen: str | None = setting(k.optional(k.text("an address like host:18070", _ADDRESS)), None)
    """What the API of a node is bound to; None: the address in its URL."""

    raft_listen: str | None = setting(
        k.optional(k.text("an address like host:18075", _ADDRESS)), None
    )
    """What a node is bound to for the others; None: its address among the peers."""

    data_dir: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """Node N keeps its log in `node-N` of it; None: `coordinator` in the state folder."""

    secret_file: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """What nodes know each other by."""

    token_file: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """Tokens that a node accepts."""

    client_token_file: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """The token that a client shows."""

    tls_certificate: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """Of a node's API, with what leads to its authority."""

    tls_key: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """Of the certificate."""

    tls_ca: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - immutable
    """Whom clients trust; None: whom the machine trusts."""

    label_nodes: tuple[str, ...] = setting(k.many(k.node()), ())
    """Nodes of series that have a completion ratio of their own."""

    source_requests_max: int = setting(k.integer(1, 1_000_000), 256)
    """Windows of one source that are fetched at a time, by all workers together."""

    session_leases_max: int = setting(k.integer(1, 1_000_000), 1_024)
    """Leases that one worker may hold."""

    sessions_max: int = setting(k.integer(1, 1_000_000), 10_000)
    """Workers that may live at a time."""

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit together."""
        if len(self.peers) not in NODES_ALLOWED:
            yield Problem("peers", len(self.peers), "1, 3 or 5 addresses")
        if len(self.urls) != len(self.peers):
            allowed = f"one for each of the {len(self.peers)} peers"
            yield Problem("urls", len(self.urls), allowed)
        if len({url.partition(":")[0] for url in self.urls}) > 1:
            yield Problem("urls", list(self.urls), "all http or all https")
        for name, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
            if getattr(self, name) is None and getattr(self, other) is not None:
                yield Problem(name, MISSING, f"given with {other}")
